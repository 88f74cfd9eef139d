//! `postern.toml`: what a ring is made of, for those who run it. The stages never read it.

use crate::firewall::{FirewallConfig, Hosts};
use crate::hop::Hop;
use anyhow::{Context as _, bail};
use postern_bus::{SignIn, TlsConfig};
use postern_types::Slot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Format of the files of a ring's directory. It goes up with every change after which a directory made before can't
/// be run; `tests/format.rs` notices such a change.
pub const FORMAT: u32 = 1;

/// The contents of `postern.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingConfig {
    /// [`FORMAT`] of the Postern that made the directory.
    pub format: u32,
    /// Shape of the ring.
    pub topology: Topology,
    /// The nats-server to run; default: `$POSTERN_NATS_SERVER`, then `nats-server` on the PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats_server: Option<PathBuf>,
    /// Where the stage binaries are; default: beside the running `postern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_directory: Option<PathBuf>,
    /// Slots of the Frontends.
    pub frontends: Vec<Slot>,
    /// Slots of the Backends.
    pub backends: Vec<Slot>,
    /// Addresses of the parts, for `postern firewall`; those that are not listed are where the other files look for
    /// them.
    #[serde(default, skip_serializing_if = "Hosts::is_empty")]
    pub hosts: Hosts,
    /// Whom else `postern firewall` lets through.
    #[serde(default, skip_serializing_if = "FirewallConfig::is_empty")]
    pub firewall: FirewallConfig,
    /// Limits of the four streams.
    pub streams: StreamsConfig,
    /// How long the JWTs of the NATS users are good for, where they sign in by JWT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_jwt: Option<JwtConfig>,
    /// What `postern up` does for the ledgers.
    #[serde(default, skip_serializing_if = "AuditConfig::is_usual")]
    pub audit: AuditConfig,
    /// The NATS servers.
    pub nats: BTreeMap<Hop, NatsConfig>,
}

/// What `postern up` does for the ledgers besides signing them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Files that are no longer written to are packed.
    pub pack: bool,
    /// Files whose records are all older are removed (days, at least 1); without it they stay for good. A record goes only
    /// when it is signed and every sink has got it confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<NonZeroU32>,
    /// Directories elsewhere, on mounts of other machines, to which new checkpoints are added.
    pub publish_to: Vec<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        AuditConfig {
            pack: true,
            keep_days: None,
            publish_to: Vec::new(),
        }
    }
}

impl AuditConfig {
    fn is_usual(&self) -> bool {
        *self == AuditConfig::default()
    }
}

/// How processes and NATS servers are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Four stage processes and four NATS servers.
    Full,
}

/// Where JetStream keeps messages in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// On disk: they survive a restart of the NATS server.
    File,
    /// In memory: faster; a restart of a NATS server loses what was in it, and the sessions concerned end.
    Memory,
}

/// Limits of each stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamsConfig {
    /// Where messages are kept.
    pub storage: Storage,
    /// A full stream takes no more messages (bytes).
    pub max_bytes: u64,
    /// Older messages are dropped (seconds).
    pub max_age_s: u64,
}

/// JWTs of the NATS users.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// How long a new one is good for (seconds). `postern up` makes new ones when a third of it is left.
    pub lifetime_s: u64,
}

/// One NATS server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://ADDRESS:PORT`.
    pub url: String,
    /// Its configuration, relative to the ring's directory.
    pub config_file: PathBuf,
    /// The user that may make streams and consumers.
    pub admin_user: String,
    /// How that user signs in; paths relative to the ring's directory.
    pub admin_sign_in: SignIn,
    /// TLS, and none without it; paths relative to the ring's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_tls: Option<TlsConfig>,
}

/// What is asked of a file of any format.
#[derive(Deserialize)]
struct MadeAs {
    format: Option<u32>,
}

/// A ring's directory is of another format than this Postern reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is of {}, and this Postern reads format {FORMAT}. Run it with the Postern that made it, or make a new ring \
     with `postern init`, and take policy/ and users/ along: `postern policy check` and `postern doctor` say what in \
     them is not understood",
    .file.display(),
    told(*.format)
)]
pub struct OtherFormat {
    /// `postern.toml`.
    file: PathBuf,
    /// Its format; none in those from before formats were counted.
    format: Option<u32>,
}

fn told(format: Option<u32>) -> String {
    match format {
        Some(format) => format!("format {format}"),
        None => "a format from before formats were counted".to_owned(),
    }
}

impl RingConfig {
    /// Reads `postern.toml`.
    ///
    /// # Errors
    /// When it can't be read or has an error; the message names file and line.
    pub fn load(path: &Path) -> anyhow::Result<RingConfig> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "can't read {}; `postern init DIR --database URL` makes a ring",
                path.display()
            )
        })?;
        // Before the rest: a file of another format would be called faulty for the first key that is not known.
        let made_as: MadeAs =
            toml::from_str(&text).with_context(|| format!("error in {}", path.display()))?;
        if made_as.format != Some(FORMAT) {
            bail!(OtherFormat {
                file: path.to_owned(),
                format: made_as.format,
            });
        }
        toml::from_str(&text).with_context(|| format!("error in {}", path.display()))
    }
}
