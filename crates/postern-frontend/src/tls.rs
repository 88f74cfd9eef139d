//! TLS towards clients: 1.2 and 1.3, with the certificate that is in the configured files and nothing else.
//!
//! Another certificate that is put there is shown to the clients that connect from then on; who is connected stays so.

use crate::config::{FrontendConfig, TlsMode};
use postern_bus::SecretSource;
use postern_bus::pem::{self, PemError};
use postern_ledger::StatementDigest;
use postern_runtime::FileStamp;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// The application protocol of PostgreSQL over direct TLS.
pub const ALPN: &[u8] = b"postgresql";

/// So long the files must have stayed as they are before they are read again: nobody is writing them any more by then,
/// and the Query Validator, which looks every second, binds sign-ins to the new certificate.
const SETTLED: Duration = Duration::from_secs(3);

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `tls_mode` is not `disable` and a file is not configured.
    #[error("`{0}` is needed unless `tls_mode` is \"disable\"")]
    Missing(&'static str),
    /// A file is missing or wrong.
    #[error(transparent)]
    File(#[from] PemError),
    /// Certificate and key do not fit or are of a kind that is not supported.
    #[error("the certificate and its key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate that is used.
pub struct Taken {
    /// Accepts connections with it. It knows nothing of sessions under the certificate before: a client that resumed
    /// one would bind its sign-in to that.
    pub acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, for the ledger.
    pub digest: StatementDigest,
}

/// The files of the certificate that clients see, and the state that was read last.
#[derive(Debug)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: SecretSource,
    seen: Stamps,
    /// A state that is not read yet, and since when it is known.
    waiting: Option<(Stamps, Instant)>,
}

type Stamps = [Option<FileStamp>; 2];

impl CertificateFiles {
    /// Those of the configuration; `None` when TLS is disabled.
    ///
    /// # Errors
    /// When one is not configured.
    pub fn of(config: &FrontendConfig) -> Result<Option<CertificateFiles>, TlsError> {
        if config.tls_mode == TlsMode::Disable {
            return Ok(None);
        }
        let certificate = config.tls_certificate_file.clone();
        let key = config.tls_key_file.clone();
        Ok(Some(CertificateFiles {
            certificate: certificate.ok_or(TlsError::Missing("tls_certificate_file"))?,
            key: key.ok_or(TlsError::Missing("tls_key_file"))?,
            seen: [None; 2],
            waiting: None,
        }))
    }

    /// Reads them.
    ///
    /// # Errors
    /// When they can't be read or do not belong together.
    pub fn take(&mut self) -> Result<Taken, TlsError> {
        self.seen = self.stamps();
        self.waiting = None;
        let chain = pem::certificates(&self.certificate)?;
        let digest = StatementDigest::of_bytes(chain.first().map_or(&[], |first| first));
        let key = pem::private_key(&self.key)?;
        Ok(Taken {
            acceptor: acceptor(chain, key)?,
            digest,
        })
    }

    /// Reads them if they have changed, and not again since a while; to be called often.
    ///
    /// # Errors
    /// As for [`CertificateFiles::take`], once for each state of the files.
    pub fn look(&mut self, now: Instant) -> Result<Option<Taken>, TlsError> {
        let stamps = self.stamps();
        if stamps == self.seen {
            self.waiting = None;
            return Ok(None);
        }
        match self.waiting {
            Some((waiting, since)) if waiting == stamps => {
                if now.saturating_duration_since(since) < SETTLED {
                    return Ok(None);
                }
                self.take().map(Some)
            }
            _ => {
                self.waiting = Some((stamps, now));
                Ok(None)
            }
        }
    }

    fn stamps(&self) -> Stamps {
        [Some(self.certificate.as_path()), self.key.path()].map(|file| file.map(FileStamp::of))
    }
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // A client that names other protocols only is refused; one that names none may go on, but not over direct
    // TLS, so that a connection meant for another service can't be led here.
    server.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

#[cfg(test)]
mod tests;
