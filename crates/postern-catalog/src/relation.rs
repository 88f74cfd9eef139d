//! Relations and their columns.

use crate::Memo;
use serde::{Deserialize, Serialize};

/// Kinds of relation (`pg_class.relkind`). Indexes are not in a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
    /// A partitioned table, which has no rows of its own.
    Partitioned,
    /// A foreign table.
    Foreign,
    /// A sequence.
    Sequence,
    /// A composite type made by CREATE TYPE; it has columns and can't be read.
    Composite,
}

impl RelationKind {
    /// Whether it is defined by a query.
    pub fn is_view(self) -> bool {
        matches!(self, RelationKind::View | RelationKind::MaterializedView)
    }

    /// Words for people.
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::View => "view",
            RelationKind::MaterializedView => "materialized view",
            RelationKind::Partitioned => "partitioned table",
            RelationKind::Foreign => "foreign table",
            RelationKind::Sequence => "sequence",
            RelationKind::Composite => "composite type",
        }
    }
}

/// A column (`pg_attribute`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// `attnum`, from 1. System columns are not listed: see [`Relation::system_column`].
    pub number: i16,
    /// Its name.
    pub name: String,
    /// OID of its type.
    #[serde(rename = "type")]
    pub type_oid: u32,
    /// Its collation is nondeterministic: different texts can be equal.
    #[serde(default, skip_serializing_if = "is_false")]
    pub loose_equality: bool,
}

/// What a rule replaces or adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleEvent {
    /// ON INSERT.
    Insert,
    /// ON UPDATE.
    Update,
    /// ON DELETE.
    Delete,
}

/// A rewrite rule other than a view's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub event: RuleEvent,
}

/// A primary key or a unique constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// Its name.
    pub name: String,
    /// Numbers of its columns.
    pub columns: Vec<i16>,
}

/// A relation (`pg_class`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Its columns in order; dropped ones are left out, so numbers may have gaps.
    pub columns: Vec<Column>,
    /// OID of the type of its rows; 0 where it has none (a sequence).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub row_type: u32,
    /// What it inherits from or is a partition of, directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<u32>,
    /// It is a partition.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partition: bool,
    /// The query of a view, as `pg_get_viewdef` gives it with an empty search path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Row-level security is enabled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub row_security: bool,
    /// Row-level security holds for its owner, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub row_security_forced: bool,
    /// A view that reads its tables with the rights of whoever reads the view.
    #[serde(default, skip_serializing_if = "is_false")]
    pub security_invoker: bool,
    /// It has INSTEAD OF triggers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub instead_of_triggers: bool,
    /// Its rules, those that make it a view left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Its primary key and unique constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Constraint>,
    /// What others made of the definition; see [`Memo`].
    #[serde(skip)]
    pub memo: Memo,
}

/// System columns, numbered -1 to -6 (manual, section 5.6 "System Columns").
const SYSTEM_COLUMNS: [(&str, i16, u32); 6] = [
    ("ctid", -1, 27),
    ("xmin", -2, 28),
    ("cmin", -3, 29),
    ("xmax", -4, 28),
    ("cmax", -5, 29),
    ("tableoid", -6, 26),
];

impl Relation {
    /// A column by name; not a system column.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A column by number; not a system column.
    pub fn column_by_number(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// Number and type of a system column. Views and composite types have none.
    pub fn system_column(&self, name: &str) -> Option<(i16, u32)> {
        if matches!(self.kind, RelationKind::View | RelationKind::Composite) {
            return None;
        }
        let found = SYSTEM_COLUMNS.iter().find(|(system, _, _)| *system == name);
        found.map(|(_, number, type_oid)| (*number, *type_oid))
    }

    /// Name of a column, system columns included.
    pub fn column_name(&self, number: i16) -> Option<&str> {
        if number < 0 {
            let found = SYSTEM_COLUMNS.iter().find(|(_, system, _)| *system == number);
            return found.map(|(name, _, _)| *name);
        }
        self.column_by_number(number).map(|column| column.name.as_str())
    }
}

pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

pub(crate) fn is_zero(number: &u32) -> bool {
    *number == 0
}
