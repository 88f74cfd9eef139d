//! Names resolved against a catalogue, as PostgreSQL's parse analysis resolves them.
//!
//! What a statement touches: relations (those behind views, and those that inherit, included), columns and
//! what becomes of their values, functions, settings; where each column of its answer comes from; and which
//! equalities certainly hold for the rows of each relation.
//!
//! Trusted here: the catalogue and the search path. The text is not. What can't be resolved is an error,
//! never left out. Not here: temporary tables, which no catalogue knows (a session that can make one can
//! shadow a name); what the bodies of functions, triggers and policies do; and what the rights are.

mod error;
mod facts;

pub use error::ResolveError;
pub use facts::{
    Access, Action, ActionUse, Bound, ColumnUse, Inserted, Object, Origin, Output, Place, RelationInstance,
    Resolved, Written,
};

use crate::{Analysis, SqlLimits, SyntaxError};
use postern_catalog::Catalog;

/// What names mean.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The database.
    pub catalog: &'a Catalog,
    /// Schemas in the order of `search_path`, without `$user`. `pg_catalog` is searched first unless it is
    /// listed.
    pub search_path: &'a [String],
}

/// Parses `text` and resolves it, statement by statement.
///
/// # Errors
/// When it is no SQL, breaks a limit, or names something that is not there or can't be made out.
pub fn resolve(text: &str, names: &Names<'_>, limits: &SqlLimits) -> Result<Vec<Resolved>, ResolveError> {
    let (_, resolved) = analyse_and_resolve(text, names, limits)?;
    resolved
}

/// Parses `text` once, says what is in it as [`crate::analyse`] does, and resolves it.
///
/// # Errors
/// When it is no SQL or breaks a limit. What can't be resolved is the error inside.
#[expect(clippy::type_complexity, reason = "two results, one in the other, are what it is")]
pub fn analyse_and_resolve(
    text: &str,
    _names: &Names<'_>,
    limits: &SqlLimits,
) -> Result<(Analysis, Result<Vec<Resolved>, ResolveError>), SyntaxError> {
    let analysis = crate::analyse(text, limits)?;
    Ok((analysis, Err(ResolveError::unsupported("the statement"))))
}
