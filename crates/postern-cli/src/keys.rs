//! `postern keys`: new JWTs and certificates for the users of the NATS servers before the old ones run out, and an
//! end to a key that somebody else may have.

use crate::certificate::{self, Issued};
use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::nats;
use crate::nats_auth::{first_expiry_s, issue, now_s, operator_accounts, replace_key};
use crate::part::Part;
use crate::ring_config::{JwtConfig, RingConfig};
use crate::secret_file;
use crate::status::Status;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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

/// Gives the NATS servers and all of their users new certificates of the ring's CA; requests for them, if its key is not
/// here.
///
/// # Errors
/// When the ring has no CA, or a file can't be written.
pub fn renew_certificates(ring: &RingDirectory) -> anyhow::Result<Issued> {
    certificate::issue(ring, &nats::all_user_names())
}

/// Does so when less than a third of the time is left to one of them, and has the servers take them. Says whether it
/// did.
///
/// # Errors
/// When they can't be made; what is there then goes on to be used.
pub fn renew_certificates_if_due(ring: &RingDirectory, config: &RingConfig) -> anyhow::Result<bool> {
    let speaks_tls = config.nats.values().any(|nats| nats.admin_tls.is_some());
    if !speaks_tls || !certificate::are_due(ring, &nats::all_user_names(), now_s())? {
        return Ok(false);
    }
    match renew_certificates(ring)? {
        Issued::Certificates => reload(ring).map(|_| true),
        Issued::Requests => bail!("{}", certificate::TO_BE_SIGNED),
    }
}

/// Revoked keys by server: until when their JWTs could still count, in seconds since 1970 of the revocation.
type Revoked = BTreeMap<Hop, BTreeMap<String, u64>>;

/// Gives a user of the NATS servers a new key, and has the servers refuse the one it had. To be followed by
/// [`reload`]: until then the servers go on as before.
///
/// # Errors
/// When the ring's users don't sign in by JWT, there is no such user, or a file can't be written.
pub fn revoke(ring: &RingDirectory, config: &RingConfig, user: &str) -> anyhow::Result<()> {
    let Some(JwtConfig { lifetime_s }) = config.nats_jwt else {
        bail!("only JWTs can be revoked, and the users of this ring sign in by other means");
    };
    let hops: Vec<Hop> = Hop::ALL
        .into_iter()
        .filter(|hop| nats::user_names(*hop).contains(&user))
        .collect();
    if hops.is_empty() {
        bail!(
            "there is no user `{user}` of the NATS servers; there are {}",
            nats::all_user_names().join(", ")
        );
    }
    let file = ring.join(RingDirectory::nats_operator_file("revoked.json"));
    let mut revoked = read_revoked(&file)?;
    for hop in hops {
        let of_hop = revoked.entry(hop).or_default();
        // What has run out since needs no word any more.
        of_hop.retain(|_, since_s| since_s.saturating_add(lifetime_s) >= now_s());
        of_hop.insert(replace_key(ring, hop, user)?, now_s());
        let users = nats::users(hop, &config.frontends, &config.backends)?;
        issue(ring, hop, &users, Duration::from_secs(lifetime_s))?;
        let limits = nats::limits(hop, &config.frontends, &config.backends);
        let accounts = operator_accounts(ring, hop, &limits, of_hop.clone())?;
        secret_file::write(
            &ring.join(RingDirectory::nats_accounts(hop)),
            &accounts.to_conf(&limits),
        )?;
    }
    Ok(secret_file::write(
        &file,
        &serde_json::to_string_pretty(&revoked)?,
    )?)
}

fn read_revoked(file: &Path) -> anyhow::Result<Revoked> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Revoked::new()),
        Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("error in {}", file.display())),
    }
}

/// Has the NATS servers that `postern up` runs read their configuration and certificates again. False when the ring
/// is not up.
///
/// # Errors
/// When the ring's status can't be read.
pub fn reload(ring: &RingDirectory) -> anyhow::Result<bool> {
    let Some(status) = Status::read(ring)? else {
        return Ok(false);
    };
    for hop in Hop::ALL {
        let entry = status.parts.get(&Part::Nats(hop).name());
        let pid = entry
            .and_then(|entry| entry.pid)
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::HUP)
                .with_context(|| format!("can't reach the NATS server of {hop}"))?;
        }
    }
    Ok(true)
}
