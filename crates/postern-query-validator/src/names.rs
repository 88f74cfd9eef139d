//! The prepared statements and portals that an exchange can name, each with the decision on its text.

use crate::verdicts::Judged;
use postern_types::ring::{Definition, DefinitionKind};
use postern_types::{Refusal, SqlState};
use postern_wire::Target;
use std::collections::HashMap;
use std::sync::Arc;

/// Names that are known at one point of an exchange.
#[derive(Default)]
pub(crate) struct Names {
    statements: HashMap<String, Known>,
    portals: HashMap<String, Known>,
}

/// What a name stands for.
#[derive(Clone)]
pub(crate) struct Known {
    /// The decision on its text.
    pub(crate) judged: Arc<Judged>,
    /// Types of the parameters as Parse declared them; those that are left out are PostgreSQL's to find.
    pub(crate) types: Arc<[u32]>,
}

impl Names {
    /// What stood before the exchange.
    pub(crate) fn define(&mut self, definition: &Definition, judged: Arc<Judged>) {
        let known = Known {
            judged,
            types: definition.parameter_types.as_slice().into(),
        };
        let target = match definition.kind {
            DefinitionKind::Statement => Target::Statement,
            DefinitionKind::Portal => Target::Portal,
        };
        self.set(target, &definition.name, known);
    }

    /// What Parse or Bind makes.
    pub(crate) fn set(&mut self, target: Target, name: &str, known: Known) {
        self.of(target).insert(name.to_owned(), known);
    }

    /// What Close drops.
    pub(crate) fn drop(&mut self, target: Target, name: &str) {
        self.of(target).remove(name);
    }

    /// The decision on what the name stands for.
    ///
    /// # Errors
    /// PostgreSQL's own answer when it stands for nothing.
    pub(crate) fn get(&self, target: Target, name: &str) -> Result<&Known, Refusal> {
        let found = match target {
            Target::Statement => self.statements.get(name),
            Target::Portal => self.portals.get(name),
        };
        found.ok_or_else(|| unknown(target, name))
    }

    fn of(&mut self, target: Target) -> &mut HashMap<String, Known> {
        match target {
            Target::Statement => &mut self.statements,
            Target::Portal => &mut self.portals,
        }
    }
}

fn unknown(target: Target, name: &str) -> Refusal {
    match target {
        Target::Statement if name.is_empty() => Refusal::error(
            SqlState::INVALID_SQL_STATEMENT_NAME,
            "unnamed prepared statement does not exist",
        ),
        Target::Statement => Refusal::error(
            SqlState::INVALID_SQL_STATEMENT_NAME,
            format!("prepared statement \"{name}\" does not exist"),
        ),
        Target::Portal => Refusal::error(
            SqlState::INVALID_CURSOR_NAME,
            format!("portal \"{name}\" does not exist"),
        ),
    }
}
