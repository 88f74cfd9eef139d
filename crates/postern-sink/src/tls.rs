//! TLS towards collectors: 1.2 and 1.3, with authorities that the configuration names and no others. Files are read
//! for each connection, so that new ones are taken without a restart.

use crate::courier::Fault;
use postern_bus::pem;
use postern_bus::{CertificateFault, SecretSource};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// How a collector is known, and this end to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the authorities that may have signed the collector's certificate.
    pub ca_file: PathBuf,
    /// The name that its certificate must be for, where that is not the name of the address.
    #[serde(default)]
    pub server_name: Option<String>,
    /// PEM file with a certificate for this end, where the collector asks for one.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Where to find its key, PEM.
    #[serde(default)]
    pub key_file: Option<SecretSource>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    server_name: ServerName<'static>,
    ca_file: PathBuf,
    own: Option<(PathBuf, SecretSource)>,
}

impl Tls {
    /// For a collector at this host.
    ///
    /// # Errors
    /// When there is no name to hold it to, or of certificate and key one is missing.
    pub(crate) fn new(config: &TlsConfig, host: &str) -> anyhow::Result<Tls> {
        let name = config.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| anyhow::anyhow!("`{name}` is not a name that a certificate can be for"))?;
        let own = config.certificate_file.clone().zip(config.key_file.clone());
        anyhow::ensure!(
            own.is_some() || (config.certificate_file.is_none() && config.key_file.is_none()),
            "`certificate_file` and `key_file` go together"
        );
        Ok(Tls {
            server_name,
            ca_file: config.ca_file.clone(),
            own,
        })
    }

    /// The name that the certificate must be for.
    pub(crate) fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    /// What a connection is made with. Reads the files.
    ///
    /// # Errors
    /// When one is missing or does not hold what it should.
    fn client(&self) -> Result<ClientConfig, Fault> {
        let set_up = |error: rustls::Error| Fault::Files(error.to_string());
        let files = |error: pem::PemError| Fault::Files(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(set_up)?
            .with_root_certificates(pem::authorities(&self.ca_file).map_err(files)?);
        match &self.own {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    pem::certificates(certificate).map_err(files)?,
                    pem::private_key(key).map_err(files)?,
                )
                .map_err(|error| {
                    let certificate = certificate.display();
                    Fault::Files(format!("`{certificate}` and {key} do not go together: {error}"))
                }),
        }
    }

    /// The same for a stream with this protocol of ALPN, or none.
    ///
    /// # Errors
    /// As for [`Tls::client`].
    pub(crate) fn connector(&self, protocol: Option<&[u8]>) -> Result<TlsConnector, Fault> {
        let mut client = self.client()?;
        client.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
        Ok(TlsConnector::from(Arc::new(client)))
    }

    /// What an error of the handshake means.
    pub(crate) fn explain(&self, error: io::Error) -> Fault {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let Some(fault) = inner.and_then(CertificateFault::of) else {
            return Fault::Io(error);
        };
        let (ca, name) = (self.ca_file.display(), self.server_name.to_str());
        Fault::Certificate(match fault {
            CertificateFault::Issuer => format!("is not signed by an authority in `{ca}`"),
            CertificateFault::Expired => "has expired".to_owned(),
            CertificateFault::NotValidYet => "is not valid yet; look at the clocks".to_owned(),
            CertificateFault::Name => format!("is not for `{name}`"),
            CertificateFault::Other => format!("can't be used: {error}"),
        })
    }
}
