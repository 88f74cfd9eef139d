//! `postern keys`: new JWTs for the users of the NATS servers, before the old ones run out.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::nats;
use crate::nats_auth::{first_expiry_s, issue, now_s};
use crate::ring_config::{JwtConfig, RingConfig};
use anyhow::Context as _;
use std::time::Duration;

/// What became of the JWTs of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// There are new ones, good for so many seconds.
    ForSeconds(u64),
    /// The ring's users sign in by other means, which don't run out.
    NothingRunsOut,
}

/// Gives every user of the NATS servers a new JWT for the key it has. Each file is replaced at once; who runs
/// takes the new one by itself.
///
/// # Errors
/// When a key is missing or a file can't be written.
pub fn renew(ring: &RingDirectory, config: &RingConfig) -> anyhow::Result<Renewed> {
    let Some(JwtConfig { lifetime_s }) = config.nats_jwt else {
        return Ok(Renewed::NothingRunsOut);
    };
    for hop in Hop::ALL {
        let users = nats::users(hop, &config.frontends, &config.backends)?;
        issue(ring, hop, &users, Duration::from_secs(lifetime_s))
            .with_context(|| format!("can't renew the JWTs for {hop}"))?;
    }
    Ok(Renewed::ForSeconds(lifetime_s))
}

/// Renews when less than a third of the lifetime is left, and says whether it did.
///
/// # Errors
/// See [`renew`].
pub fn renew_if_due(ring: &RingDirectory, config: &RingConfig) -> anyhow::Result<bool> {
    let Some(JwtConfig { lifetime_s }) = config.nats_jwt else {
        return Ok(false);
    };
    let mut left_s = u64::MAX;
    for hop in Hop::ALL {
        // One that can't be read is replaced, too.
        let expiry_s = first_expiry_s(ring, hop).unwrap_or(0);
        left_s = left_s.min(expiry_s.saturating_sub(now_s()));
    }
    if left_s > lifetime_s / 3 {
        return Ok(false);
    }
    renew(ring, config)?;
    Ok(true)
}
