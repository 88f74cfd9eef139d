//! A connection to a collector.

use crate::courier::Fault;
use crate::tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes both ways, in clear or under TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to `host:port`. `protocol` is that of ALPN (RFC 7301); `None` names none.
///
/// # Errors
/// When nobody answers there, or not who should.
pub(crate) async fn dial(
    address: &str,
    tls: Option<&Tls>,
    protocol: Option<&[u8]>,
) -> Result<Box<dyn Stream>, Fault> {
    // Before a connection is made for nothing.
    let connector = match tls {
        Some(tls) => Some((tls, tls.connector(protocol)?)),
        None => None,
    };
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(match connector {
        None => Box::new(stream),
        Some((tls, connector)) => {
            let stream = connector.connect(tls.server_name().clone(), stream).await;
            Box::new(stream.map_err(|error| tls.explain(error))?)
        }
    })
}
