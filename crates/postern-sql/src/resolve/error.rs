//! Why names can't be resolved.

use crate::SyntaxError;
use postern_types::SqlState;

/// Why a statement can't be resolved, as PostgreSQL would say it where the statement is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResolveError {
    /// 42P01, 42703, 42883, 42702 and the like where something does not exist or is ambiguous; 0A000 where
    /// PostgreSQL may be able to do it and this crate can't tell what it touches; 54001 where it is too large.
    pub code: SqlState,
    /// A sentence in PostgreSQL's words.
    pub message: String,
    /// Character position in the text, from 1, for syntax errors.
    pub position: Option<u32>,
}

impl From<SyntaxError> for ResolveError {
    fn from(error: SyntaxError) -> Self {
        ResolveError {
            code: error.code,
            message: error.message,
            position: error.position,
        }
    }
}

impl ResolveError {
    /// An error with this SQLSTATE.
    pub(crate) fn new(code: &str, message: String) -> ResolveError {
        ResolveError {
            code: SqlState::parse(code).unwrap_or(SqlState::INTERNAL_ERROR),
            message,
            position: None,
        }
    }

    /// PostgreSQL may know what this means; nothing here does.
    pub(crate) fn unsupported(what: &str) -> ResolveError {
        ResolveError::new("0A000", format!("{what} can't be checked against the catalogue"))
    }

    pub(crate) fn no_relation(name: &str) -> ResolveError {
        ResolveError::new("42P01", format!("relation \"{name}\" does not exist"))
    }

    pub(crate) fn no_column(name: &str) -> ResolveError {
        ResolveError::new("42703", format!("column {name} does not exist"))
    }

    pub(crate) fn ambiguous_column(name: &str) -> ResolveError {
        ResolveError::new("42702", format!("column reference \"{name}\" is ambiguous"))
    }

    pub(crate) fn no_from_entry(name: &str) -> ResolveError {
        ResolveError::new("42P01", format!("missing FROM-clause entry for table \"{name}\""))
    }

    pub(crate) fn too_complex() -> ResolveError {
        ResolveError::new(
            "54001",
            "statement too complex: it reaches too many columns; split it".to_owned(),
        )
    }
}
