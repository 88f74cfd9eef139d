//! A client under TLS that looks at the certificate, and binds its sign-in to it.

use anyhow::Context as _;
use postern_testkit::Ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::ChannelBinding as Wanted;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// Signs in to the ring at `localhost` with `channel_binding=require`. The certificate must be one of those in the PEM
/// file, or signed by one.
///
/// # Errors
/// When the certificate is another, or the ring refuses.
pub async fn bound(ring: &Ring, user: &str, roots: &Path) -> anyhow::Result<tokio_postgres::Client> {
    let mut believed = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots)? {
        believed.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(believed)
        .with_no_client_auth();
    let mut wanted: tokio_postgres::Config = ring.url(user).parse()?;
    wanted
        .ssl_mode(tokio_postgres::config::SslMode::Require)
        .channel_binding(Wanted::Require);
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", ring.port())).await?;
    let connect = Connect(TlsConnector::from(Arc::new(config)));
    let (client, connection) = wanted.connect_raw(stream, connect).await?;
    tokio::spawn(connection);
    Ok(client)
}

struct Connect(TlsConnector);

/// The connection, under TLS.
pub struct Stream(tokio_rustls::client::TlsStream<tokio::net::TcpStream>);

impl TlsConnect<tokio::net::TcpStream> for Connect {
    type Stream = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, std::io::Error>> + Send>>;

    fn connect(self, stream: tokio::net::TcpStream) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            self.0.connect(name, stream).await.map(Stream)
        })
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        certificates
            .and_then(|all| postern_scram::end_point::digest(all.first()?))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// One number that the database gives.
///
/// # Errors
/// When the statement fails.
pub async fn one(client: &tokio_postgres::Client) -> anyhow::Result<i32> {
    let row = client.query_one("SELECT 1", &[]).await.context("SELECT 1")?;
    Ok(row.try_get(0)?)
}
