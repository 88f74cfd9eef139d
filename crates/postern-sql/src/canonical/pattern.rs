//! A statement whose `$n` are slots.

use super::expand::Expansion;
use super::list::{self, ListSlots};
use super::matching::{self, Bound, Value};
use super::{Canonical, analyse_whole, strip};
use crate::tree::Tree;
use crate::{SqlLimits, Statement, SyntaxError};

/// Most slots of a pattern; with its lists at their longest as many as a Bind can have.
const MAX_PARAMETERS: u32 = 65_535;

/// Why a text can't be a pattern. The words are for whoever writes patterns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not parse.
    #[error("{0}")]
    Syntax(SyntaxError),
    /// It is not one statement.
    #[error("it must be one statement; separate statements by semicolons")]
    NotOne,
    /// It is too large or nested too deeply to be compared with others.
    #[error("the statement is too large or nested too deeply to be a named one; make it a view or function")]
    TooLarge,
    /// Slots in a kind of statement to which no values can be bound.
    #[error(
        "$1 can't be a slot in this kind of statement; write its values out, or one statement for each of them"
    )]
    Kind,
    /// Slots are not numbered from 1.
    #[error("slots are numbered $1, $2, … without a gap; ${0} is missing")]
    Gap(u16),
    /// A slot where PostgreSQL takes a number for a position.
    #[error(
        "${0} stands by itself in ORDER BY, GROUP BY or DISTINCT ON, where a number means a column and a \
         parameter does not; write the column there"
    )]
    Position(u16),
    /// The slots of a list are not the one item of an IN list or the one row of VALUES.
    #[error(
        "the slots ${first} to ${last} of `list` must be all the slots of one IN ($n) or of one row of \
         VALUES, and stand nowhere else"
    )]
    List {
        /// First slot of the list.
        first: u16,
        /// Last slot of the list.
        last: u16,
    },
    /// With its lists at their longest it has too many parameters.
    #[error("with its lists at their longest it has more than 65535 parameters; lower their `up to`")]
    TooManyParameters,
}

/// A statement whose `$n` are slots, for others to be compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    canonical: Canonical,
    statement: Statement,
    slots: u16,
    lists: Vec<ListSlots>,
    expansion: Expansion,
}

impl Pattern {
    /// Reads one statement. Of `lists` none may overlap another.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(sql: &str, mut lists: Vec<ListSlots>, limits: &SqlLimits) -> Result<Pattern, PatternError> {
        let whole = analyse_whole(sql, limits).map_err(PatternError::Syntax)?;
        let Ok([statement]) = <[Statement; 1]>::try_from(whole.analysis.statements) else {
            return Err(PatternError::NotOne);
        };
        let mut wholes = whole.statements.ok_or(PatternError::TooLarge)?;
        let canonical = wholes.pop().ok_or(PatternError::NotOne)?.canonical;
        let slots = slots(&canonical)?;
        check_places(&canonical.tree)?;
        lists.sort_by_key(|list| list.first);
        check_lists(&canonical, slots, &lists)?;
        let expansion = Expansion::of(sql, &lists)?;
        let pattern = Pattern {
            canonical,
            statement,
            slots,
            lists,
            expansion,
        };
        pattern.prove(limits)?;
        Ok(pattern)
    }

    /// The statement itself.
    pub fn canonical(&self) -> &Canonical {
        &self.canonical
    }

    /// The facts about it.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// How many slots it has.
    pub fn slots(&self) -> u16 {
        self.slots
    }

    /// Its lists, in the order of their slots.
    pub fn lists(&self) -> &[ListSlots] {
        &self.lists
    }

    /// Compares a statement with it: the same everywhere but in the slots, and in each slot a parameter or a
    /// literal. A slot that stands in several places must have the same in all of them.
    pub fn matches(&self, statement: &Canonical) -> Option<Bound> {
        if self.canonical.shape != statement.shape {
            return None;
        }
        matching::compare(&self.canonical.tree, self.slots, &self.lists, &statement.tree)
    }

    /// The pattern's own text, its lists repeated so many times and its slots numbered anew. One number for
    /// each list, as in [`Bound::counts`].
    pub fn expand(&self, counts: &[u32]) -> String {
        self.expansion.text(&self.lists, counts)
    }

    /// For each parameter in the text of [`Pattern::expand`], in order, the slot that it stands for.
    pub fn slot_of_each(&self, counts: &[u32]) -> Vec<u16> {
        let mut each = Vec::new();
        for slot in 1..=self.slots {
            match self.lists.iter().zip(counts).find(|(list, _)| list.has(slot)) {
                None => each.push(slot),
                // The whole list stands where its first slot would.
                Some((list, count)) if list.first == slot => {
                    for _ in 0..*count {
                        each.extend(list.first..=list.last);
                    }
                }
                Some(_) => {}
            }
        }
        each
    }

    /// The repeated text must be what a client would have to send, with its parameters in order.
    fn prove(&self, limits: &SqlLimits) -> Result<(), PatternError> {
        let most = self.lists.iter().map(|list| list.max_items.min(2)).collect();
        for counts in [vec![1; self.lists.len()], most] {
            let failed = || match self.lists.first() {
                Some(list) => PatternError::List {
                    first: list.first,
                    last: list.last,
                },
                None => PatternError::TooLarge,
            };
            let whole = analyse_whole(&self.expand(&counts), limits).map_err(|_| failed())?;
            let statements = whole.statements.ok_or(PatternError::TooLarge)?;
            let [only] = statements.as_slice() else {
                return Err(failed());
            };
            let bound = self.matches(&only.canonical).ok_or_else(failed)?;
            let in_order = bound
                .values
                .iter()
                .zip(1u16..)
                .all(|(value, number)| *value == Value::Parameter(number));
            if !in_order || bound.counts != counts {
                return Err(failed());
            }
        }
        Ok(())
    }
}

