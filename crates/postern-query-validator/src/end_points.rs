//! The certificate that clients see, as far as sign-ins are bound to it (RFC 5929, section 4.1), read again when it
//! changes.
//!
//! Trusted: the file. Not here: the key of the certificate, which this stage never sees.

use postern_ledger::StatementDigest;
use postern_runtime::FileStamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::path::PathBuf;

/// Channel binding data of the certificates that clients may see at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndPoints {
    /// `None` when sign-ins can't be bound to the certificate, or there is none.
    current: Option<Vec<u8>>,
    /// Of the certificate before, and until when that is good, in milliseconds since the Unix epoch.
    previous: Option<(Vec<u8>, u64)>,
}

impl EndPoints {
    /// Those of one certificate.
    pub fn of(current: Option<Vec<u8>>) -> EndPoints {
        EndPoints {
            current,
            previous: None,
        }
    }

    /// Goes over to another certificate. The one before stays good until `until_ms`; one before that does not.
    pub fn turn(&mut self, next: Option<Vec<u8>>, until_ms: u64) {
        if next != self.current {
            let before = std::mem::replace(&mut self.current, next);
            self.previous = before.map(|before| (before, until_ms));
        }
    }

    /// Those that are good now.
    pub fn at(&self, now_ms: u64) -> Vec<&[u8]> {
        let previous = self.previous.iter().filter(|(_, until_ms)| now_ms < *until_ms);
        let previous = previous.map(|(end_point, _)| end_point.as_slice());
        self.current.as_deref().into_iter().chain(previous).collect()
    }
}

/// A certificate as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// SHA-256 of it, for the ledger.
    pub(crate) digest: StatementDigest,
    /// Its channel binding data.
    pub(crate) end_point: Option<Vec<u8>>,
}

/// Why a certificate can't be taken.
#[derive(Debug, thiserror::Error)]
#[error("{}: no certificate in PEM form: {source}", path.display())]
pub(crate) struct NoCertificate {
    path: PathBuf,
    source: rustls_pki_types::pem::Error,
}

/// A certificate file that is read again when it changes.
#[derive(Debug)]
pub(crate) struct CertificateFile {
    path: PathBuf,
    seen: Option<FileStamp>,
}

impl CertificateFile {
    pub(crate) fn new(path: PathBuf) -> CertificateFile {
        CertificateFile { path, seen: None }
    }

    /// The first certificate in the file, when that has changed since the last call.
    ///
    /// # Errors
    /// When there is none; once for each state of the file.
    pub(crate) fn changed(&mut self) -> Result<Option<Found>, NoCertificate> {
        let stamp = FileStamp::of(&self.path);
        if self.seen == Some(stamp) {
            return Ok(None);
        }
        self.seen = Some(stamp);
        let certificate = CertificateDer::from_pem_file(&self.path).map_err(|source| NoCertificate {
            path: self.path.clone(),
            source,
        })?;
        Ok(Some(Found {
            digest: StatementDigest::of_bytes(&certificate),
            end_point: postern_scram::end_point::digest(&certificate),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_certificate_before_is_good_for_a_while() {
        let [one, two, three] = [1, 2, 3].map(|n| vec![n; 32]);
        let mut end_points = EndPoints::of(Some(one.clone()));
        assert_eq!(end_points.at(0), [&one]);
        end_points.turn(Some(two.clone()), 100);
        assert_eq!(end_points.at(99), [&two, &one]);
        assert_eq!(end_points.at(100), [&two]);
        // The same one once more makes nothing good for longer.
        end_points.turn(Some(two.clone()), 500);
        assert_eq!(end_points.at(100), [&two]);
        end_points.turn(Some(three.clone()), 200);
        assert_eq!(end_points.at(50), [&three, &two]);
        // One that sign-ins can't be bound to.
        end_points.turn(None, 300);
        assert_eq!(end_points.at(299), [&three]);
        assert!(end_points.at(300).is_empty());
    }

    #[test]
    fn each_state_of_the_file_is_told_of_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.crt");
        let made = [0, 1].map(|_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        fs::write(&path, made[0].cert.pem()).unwrap();
        let mut file = CertificateFile::new(path.clone());
        let first = file.changed().unwrap().unwrap();
        assert_eq!(first.digest, StatementDigest::of_bytes(made[0].cert.der()));
        assert!(first.end_point.is_some());
        assert_eq!(file.changed().unwrap(), None);
        fs::write(&path, "half").unwrap();
        let error = file.changed().unwrap_err().to_string();
        assert!(error.contains("no certificate in PEM form"), "{error}");
        assert_eq!(file.changed().unwrap(), None, "one complaint for each state");
        fs::write(&path, made[1].cert.pem()).unwrap();
        assert_ne!(file.changed().unwrap().unwrap().end_point, first.end_point);
    }
}
