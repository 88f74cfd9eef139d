//! The ring's own CA and the certificates of its hops, by which stages and NATS servers know each other.
//!
//! The CA's key stays in the operator's directory. No stage and no server needs it.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::secret_file;
use anyhow::Context as _;
use postern_bus::{Secret, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
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

/// File with the CA's key, in the operator's directory.
const CA_KEY: &str = "ca.key";

/// Makes the CA, and certificates for the servers of all hops and for these users.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn make(ring: &RingDirectory, users: &[&str]) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    secret_file::write(
        &ring.join(RingDirectory::nats_operator_file(CA_KEY)),
        &key.serialize_pem(),
    )?;
    let certificate = authority_params()
        .self_signed(&key)
        .context("can't make a CA")?
        .pem();
    secret_file::write(&ring.join(RingDirectory::nats_server_ca()), &certificate)?;
    for user in users {
        let file = RingDirectory::nats_folder(user).join("ca.crt");
        secret_file::write(&ring.join(file), &certificate)?;
    }
    issue(ring, users)
}

/// New certificates of the CA that there is, for all servers and for these users.
///
/// # Errors
/// When the CA's key can't be read, or a file not be written.
pub(crate) fn issue(ring: &RingDirectory, users: &[&str]) -> anyhow::Result<()> {
    let file = ring.join(RingDirectory::nats_operator_file(CA_KEY));
    let key = KeyPair::from_pem(Secret::read(&file)?.expose())
        .with_context(|| format!("`{}` does not hold the key of a CA", file.display()))?;
    let authority = Issuer::new(authority_params(), key);
    for hop in Hop::ALL {
        let stem = ring.join(RingDirectory::nats_server_file(hop, ""));
        write(
            &authority,
            &stem,
            &server_name(hop),
            ExtendedKeyUsagePurpose::ServerAuth,
        )?;
    }
    for user in users {
        let stem = ring.join(RingDirectory::nats_folder(user)).join("tls");
        write(
            &authority,
            &stem,
            &format!("{user}.postern"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
    }
    Ok(())
}

/// The name that a hop's server is pinned to.
pub fn server_name(hop: Hop) -> String {
    format!("{hop}.postern")
}

/// What a user needs to speak TLS with a hop's server; paths relative to the ring's directory.
pub(crate) fn of_user(hop: Hop, user: &str) -> TlsConfig {
    let folder = RingDirectory::nats_folder(user);
    TlsConfig {
        server_name: server_name(hop),
        ca_file: folder.join("ca.crt"),
        certificate_file: folder.join("tls.crt"),
        key_file: folder.join("tls.key").into(),
    }
}

/// What the CA says of itself, the same each time.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Postern ring CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, CA_LIFETIME);
    params
}

/// Writes `STEM.crt` and `STEM.key`, for a key of its own.
fn write(
    authority: &Issuer<'_, KeyPair>,
    stem: &Path,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> anyhow::Result<()> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, LIFETIME);
    let key = KeyPair::generate()?;
    let made = params
        .signed_by(&key, authority)
        .with_context(|| format!("can't make a certificate for {name}"))?;
    secret_file::write(&stem.with_extension("key"), &key.serialize_pem())?;
    Ok(secret_file::write(&stem.with_extension("crt"), &made.pem())?)
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now.checked_sub(CLOCK_SKEW).unwrap_or(now)).into();
    params.not_after = (now.checked_add(lifetime).unwrap_or(now)).into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::pem::parse_x509_pem;

    /// What a certificate is for: the names in it, and whether it is good for servers, for clients, and as a CA.
    fn look(file: &Path) -> (Vec<String>, bool, bool, bool) {
        let text = std::fs::read(file).unwrap();
        let pem = parse_x509_pem(&text).unwrap().1;
        let certificate = pem.parse_x509().unwrap();
        let names = certificate
            .subject_alternative_name()
            .unwrap()
            .map(|names| {
                names
                    .value
                    .general_names
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            })
            .unwrap_or_default();
        let usage = certificate.extended_key_usage().unwrap();
        (
            names,
            usage.as_ref().is_some_and(|usage| usage.value.server_auth),
            usage.as_ref().is_some_and(|usage| usage.value.client_auth),
            certificate.is_ca(),
        )
    }

    /// A stage that shows its certificate as a server is not believed, whatever name it would have in it.
    #[test]
    fn each_certificate_is_for_one_name_and_one_end() {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path());
        let users = crate::nats::all_user_names();
        crate::nats_auth::make_folders(&ring, &users).unwrap();
        make(&ring, &users).unwrap();
        for hop in Hop::ALL {
            let file = ring.join(RingDirectory::nats_server_file(hop, "crt"));
            let name = format!("DNSName({hop}.postern)");
            assert_eq!(look(&file), (vec![name], true, false, false));
        }
        for user in users {
            let folder = ring.join(RingDirectory::nats_folder(user));
            let name = format!("DNSName({user}.postern)");
            assert_eq!(look(&folder.join("tls.crt")), (vec![name], false, true, false));
            assert_eq!(look(&folder.join("ca.crt")), (Vec::new(), false, false, true));
        }
    }
}