/// Statements that PostgreSQL takes parameters for. In others a `$1` is something else (PREPARE, the body of a
/// function) or an error.
fn takes_parameters(statement: &Tree) -> bool {
    matches!(
        statement.kind(),
        "SelectStmt"
            | "InsertStmt"
            | "UpdateStmt"
            | "DeleteStmt"
            | "MergeStmt"
            | "CallStmt"
            | "DeclareCursorStmt"
    )
}

fn slots(canonical: &Canonical) -> Result<u16, PatternError> {
    let used = canonical.parameters();
    if !used.is_empty() && !takes_parameters(&canonical.tree) {
        return Err(PatternError::Kind);
    }
    let mut expected = 1u16;
    for slot in used {
        if *slot != expected {
            return Err(PatternError::Gap(expected));
        }
        expected = expected.saturating_add(1);
    }
    Ok(expected.saturating_sub(1))
}

/// No slot may stand where PostgreSQL reads a number as a column of the result.
fn check_places(tree: &Tree) -> Result<(), PatternError> {
    let alone = |node: &Tree| match strip::parameter(node) {
        0 => Ok(()),
        slot => Err(PatternError::Position(slot)),
    };
    match tree {
        Tree::Node(kind, fields) => {
            for (name, value) in fields {
                match (*kind, *name) {
                    ("SortBy", "node") => alone(value)?,
                    ("SelectStmt", "group_clause" | "distinct_clause") | ("GroupingSet", "content") => {
                        for item in value.items() {
                            alone(item)?;
                            // GROUPING SETS ((a, b)): the set is a row to the grammar.
                            if item.kind() == "RowExpr" {
                                item.get("args").items().iter().try_for_each(alone)?;
                            }
                        }
                    }
                    _ => {}
                }
                check_places(value)?;
            }
            Ok(())
        }
        Tree::List(items) => items.iter().try_for_each(check_places),
        _ => Ok(()),
    }
}

fn check_lists(canonical: &Canonical, slots: u16, lists: &[ListSlots]) -> Result<(), PatternError> {
    let mut most = u32::from(slots);
    let mut free = 1;
    for list in lists {
        let wrong = PatternError::List {
            first: list.first,
            last: list.last,
        };
        if list.first < free || list.first > list.last || list.last > slots || list.max_items == 0 {
            return Err(wrong);
        }
        free = list.last.saturating_add(1);
        let mut found = Found::default();
        look(&canonical.tree, list, &mut found);
        if found.items != 1 || found.inside != found.anywhere {
            return Err(wrong);
        }
        let more = list.width().saturating_mul(list.max_items.saturating_sub(1));
        most = most.saturating_add(more);
    }
    if most > MAX_PARAMETERS {
        return Err(PatternError::TooManyParameters);
    }
    Ok(())
}

/// Where the slots of a list are in a tree.
#[derive(Default)]
struct Found {
    /// Single items of lists that have exactly these slots.
    items: usize,
    /// Uses of the slots in these items.
    inside: usize,
    /// Uses anywhere.
    anywhere: usize,
}

fn look(tree: &Tree, list: &ListSlots, found: &mut Found) {
    if list.has(strip::parameter(tree)) {
        found.anywhere = found.anywhere.saturating_add(1);
    }
    match tree {
        Tree::Node(_, fields) => {
            for (name, value) in fields {
                if let Some([item]) = list::repeatable(tree, name)
                    && strip::parameters(item).is_some_and(|used| used.into_iter().eq(list.first..=list.last))
                {
                    found.items = found.items.saturating_add(1);
                    found.inside = found.inside.saturating_add(uses(item, list));
                }
                look(value, list, found);
            }
        }
        Tree::List(items) => items.iter().for_each(|item| look(item, list, found)),
        _ => {}
    }
}

fn uses(tree: &Tree, list: &ListSlots) -> usize {
    match tree {
        Tree::Node("ParamRef", _) => usize::from(list.has(strip::parameter(tree))),
        Tree::Node(_, fields) => fields.iter().map(|(_, value)| uses(value, list)).sum(),
        Tree::List(items) => items.iter().map(|item| uses(item, list)).sum(),
        _ => 0,
    }
}
