//! The response contract: what the Query Validator tells the Response Validator to expect of one exchange,
//! and the state of an answer between two of its parts.

use crate::{Mask, TraceParent};
use serde::{Deserialize, Serialize};

/// What one exchange asked for and may bring back. Sealed by the Query Validator to the Response
/// Validator; the Backend carries it unopened with every part of the answer. Session and exchange are in
/// the associated data of the seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Who asked.
    pub user: String,
    /// The tenant whose rows may be seen.
    pub tenant: Option<String>,
    /// The protocol messages of the exchange in order; the answer must fit them one by one.
    pub steps: Vec<Expect>,
    /// Most rows in the whole answer; `None` is no limit.
    pub max_rows: Option<u64>,
    /// Most bytes of row data in the whole answer; `None` is no limit.
    pub max_bytes: Option<u64>,
    /// How much of an error or notice the client may be told.
    pub error_detail: ErrorDetail,
    /// NotificationResponse may arrive outside an exchange.
    pub notifications: bool,
    /// Roles of the user, by the names the policy has for them.
    pub roles: Vec<String>,
    /// What becomes of rows over `max_rows` or `max_bytes`.
    pub over: OverCap,
    /// What may be in the answers: one for each statement of a simple Query, or one for each Execute of the
    /// exchange, in order. Where the list is too short, [`StatementRules::default`] holds.
    pub statements: Vec<StatementRules>,
    /// The version of the rules about answers that the exchange was planned for; 0 is none. While rules change, both
    /// versions are in force for a while, each for its own exchanges.
    pub rules: u64,
    /// The trace that the client named, for the records.
    pub trace: Option<TraceParent>,
}

/// What becomes of rows over a cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverCap {
    /// They are left out, and the client gets a warning. The answer stays legal.
    Truncate,
    /// The answer is stopped.
    #[default]
    Refuse,
}

/// What the answer to one statement may contain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementRules {
    /// What is known of its columns.
    pub columns: ColumnRules,
    /// How its COPY TO STDOUT is written; `None` when it is no COPY, or that is not known.
    pub copy: Option<CopyRules>,
    /// Most rows of this statement; `None` is no limit of its own. `Contract::over` says what happens.
    pub max_rows: Option<u64>,
    /// Most bytes of rows of this statement, as `max_rows`.
    pub max_bytes: Option<u64>,
}

/// What is known of the columns of an answer, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnRules {
    /// Nothing. A computed column may be made of anything.
    #[default]
    Unknown,
    /// Computed columns are made of nothing that any rule is about.
    Plain,
    /// Each column, in order. An answer with another number of columns is refused.
    Listed(Vec<ColumnRule>),
}

/// What is known of one column of an answer, and what is to be done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRule {
    /// How its values are masked. A column that is made of masked ones has [`Mask::Null`].
    pub mask: Option<Mask>,
    /// Its values must be the tenant of the contract.
    pub tenant: bool,
    /// The column of a table that it shows unchanged.
    pub origin: Option<ColumnId>,
    /// OID of its type; 0 is unknown. Used where the protocol does not tell, in COPY.
    pub type_oid: u32,
}

/// A column of a table or view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnId {
    /// OID of the table or view.
    pub relation: u32,
    /// Attribute number in it.
    pub attribute: i16,
}

/// How a COPY TO STDOUT is written (manual, "COPY").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRules {
    /// FORMAT.
    pub format: CopyKind,
    /// DELIMITER.
    pub delimiter: u8,
    /// QUOTE of CSV.
    pub quote: u8,
    /// ESCAPE of CSV.
    pub escape: u8,
    /// What stands for NULL.
    pub null: String,
    /// The first line has the names of the columns.
    pub header: bool,
}

/// FORMAT of a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyKind {
    /// Lines with backslash escapes.
    Text,
    /// CSV.
    Csv,
    /// Binary tuples.
    Binary,
}

impl CopyRules {
    /// What COPY does without options in this format.
    pub fn new(format: CopyKind) -> CopyRules {
        let (delimiter, null) = match format {
            CopyKind::Csv => (b',', ""),
            CopyKind::Text | CopyKind::Binary => (b'\t', "\\N"),
        };
        CopyRules {
            format,
            delimiter,
            quote: b'"',
            escape: b'"',
            null: null.to_owned(),
            header: false,
        }
    }
}

