//! The ring's own CA and the certificates of its hops, by which stages and NATS servers know each other.
//!
//! The CA's key stays in the operator's directory. No stage and no server needs it.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::secret_file;
use anyhow::{Context as _, ensure};
use postern_bus::{Secret, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use x509_parser::pem::parse_x509_pem;

/// How long the CA is good for.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long the certificates of stages and servers are good for.
const LIFETIME: Duration = Duration::from_secs(2 * 365 * 86_400);
/// Certificates begin this long ago, for machines whose clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// File with the CA's key, in the operator's directory.
const CA_KEY: &str = "ca.key";

/// An authority of the operator's own.
#[derive(Clone, Debug)]
pub struct OwnAuthority {
    /// PEM file with its certificate.
    pub certificate: PathBuf,
    /// PEM file with its key, which is copied to the operator's directory. Without it there are only requests.
    pub key: Option<PathBuf>,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// Certificates.
    Certificates,
    /// Requests for certificates, because the CA's key is not here.
    Requests,
}

/// What is to be done with requests.
pub const TO_BE_SIGNED: &str = "\
The key of the CA is not here. Have it sign each .csr in nats/tls and keys/nats/*, put the certificate beside it as .crt,
and have NATS servers that run read them (SIGHUP). The names and the usage that are asked for must stay.";

/// Makes the CA, or takes the operator's; and certificates for the servers of all hops and for these users.
///
/// # Errors
/// When a file can't be read or written, or the operator's key is not that of his CA.
pub(crate) fn make(
    ring: &RingDirectory,
    users: &[&str],
    own: Option<&OwnAuthority>,
) -> anyhow::Result<Issued> {
    let (certificate, key) = match own {
        Some(own) => taken(own)?,
        None => {
            let key = KeyPair::generate()?;
            let made = authority_params().self_signed(&key).context("can't make a CA")?;
            (made.pem(), Some(key))
        }
    };
    if let Some(key) = key {
        secret_file::write(&key_file(ring), &key.serialize_pem())?;
    }
    secret_file::write(&ring.join(RingDirectory::nats_server_ca()), &certificate)?;
    for user in users {
        let file = RingDirectory::nats_folder(user).join("ca.crt");
        secret_file::write(&ring.join(file), &certificate)?;
    }
    issue(ring, users)
}

/// The operator's certificate, and its key if he gave it.
fn taken(own: &OwnAuthority) -> anyhow::Result<(String, Option<KeyPair>)> {
    let shown = own.certificate.display();
    let text = fs::read_to_string(&own.certificate).with_context(|| format!("can't read {shown}"))?;
    let (_, pem) =
        parse_x509_pem(text.as_bytes()).with_context(|| format!("{shown} holds no certificate"))?;
    let certificate = pem
        .parse_x509()
        .with_context(|| format!("{shown} holds no certificate"))?;
    ensure!(certificate.is_ca(), "{shown} is not the certificate of a CA");
    let Some(file) = &own.key else {
        return Ok((text, None));
    };
    let key = read_key(file)?;
    ensure!(
        certificate.public_key().raw == key.subject_public_key_info(),
        "{} is not the key of {shown}",
        file.display()
    );
    Ok((text, Some(key)))
}

fn read_key(file: &Path) -> anyhow::Result<KeyPair> {
    KeyPair::from_pem(Secret::read(file)?.expose())
        .with_context(|| format!("`{}` does not hold a private key", file.display()))
}

fn key_file(ring: &RingDirectory) -> PathBuf {
    ring.join(RingDirectory::nats_operator_file(CA_KEY))
}

/// New certificates of the CA that there is, for all servers and for these users; or requests for them.
///
/// # Errors
/// When the CA can't be read, or a file not be written.
pub(crate) fn issue(ring: &RingDirectory, users: &[&str]) -> anyhow::Result<Issued> {
    let file = key_file(ring);
    if !file.exists() {
        for (stem, params) in all(ring, users)? {
            request(&stem, &params)?;
        }
        return Ok(Issued::Requests);
    }
    let ca =
        fs::read_to_string(ring.join(RingDirectory::nats_server_ca())).context("can't read the ring's CA")?;
    let authority = Issuer::from_ca_cert_pem(&ca, read_key(&file)?).context("can't use the ring's CA")?;
    for (stem, params) in all(ring, users)? {
        write(&authority, &stem, params)?;
    }
    Ok(Issued::Certificates)
}

/// Whether less than a third of its time is left to one of the certificates, or it can't be read.
///
/// # Errors
/// When a name can't be in a certificate.
pub(crate) fn are_due(ring: &RingDirectory, users: &[&str], now_s: u64) -> anyhow::Result<bool> {
    let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
    let third_s = i64::try_from(LIFETIME.as_secs() / 3).unwrap_or(i64::MAX);
    let is_due = |stem: &Path| {
        let text = fs::read(stem.with_extension("crt")).unwrap_or_default();
        let until_s = parse_x509_pem(&text)
            .ok()
            .and_then(|(_, pem)| Some(pem.parse_x509().ok()?.validity().not_after.timestamp()));
        until_s.is_none_or(|until_s| until_s.saturating_sub(now_s) < third_s)
    };
    Ok(all(ring, users)?.iter().any(|(stem, _)| is_due(stem)))
}

/// All certificates of a ring: the files without their extension, and what is in them.
fn all(ring: &RingDirectory, users: &[&str]) -> anyhow::Result<Vec<(PathBuf, CertificateParams)>> {
    let servers = Hop::ALL.into_iter().map(|hop| {
        let stem = ring.join(RingDirectory::nats_server_file(hop, ""));
        (stem, server_name(hop), ExtendedKeyUsagePurpose::ServerAuth)
    });
    let users = users.iter().map(|user| {
        let stem = ring.join(RingDirectory::nats_folder(user)).join("tls");
        (
            stem,
            format!("{user}.postern"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    });
    servers
        .chain(users)
        .map(|(stem, name, usage)| Ok((stem, params(&name, usage)?)))
        .collect()
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

/// What a certificate says.
fn params(name: &str, usage: ExtendedKeyUsagePurpose) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

/// Writes `STEM.crt` and `STEM.key`, for a key of its own.
fn write(authority: &Issuer<'_, KeyPair>, stem: &Path, mut params: CertificateParams) -> anyhow::Result<()> {
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, LIFETIME);
    let key = KeyPair::generate()?;
    let made = params
        .signed_by(&key, authority)
        .with_context(|| format!("can't make a certificate for {}", stem.display()))?;
    secret_file::write(&stem.with_extension("key"), &key.serialize_pem())?;
    Ok(secret_file::write(&stem.with_extension("crt"), &made.pem())?)
}

/// Writes `STEM.csr` for the key in `STEM.key`, which is made if there is none.
fn request(stem: &Path, params: &CertificateParams) -> anyhow::Result<()> {
    let file = stem.with_extension("key");
    if !file.exists() {
        secret_file::write(&file, &KeyPair::generate()?.serialize_pem())?;
    }
    let request = params
        .serialize_request(&read_key(&file)?)
        .with_context(|| format!("can't make a request for {}", stem.display()))?;
    Ok(secret_file::write(&stem.with_extension("csr"), &request.pem()?)?)
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now.checked_sub(CLOCK_SKEW).unwrap_or(now)).into();
    params.not_after = (now.checked_add(lifetime).unwrap_or(now)).into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateSigningRequestParams, CertifiedIssuer};

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

    fn ring() -> (tempfile::TempDir, RingDirectory, Vec<&'static str>) {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path().join("ring"));
        let users = crate::nats::all_user_names();
        crate::nats_auth::make_folders(&ring, &users).unwrap();
        (directory, ring, users)
    }

    /// A stage that shows its certificate as a server is not believed, whatever name it would have in it.
    fn assert_each_is_for_one_name_and_one_end(ring: &RingDirectory, users: &[&str]) {
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

    #[test]
    fn each_certificate_is_for_one_name_and_one_end() {
        let (_directory, ring, users) = ring();
        assert_eq!(make(&ring, &users, None).unwrap(), Issued::Certificates);
        assert_each_is_for_one_name_and_one_end(&ring, &users);
        let now_s = crate::nats_auth::now_s();
        assert!(!are_due(&ring, &users, now_s).unwrap());
        assert!(!are_due(&ring, &users, now_s + LIFETIME.as_secs() / 3 * 2 - 86_400).unwrap());
        assert!(are_due(&ring, &users, now_s + LIFETIME.as_secs() / 3 * 2 + 86_400).unwrap());
        fs::remove_file(ring.join(RingDirectory::nats_folder("backend").join("tls.crt"))).unwrap();
        assert!(are_due(&ring, &users, now_s).unwrap());
    }

    /// The operator's own: the certificate's file, the key's, and the CA.
    fn own(directory: &Path) -> (PathBuf, PathBuf, CertifiedIssuer<'static, KeyPair>) {
        let made = CertifiedIssuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap();
        let (certificate, key) = (directory.join("ca.crt"), directory.join("ca.key"));
        fs::write(&certificate, made.pem()).unwrap();
        secret_file::write(&key, &made.key().serialize_pem()).unwrap();
        (certificate, key, made)
    }

    #[test]
    fn an_authority_of_the_operators_signs_here_or_elsewhere() {
        let (directory, ring, users) = ring();
        let (certificate, key, made) = own(directory.path());
        let with_key = OwnAuthority {
            certificate: certificate.clone(),
            key: Some(key),
        };
        assert_eq!(
            make(&ring, &users, Some(&with_key)).unwrap(),
            Issued::Certificates
        );
        assert_each_is_for_one_name_and_one_end(&ring, &users);

        let (_directory, ring, users) = self::ring();
        let without = OwnAuthority {
            certificate,
            key: None,
        };
        assert_eq!(make(&ring, &users, Some(&without)).unwrap(), Issued::Requests);
        assert!(!key_file(&ring).exists());
        let keys = |stem: &Path| fs::read_to_string(stem.with_extension("key")).unwrap();
        for (stem, _) in all(&ring, &users).unwrap() {
            assert!(!stem.with_extension("crt").exists());
            let request = fs::read_to_string(stem.with_extension("csr")).unwrap();
            let before = keys(&stem);
            let request = CertificateSigningRequestParams::from_pem(&request).unwrap();
            fs::write(
                stem.with_extension("crt"),
                request.signed_by(&made).unwrap().pem(),
            )
            .unwrap();
            // Asked for again, it is for the same key: the certificate that there is goes on to fit.
            assert_eq!(issue(&ring, &users).unwrap(), Issued::Requests);
            assert_eq!(keys(&stem), before);
        }
        assert_each_is_for_one_name_and_one_end(&ring, &users);
    }

    #[test]
    fn what_is_no_authority_is_not_taken() {
        let (directory, ring, users) = ring();
        let (certificate, _, _) = own(directory.path());
        let other = directory.path().join("other.key");
        secret_file::write(&other, &KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let refused = |certificate: &Path, key: Option<&Path>| {
            let own = OwnAuthority {
                certificate: certificate.to_owned(),
                key: key.map(Path::to_owned),
            };
            make(&ring, &users, Some(&own)).unwrap_err().to_string()
        };
        assert!(refused(&certificate, Some(&other)).contains("is not the key of"));
        assert!(refused(&certificate, Some(&certificate)).contains("is open to others"));
        assert!(refused(&other, None).contains("holds no certificate"));
        let leaf = directory.path().join("leaf.crt");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&leaf, made.cert.pem()).unwrap();
        assert!(refused(&leaf, None).contains("is not the certificate of a CA"));
    }
}
