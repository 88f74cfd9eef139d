//! Names resolved against a catalogue, as PostgreSQL's parse analysis resolves them.
//!
//! What a statement touches: relations (those behind views, and those that inherit, included), columns and
//! what becomes of their values, functions, settings; where each column of its answer comes from; and which
//! equalities certainly hold for the rows of each relation.
//!
//! Trusted here: the catalogue and the search path. The text is not. What can't be resolved is an error,
//! never left out. Not here: temporary tables, which no catalogue knows (a session that can make one can
//! shadow a name); what the bodies of functions, triggers and policies do; and what the rights are.

mod bounds;
mod call;
mod column;
mod cte;
mod deep;
mod error;
mod expression;
mod facts;
mod figure;
mod finish;
mod from;
mod join;
mod merge;
mod names;
mod scope;
mod select;
mod statement;
mod value;
mod view;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use error::ResolveError;
pub use facts::{
    Access, Action, ActionUse, Bound, ColumnUse, Inserted, Object, Origin, Output, Place, RelationInstance,
    Resolved, Written,
};

use crate::tree::Tree;
use crate::{Analysis, SqlLimits};
use postern_catalog::Catalog;
use walk::Walk;

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
    deep::parsed(text, limits, false, |trees, folded| all(trees, folded, names))
}

/// As [`resolve`], and says what is in the text as [`crate::analyse`] does. It is parsed once.
///
/// # Errors
/// When it is no SQL or breaks a limit. What can't be resolved is the error inside.
pub fn analyse_and_resolve(
    text: &str,
    names: &Names<'_>,
    limits: &SqlLimits,
) -> Result<(Analysis, Result<Vec<Resolved>, ResolveError>), ResolveError> {
    deep::parsed(text, limits, false, |trees, folded| {
        let analysis = Analysis {
            statements: trees.iter().map(crate::statement::analyse).collect(),
        };
        Ok((analysis, all(trees, folded, names)))
    })
}

fn all(trees: &[Tree], folded: bool, names: &Names<'_>) -> Result<Vec<Resolved>, ResolveError> {
    let mut all = Vec::with_capacity(trees.len());
    // One allowance for the whole text.
    let mut steps = walk::MAX_STEPS;
    for tree in trees {
        let mut walk = Walk::new(*names, folded);
        walk.go_on(steps);
        let outputs = walk.statement(tree.get("stmt"))?;
        steps = walk.steps_left();
        all.push(walk.finish(outputs));
    }
    Ok(all)
}
