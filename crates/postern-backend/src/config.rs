//! `backend.toml`.

use postern_bus::{InletConfig, OutletConfig, SecretSource};
use postern_runtime::sandbox::{Needs, SandboxError, SandboxMode, Sandboxed};
use postern_runtime::{KeysConfig, LedgerConfig};
use postern_types::Slot;
use serde::Deserialize;
use std::path::PathBuf;

/// Configuration of one Backend.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// Name of this Backend in subjects, such as `backend-0`.
    pub slot: Slot,
    /// Frontends to announce itself to.
    pub frontends: Vec<Slot>,
    /// The database.
    pub database: DatabaseConfig,
    /// Keys of this stage and its peers.
    pub keys: KeysConfig,
    /// Where requests come from (NATS-2).
    pub inlet: InletConfig,
    /// Where answers go (NATS-3).
    pub outlet: OutletConfig,
    /// Where records go.
    pub ledger: LedgerConfig,
    /// Limits.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// How much the stage insists on its sandbox.
    #[serde(default)]
    pub sandbox: SandboxMode,
}

impl Sandboxed for BackendConfig {
    fn sandbox(&self) -> SandboxMode {
        self.sandbox
    }

    fn needs(&self) -> Result<Needs, SandboxError> {
        let database = &self.database;
        let needs = Needs::of_stage(&self.keys, &self.inlet, &self.outlet, &self.ledger)?
            .connecting_to(&database.host, database.port);
        let certificates = database.ca_file.iter().chain(&database.certificate_file);
        let needs = certificates.fold(needs, |needs, file| needs.reading_again(file, &self.keys));
        let mut secrets = database.password_file.iter().chain(&database.key_file);
        secrets.try_fold(needs, |needs, secret| needs.knowing_again(secret, &self.keys))
    }
}

/// How to reach PostgreSQL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Database name; clients must ask for this one.
    pub name: String,
    /// Login role. It should be NOINHERIT and own nothing: rights come from the role each session takes on.
    pub user: String,
    /// Where to find its password; left out where PostgreSQL asks for none. A file is read for each connection.
    pub password_file: Option<SecretSource>,
    /// Transport security.
    #[serde(default)]
    pub tls: TlsMode,
    /// PEM file with the certificate authorities for `verify-full`, which needs it; read for each connection.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate that PostgreSQL is shown, where it asks for one (`clientcert` in pg_hba.conf);
    /// read for each connection.
    pub certificate_file: Option<PathBuf>,
    /// Where to find its private key, PEM; read for each connection.
    pub key_file: Option<SecretSource>,
    /// Whether SCRAM must be bound to the TLS connection, so that nobody can stand in between, whatever `tls` checks.
    #[serde(default)]
    pub channel_binding: ChannelBinding,
    /// When a connection goes back to the pool.
    #[serde(default)]
    pub pool_mode: PoolMode,
    /// Most connections to PostgreSQL, 1 to 10,000.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// How long a session waits for a free connection.
    #[serde(default = "default_acquire_timeout_ms")]
    pub acquire_timeout_ms: u64,
    /// PostgreSQL's `statement_timeout`; 0 is none.
    #[serde(default)]
    pub statement_timeout_ms: u64,
    /// PostgreSQL's `idle_in_transaction_session_timeout`; 0 is none.
    #[serde(default = "default_idle_in_transaction_timeout_ms")]
    pub idle_in_transaction_timeout_ms: u64,
    /// How long connecting and signing in may take.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
}

/// Transport security towards PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    #[default]
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; certificate and host name are checked.
    VerifyFull,
}

/// Binding of SCRAM to the TLS connection (SCRAM-SHA-256-PLUS, RFC 5929 tls-server-end-point).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    /// If PostgreSQL offers it.
    #[default]
    Prefer,
    /// Always: without it there is no connection.
    Require,
}

/// When a session lets go of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolMode {
    /// At the end of each transaction, unless the session has made session state.
    #[default]
    Transaction,
    /// When the session ends.
    Session,
}

/// Limits of the Backend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Most sessions at once.
    pub sessions: usize,
    /// Most bytes of requests one session may have waiting.
    pub waiting_bytes: usize,
    /// Largest single message taken from PostgreSQL, in bytes.
    pub message_bytes: u32,
    /// Payload bytes gathered before a part of an answer is sent.
    pub part_bytes: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            sessions: 10_000,
            waiting_bytes: 16 * 1024 * 1024,
            message_bytes: 8 * 1024 * 1024,
            part_bytes: 128 * 1024,
        }
    }
}

fn default_port() -> u16 {
    5432
}

fn default_pool_size() -> usize {
    40
}

fn default_acquire_timeout_ms() -> u64 {
    10_000
}

fn default_idle_in_transaction_timeout_ms() -> u64 {
    300_000
}

fn default_connect_timeout_ms() -> u64 {
    5_000
}
