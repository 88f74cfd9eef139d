//! The facts about one statement.

use crate::references::References;
use crate::tree::Tree;
use crate::{FunctionUse, SettingChange, StatementKind, TableUse, copy, effects, kind};
use postern_types::ring::Effects;
use postern_types::{CopyRules, StatementShape};

/// What a text holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// Its statements in order; empty for an empty query.
    pub statements: Vec<Statement>,
}

/// The facts about one statement. Lists are sorted and without repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub kind: StatementKind,
    /// What is inside of it: sub-selects, data-changing CTEs, what EXPLAIN, COPY, PREPARE or a cursor runs.
    pub parts: Vec<StatementKind>,
    /// Tables, views and sequences it names.
    pub tables: Vec<TableUse>,
    /// Functions it calls.
    pub functions: Vec<FunctionUse>,
    /// Schemas written before operators, types and collations.
    pub schemas: Vec<String>,
    /// Settings it changes.
    pub settings: Vec<SettingChange>,
    /// The setting that SHOW names, `all` for SHOW ALL; empty for other statements.
    pub shown: String,
    /// What it may answer with.
    pub shape: StatementShape,
    /// How its COPY TO STDOUT is written; `None` when it is none, or has options that are not understood.
    pub copy: Option<CopyRules>,
    /// What it leaves behind.
    pub effects: Effects,
}

pub(crate) fn analyse(raw: &Tree) -> Statement {
    let node = raw.get("stmt");
    let kind = kind::of(node).unwrap_or(StatementKind::Other);
    let references = References::of(node);
    Statement {
        kind,
        effects: effects::of(kind, node, &references),
        shape: effects::shape(kind, node),
        copy: copy::written(kind, node),
        shown: if kind == StatementKind::Show {
            node.text("name").to_owned()
        } else {
            String::new()
        },
        parts: references.parts,
        tables: references.tables,
        functions: references.functions,
        schemas: references.schemas,
        settings: references.settings,
    }
}
