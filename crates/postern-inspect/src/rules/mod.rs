//! `responses.yaml`: what may come back, as people write it.
//!
//! The Response Validator holds answers to these rules whatever a contract allows; the Query Validator reads
//! the same file to plan the masks of computed columns and of COPY ([`crate::plan`]). What a name of a column
//! means in the database is not known here; see [`crate::Origins`].
//!
//! ```yaml
//! version: 1
//! errors: code-and-message
//! limits: { max_rows: 10000, over: truncate }
//! masks:
//!   - column: public.customers.card
//!     mask: last4
//!     except_roles: [billing]
//! record: [{ column: public.customers.id, as: hash }]
//! tenants: { columns: [tenant_id] }
//! detectors: { card: mask, private_key: refuse }
//! honey:
//!   - { name: decoy-account, value: DE89370400440532013000 }
//! ```

mod document;
mod read;

pub use document::read_yaml;

use postern_types::{ErrorDetail, Keep, Mask, OverCap};
use std::fmt;

/// Rules that have been read and checked. The default has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How much of an error a client is told at most.
    pub errors: ErrorDetail,
    /// Most rows of one answer; `None` is no limit. A line of COPY counts as a row.
    pub max_rows: Option<u64>,
    /// Most bytes of rows of one answer; `None` is no limit.
    pub max_bytes: Option<u64>,
    /// What becomes of rows over a cap.
    pub over: OverCap,
    /// Masks of columns.
    pub masks: Vec<MaskRule>,
    /// Columns of which values are recorded.
    pub record: Vec<RecordRule>,
    /// Whose rows a session may see.
    pub tenants: Option<TenantRules>,
    /// What is looked for in values.
    pub detectors: Vec<(Detector, Action)>,
    /// Expressions of the operator's own.
    pub custom: Vec<CustomPattern>,
    /// Values that nobody should ever read.
    pub honey: Vec<Honey>,
    /// What becomes of columns of which the database does not say where they come from.
    pub without_origin: WithoutOrigin,
    /// Which text they were read from: the first eight bytes of its SHA-256. 0 is no text.
    pub version: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            errors: ErrorDetail::Full,
            max_rows: None,
            max_bytes: None,
            over: OverCap::default(),
            masks: Vec::new(),
            record: Vec::new(),
            tenants: None,
            detectors: Vec::new(),
            custom: Vec::new(),
            honey: Vec::new(),
            without_origin: WithoutOrigin::default(),
            version: 0,
        }
    }
}

impl Rules {
    /// Some mask is a keyed hash.
    pub fn needs_key(&self) -> bool {
        self.masks.iter().any(|rule| rule.mask == Mask::Hash)
    }

    /// Some value is recorded as a keyed hash.
    pub fn needs_record_key(&self) -> bool {
        self.record.iter().any(|rule| rule.keep == Keep::Hash)
    }

    /// Some rule is about values, so that the columns of an answer must be known.
    pub fn go_by_columns(&self) -> bool {
        !self.masks.is_empty()
            || !self.record.is_empty()
            || self.tenants.is_some()
            || !self.detectors.is_empty()
            || !self.custom.is_empty()
            || !self.honey.is_empty()
    }
}

/// A column as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnName {
    /// Schema, as PostgreSQL keeps it.
    pub schema: String,
    /// Table or view.
    pub table: String,
    /// Column.
    pub column: String,
}

impl fmt::Display for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

/// A mask of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskRule {
    /// The column.
    pub column: ColumnName,
    /// How its values are hidden.
    pub mask: Mask,
    /// Users with one of these roles see the values.
    pub except_roles: Vec<String>,
    /// What becomes of columns that are computed from it.
    pub derived: Derived,
    /// What becomes of statements that compare, sort, group or join by it.
    pub conditions: Conditions,
}

impl MaskRule {
    /// Whether the rule holds for a user with these roles.
    pub fn holds_for(&self, roles: &[String]) -> bool {
        !self.except_roles.iter().any(|role| roles.contains(role))
    }
}

