//! The ring's own CA and the certificates of its hops, by which stages and NATS servers know each other.
//!
//! The CA's key stays in the operator's directory. No stage and no server needs it.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::secret_file;
use anyhow::Context as _;
use postern_bus::TlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long the CA is good for.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long the certificates of stages and servers are good for.
const LIFETIME: Duration = Duration::from_secs(2 * 365 * 86_400);
/// Certificates begin this long ago, for machines whose clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// Makes the CA, and certificates for the servers of all hops and for these users.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn make(ring: &RingDirectory, users: &[&str]) -> anyhow::Result<()> {
    let authority = Authority::make()?;
    secret_file::write(
        &ring.join(RingDirectory::nats_ca_key()),
        &authority.0.key().serialize_pem(),
    )?;
    for hop in Hop::ALL {
        let stem = ring.join(RingDirectory::nats_server_file(hop, ""));
        authority.issue(&stem, &server_name(hop), ExtendedKeyUsagePurpose::ServerAuth)?;
    }
    secret_file::write(&ring.join(RingDirectory::nats_server_ca()), &authority.0.pem())?;
    for user in users {
        let folder = ring.join(RingDirectory::nats_folder(user));
        authority.issue(
            &folder.join("tls"),
            &format!("{user}.postern"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        secret_file::write(&folder.join("ca.crt"), &authority.0.pem())?;
    }
    Ok(())
}

/// The name that a hop's server is pinned to.
pub(crate) fn server_name(hop: Hop) -> String {
    format!("{hop}.postern")
}

/// What a user needs to speak TLS with a hop's server; paths relative to the ring's directory.
pub(crate) fn of_user(hop: Hop, user: &str) -> TlsConfig {
    let folder = RingDirectory::nats_folder(user);
    TlsConfig {
        server_name: server_name(hop),
        ca_file: folder.join("ca.crt"),
        certificate_file: folder.join("tls.crt"),
        key_file: folder.join("tls.key"),
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn make() -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Postern ring CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, CA_LIFETIME);
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("can't make a CA")?;
        Ok(Authority(made))
    }

    /// Writes `STEM.crt` and `STEM.key`.
    fn issue(&self, stem: &Path, name: &str, usage: ExtendedKeyUsagePurpose) -> anyhow::Result<()> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, LIFETIME);
        let key = KeyPair::generate()?;
        let made = params
            .signed_by(&key, &self.0)
            .with_context(|| format!("can't make a certificate for {name}"))?;
        secret_file::write(&stem.with_extension("key"), &key.serialize_pem())?;
        secret_file::write(&stem.with_extension("crt"), &made.pem())?;
        Ok(())
    }
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now.checked_sub(CLOCK_SKEW).unwrap_or(now)).into();
    params.not_after = (now.checked_add(lifetime).unwrap_or(now)).into();
}
