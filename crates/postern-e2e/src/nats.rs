//! A NATS client of a few lines: what somebody holds who has taken over a NATS server.

use anyhow::{Context, ensure};
use postern_testkit::Ring;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout_at};

/// The server of a hop, as its administrator, with an ear on a subject. Who holds a server needs no credentials; for
/// this client to be small, the ring's are passwords and its hops have no TLS.
///
/// # Panics
/// When the ring's files are not as `postern init` makes them: a test can't go on then.
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub async fn hijack(ring: &Ring, hop: &str, subject: &str) -> Nats {
    let conf = std::fs::read_to_string(ring.directory().join(format!("nats/{hop}.conf"))).unwrap();
    let address = conf
        .lines()
        .find_map(|l| l.strip_prefix("listen: "))
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let file = ring.directory().join(format!("keys/nats/admin/{hop}.password"));
    let password = std::fs::read_to_string(file).unwrap();
    Nats::listen(&address, "admin", password.trim(), subject)
        .await
        .unwrap()
}

/// A connection as the server's own administrator.
pub struct Nats {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Nats {
    /// Connects and subscribes to everything that is published to `subject`.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn listen(address: &str, user: &str, password: &str, subject: &str) -> anyhow::Result<Nats> {
        let (read, write) = TcpStream::connect(address).await?.into_split();
        let mut nats = Nats {
            read: BufReader::new(read),
            write,
        };
        let mut info = String::new();
        nats.read.read_line(&mut info).await?;
        ensure!(info.starts_with("INFO"), "not a NATS server: {info}");
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n\
             SUB {subject} 1\r\nPING\r\n"
        );
        nats.write.write_all(hello.as_bytes()).await?;
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            ensure!(nats.read.read_line(&mut line).await? > 0, "the server hung up");
            ensure!(!line.starts_with("-ERR"), "{line}");
        }
        Ok(nats)
    }

    /// Every message that arrives within this time.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn gather_for(&mut self, time: Duration) -> anyhow::Result<Vec<Vec<u8>>> {
        let end = Instant::now() + time;
        let mut messages = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            match timeout_at(end, self.read.read_line(&mut line)).await {
                Err(_) => return Ok(messages),
                Ok(read) => ensure!(read? > 0, "the server hung up"),
            }
            if line.starts_with("PING") {
                self.write.write_all(b"PONG\r\n").await?;
            } else if line.starts_with("MSG") {
                let length: usize = line.split_whitespace().last().context("a length")?.parse()?;
                let mut payload = vec![0; length + 2];
                self.read.read_exact(&mut payload).await?;
                payload.truncate(length);
                messages.push(payload);
            }
        }
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn publish(&mut self, subject: &str, payload: &[u8]) -> anyhow::Result<()> {
        self.write
            .write_all(format!("PUB {subject} {}\r\n", payload.len()).as_bytes())
            .await?;
        self.write.write_all(payload).await?;
        self.write.write_all(b"\r\n").await?;
        Ok(())
    }
}
