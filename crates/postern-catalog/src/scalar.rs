//! Types, operators, casts and foreign keys.

use crate::relation::is_zero;
use serde::{Deserialize, Serialize};

/// Kinds of type (`pg_type.typtype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// A base type, arrays included.
    #[default]
    Base,
    /// The rows of a relation.
    Composite,
    /// A domain.
    Domain,
    /// An enumeration.
    Enum,
    /// A pseudo-type such as `record` or `anyelement`.
    Pseudo,
    /// A range.
    Range,
    /// A multirange.
    Multirange,
}

/// A type (`pg_type`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "is_base")]
    pub kind: TypeKind,
    /// What a domain is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u32>,
    /// What an array is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<u32>,
    /// The relation of a composite type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<u32>,
}

/// An operator (`pg_operator`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Type of the left operand; 0 for a prefix operator.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left: u32,
    /// Type of the right operand.
    pub right: u32,
    /// Type of the result.
    pub result: u32,
    /// The function it calls.
    pub function: u32,
}

/// A cast that calls a function (`pg_cast`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// From this type.
    pub source: u32,
    /// To this type.
    pub target: u32,
    /// By this function.
    pub function: u32,
}

/// A foreign key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignKey {
    /// The relation that refers.
    pub from: u32,
    /// The relation referred to.
    pub to: u32,
}

fn is_base(kind: &TypeKind) -> bool {
    *kind == TypeKind::Base
}
