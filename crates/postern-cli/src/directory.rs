//! Where things are in a ring's directory. One place, so that `init`, `up` and the tests can't disagree.

use crate::hop::Hop;
use crate::ring_config::RingConfig;
use postern_types::{Author, Stage};
use std::path::{Path, PathBuf};

/// A ring's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingDirectory(PathBuf);

impl RingDirectory {
    /// The directory at `path`, which need not exist yet. A relative path is taken from the current
    /// directory now, so that it holds for child processes that run elsewhere.
    pub fn new(path: impl AsRef<Path>) -> RingDirectory {
        let path = path.as_ref();
        RingDirectory(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside, from its relative form in a configuration file.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.join(relative)
    }

    /// `postern.toml`.
    pub fn ring_config_file(&self) -> PathBuf {
        self.join("postern.toml")
    }

    /// Reads `postern.toml`.
    ///
    /// # Errors
    /// See [`RingConfig::load`].
    pub fn ring_config(&self) -> anyhow::Result<RingConfig> {
        RingConfig::load(&self.ring_config_file())
    }

    /// `STAGE.toml`.
    pub fn stage_config_file(&self, stage: Stage) -> PathBuf {
        self.join(format!("{stage}.toml"))
    }

    /// `users.toml`.
    pub fn users_file(&self) -> PathBuf {
        self.join("users/users.toml")
    }

    /// `policy/policy.yaml`.
    pub fn policy_file(&self) -> PathBuf {
        self.join("policy/policy.yaml")
    }

    /// `policy/catalog.json`.
    pub fn catalog_file(&self) -> PathBuf {
        self.join("policy/catalog.json")
    }

    /// `policy/origins.json`.
    pub fn origins_file(&self) -> PathBuf {
        self.join("policy/origins.json")
    }

    /// The certificate that clients see.
    pub fn tls_certificate_file(&self) -> PathBuf {
        self.join("tls/server.crt")
    }

    /// `sinks.toml`.
    pub fn sinks_config_file(&self) -> PathBuf {
        self.join("sinks.toml")
    }

    /// There while the sinks run.
    pub fn sinks_ready_file(&self) -> PathBuf {
        self.run().join("sinks.ready")
    }

    /// The ledger of a stage, or the operator's.
    pub fn ledger(&self, author: impl Into<Author>) -> PathBuf {
        self.join("audit").join(author.into().name())
    }

    /// The keys of the links, relative to the directory.
    pub fn link_folder() -> PathBuf {
        PathBuf::from("keys/link")
    }

    /// A stage's key file, relative to the directory; its secrets are beside it.
    pub fn link_keys(stage: Stage) -> PathBuf {
        RingDirectory::link_folder().join(stage.name()).join("keys.toml")
    }

    /// Credentials of one user of the NATS servers and of nobody else, relative to the directory.
    pub fn nats_folder(user: &str) -> PathBuf {
        PathBuf::from(format!("keys/nats/{user}"))
    }

    /// A file of a user's credentials for one server, relative to the directory.
    pub fn nats_file(hop: Hop, user: &str, extension: &str) -> PathBuf {
        RingDirectory::nats_folder(user).join(format!("{hop}.{extension}"))
    }

    /// What signs for others, relative to the directory. No stage reads it.
    pub fn nats_operator_folder() -> PathBuf {
        PathBuf::from("keys/nats/operator")
    }

    /// A file of that, relative to the directory.
    pub fn nats_operator_file(name: &str) -> PathBuf {
        RingDirectory::nats_operator_folder().join(name)
    }

    /// Seed of the key of a server's account, which signs its users' JWTs; relative to the directory.
    pub fn nats_account_seed(hop: Hop) -> PathBuf {
        RingDirectory::nats_operator_file(&format!("{hop}.account.seed"))
    }

    /// A NATS server's own certificate or key, relative to the directory.
    pub fn nats_server_file(hop: Hop, extension: &str) -> PathBuf {
        PathBuf::from(format!("nats/tls/{hop}")).with_extension(extension)
    }

    /// The CA that the NATS servers hold their clients to, relative to the directory.
    pub fn nats_server_ca() -> PathBuf {
        PathBuf::from("nats/tls/ca.crt")
    }

    /// Who gets in at a NATS server, relative to the directory; part of its configuration.
    pub fn nats_accounts(hop: Hop) -> PathBuf {
        PathBuf::from(format!("nats/{hop}.accounts.conf"))
    }

    /// Configuration of a NATS server, relative to the directory.
    pub fn nats_config(hop: Hop) -> PathBuf {
        PathBuf::from(format!("nats/{hop}.conf"))
    }

    /// Files of the running ring: what is started, what is ready.
    pub fn run(&self) -> PathBuf {
        self.join("run")
    }

    /// Appears when a stage is ready.
    pub fn stage_ready_file(&self, stage: Stage) -> PathBuf {
        self.run().join(format!("{stage}.ready"))
    }

    /// What runs, written by `postern up`.
    pub fn status_file(&self) -> PathBuf {
        self.run().join("status.json")
    }
}
