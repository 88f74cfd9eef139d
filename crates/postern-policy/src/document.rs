//! The shape of `policy.yaml`, and errors a person can act on.

use crate::word::StatementWord;
use postern_types::ErrorDetail;
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Line, from 1, where it is known.
    pub line: Option<u64>,
    /// Column, from 1, where it is known.
    pub column: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyError {
    pub(crate) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> PolicyError {
        PolicyError {
            line: Some(place.referenced.line()),
            column: Some(place.referenced.column()),
            message: message.into(),
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
    #[serde(default)]
    pub(crate) limits: LimitsDocument,
}

/// Whether a role is held to its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Enforce,
    Open,
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
}

pub(crate) fn read(yaml: &str) -> Result<Document, PolicyError> {
    serde_saphyr::from_str(yaml).map_err(|error| {
        let place = error.location();
        PolicyError {
            line: place.map(|place| place.line()),
            column: place.map(|place| place.column()),
            message: plain(&error),
        }
    })
}

/// The first line of the error, without its picture of the source and without its place, which is told
/// apart.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split_once(" at line ")
        .map_or(line, |(message, _)| message)
        .to_owned()
}
