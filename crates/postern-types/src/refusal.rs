//! What a client may be told when something is refused.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A five-character SQLSTATE (PostgreSQL manual, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// Something went otherwise than asked, and nothing failed.
    pub const WARNING: SqlState = SqlState(*b"01000");
    /// Syntax error.
    pub const SYNTAX_ERROR: SqlState = SqlState(*b"42601");
    /// Policy forbids it.
    pub const INSUFFICIENT_PRIVILEGE: SqlState = SqlState(*b"42501");
    /// Valid PostgreSQL that Postern does not offer.
    pub const FEATURE_NOT_SUPPORTED: SqlState = SqlState(*b"0A000");
    /// The client broke the protocol.
    pub const PROTOCOL_VIOLATION: SqlState = SqlState(*b"08P01");
    /// The connection was lost before anything was sent to the database.
    pub const CONNECTION_FAILURE: SqlState = SqlState(*b"08006");
    /// The database or a stage can't be reached.
    pub const CANNOT_CONNECT: SqlState = SqlState(*b"08001");
    /// The statement may or may not have run (P6).
    pub const TRANSACTION_RESOLUTION_UNKNOWN: SqlState = SqlState(*b"08007");
    /// Sign-in failed.
    pub const INVALID_PASSWORD: SqlState = SqlState(*b"28P01");
    /// Sign-in is impossible in this way.
    pub const INVALID_AUTHORIZATION: SqlState = SqlState(*b"28000");
    /// The prepared statement does not exist.
    pub const INVALID_SQL_STATEMENT_NAME: SqlState = SqlState(*b"26000");
    /// The prepared statement exists already.
    pub const DUPLICATE_PREPARED_STATEMENT: SqlState = SqlState(*b"42P05");
    /// The portal does not exist.
    pub const INVALID_CURSOR_NAME: SqlState = SqlState(*b"34000");
    /// The transaction is aborted until it ends.
    pub const IN_FAILED_SQL_TRANSACTION: SqlState = SqlState(*b"25P02");
    /// Too many sessions.
    pub const TOO_MANY_CONNECTIONS: SqlState = SqlState(*b"53300");
    /// A queue or a buffer is full.
    pub const INSUFFICIENT_RESOURCES: SqlState = SqlState(*b"53000");
    /// Something is done more often than is allowed; it may be tried again.
    pub const CONFIGURATION_LIMIT_EXCEEDED: SqlState = SqlState(*b"53400");
    /// A statement, a message or an answer is larger than the limit.
    pub const PROGRAM_LIMIT_EXCEEDED: SqlState = SqlState(*b"54000");
    /// The statement was cancelled or ran out of time.
    pub const QUERY_CANCELED: SqlState = SqlState(*b"57014");
    /// The server is shutting down.
    pub const ADMIN_SHUTDOWN: SqlState = SqlState(*b"57P01");
    /// The ring is not ready.
    pub const CANNOT_CONNECT_NOW: SqlState = SqlState(*b"57P03");
    /// A start-up parameter or an option has a value that is not allowed.
    pub const INVALID_PARAMETER_VALUE: SqlState = SqlState(*b"22023");
    /// Bytes that are not valid in the encoding.
    pub const CHARACTER_NOT_IN_REPERTOIRE: SqlState = SqlState(*b"22021");
    /// The session has been idle in a transaction for too long.
    pub const IDLE_IN_TRANSACTION_TIMEOUT: SqlState = SqlState(*b"25P03");
    /// An invariant of Postern is broken; the session ends.
    pub const INTERNAL_ERROR: SqlState = SqlState(*b"XX000");

    /// A code from its five characters, each `0-9` or `A-Z`.
    pub fn parse(code: &str) -> Option<SqlState> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        let legal = |b: &u8| b.is_ascii_digit() || b.is_ascii_uppercase();
        bytes.iter().all(legal).then_some(SqlState(bytes))
    }

    /// The five characters.
    pub fn as_str(&self) -> &str {
        // The only constructors take ASCII; a code from the wire that is not falls back to internal error.
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the client is told. It never holds rows, parameters, secrets, file names or the rule that refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The SQLSTATE.
    pub code: SqlState,
    /// One sentence a person can act on.
    pub message: String,
    /// Character position in the statement, from 1, for syntax errors.
    pub position: Option<u32>,
    /// The session ends with it (severity FATAL rather than ERROR).
    pub fatal: bool,
}

impl Refusal {
    /// A refusal of one statement; the session goes on.
    pub fn error(code: SqlState, message: impl Into<String>) -> Self {
        Refusal {
            code,
            message: message.into(),
            position: None,
            fatal: false,
        }
    }

    /// A refusal that ends the session.
    pub fn fatal(code: SqlState, message: impl Into<String>) -> Self {
        Refusal {
            code,
            message: message.into(),
            position: None,
            fatal: true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
