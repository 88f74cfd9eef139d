//! `query-validator.toml`.

use postern_bus::{InletConfig, OutletConfig};
use postern_runtime::{KeysConfig, LedgerConfig};
use serde::Deserialize;
use std::path::PathBuf;

/// The configuration of the Query Validator. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryValidatorConfig {
    /// Directory with `policy.yaml`.
    pub policy_directory: PathBuf,
    /// File with the users and their SCRAM verifiers; read again when it changes.
    pub users_file: PathBuf,
    /// PEM file with the certificate that the Frontend shows to clients, for channel binding; without it
    /// SCRAM-SHA-256-PLUS is refused.
    #[serde(default)]
    pub tls_certificate_file: Option<PathBuf>,
    /// File with a secret of at least 16 bytes, from which the salts of unknown users are made.
    pub mock_secret_file: PathBuf,
    /// How long a session may last, in seconds.
    #[serde(default = "default_ticket_lifetime_s")]
    pub ticket_lifetime_s: u32,
    /// Own key and the peers' public keys.
    pub keys: KeysConfig,
    /// Hop `dirty-query`.
    pub inlet: InletConfig,
    /// Hop `clean-query`.
    pub outlet: OutletConfig,
    /// The stage's own record.
    pub ledger: LedgerConfig,
}

fn default_ticket_lifetime_s() -> u32 {
    12 * 60 * 60
}
