//! `query-validator.toml`.

use crate::lockout::LockoutConfig;
use postern_bus::{InletConfig, OutletConfig, SecretSource};
use postern_runtime::sandbox::{Needs, SandboxError, SandboxMode, Sandboxed};
use postern_runtime::{KeysConfig, LedgerConfig};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The configuration of the Query Validator. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryValidatorConfig {
    /// Directory with `policy.yaml`.
    pub policy_directory: PathBuf,
    /// File with the users and their SCRAM verifiers; read again when it changes.
    pub users_file: PathBuf,
    /// PEM file with the certificate that the Frontend shows to clients, for channel binding; without it
    /// SCRAM-SHA-256-PLUS is refused. Read again when it changes.
    #[serde(default)]
    pub tls_certificate_file: Option<PathBuf>,
    /// How long sign-ins may still be bound to the certificate before, in seconds: until all Frontends show the new
    /// one.
    #[serde(default = "default_tls_certificate_grace_s")]
    pub tls_certificate_grace_s: u32,
    /// Where to find a secret of at least 16 bytes, from which the salts of unknown users are made.
    pub mock_secret_file: SecretSource,
    /// Where to find a secret of at least 16 bytes, the key under which values of parameters are recorded as hashes. It is
    /// used where the policy asks for it, and is that of the Response Validator.
    #[serde(default)]
    pub record_key_file: Option<SecretSource>,
    /// How long a session may last, in seconds.
    #[serde(default = "default_ticket_lifetime_s")]
    pub ticket_lifetime_s: u32,
    /// When who fails to sign in is locked out.
    #[serde(default)]
    pub sign_in: LockoutConfig,
    /// Own key and the peers' public keys.
    pub keys: KeysConfig,
    /// Hop `dirty-query`.
    pub inlet: InletConfig,
    /// Hop `clean-query`.
    pub outlet: OutletConfig,
    /// The stage's own record.
    pub ledger: LedgerConfig,
    /// How much the stage insists on its sandbox.
    #[serde(default)]
    pub sandbox: SandboxMode,
}

impl Sandboxed for QueryValidatorConfig {
    fn sandbox(&self) -> SandboxMode {
        self.sandbox
    }

    fn needs(&self) -> Result<Needs, SandboxError> {
        // Users come and go by a new file in the old one's place, so its directory must be readable.
        let users = match self.users_file.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => &self.users_file,
        };
        let needs = Needs::of_stage(&self.keys, &self.inlet, &self.outlet, &self.ledger)?
            .reading(&self.policy_directory)
            .reading(users)
            .knowing(&self.mock_secret_file)?;
        // The file of a key that the policy does not ask for need not be there.
        let is_there = |key: &&SecretSource| key.path().is_none_or(Path::exists);
        let key = self.record_key_file.as_ref().filter(is_there);
        let needs = key.into_iter().try_fold(needs, |needs, key| needs.knowing(key))?;
        let certificates = self.tls_certificate_file.iter();
        Ok(certificates.fold(needs, |needs, file| needs.reading_again(file, &self.keys)))
    }
}

fn default_tls_certificate_grace_s() -> u32 {
    300
}

fn default_ticket_lifetime_s() -> u32 {
    12 * 60 * 60
}
