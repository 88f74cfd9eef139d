//! SQL text in, facts out: which statements, which tables, which functions, and what they leave behind.
//!
//! The text is parsed with PostgreSQL's own grammar (libpg_query, PostgreSQL 18). The whole tree is walked
//! by way of its serialised form, so no kind of node can be forgotten: a table that is named anywhere in a
//! statement is reported, and a statement of a kind this crate does not know is [`StatementKind::Other`].
//!
//! This crate trusts nothing about the text. It decides nothing: what may run is `postern-policy`'s
//! business. Names are reported as written; nothing is looked up in a database.
//!
//! The grammar is read as a server with `standard_conforming_strings = on`, `backslash_quote =
//! safe_encoding` and `client_encoding = UTF8` reads it. Whoever runs a statement has to hold these fixed.

pub mod canonical;
mod copy;
mod deep;
mod depth;
mod dotted;
mod effects;
mod fold;
mod guard;
mod kind;
mod lexer;
mod normalise;
mod position;
mod references;
pub mod resolve;
mod setting;
mod statement;
mod tree;

#[cfg(test)]
mod tests;

pub use guard::SqlLimits;
pub use kind::{StatementKind, Transaction};
pub use normalise::{Normalised, normalise};
pub use references::{Access, Argument, FunctionUse, TableUse, is_name_type};
pub use setting::{Scope, SettingChange};
pub use statement::{Analysis, Statement};

use postern_types::SqlState;

/// Why a text can't be understood. `message` and `position` are as PostgreSQL gives them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// 42601 mostly; 54001 for a statement that is too deep, 54000 for one that is too large.
    pub code: SqlState,
    /// What PostgreSQL would say.
    pub message: String,
    /// Character position in the text, from 1.
    pub position: Option<u32>,
}

/// Parses `text` and says what is in it. A text without statements gives an empty list.
///
/// Long lists of literals and parameters are cut short before, which changes none of the facts. A text that
/// may have a deep tree is analysed on a thread with a large stack, which is started for the first such text.
///
/// # Errors
/// When the text is not PostgreSQL SQL, or breaks one of `limits`.
pub fn analyse(text: &str, limits: &SqlLimits) -> Result<Analysis, SyntaxError> {
    let guard::Checked { folded, deep, .. } = guard::check(text, limits)?;
    let outcome = if deep {
        let short = folded.as_ref().map_or(text, |folded| &folded.text).to_owned();
        let limits = *limits;
        deep::run(move || parse(&short, &limits))
    } else {
        parse(text, limits)
    };
    outcome.map_err(|(error, byte)| SyntaxError {
        position: byte
            .map(|byte| folded.as_ref().map_or(byte, |folded| folded.original(byte)))
            .and_then(|byte| position::characters(text, byte)),
        ..error
    })
}

/// An error, and the byte of the text it is at.
type Failure = (SyntaxError, Option<usize>);

fn parse(text: &str, limits: &SqlLimits) -> Result<Analysis, Failure> {
    let parsed = pg_query::parse(text, 0).map_err(|error| position::explain(text, &error))?;
    if parsed.protobuf.stmts.len() > limits.max_statements {
        return Err((guard::too_many_statements(), None));
    }
    let mut statements = Vec::with_capacity(parsed.protobuf.stmts.len());
    for raw in &parsed.protobuf.stmts {
        let tree = tree::Tree::of(raw).map_err(|_| (guard::too_deep(), None))?;
        statements.push(statement::analyse(&tree));
    }
    Ok(Analysis { statements })
}
