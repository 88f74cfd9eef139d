//! Certificates and keys in PEM files (RFC 7468), as all ends of TLS read them.

use crate::secret::{SecretError, SecretSource};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The longest certificate file that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It can't be read, or is not PEM.
    #[error("can't read `{}`: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no certificate in it.
    #[error("`{}` holds no certificate", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// What is in it can't be an authority.
    #[error("`{}` holds no CA: {source}", file.display())]
    NoAuthority {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key can't be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is none.
    #[error("{place} does not hold a private key as PEM")]
    NoKey {
        /// Where it comes from.
        place: String,
    },
}

/// The bytes of a certificate file.
pub(crate) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All certificates of a file; at least one.
///
/// # Errors
/// When it can't be read, is not PEM, or holds none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let unreadable = |reason: String| PemError::Unreadable {
        file: file.to_owned(),
        reason,
    };
    let bytes = read(file).map_err(|error| unreadable(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(error.to_string()))?;
    if found.is_empty() {
        return Err(PemError::NoCertificate {
            file: file.to_owned(),
        });
    }
    Ok(found)
}

/// The authorities of a file, and no other.
///
/// # Errors
/// As for [`certificates`], and when one can't be an authority.
pub fn authorities(file: &Path) -> Result<RootCertStore, PemError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store.add(certificate).map_err(|source| PemError::NoAuthority {
            file: file.to_owned(),
            source,
        })?;
    }
    Ok(store)
}

/// The private key in a secret.
///
/// # Errors
/// When the secret can't be had, or is no key.
pub fn private_key(source: &SecretSource) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(source.read()?.expose().as_bytes()).map_err(|_| PemError::NoKey {
        place: source.to_string(),
    })
}
