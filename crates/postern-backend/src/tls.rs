//! TLS towards PostgreSQL. Its files are read for each connection, so that new ones are taken without a restart.

use crate::config::{DatabaseConfig, TlsMode};
use anyhow::ensure;
use postern_bus::pem::{self, PemError};
use postern_bus::{CertificateFault, SecretSource};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Why there is no TLS with the database. The texts say what to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file is missing or wrong.
    #[error(transparent)]
    File(#[from] PemError),
    /// Certificate and key are not of a pair.
    #[error("{0}")]
    Pair(String),
    /// What the database shows is not believed.
    #[error("{0}")]
    Server(String),
    /// The database broke off, with a reason of RFC 8446 section 6.
    #[error(
        "the database broke the TLS connection off ({0}); if it asks for client certificates, give it one by \
         certificate_file and key_file, from a CA that it knows"
    )]
    Alert(String),
    /// Anything else.
    #[error("TLS with the database failed: {0}")]
    Other(String),
}

impl TlsError {
    /// What an error of a TLS stream means; `None` for those of the network.
    pub(crate) fn of(error: &io::Error) -> Option<TlsError> {
        let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match inner {
            rustls::Error::AlertReceived(alert) => TlsError::Alert(format!("{alert:?}")),
            other => TlsError::Other(other.to_string()),
        })
    }
}

/// How the configuration wants it.
pub(crate) struct Tls {
    mode: TlsMode,
    host: String,
    ca_file: Option<PathBuf>,
    own: Option<(PathBuf, SecretSource)>,
}

impl Tls {
    /// Checks that the settings go together.
    ///
    /// # Errors
    /// When one is missing, or would not be heeded.
    pub(crate) fn new(config: &DatabaseConfig) -> anyhow::Result<Tls> {
        ensure!(
            config.ca_file.is_some() == (config.tls == TlsMode::VerifyFull),
            "`tls = \"verify-full\"` needs `ca_file`, and nothing else uses one"
        );
        let own = config.certificate_file.clone().zip(config.key_file.clone());
        ensure!(
            own.is_some() || (config.certificate_file.is_none() && config.key_file.is_none()),
            "`certificate_file` and `key_file` go together"
        );
        ensure!(
            own.is_none() || config.tls != TlsMode::Disable,
            "`tls = \"disable\"` shows nobody a certificate: take `certificate_file` away"
        );
        Ok(Tls {
            mode: config.tls,
            host: config.host.clone(),
            ca_file: config.ca_file.clone(),
            own,
        })
    }

    /// What makes one connection; `None` for [`TlsMode::Disable`]. Reads the files.
    ///
    /// # Errors
    /// When a file is missing or does not hold what it should.
    pub(crate) fn connector(&self) -> Result<Option<TlsConnector>, TlsError> {
        if self.mode == TlsMode::Disable {
            return Ok(None);
        }
        let other = |error: rustls::Error| TlsError::Other(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(other)?;
        let builder = match &self.ca_file {
            Some(file) => builder.with_root_certificates(pem::authorities(file)?),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
        };
        let client = match &self.own {
            None => builder.with_no_client_auth(),
            Some((file, key)) => builder
                .with_client_auth_cert(pem::certificates(file)?, pem::private_key(key)?)
                .map_err(|error| {
                    TlsError::Pair(format!(
                        "`{}` and {key} do not go together: {error}",
                        file.display()
                    ))
                })?,
        };
        Ok(Some(TlsConnector::from(Arc::new(client))))
    }

    /// What an error of the handshake means.
    pub(crate) fn explain(&self, error: io::Error) -> Result<TlsError, io::Error> {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let Some(fault) = inner.and_then(CertificateFault::of) else {
            return TlsError::of(&error).ok_or(error);
        };
        let host = &self.host;
        let ca = self.ca_file.as_deref().unwrap_or(Path::new("ca_file")).display();
        Ok(TlsError::Server(match fault {
            CertificateFault::Issuer => format!(
                "the certificate of the database is not signed by an authority in `{ca}`: look at ca_file, and at who \
                 answers at {host}"
            ),
            CertificateFault::Expired => format!(
                "the certificate of the database has expired: renew it, and look at the clocks of both machines ({error})"
            ),
            CertificateFault::NotValidYet => format!(
                "the certificate of the database is not valid yet: look at the clocks of both machines ({error})"
            ),
            CertificateFault::Name => format!(
                "the certificate of the database is not for `{host}`: look at host, and at who answers there ({error})"
            ),
            CertificateFault::Other => format!("the certificate of the database can't be used ({error})"),
        }))
    }
}

/// Takes any certificate: `prefer` and `require` protect against listening, not against impersonation, as
/// in libpq. Only SCRAM with channel binding then notices a man in the middle, which
/// `channel_binding = "require"` insists on.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
