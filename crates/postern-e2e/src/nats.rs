//! A NATS client of a few lines: what somebody holds who has taken over a NATS server or a stage's credentials.

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
    let mut nats = sign_in(ring, hop, "admin").await;
    assert!(!nats.is_refused(&format!("SUB {subject} 1\r\n")).await.unwrap());
    nats
}

/// The server of a hop, with the credentials of one of its users; the same holds for the ring.
///
/// # Panics
/// As for [`hijack`].
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub async fn sign_in(ring: &Ring, hop: &str, user: &str) -> Nats {
    let file = ring.directory().join(format!("keys/nats/{user}/{hop}.password"));
    let password = std::fs::read_to_string(file).unwrap();
    Nats::sign_in(&address(ring, hop), user, password.trim())
        .await
        .unwrap()
}

/// Where the server of a hop listens.
///
/// # Panics
/// As for [`hijack`].
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub fn address(ring: &Ring, hop: &str) -> String {
    let conf = std::fs::read_to_string(ring.directory().join(format!("nats/{hop}.conf"))).unwrap();
    conf.lines()
        .find_map(|l| l.strip_prefix("listen: "))
        .unwrap()
        .trim_matches('"')
        .to_owned()
}

/// A connection.
pub struct Nats {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Nats {
    /// Connects and signs in.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn sign_in(address: &str, user: &str, password: &str) -> anyhow::Result<Nats> {
        let (read, write) = TcpStream::connect(address).await?.into_split();
        let mut nats = Nats {
            read: BufReader::new(read),
            write,
        };
        let mut info = String::new();
        nats.read.read_line(&mut info).await?;
        ensure!(info.starts_with("INFO"), "not a NATS server: {info}");
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
        );
        ensure!(!nats.is_refused(&hello).await?, "{user} is refused");
        Ok(nats)
    }

    /// Says something and waits until the server has heard it. Messages that come meanwhile are dropped.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn is_refused(&mut self, said: &str) -> anyhow::Result<bool> {
        self.write.write_all(format!("{said}PING\r\n").as_bytes()).await?;
        let mut is_refused = false;
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            ensure!(self.read.read_line(&mut line).await? > 0, "the server hung up");
            is_refused |= line.starts_with("-ERR");
            self.payload_after(&line).await?;
        }
        Ok(is_refused)
    }

    /// Publishes a message as a request; gives back what is answered within the time.
    ///
    /// # Errors
    /// When the connection breaks, or the server does not let it listen to `inbox`.
    pub async fn request(
        &mut self,
        inbox: &str,
        subject: &str,
        payload: &[u8],
        time: Duration,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        ensure!(!self.is_refused(&format!("SUB {inbox} 7\r\n")).await?, "{inbox}");
        let head = format!("PUB {subject} {inbox} {}\r\n", payload.len());
        self.write.write_all(head.as_bytes()).await?;
        self.write.write_all(payload).await?;
        self.write.write_all(b"\r\n").await?;
        let answer = self.gather_for(time).await?.into_iter().next();
        ensure!(!self.is_refused("UNSUB 7\r\n").await?, "{inbox}");
        Ok(answer)
    }

    /// The payload behind the line of a message; `None` behind any other.
    async fn payload_after(&mut self, line: &str) -> anyhow::Result<Option<Vec<u8>>> {
        if !line.starts_with("MSG") && !line.starts_with("HMSG") {
            return Ok(None);
        }
        let length: usize = line.split_whitespace().last().context("a length")?.parse()?;
        let mut payload = vec![0; length + 2];
        self.read.read_exact(&mut payload).await?;
        payload.truncate(length);
        Ok(Some(payload))
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
            } else {
                messages.extend(self.payload_after(&line).await?);
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