/// How much of an ErrorResponse or NoticeResponse reaches the client, from most to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorDetail {
    /// Every field, as PostgreSQL sent it.
    Full,
    /// Severity, SQLSTATE, message and position.
    CodeAndMessage,
    /// Severity and SQLSTATE, with a message of Postern's own.
    CodeOnly,
}

/// Direction of a COPY between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CopyDirection {
    /// COPY FROM STDIN.
    In,
    /// COPY TO STDOUT.
    Out,
}

/// What one SQL statement may answer with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementShape {
    /// It may return rows.
    pub rows: bool,
    /// It is a COPY to or from the client.
    pub copy: Option<CopyDirection>,
}

/// One step of an exchange, as seen from its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Not a step of the answer: the first entry of the list where rules go by columns. The state then keeps
    /// the description of the columns while their rows come.
    Columns,
    /// A Describe that the Backend asks on its own before the Execute that follows, so that the columns of
    /// its rows are known. Its answer ends at the Response Validator.
    HiddenDescribe,
    /// A simple Query of these statements; empty is an empty query. Ends in ReadyForQuery.
    Query(Vec<StatementShape>),
    /// Parse.
    Parse,
    /// Bind.
    Bind,
    /// Describe of a prepared statement.
    DescribeStatement,
    /// Describe of a portal.
    DescribePortal,
    /// Execute of a portal.
    Execute {
        /// What the portal's statement may answer with.
        shape: StatementShape,
        /// Row limit of the Execute; 0 is none.
        max_rows: u32,
        /// The last Describe of the exchange was of this very portal, so the rows must have the number of
        /// columns that its answer gave.
        described: bool,
    },
    /// Close of a statement or portal.
    Close,
    /// Flush: the exchange ends here without ReadyForQuery.
    Flush,
    /// Sync: ends in ReadyForQuery.
    Sync,
}

/// Where inside a step the answer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing of the step has arrived.
    #[default]
    Start,
    /// Describe of a statement: ParameterDescription has arrived.
    ParametersDescribed,
    /// Query: RowDescription has arrived, rows may follow. Execute: at least one row has arrived.
    Rows,
    /// CopyOutResponse has arrived.
    CopyOut,
    /// CopyInResponse has arrived; the client is sending.
    CopyIn,
    /// An ErrorResponse has arrived; nothing more but ReadyForQuery.
    Failed,
    /// The answer is complete.
    Done,
    /// CopyDone has arrived after CopyOutResponse; CommandComplete must follow.
    CopyOutDone,
    /// An extended-query message failed and no Sync of the same exchange follows, so the database ignores
    /// everything up to the next Sync. An exchange that ends like this hands the phase to the next one.
    Skipping,
}

/// The state of an answer between two parts. Backend and Response Validator compute it with the same
/// code; the Frontend sees only its digest and checks that the chain is not broken, so that the Response
/// Validator needs no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerState {
    /// Index into `Contract::steps`.
    pub step: u32,
    /// Index of the statement inside a simple Query.
    pub statement: u32,
    /// Where inside the step.
    pub phase: Phase,
    /// Columns of the current row description; 0 before one arrived.
    pub columns: u16,
    /// Rows so far in the whole answer.
    pub rows: u64,
    /// Rows so far in the current statement: an Execute, to check its row limit, or one of a simple Query.
    pub step_rows: u64,
    /// Bytes of DataRow and CopyData so far in the whole answer.
    pub bytes: u64,
    /// Bytes of DataRow and CopyData so far in the current statement.
    pub step_bytes: u64,
    /// Body of the RowDescription that holds for the rows to come. Empty when there is none, and always when the
    /// steps do not begin with [`Expect::Columns`].
    #[serde(with = "serde_bytes")]
    pub description: Vec<u8>,
}

/// Digest of an [`AnswerState`] as the Response Validator tells it to the Frontend (its postcard encoding,
/// SHA-256, first 16 bytes).
pub type StateDigest = [u8; 16];
