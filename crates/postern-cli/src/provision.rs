//! Streams and consumers of a ring, made with each server's admin user.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::ring_config::{RingConfig, Storage};
use anyhow::Context as _;
use postern_bus::provision::{self as bus, Admin, ConsumerSpec, StreamSpec};
use std::time::Duration;

/// Makes the stream and the consumers of one hop, or brings them into line with `config`. Harmless when they
/// are there already.
///
/// # Errors
/// When the server can't be reached or refuses.
pub async fn provision(ring: &RingDirectory, config: &RingConfig, hop: Hop) -> anyhow::Result<()> {
    let admin = admin(ring, config, hop)?;
    let stream = stream(config, hop);
    bus::provision(&admin, &[stream])
        .await
        .with_context(|| format!("can't make the stream {hop}"))
}

/// How to reach a hop's server as its administrator.
///
/// # Errors
/// When `postern.toml` lacks it, or the password can't be read.
pub fn admin(ring: &RingDirectory, config: &RingConfig, hop: Hop) -> anyhow::Result<Admin> {
    let nats = config
        .nats
        .get(&hop)
        .with_context(|| format!("postern.toml lacks [nats.{hop}]"))?;
    Ok(Admin {
        url: nats.url.clone(),
        user: nats.admin_user.clone(),
        sign_in: nats.admin_sign_in.rooted(ring.path()),
        tls: nats.admin_tls.as_ref().map(|tls| tls.rooted(ring.path())),
    })
}

/// The stream of a hop as it should be.
pub fn stream(config: &RingConfig, hop: Hop) -> StreamSpec {
    StreamSpec {
        name: hop.name().to_owned(),
        subjects: hop.subjects(),
        storage: match config.streams.storage {
            Storage::File => bus::Storage::File,
            Storage::Memory => bus::Storage::Memory,
        },
        max_bytes: config.streams.max_bytes,
        max_age: Duration::from_secs(config.streams.max_age_s),
        consumers: hop
            .consumers(&config.frontends, &config.backends)
            .into_iter()
            .map(|(name, filter)| ConsumerSpec { name, filter })
            .collect(),
    }
}

/// Host and port of a hop's server.
///
/// # Errors
/// When `postern.toml` lacks it.
pub fn address(config: &RingConfig, hop: Hop) -> anyhow::Result<String> {
    let nats = config
        .nats
        .get(&hop)
        .with_context(|| format!("postern.toml lacks [nats.{hop}]"))?;
    Ok(nats.url.trim_start_matches("nats://").to_owned())
}
