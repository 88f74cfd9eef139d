//! Why a SCRAM exchange failed.

use postern_types::{Refusal, SqlState};

/// A SCRAM exchange that must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// A message that is not laid out as RFC 5802 says.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// A message longer than [`crate::MAX_MESSAGE_BYTES`].
    #[error("a SCRAM message is too long")]
    TooLong,
    /// Something RFC 5802 knows and PostgreSQL does not offer.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The two ends do not agree on channel binding, or are not on the same channel.
    #[error("SCRAM channel binding failed: {0}")]
    ChannelBinding(&'static str),
    /// The proof is wrong, or there is no such user.
    #[error("password authentication failed")]
    WrongPassword,
    /// Server to client: it does not know the password either.
    #[error("the server could not prove that it knows the password")]
    WrongServer,
    /// The server says that signing in failed.
    #[error("the server refused to sign in")]
    RefusedByServer,
    /// An iteration count that is 0 or above [`crate::MAX_ITERATIONS`].
    #[error("the iteration count is out of range")]
    Iterations,
    /// The operating system has no randomness to give.
    #[error("no randomness is available")]
    Randomness,
}

impl ScramError {
    /// The SQLSTATE a client is told, as PostgreSQL chooses it.
    pub fn sqlstate(&self) -> SqlState {
        match self {
            ScramError::Malformed(_) | ScramError::TooLong => SqlState::PROTOCOL_VIOLATION,
            ScramError::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
            ScramError::ChannelBinding(_) => SqlState::INVALID_AUTHORIZATION,
            ScramError::WrongPassword => SqlState::INVALID_PASSWORD,
            ScramError::WrongServer | ScramError::RefusedByServer | ScramError::Iterations => {
                SqlState::INVALID_AUTHORIZATION
            }
            ScramError::Randomness => SqlState::INTERNAL_ERROR,
        }
    }

    /// What a client that tried to sign in as `user` is told. The same for a wrong password and an unknown user.
    pub fn refusal(&self, user: &str) -> Refusal {
        let message = match self {
            ScramError::WrongPassword => format!("password authentication failed for user \"{user}\""),
            other => other.to_string(),
        };
        Refusal::fatal(self.sqlstate(), message)
    }
}
