//! Ways to a Syslog collector.
//!
//! No Syslog transport has acknowledgements, and what a closed connection swallowed nobody tells. So each connection is
//! ended from time to time by closing this side of it and waiting until the collector closes the other: it has then
//! read everything. Only that counts as confirmed. Datagrams can't be confirmed; over UDP records may be lost.

use super::Header;
use crate::courier::{Fault, within};
use crate::dial::{Stream, dial};
use crate::feed::Entry;
use crate::tls::Tls;
use serde::Deserialize;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UdpSocket, UnixDatagram};

/// Most bytes of a datagram of UDP over IPv4, which has the least room.
const MAX_DATAGRAM_BYTES: usize = 65_507;

/// How messages are told apart on a connection (RFC 6587, section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// Each has its length before it; RFC 5425 knows nothing else.
    #[default]
    OctetCounting,
    /// Each ends with a line feed. Records have none inside.
    Newline,
}

/// Where a collector is.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// RFC 5426: one datagram each.
    Udp(String),
    /// RFC 6587.
    Tcp(String, Framing),
    /// RFC 5425: octet counting under TLS.
    Tls(String, Tls),
    /// A datagram socket of this machine, such as `/dev/log`.
    Unix(PathBuf),
}

/// A collector, and the connection to it.
pub(crate) struct Syslog {
    header: Header,
    transport: Transport,
    wire: Wire,
    /// Messages on their way to the socket.
    buffer: Vec<u8>,
}

enum Wire {
    None,
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Stream(Box<dyn Stream>),
}

impl Syslog {
    /// Not connected yet.
    pub(crate) fn new(header: Header, transport: Transport) -> Syslog {
        Syslog {
            header,
            transport,
            wire: Wire::None,
            buffer: Vec::new(),
        }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// When the collector can't be reached, or is not who it should be.
    pub(crate) async fn connect(&mut self) -> Result<(), Fault> {
        if matches!(self.wire, Wire::None) {
            self.wire = within(connect(&self.transport)).await?;
        }
        Ok(())
    }

    /// Sends the messages of some records. They may not have arrived when it returns.
    ///
    /// # Errors
    /// When the collector can't be reached, or takes nothing for 10 seconds.
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        self.connect().await?;
        match &mut self.wire {
            Wire::None => Ok(()),
            Wire::Udp(socket) => {
                for entry in entries {
                    self.buffer.clear();
                    self.header.write(entry, &mut self.buffer);
                    let message = fitting(&self.buffer);
                    within(async { Ok(socket.send(message).await?) }).await?;
                }
                Ok(())
            }
            Wire::Unix(socket) => {
                for entry in entries {
                    self.buffer.clear();
                    self.header.write(entry, &mut self.buffer);
                    let message = fitting(&self.buffer);
                    within(async { Ok(socket.send(message).await?) }).await?;
                }
                Ok(())
            }
            Wire::Stream(stream) => {
                let framing = self.transport.framing();
                self.buffer.clear();
                for entry in entries {
                    frame(&self.header, entry, framing, &mut self.buffer);
                }
                within(async { Ok(stream.write_all(&self.buffer).await?) }).await?;
                within(async { Ok(stream.flush().await?) }).await
            }
        }
    }

    /// Returns when the collector has read all that was sent. Ends the connection.
    ///
    /// # Errors
    /// When it does not within 10 seconds, or has not.
    pub(crate) async fn confirm(&mut self) -> Result<(), Fault> {
        match std::mem::replace(&mut self.wire, Wire::None) {
            Wire::None => Ok(()),
            // All there is to know of these is known already.
            wire @ (Wire::Udp(_) | Wire::Unix(_)) => {
                self.wire = wire;
                Ok(())
            }
            Wire::Stream(mut stream) => {
                within(async {
                    stream.shutdown().await?;
                    let mut rest = [0; 256];
                    // A collector has nothing to say; what it says anyway is not looked at.
                    while stream.read(&mut rest).await? > 0 {}
                    Ok(())
                })
                .await
            }
        }
    }

    /// Lets go of a connection that has failed.
    pub(crate) fn drop_connection(&mut self) {
        self.wire = Wire::None;
    }
}

impl Transport {
    fn framing(&self) -> Framing {
        match self {
            Transport::Tcp(_, framing) => *framing,
            _ => Framing::OctetCounting,
        }
    }
}

/// As much of a message as a datagram can carry. The header is at its beginning, and a record that is cut is better than
/// one that all others wait for.
fn fitting(message: &[u8]) -> &[u8] {
    message.get(..MAX_DATAGRAM_BYTES).unwrap_or(message)
}

fn frame(header: &Header, entry: &Entry, framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Newline => {
            header.write(entry, out);
            out.push(b'\n');
        }
        Framing::OctetCounting => {
            let mut message = Vec::with_capacity(entry.line.len() + 256);
            header.write(entry, &mut message);
            out.extend_from_slice(message.len().to_string().as_bytes());
            out.push(b' ');
            out.extend_from_slice(&message);
        }
    }
}

async fn connect(transport: &Transport) -> Result<Wire, Fault> {
    Ok(match transport {
        Transport::Udp(address) => {
            let there = tokio::net::lookup_host(address).await?.next();
            let there = there.ok_or_else(|| io::Error::other("its name has no address"))?;
            let any = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(there).await?;
            Wire::Udp(socket)
        }
        Transport::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Wire::Unix(socket)
        }
        Transport::Tcp(address, _) => Wire::Stream(dial(address, None, None).await?),
        Transport::Tls(address, tls) => Wire::Stream(dial(address, Some(tls), None).await?),
    })
}
