//! TLS towards PostgreSQL.

use crate::config::{DatabaseConfig, TlsMode};
use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// A connector for this mode; `None` for [`TlsMode::Disable`].
///
/// # Errors
/// When `verify-full` is asked for without usable certificate authorities.
pub(crate) fn connector(config: &DatabaseConfig) -> anyhow::Result<Option<TlsConnector>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?;
    let client = match config.tls {
        TlsMode::Disable => return Ok(None),
        TlsMode::Prefer | TlsMode::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
            .with_no_client_auth(),
        TlsMode::VerifyFull => {
            let file = config
                .ca_file
                .as_deref()
                .context("`tls = \"verify-full\"` needs `ca_file`")?;
            builder
                .with_root_certificates(authorities(file)?)
                .with_no_client_auth()
        }
    };
    Ok(Some(TlsConnector::from(Arc::new(client))))
}

fn authorities(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).context("cannot read `ca_file`")? {
        store.add(certificate.context("`ca_file` holds something that is not a certificate")?)?;
    }
    anyhow::ensure!(!store.is_empty(), "`ca_file` holds no certificate");
    Ok(store)
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
