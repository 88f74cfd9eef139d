//! TLS 1.3 to a NATS server: both ends show a certificate of the ring's CA, and the server's must be for the
//! very name that the configuration pins.
//!
//! The address that is dialled says nothing about who answers, so it is not what the certificate is held to.
//! Files are read anew for each connection. Sessions are not resumed, because that would skip the checks.

use crate::pem::{self, PemError};
use crate::secret::SecretSource;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How both ends of a hop know each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The name that the server's certificate must be for, such as `dirty-query.postern`.
    pub server_name: String,
    /// PEM file with the certificate of the CA that signed the server's certificate. No other CA counts.
    pub ca_file: PathBuf,
    /// PEM file with the client's own certificate, and others between it and the CA if there are.
    pub certificate_file: PathBuf,
    /// Where to find the key of that certificate, PEM.
    pub key_file: SecretSource,
}

/// Why TLS can't be set up at all.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The pinned name is none.
    #[error("`{0}` is not a DNS name that a server can be pinned to")]
    ServerName(String),
    /// The TLS library refuses.
    #[error("TLS can't be set up: {0}")]
    Library(#[from] Error),
}

impl TlsConfig {
    /// The files with certificates that it reads.
    pub fn certificates(&self) -> [&Path; 2] {
        [&self.ca_file, &self.certificate_file]
    }

    /// The same with relative paths taken from `base`.
    #[must_use]
    pub fn rooted(&self, base: &Path) -> TlsConfig {
        TlsConfig {
            server_name: self.server_name.clone(),
            ca_file: base.join(&self.ca_file),
            certificate_file: base.join(&self.certificate_file),
            key_file: self.key_file.rooted(base),
        }
    }