/// A column of which values are recorded, as they are before masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRule {
    /// The column.
    pub column: ColumnName,
    /// How.
    pub keep: Keep,
}

/// What becomes of columns that are computed from a masked one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Derived {
    /// Their values become NULL.
    #[default]
    Mask,
    /// The statement is refused.
    Refuse,
}

/// What becomes of statements that look at a masked column without showing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conditions {
    /// They run.
    #[default]
    Allow,
    /// They are refused: the answer to a condition tells about the value.
    Refuse,
}

/// Whose rows a session may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRules {
    /// Names of columns, and of keys in JSON and the like, whose value is a tenant.
    pub columns: Vec<String>,
    /// Users with one of these roles see the rows of every tenant. Each such answer is recorded.
    pub ignore_roles: Vec<String>,
    /// Rows whose tenant is NULL are stopped too.
    pub refuse_null: bool,
}

/// Something that is looked for in values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detector {
    /// Payment card numbers: 13 to 19 digits of a known issuer, with a right check digit (ISO/IEC 7812).
    Card,
    /// International bank account numbers (ISO 13616), by country, length and check digits.
    Iban,
    /// E-mail addresses.
    Email,
    /// Telephone numbers, in the international form `+…` or the North American one.
    Phone,
    /// National identity numbers: United States (SSN), United Kingdom (NINO), France (NIR), Spain (DNI, NIE),
    /// Italy (codice fiscale), Brazil (CPF).
    NationalId,
    /// Private keys in PEM, OpenSSH, PGP and PuTTY form.
    PrivateKey,
    /// JSON Web Tokens.
    Jwt,
    /// Access keys and tokens of cloud services, by their prefixes.
    CloudToken,
}

impl Detector {
    /// All of them.
    pub const ALL: [Detector; 8] = [
        Detector::Card,
        Detector::Iban,
        Detector::Email,
        Detector::Phone,
        Detector::NationalId,
        Detector::PrivateKey,
        Detector::Jwt,
        Detector::CloudToken,
    ];

    /// A fixed name for records.
    pub fn name(self) -> &'static str {
        match self {
            Detector::Card => "detector-card",
            Detector::Iban => "detector-iban",
            Detector::Email => "detector-email",
            Detector::Phone => "detector-phone",
            Detector::NationalId => "detector-national-id",
            Detector::PrivateKey => "detector-private-key",
            Detector::Jwt => "detector-jwt",
            Detector::CloudToken => "detector-cloud-token",
        }
    }
}

/// What becomes of a value in which something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What was found is replaced.
    Mask,
    /// The answer is stopped.
    Refuse,
    /// It goes on, and an alert is recorded.
    Alert,
}

/// A regular expression of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomPattern {
    /// What people call it.
    pub name: String,
    /// The expression, in the syntax of the Rust crate `regex`: time linear in the text.
    pub pattern: String,
    /// What becomes of a match.
    pub action: Action,
}

/// A value that nobody should ever read.
#[derive(Clone, PartialEq, Eq)]
pub struct Honey {
    /// What people call it.
    pub name: String,
    /// The value, of at least six bytes; it may be any part of a value in the database.
    pub value: String,
    /// Stop the answer as well as raising an alert.
    pub refuse: bool,
}

// The value is of no use any more once it is in a log.
impl fmt::Debug for Honey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Honey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What becomes of columns of which the database does not say where they come from: computed ones, and those of
/// COPY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutOrigin {
    /// What the contract says of their position.
    #[default]
    Contract,
    /// The answer is stopped. Then no statement over masked tables may compute anything.
    Refuse,
}

/// What is wrong with the file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    /// Line, from 1, where it is known.
    pub line: Option<u64>,
    /// Column, from 1, where it is known.
    pub column: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RulesError {}

#[cfg(test)]
mod tests;
