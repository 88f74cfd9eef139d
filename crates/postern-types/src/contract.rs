//! The response contract: what the Query Validator tells the Response Validator to expect of one exchange,
//! and the state of an answer between two of its parts.

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
}

/// How much of an ErrorResponse or NoticeResponse reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Rows so far in the current Execute, to check its row limit.
    pub step_rows: u64,
    /// Bytes of DataRow and CopyData so far in the whole answer.
    pub bytes: u64,
}

/// Digest of an [`AnswerState`] as the Response Validator tells it to the Frontend (its postcard encoding,
/// SHA-256, first 16 bytes).
pub type StateDigest = [u8; 16];
