//! Statements as whole syntax trees, to tell whether two of them are the same.
//!
//! A [`Canonical`] is the tree of a statement as libpg_query gives it, without the places in the text at
//! which things stand. Nothing is sorted and nothing is dropped: the body of a DO, the options of a function,
//! the order of columns, each literal count. Two spellings that PostgreSQL's grammar reads as the same tree
//! (case, blanks, comments, `CAST(x AS t)` and `x::t`) are the same statement.
//!
//! A [`Pattern`] is a statement whose `$n` are slots. Another statement matches it when it is the same
//! everywhere else and has, in the place of each slot, a parameter or a literal. What a literal in such a
//! place means is settled in `literal.rs`: it is matched only where the pattern, run with the literal's value
//! as a parameter of the literal's own type, is what the statement says.
//!
//! This module trusts nothing about the text. It decides nothing about who may run what. Nothing here
//! depends on a hash being free of collisions: [`Canonical::shape`] only finds candidates, and
//! [`Pattern::matches`] compares whole trees.

mod digest;
mod expand;
mod list;
mod literal;
mod matching;
mod outputs;
mod pattern;
mod split;
mod strip;

#[cfg(test)]
mod tests;

pub use list::{DEFAULT_LIST_ITEMS, ListSlots};
pub use literal::{Literal, LiteralKind};
pub use matching::{Bound, Value};
pub use pattern::{Pattern, PatternError};
pub use split::{Comment, Written, written};

use crate::tree::Tree;
use crate::{Analysis, Failure, SqlLimits, SyntaxError, deep, guard, position, statement};
use std::fmt;
use std::ops::Range;

/// Trees of more levels are not kept: they are walked and dropped on any thread's stack.
pub(crate) const MAX_LEVELS: usize = 600;

/// A statement as a whole tree. Equality compares all of it.
#[derive(Clone, PartialEq)]
pub struct Canonical {
    tree: Tree,
    digest: [u8; 32],
    shape: [u8; 32],
    parameters: Vec<u16>,
}

// It holds the client's literals.
impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canonical({})", self.tree.kind())
    }
}

impl Canonical {
    /// `None` when the tree is too deep, or has a parameter that no message can bind.
    fn of(statement: &Tree) -> Option<Canonical> {
        let tree = strip::strip(statement)?;
        let parameters = strip::parameters(&tree)?;
        Some(Canonical {
            digest: digest::whole(&tree),
            shape: digest::shape(&tree),
            parameters,
            tree,
        })
    }

    /// SHA-256 of the whole tree, literals included.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// SHA-256 of the tree with one mark for every literal and parameter, and with lists of items of the
    /// same shape as if they were of one item. Statements that match a [`Pattern`] have its shape.
    pub fn shape(&self) -> [u8; 32] {
        self.shape
    }

    /// Numbers of the parameters in it, ascending, each once.
    pub fn parameters(&self) -> &[u16] {
        &self.parameters
    }

    /// Names of the columns of its result, as PostgreSQL makes them. `None` for a column whose name is not
    /// known here; nothing at all where even their number is not known, because of a `*`.
    pub fn outputs(&self) -> Option<Vec<Option<String>>> {
        outputs::of(&self.tree)
    }
}

/// What a text holds, with the whole tree of each statement.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The facts, as [`crate::analyse`] gives them.
    pub analysis: Analysis,
    /// The whole statements in the same order. `None` where one of them is too large or too deep: it can't
    /// be compared with any pattern.
    pub statements: Option<Vec<WholeStatement>>,
}

/// One whole statement of a text.
#[derive(Clone, Debug)]
pub struct WholeStatement {
    /// Its tree.
    pub canonical: Canonical,
    /// Where it stands in the text, in bytes, without the semicolon.
    pub span: Range<usize>,
}

/// As [`crate::analyse`], with the whole tree of each statement. The text is parsed once, unless lists in it
/// are so long that the facts are taken from a shortened text.
///
/// # Errors
/// When the text is not PostgreSQL SQL, or breaks one of `limits`.
pub fn analyse_whole(text: &str, limits: &SqlLimits) -> Result<Whole, SyntaxError> {
    let guard::Checked { folded, deep, tokens } = guard::check(text, limits)?;
    let short = folded.as_ref().map(|folded| folded.text.clone());
    let whole_fits = tokens <= limits.max_tokens;
    let outcome = if deep {
        let (text, limits) = (text.to_owned(), *limits);
        deep::run(move || read(&text, short.as_deref(), whole_fits, &limits))
    } else {
        read(text, short.as_deref(), whole_fits, limits)
    };
    outcome.map_err(|(error, byte)| SyntaxError {
        position: byte
            .map(|byte| folded.as_ref().map_or(byte, |folded| folded.original(byte)))
            .and_then(|byte| position::characters(text, byte)),
        ..error
    })
}

/// The whole statements of a text that [`crate::analyse`] has let pass. `None` where one of them is too large or
/// too deep to be compared with any pattern.
///
/// # Errors
/// When the text is not PostgreSQL SQL, or breaks one of `limits`.
pub fn whole_statements(text: &str, limits: &SqlLimits) -> Result<Option<Vec<WholeStatement>>, SyntaxError> {
    let checked = guard::check(text, limits)?;
    if checked.tokens > limits.max_tokens {
        return Ok(None);
    }
    let outcome = if checked.deep {
        let (text, limits) = (text.to_owned(), *limits);
        deep::run(move || {
            Ok(raw_trees(&text, &limits)?
                .iter()
                .map(|raw| whole(raw, &text))
                .collect())
        })
    } else {
        raw_trees(text, limits).map(|raws| raws.iter().map(|raw| whole(raw, text)).collect())
    };
    outcome.map_err(|(error, byte)| SyntaxError {
        position: byte.and_then(|byte| position::characters(text, byte)),
        ..error
    })
}

fn read(text: &str, short: Option<&str>, whole_fits: bool, limits: &SqlLimits) -> Result<Whole, Failure> {
    if let Some(short) = short {
        let analysis = crate::parse(short, limits)?;
        let statements = if whole_fits {
            raw_trees(text, limits)?
                .iter()
                .map(|raw| whole(raw, text))
                .collect()
        } else {
            None
        };
        return Ok(Whole { analysis, statements });
    }
    let raws = raw_trees(text, limits)?;
    Ok(Whole {
        analysis: Analysis {
            statements: raws.iter().map(statement::analyse).collect(),
        },
        statements: raws.iter().map(|raw| whole(raw, text)).collect(),
    })
}

fn raw_trees(text: &str, limits: &SqlLimits) -> Result<Vec<Tree>, Failure> {
    let parsed = pg_query::parse(text, 0).map_err(|error| position::explain(text, &error))?;
    if parsed.protobuf.stmts.len() > limits.max_statements {
        return Err((guard::too_many_statements(), None));
    }
    parsed
        .protobuf
        .stmts
        .iter()
        .map(|raw| Tree::of(raw).map_err(|_| (guard::too_deep(), None)))
        .collect()
}

fn whole(raw: &Tree, text: &str) -> Option<WholeStatement> {
    let start = usize::try_from(raw.number("stmt_location")).ok()?;
    let end = match usize::try_from(raw.number("stmt_len")).ok()? {
        0 => text.len(),
        length => start.checked_add(length)?,
    };
    let canonical = Canonical::of(raw.get("stmt"))?;
    text.get(start..end)?;
    Some(WholeStatement {
        canonical,
        span: start..end,
    })
}
