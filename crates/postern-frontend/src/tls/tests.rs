use super::*;
use rcgen::CertifiedKey;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn made() -> CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn write_key(path: &Path, made: &CertifiedKey<rcgen::KeyPair>) {
    fs::write(path, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

struct Place {
    directory: tempfile::TempDir,
    files: CertificateFiles,
    start: Instant,
}

impl Place {
    fn with(made: &CertifiedKey<rcgen::KeyPair>) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: directory.path().join("server.crt"),
            key: directory.path().join("server.key").into(),
            seen: [None; 2],
            waiting: None,
        };
        let place = Place {
            directory,
            files,
            start: Instant::now(),
        };
        place.write_certificate(made);
        write_key(&place.key(), made);
        place
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("server.key")
    }

    fn write_certificate(&self, made: &CertifiedKey<rcgen::KeyPair>) {
        fs::write(&self.files.certificate, made.cert.pem()).unwrap();
    }

    fn look(&mut self, at_ms: u64) -> Result<Option<StatementDigest>, TlsError> {
        let taken = self.files.look(self.start + Duration::from_millis(at_ms))?;
        Ok(taken.map(|taken| taken.digest))
    }
}

#[test]
fn another_certificate_is_taken_when_it_has_been_there_for_a_while() {
    let [one, two, three] = [made(), made(), made()];
    let digest = |made: &CertifiedKey<_>| StatementDigest::of_bytes(made.cert.der());
    let mut place = Place::with(&one);
    assert_eq!(place.files.take().unwrap().digest, digest(&one));
    assert_eq!(place.look(0).unwrap(), None);
    place.write_certificate(&two);
    write_key(&place.key(), &two);
    assert_eq!(place.look(1_000).unwrap(), None);
    assert_eq!(place.look(3_999).unwrap(), None);
    // Somebody still writes: it begins anew.
    place.write_certificate(&three);
    assert_eq!(place.look(4_000).unwrap(), None);
    write_key(&place.key(), &three);
    assert_eq!(place.look(6_000).unwrap(), None);
    assert_eq!(place.look(8_999).unwrap(), None);
    assert_eq!(place.look(9_000).unwrap(), Some(digest(&three)));
    assert_eq!(place.look(20_000).unwrap(), None);
}

type Spoil<'a> = &'a dyn Fn(&Place);

#[test]
fn what_can_not_be_used_is_told_of_once_and_mended() {
    let [one, two] = [made(), made()];
    let mut place = Place::with(&one);
    place.files.take().unwrap();
    // A certificate without its key; the key of another; a key that others may read; no certificate; nothing.
    let unlike = |place: &Place| place.write_certificate(&two);
    let open = |place: &Place| {
        write_key(&place.key(), &two);
        fs::set_permissions(place.key(), fs::Permissions::from_mode(0o644)).unwrap();
    };
    let no_certificate = |place: &Place| {
        fs::set_permissions(place.key(), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&place.files.certificate, "no certificate").unwrap();
    };
    let nothing = |place: &Place| fs::remove_file(&place.files.certificate).unwrap();
    let wrong: [(Spoil<'_>, &str); 4] = [
        (&unlike, "the certificate and its key can't be used"),
        (&open, "is open to others"),
        (&no_certificate, "holds no certificate"),
        (&nothing, "can't read"),
    ];
    let mut at_ms = 0;
    for (spoil, reason) in wrong {
        spoil(&place);
        assert_eq!(place.look(at_ms).unwrap(), None);
        let error = place.look(at_ms + 3_000).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        assert_eq!(
            place.look(at_ms + 10_000).unwrap(),
            None,
            "{reason}: told of once"
        );
        at_ms += 20_000;
    }
    place.write_certificate(&two);
    assert_eq!(place.look(at_ms).unwrap(), None);
    assert!(place.look(at_ms + 3_000).unwrap().is_some());
}