    /// What the NATS client is given.
    pub(crate) fn client(&self, complaint: &Complaint) -> Result<ClientConfig, TlsError> {
        let name = ServerName::try_from(self.server_name.clone())
            .ok()
            .filter(|name| matches!(name, ServerName::DnsName(_)))
            .ok_or_else(|| TlsError::ServerName(self.server_name.clone()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = PinnedServer {
            name,
            server_name: self.server_name.clone(),
            ca_file: self.ca_file.clone(),
            provider: Arc::clone(&provider),
            complaint: complaint.clone(),
        };
        let own = OwnCertificate {
            certificate_file: self.certificate_file.clone(),
            key_file: self.key_file.clone(),
            provider: Arc::clone(&provider),
            complaint: complaint.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(own));
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// The client's own certificate as it is in its file, to notice when it is replaced.
    pub(crate) fn own_certificate(&self) -> std::io::Result<Vec<u8>> {
        pem::read(&self.certificate_file)
    }
}

/// What the checks of a handshake found wrong; the NATS client would tell much less.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaint(Arc<Mutex<Option<String>>>);

impl Complaint {
    pub(crate) fn make(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is wrong with a certificate, as far as an operator has to do different things about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No authority that is believed has signed it.
    Issuer,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotValidYet,
    /// It is for another name.
    Name,
    /// Anything else.
    Other,
}

impl CertificateFault {
    /// The fault that this error is about; `None` if it is not about a certificate.
    pub fn of(error: &Error) -> Option<CertificateFault> {
        let Error::InvalidCertificate(fault) = error else {
            return None;
        };
        Some(match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => CertificateFault::Issuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFault::NotValidYet
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFault::Name
            }
            _ => CertificateFault::Other,
        })
    }
}

/// Believes one server name, under one CA.
#[derive(Debug)]
struct PinnedServer {
    name: ServerName<'static>,
    server_name: String,
    ca_file: PathBuf,
    provider: Arc<CryptoProvider>,
    complaint: Complaint,
}

impl PinnedServer {
    fn verifier(&self) -> Result<Arc<WebPkiServerVerifier>, String> {
        let file = self.ca_file.display();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca_file)
            .map_err(|error| format!("the CA in `{file}` can't be read: {error}"))?
        {
            roots
                .add(certificate)
                .map_err(|error| format!("`{file}` does not hold a CA's certificate: {error}"))?;
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| format!("`{file}` holds no CA: {error}"))
    }

    /// What is wrong with the server's certificate, and what to do.
    fn explain(&self, error: &Error) -> String {
        let (name, ca) = (&self.server_name, self.ca_file.display());
        match CertificateFault::of(error) {
            Some(CertificateFault::Issuer) => {
                format!(
                    "its certificate is not signed by the CA in `{ca}`; give both ends certificates of one CA"
                )
            }
            Some(CertificateFault::Expired) => format!(
                "its certificate has expired; renew it (`postern keys renew`) and look at the clocks of both machines: {error}"
            ),
            Some(CertificateFault::NotValidYet) => {
                format!("its certificate is not valid yet; look at the clocks of both machines: {error}")
            }
            Some(CertificateFault::Name) => format!(
                "it is not `{name}`; look at url and server_name, or at who answers at that address: {error}"
            ),
            Some(CertificateFault::Other) | None => format!("its certificate can't be used: {error}"),
        }
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = self.verifier().map_err(|text| {
            self.complaint.make(text.clone());
            Error::General(text)
        })?;
        verifier
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
            .inspect_err(|error| self.complaint.make(self.explain(error)))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The client's own certificate, as it is in its files at that moment.
#[derive(Debug)]
struct OwnCertificate {
    certificate_file: PathBuf,
    key_file: SecretSource,
    provider: Arc<CryptoProvider>,
    complaint: Complaint,
}

impl OwnCertificate {
    fn load(&self) -> Result<CertifiedKey, String> {
        let (certificate, key) = (self.certificate_file.display(), &self.key_file);
        let chain = certificates(&self.certificate_file)
            .map_err(|error| format!("the certificate in `{certificate}` can't be read: {error}"))?;
        let secret = key
            .read()
            .map_err(|error| format!("the key can't be read: {error}"))?;
        let secret = PrivateKeyDer::from_pem_slice(secret.expose().as_bytes())
            .map_err(|_| format!("{key} does not hold a private key"))?;
        CertifiedKey::from_der(chain, secret, &self.provider)
            .map_err(|error| format!("`{certificate}` and {key} do not go together: {error}"))
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.load()
            .map(Arc::new)
            .map_err(|text| self.complaint.make(text))
            .ok()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    pem::certificates(file).map_err(|error| match error {
        PemError::Unreadable { reason, .. } => reason,
        PemError::NoCertificate { .. } => "there is no certificate in it".to_owned(),
        other => other.to_string(),
    })
}

/// Where the TLS library of the NATS client looks for the system's certificates, and what is put there.
const SYSTEM_CERTIFICATES: &str = "SSL_CERT_FILE";
/// Nothing, and always there.
pub const NO_CERTIFICATES: &str = "/dev/null";

/// Starts this program anew, in the same process and with the same arguments, such that the NATS client does not
/// read the certificates of the system. It does so before each connection although none of them is trusted here:
/// that costs milliseconds each time, and inside a sandbox it would fail. Returns at once when it has been done,
/// and must be called before there is another thread.
///
/// # Errors
/// When the program can't be started anew.
pub fn leave_out_system_certificates() -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    if std::env::var_os(SYSTEM_CERTIFICATES).is_some_and(|file| file == NO_CERTIFICATES)
        && std::env::var_os("SSL_CERT_DIR").is_none()
    {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Err(command
        .args(arguments)
        .env(SYSTEM_CERTIFICATES, NO_CERTIFICATES)
        .env_remove("SSL_CERT_DIR")
        .exec())
}

/// Lets a program that this process starts find the system's certificates, which [`leave_out_system_certificates`]
/// keeps from this process.
pub(crate) fn give_back_system_certificates(command: &mut std::process::Command) {
    if std::env::var_os(SYSTEM_CERTIFICATES).is_some_and(|file| file == NO_CERTIFICATES) {
        command.env_remove(SYSTEM_CERTIFICATES);
    }
}
