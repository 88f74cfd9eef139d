//! What a Query Validator is set up with.

use crate::end_points::EndPoints;
use crate::lockout::{InvalidLockout, LockoutConfig};
use postern_envelope::{Keyring, KeyringError, Opener, Sealer};
use postern_inspect::MaskKey;
use postern_scram::ScramError;
use postern_sql::SqlLimits;
use postern_types::Link;

/// The keys of the links this stage is an end of.
pub struct Keys {
    pub(crate) inlet: Opener,
    pub(crate) backend: Sealer,
    pub(crate) contract: Sealer,
    pub(crate) answer: Sealer,
    pub(crate) own_sealer: Sealer,
    pub(crate) own_opener: Opener,
}

impl Keys {
    /// Takes them from the keyring.
    ///
    /// # Errors
    /// When the keyring is not that of a Query Validator, or lacks a peer.
    pub fn new(keyring: &Keyring) -> Result<Keys, KeyringError> {
        Ok(Keys {
            inlet: keyring.opener(Link::FrontendToQueryValidator)?,
            backend: keyring.sealer(Link::QueryValidatorToBackend)?,
            contract: keyring.sealer(Link::QueryValidatorToResponseValidator)?,
            answer: keyring.sealer(Link::QueryValidatorToFrontend)?,
            own_sealer: keyring.sealer(Link::QueryValidatorToItself)?,
            own_opener: keyring.opener(Link::QueryValidatorToItself)?,
        })
    }
}

/// What a step depends on besides keys, users and policy.
pub struct Settings {
    /// From which the salts of unknown users are made; at least 16 bytes.
    pub mock_secret: Vec<u8>,
    /// Channel binding data of the certificates that clients see; none when -PLUS is not offered.
    pub end_points: EndPoints,
    /// How long a session may last, in milliseconds.
    pub ticket_lifetime_ms: u64,
    /// Gives a fresh SCRAM nonce.
    pub nonce: fn() -> Result<String, ScramError>,
    /// When who fails to sign in is locked out.
    pub lockout: LockoutConfig,
    /// Under which values of parameters are recorded as hashes.
    pub record_key: Option<MaskKey>,
    /// Bounds on SQL texts.
    pub sql: SqlLimits,
    /// Bounds on protocol messages.
    pub wire: postern_wire::Limits,
}

/// Why a Query Validator can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The mock secret is too short to hide anything.
    #[error("the mock secret must have at least 16 bytes; make one with `openssl rand -base64 32`")]
    MockSecret,
    /// See [`InvalidLockout`].
    #[error(transparent)]
    Lockout(#[from] InvalidLockout),
}
