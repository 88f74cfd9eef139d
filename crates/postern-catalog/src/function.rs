//! Functions, procedures and aggregates.

use crate::relation::{is_false, is_zero};
use serde::{Deserialize, Serialize};

/// Kinds of function (`pg_proc.prokind`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    /// A plain function.
    #[default]
    Plain,
    /// A procedure, for CALL.
    Procedure,
    /// An aggregate.
    Aggregate,
    /// A window function.
    Window,
}

/// What the planner may assume (`pg_proc.provolatile`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    /// Same arguments, same result, for ever.
    #[default]
    Immutable,
    /// Within one statement.
    Stable,
    /// Never; it may have side effects.
    Volatile,
}

/// An OUT, INOUT or TABLE parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name; PostgreSQL calls nameless ones `column1`, `column2`, …
    pub name: String,
    /// OID of its type.
    #[serde(rename = "type")]
    pub type_oid: u32,
}

/// A function (`pg_proc`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub kind: FunctionKind,
    /// What the planner may assume.
    #[serde(default, skip_serializing_if = "is_immutable")]
    pub volatility: Volatility,
    /// It runs with its owner's rights.
    #[serde(default, skip_serializing_if = "is_false")]
    pub security_definer: bool,
    /// `internal`, `c`, `sql`, `plpgsql`, …
    pub language: String,
    /// Types of the IN, INOUT and VARIADIC parameters; for a procedure those of its OUT parameters, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<u32>,
    /// How many of the last arguments have defaults.
    #[serde(default, skip_serializing_if = "is_none_left_out")]
    pub defaults: u16,
    /// Type of one element of the last argument, where that is VARIADIC; 0 where it is not. `2276` is `"any"`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub variadic: u32,
    /// Type of the result; 2249 is `record`.
    pub result: u32,
    /// It returns any number of rows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returns_set: bool,
    /// Its OUT, INOUT and TABLE parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

impl Function {
    /// Whether a call with this many arguments can mean this function.
    pub fn takes(&self, count: usize) -> bool {
        let most = self.arguments.len();
        let least = most.saturating_sub(usize::from(self.defaults));
        if self.variadic != 0 {
            return count >= least.saturating_sub(1);
        }
        (least..=most).contains(&count)
    }
}

fn is_plain(kind: &FunctionKind) -> bool {
    *kind == FunctionKind::Plain
}

fn is_immutable(volatility: &Volatility) -> bool {
    *volatility == Volatility::Immutable
}

fn is_none_left_out(defaults: &u16) -> bool {
    *defaults == 0
}
