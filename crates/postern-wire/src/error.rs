//! What can be wrong with bytes from a client or from PostgreSQL.

use postern_types::{Refusal, SqlState};

/// Bytes that are not the protocol, or more of it than is allowed. The text is fit for a client: it names the
/// kind of message and the fault, never the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length field below 4, or above 2^31 - 1 (negative as PostgreSQL reads it).
    #[error("the length {length} of a message is not possible")]
    Length {
        /// The length field as it came.
        length: u32,
    },
    /// A length field above the limit for this kind of message.
    #[error("a {message} message of {length} bytes is longer than the {limit} bytes that are allowed")]
    TooLong {
        /// Kind of message.
        message: &'static str,
        /// The length field as it came.
        length: u32,
        /// The limit it broke.
        limit: u32,
    },
    /// A tag that no message has, or that has no place at this point.
    #[error("message type 0x{0:02x} is not part of the protocol here")]
    UnknownTag(u8),
    /// A message that is not laid out as its type demands.
    #[error("the {message} message is malformed: {reason}")]
    Malformed {
        /// Kind of message.
        message: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Text that is not UTF-8. Framing is intact, so the session can go on.
    #[error("the {message} message holds bytes that are not valid UTF-8")]
    Encoding {
        /// Kind of message.
        message: &'static str,
    },
    /// A payload that ends inside a message.
    #[error("the last message is not complete")]
    Incomplete,
    /// A major protocol version other than 3.
    #[error("unsupported frontend protocol {major}.{minor}: Postern speaks 3.0 and 3.2")]
    UnsupportedProtocol {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// A start-up packet that is not laid out as the protocol says.
    #[error("the start-up packet is malformed: {0}")]
    BadStartup(&'static str),
    /// A start-up packet with text that is not UTF-8.
    #[error("the start-up packet holds bytes that are not valid UTF-8")]
    StartupEncoding,
    /// A start-up packet without a user name.
    #[error("no user name was given in the start-up packet")]
    NoUser,
    /// A start-up parameter, or the `options` parameter, that can't be used.
    #[error("start-up parameter refused: {0}")]
    BadParameter(&'static str),
}

impl WireError {
    /// The SQLSTATE that a client is told.
    pub fn sqlstate(&self) -> SqlState {
        match self {
            WireError::TooLong { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            WireError::Encoding { .. } | WireError::StartupEncoding => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            WireError::UnsupportedProtocol { .. } => SqlState::FEATURE_NOT_SUPPORTED,
            WireError::NoUser => SqlState::INVALID_AUTHORIZATION,
            WireError::BadParameter(_) => SqlState::INVALID_PARAMETER_VALUE,
            WireError::Length { .. }
            | WireError::UnknownTag(_)
            | WireError::Malformed { .. }
            | WireError::Incomplete
            | WireError::BadStartup(_) => SqlState::PROTOCOL_VIOLATION,
        }
    }

    /// Whether the connection must end. Only bad text inside a well-framed message is survivable.
    pub fn fatal(&self) -> bool {
        !matches!(self, WireError::Encoding { .. })
    }

    /// What the client is told.
    pub fn refusal(&self) -> Refusal {
        Refusal {
            code: self.sqlstate(),
            message: self.to_string(),
            position: None,
            fatal: self.fatal(),
        }
    }
}
