//! The certificate that clients see, and whether they must look at it.

use super::report::{Area, Report, Section};
use super::ring::Examined;
use postern_types::Stage;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate that ends so soon is to be replaced now.
const SOON_S: i64 = 30 * 24 * 3600;
const DAY_S: i64 = 24 * 3600;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Encryption);
    let require = "set tls_mode = \"require\" in frontend.toml";
    match ring.text(Stage::Frontend, &["tls_mode"]).unwrap_or("prefer") {
        "require" => section.pass("client-tls", "no client signs in without TLS"),
        "prefer" => section.warn("client-tls", "clients may sign in without TLS", require),
        other => section.fail("client-tls", format!("TLS for clients: {other}"), require),
    }
    if ring.text(Stage::Frontend, &["tls_mode"]) == Some("disable") {
        return;
    }
    let certificate = ring.file(Stage::Frontend, &["tls_certificate_file"]);
    let key = ring.file(Stage::Frontend, &["tls_key_file"]);
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return section.fail(
            "certificate",
            "no certificate is configured",
            "set tls_certificate_file and tls_key_file",
        );
    };
    match read(&certificate, &key) {
        Err(reason) => section.fail(
            "certificate",
            reason,
            "put a certificate and its own key there, as PEM",
        ),
        Ok(chain) => {
            section.pass("certificate", "certificate and key belong together");
            dates(&chain, now_s(), &mut section);
        }
    }
    beside(ring, &key, &mut section);
    let bound = ring.file(Stage::QueryValidator, &["tls_certificate_file"]);
    let same = |file: &Path| match (std::fs::read(file), std::fs::read(&certificate)) {
        (Ok(bound), Ok(shown)) => bound == shown,
        _ => false,
    };
    match bound {
        Some(file) if same(&file) => section.pass("channel-binding", "sign-ins can be bound to the certificate"),
        Some(_) => section.fail(
            "channel-binding",
            "the Query Validator has another certificate than clients see, so sign-ins with channel binding fail",
            "give both the same tls_certificate_file; the Query Validator first",
        ),
        None => section.warn(
            "channel-binding",
            "sign-ins can't be bound to the certificate",
            "set tls_certificate_file in query-validator.toml",
        ),
    }
}

/// The Query Validator reads the folder of its certificate, to take another one that is put there.
fn beside(ring: &Examined, key: &Path, section: &mut Section<'_>) {
    let bound = ring.file(Stage::QueryValidator, &["tls_certificate_file"]);
    let folder = |file: &Path| file.parent().and_then(|folder| folder.canonicalize().ok());
    let read = bound.as_deref().and_then(folder);
    match folder(key).filter(|folder| Some(folder) == read.as_ref()) {
        None => section.pass(
            "certificate-key",
            "the key of the certificate is the Frontend's alone",
        ),
        Some(folder) => section.fail(
            "certificate-key",
            format!(
                "the key of the certificate is in {}, where the Query Validator may read it",
                folder.display()
            ),
            "move it to a folder of its own, such as keys/frontend, and set tls_key_file in frontend.toml",
        ),
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The chain, if the key is that of its first certificate.
fn read(certificate: &Path, key: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{}: {error}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain.clone(), key, &provider)
        .map_err(|error| format!("the certificate and its key can't be used: {error}"))?;
    Ok(chain)
}

fn dates(chain: &[CertificateDer<'_>], now_s: i64, section: &mut Section<'_>) {
    let replace = "put a new certificate and its key there, on the Query Validator's machine first";
    let Some((_, certificate)) = chain.first().and_then(|der| X509Certificate::from_der(der).ok()) else {
        return section.fail("certificate-dates", "the certificate can't be read", replace);
    };
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let left_s = until.saturating_sub(now_s);
    if now_s < from {
        section.fail(
            "certificate-dates",
            "the certificate is not valid yet",
            "mend the clock, or the certificate",
        );
    } else if left_s <= 0 {
        section.fail("certificate-dates", "the certificate has expired", replace);
    } else if left_s < SOON_S {
        section.warn(
            "certificate-dates",
            format!("the certificate ends in {} days", left_s / DAY_S),
            replace,
        );
    } else {
        section.pass(
            "certificate-dates",
            format!("valid for {} more days", left_s / DAY_S),
        );
    }
    if certificate.issuer() == certificate.subject() {
        section.warn(
            "certificate-issuer",
            "the certificate is self-signed: clients can't tell the ring from somebody else",
            "put one of your authority's there, and have clients use sslmode=verify-full",
        );
    } else {
        section.pass("certificate-issuer", "the certificate is of an authority");
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn dates_are_told() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let chain = [made.cert.der().clone()];
        let (_, certificate) = X509Certificate::from_der(&chain[0]).unwrap();
        let (from, until) = (
            certificate.validity().not_before.timestamp(),
            certificate.validity().not_after.timestamp(),
        );
        for (now, status) in [
            (from - 1, Status::Fail),
            (from, Status::Pass),
            (until - SOON_S + 1, Status::Warn),
            (until, Status::Fail),
        ] {
            let mut report = Report::default();
            dates(&chain, now, &mut report.about(Area::Encryption));
            assert_eq!(report.findings()[0].status, status, "{}", report.findings()[0]);
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("c"), directory.path().join("k"));
        let made = [0, 1].map(|_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        std::fs::write(&certificate, made[0].cert.pem()).unwrap();
        std::fs::write(&key, made[0].signing_key.serialize_pem()).unwrap();
        assert!(read(&certificate, &key).is_ok());
        std::fs::write(&key, made[1].signing_key.serialize_pem()).unwrap();
        assert!(read(&certificate, &key).is_err());
        std::fs::write(&key, "nothing").unwrap();
        assert!(read(&certificate, &key).is_err());
    }
}
