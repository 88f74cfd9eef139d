//! The shape of `policy.yaml`, and errors a person can act on.

use crate::word::StatementWord;
use postern_types::ErrorDetail;
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyError {
    /// File of the policy directory, relative to it; `None` for a text that is read by itself.
    pub file: Option<String>,
    /// Line, from 1, where it is known.
    pub line: Option<u64>,
    /// Column, from 1, where it is known.
    pub column: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => write!(f, "{file}:{line}:{column}: ")?,
            (Some(file), Some(line), None) => write!(f, "{file}:{line}: ")?,
            (Some(file), None, _) => write!(f, "{file}: ")?,
            (None, Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (None, _, _) => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyError {
    pub(crate) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> PolicyError {
        PolicyError {
            file: None,
            line: Some(place.referenced.line()),
            column: Some(place.referenced.column()),
            message: message.into(),
        }
    }

    /// A mistake of a whole file, or one whose line is not known.
    pub fn of(file: &str, message: impl Into<String>) -> PolicyError {
        PolicyError {
            file: Some(file.to_owned()),
            line: None,
            column: None,
            message: message.into(),
        }
    }

    /// The same mistake, in this file.
    #[must_use]
    pub fn within(self, file: &str) -> PolicyError {
        PolicyError {
            file: Some(file.to_owned()),
            ..self
        }
    }
}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) version: Spanned<u32>,
    pub(crate) roles: BTreeMap<String, Spanned<RoleDocument>>,
    #[serde(default)]
    pub(crate) limits: LimitsDocument,
    /// Which tables belong to tenants.
    #[serde(default)]
    pub(crate) tenants: Option<Spanned<TenantsDocument>>,
    /// A refusal tells the client the rule and the objects.
    #[serde(default)]
    pub(crate) denial_details: bool,
}

/// Which tables belong to tenants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantsDocument {
    /// Name of the column that says whose row it is.
    pub(crate) column: Spanned<String>,
    /// `auto`, or a list of SCHEMA.TABLE.
    #[serde(default)]
    pub(crate) tables: Option<Spanned<TenantTables>>,
    /// The setting that row-level security reads.
    #[serde(default)]
    pub(crate) setting: Option<Spanned<String>>,
}

/// The tables with a tenant column.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TenantTables {
    /// These.
    Listed(Vec<String>),
    /// `auto`: whichever has a column of that name.
    Word(String),
}

/// One role.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleDocument {
    pub(crate) mode: Mode,
    pub(crate) database_role: Spanned<String>,
    #[serde(default)]
    pub(crate) search_path: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) statements: Option<Vec<StatementWord>>,
    #[serde(default)]
    pub(crate) schemas: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) catalog: Option<Catalog>,
    #[serde(default)]
    pub(crate) errors: Option<ErrorDetail>,
    /// Only named statements may run.
    #[serde(default)]
    pub(crate) named: bool,
    #[serde(default)]
    pub(crate) access: Option<AccessWord>,
    /// SELECT of a table, UPDATE and DELETE need a WHERE clause.
    #[serde(default)]
    pub(crate) require_where: bool,
    /// Values come as parameters, never in the text.
    #[serde(default)]
    pub(crate) require_parameters: bool,
    #[serde(default)]
    pub(crate) max_joins: Option<u32>,
    /// Functions that may be called although they are not harmless.
    #[serde(default)]
    pub(crate) functions: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) tenancy: Option<Tenancy>,
    /// Statements are recorded without their literals, as in learn mode.
    #[serde(default)]
    pub(crate) record_statements: bool,
    /// Values of parameters are recorded as hashes.
    #[serde(default)]
    pub(crate) record_parameters: Option<RecordParameters>,
    #[serde(default)]
    pub(crate) limits: LimitsDocument,
}

/// How all parameters of a role are recorded. In clear, only those that a named statement names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordParameters {
    /// As keyed hashes.
    Hash,
}

/// What becomes of a statement that no rule allows. The order is that of strictness: a user with several
/// roles is held to the most lenient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It runs, and what enforcing would have done is recorded.
    Shadow,
    /// It runs, and is recorded without its literals, so that `postern policy learn` can propose it.
    Learn,
    /// It runs. No rule is asked.
    Open,
}

/// By which rules a role's own SQL is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccessWord {
    /// By `statements`, `schemas` and `catalog`.
    Lists,
    /// By `access.cedar`.
    Cedar,
}

/// How the rows of other tenants are kept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tenancy {
    /// A statement must show by itself that it touches rows of the session's tenant only.
    Prove,
    /// By row-level security in the database.
    Rls,
    /// By both.
    Both,
    /// Not at all.
    None,
}

/// What a role may do with pg_catalog and information_schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Catalog {
    Read,
}

/// Limits as written; what is absent is inherited.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsDocument {
    pub(crate) max_rows: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_statement_bytes: Option<u64>,
    pub(crate) statement_timeout_ms: Option<u32>,
    pub(crate) max_statements_per_s: Option<NonZeroU32>,
}

pub(crate) fn read(yaml: &str) -> Result<Document, PolicyError> {
    postern_inspect::rules::read_yaml(yaml).map_err(|error| PolicyError {
        file: None,
        line: error.line,
        column: error.column,
        message: error.message,
    })
}
