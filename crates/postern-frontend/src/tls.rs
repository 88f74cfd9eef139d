//! TLS towards clients: 1.2 and 1.3, with the configured certificate and nothing else.

use crate::config::{FrontendConfig, TlsMode};
use postern_bus::SecretError;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The application protocol of PostgreSQL over direct TLS.
pub const ALPN: &[u8] = b"postgresql";

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `tls_mode` is not `disable` and a file is not configured.
    #[error("`{0}` is needed unless `tls_mode` is \"disable\"")]
    Missing(&'static str),
    /// A file can't be read as PEM.
    #[error("can't read `{}`: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The private key can't be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is none.
    #[error("{0} does not hold a private key as PEM")]
    Key(String),
    /// Certificate and key do not fit or are of a kind that is not supported.
    #[error("the certificate and its key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What accepts TLS connections; `None` when TLS is disabled.
///
/// # Errors
/// See [`TlsError`].
pub fn acceptor(config: &FrontendConfig) -> Result<Option<TlsAcceptor>, TlsError> {
    if config.tls_mode == TlsMode::Disable {
        return Ok(None);
    }
    let certificate_file = config
        .tls_certificate_file
        .as_deref()
        .ok_or(TlsError::Missing("tls_certificate_file"))?;
    let key = config
        .tls_key_file
        .as_ref()
        .ok_or(TlsError::Missing("tls_key_file"))?;
    let unreadable = |file: &Path, error: rustls_pki_types::pem::Error| TlsError::File {
        file: file.to_owned(),
        reason: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(certificate_file, error))?;
    let key = PrivateKeyDer::from_pem_slice(key.read()?.expose().as_bytes())
        .map_err(|_| TlsError::Key(key.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // A client that names other protocols only is refused; one that names none may go on, but not over direct
    // TLS, so that a connection meant for another service can't be led here.
    server.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}
