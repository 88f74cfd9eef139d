//! From a fresh TCP connection to a StartupMessage: TLS requests, direct TLS, cancel requests.
//!
//! Packets are read to the byte and no further, so that nothing a client (or somebody between) sent in clear
//! can ever be taken for something that came under TLS (the class of CVE-2021-23214 and CVE-2021-23222).

use crate::config::TlsMode;
use crate::frontend::Frontend;
use crate::stream::ClientStream;
use crate::tls::ALPN;
use postern_types::{Refusal, SqlState};
use postern_wire::{FirstPacket, Startup, WireError, first_packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// First byte of a TLS handshake record. No packet of PostgreSQL begins with it: its length would be too large.
const TLS_HANDSHAKE: u8 = 0x16;
/// Length field and code.
const FIXED_BYTES: usize = 8;

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Opening {
    /// A client that wants a session.
    Session(ClientStream, Box<Startup>),
    /// A CancelRequest.
    Cancel {
        /// To be closed, as its client waits for that.
        stream: ClientStream,
        /// See `FirstPacket::Cancel`.
        process_id: u32,
        /// See `FirstPacket::Cancel`.
        key: Vec<u8>,
    },
    /// The client is to be told this.
    Refused(ClientStream, Refusal),
    /// To be closed without a word: it left, failed in TLS, or mixed clear text into it.
    Closed(&'static str),
}

/// Reads up to the StartupMessage. Ends only with the connection or the answer, so put a deadline on it.
pub async fn open(stream: TcpStream, frontend: &Frontend) -> Opening {
    let mut first = [0; 1];
    match stream.peek(&mut first).await {
        Ok(1) => {}
        _ => return Opening::Closed("left at once"),
    }
    match frontend.tls() {
        Some(acceptor) if first == [TLS_HANDSHAKE] => match encrypt(stream, &acceptor, true).await {
            Ok(stream) => under_tls(stream, frontend).await,
            Err(reason) => Opening::Closed(reason),
        },
        _ => in_clear(stream, frontend).await,
    }
}

async fn in_clear(mut stream: TcpStream, frontend: &Frontend) -> Opening {
    let (mut tls_declined, mut gss_declined) = (false, false);
    loop {
        let packet = match packet(&mut stream, frontend).await {
            Ok(Some(packet)) => packet,
            Ok(None) => return Opening::Closed("left before the start-up packet"),
            Err(error) => return Opening::Refused(ClientStream::Plain(stream), error.refusal()),
        };
        match first_packet(&packet, &frontend.session_limits.wire) {
            Ok(Some((FirstPacket::SslRequest, _))) => {
                let Some(acceptor) = frontend.tls() else {
                    // The client may go on in clear.
                    if tls_declined || stream.write_all(b"N").await.is_err() {
                        return Opening::Closed("asked for TLS");
                    }
                    tls_declined = true;
                    continue;
                };
                // Whatever came with the request was not asked for yet, so it is no TLS handshake of an
                // honest client.
                if stream.try_read(&mut [0; 1]).is_ok() || stream.write_all(b"S").await.is_err() {
                    return Opening::Closed("sent data in clear after asking for TLS");
                }
                return match encrypt(stream, &acceptor, false).await {
                    Ok(stream) => under_tls(stream, frontend).await,
                    Err(reason) => Opening::Closed(reason),
                };
            }
            Ok(Some((FirstPacket::GssEncRequest, _))) if !gss_declined => {
                gss_declined = true;
                if stream.write_all(b"N").await.is_err() {
                    return Opening::Closed("left after asking for GSSAPI encryption");
                }
            }
            other => {
                let stream = ClientStream::Plain(stream);
                return finish(stream, other, frontend.tls_mode == TlsMode::Require);
            }
        }
    }
}

async fn under_tls(mut stream: ClientStream, frontend: &Frontend) -> Opening {
    let packet = match packet(&mut stream, frontend).await {
        Ok(Some(packet)) => packet,
        Ok(None) => return Opening::Closed("left before the start-up packet"),
        Err(error) => return Opening::Refused(stream, error.refusal()),
    };
    let decoded = first_packet(&packet, &frontend.session_limits.wire);
    finish(stream, decoded, false)
}

fn finish(
    stream: ClientStream,
    packet: Result<Option<(FirstPacket<'_>, usize)>, WireError>,
    needs_tls: bool,
) -> Opening {
    let refused = |code, message: &str| Refusal::fatal(code, message);
    let refusal = match packet {
        Ok(Some((FirstPacket::Cancel { process_id, key }, _))) => {
            let key = key.to_vec();
            return Opening::Cancel {
                stream,
                process_id,
                key,
            };
        }
        Ok(Some((FirstPacket::Startup(_), _))) if needs_tls => refused(
            SqlState::INVALID_AUTHORIZATION,
            "connections without TLS are refused; set sslmode=require",
        ),
        Ok(Some((FirstPacket::Startup(startup), _))) if startup.replication => refused(
            SqlState::FEATURE_NOT_SUPPORTED,
            "replication connections are not supported",
        ),
        Ok(Some((FirstPacket::Startup(startup), _))) => {
            return Opening::Session(stream, Box::new(startup));
        }
        Ok(Some((FirstPacket::SslRequest | FirstPacket::GssEncRequest, _))) => {
            return Opening::Closed("asked for encryption again");
        }
        Ok(None) => refused(SqlState::PROTOCOL_VIOLATION, "the start-up packet is cut"),
        Err(error) => Refusal {
            fatal: true,
            ..error.refusal()
        },
    };
    Opening::Refused(stream, refusal)
}

/// Reads exactly one packet; `None` when the client leaves before its end.
async fn packet<S: AsyncRead + Unpin>(
    stream: &mut S,
    frontend: &Frontend,
) -> Result<Option<Vec<u8>>, WireError> {
    let mut packet = vec![0; FIXED_BYTES];
    if stream.read_exact(&mut packet).await.is_err() {
        return Ok(None);
    }
    // Checks the length before room is made for it.
    if first_packet(&packet, &frontend.session_limits.wire)?.is_some() {
        return Ok(Some(packet));
    }
    let length = packet
        .first_chunk::<4>()
        .map_or(0, |length| u32::from_be_bytes(*length));
    let length = usize::try_from(length).map_err(|_| WireError::BadStartup("it is too long"))?;
    packet.resize(length.max(FIXED_BYTES), 0);
    let rest = packet.get_mut(FIXED_BYTES..).unwrap_or_default();
    if stream.read_exact(rest).await.is_err() {
        return Ok(None);
    }
    Ok(Some(packet))
}

async fn encrypt(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    direct: bool,
) -> Result<ClientStream, &'static str> {
    let stream = acceptor
        .accept(stream)
        .await
        .map_err(|_| "the TLS handshake failed")?;
    let (_, connection) = stream.get_ref();
    if direct && connection.alpn_protocol() != Some(ALPN) {
        return Err("direct TLS without the application protocol of PostgreSQL");
    }
    Ok(ClientStream::Tls(Box::new(stream)))
}
