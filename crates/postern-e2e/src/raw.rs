//! A client that sends exactly the bytes it is told to, and reads message by message.

use anyhow::{Context, bail, ensure};
use postern_scram::client::{Binding, Client};
use postern_wire::{
    Authentication, BackendMessage, backend_frame, decode_backend, put_sasl_initial, put_sasl_response,
    put_startup,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long to wait for an answer before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// One message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Message {
    /// SQLSTATE and text of an ErrorResponse.
    pub fn error(&self) -> Option<(String, String)> {
        if self.tag != b'E' {
            return None;
        }
        let field = |code: u8| {
            self.body
                .split(|b| *b == 0)
                .find(|f| f.first() == Some(&code))
                .and_then(|f| f.get(1..))
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .unwrap_or_default()
        };
        Some((field(b'C'), field(b'M')))
    }
}

/// A raw connection.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Process id and key of BackendKeyData.
    pub cancel_key: Option<(u32, Vec<u8>)>,
}

impl Raw {
    /// Connects and sends nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(port: u16) -> anyhow::Result<Raw> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Raw {
            stream,
            buffer: Vec::new(),
            cancel_key: None,
        })
    }

    /// Connects and signs in as a user whose password is the name.
    ///
    /// # Errors
    /// When that fails.
    pub async fn sign_in(port: u16, user: &str) -> anyhow::Result<Raw> {
        let mut raw = Raw::connect(port).await?;
        let mut startup = Vec::new();
        put_startup(&mut startup, 0, &[("user", user), ("database", "demo")])?;
        raw.send(&startup).await?;
        raw.scram(user).await?;
        raw.until_ready().await?;
        Ok(raw)
    }

    /// Answers the SCRAM challenge with this password.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn scram(&mut self, password: &str) -> anyhow::Result<()> {
        ensure!(self.message().await?.tag == b'R', "no AuthenticationSASL");
        let client = Client::new(Binding::None, "abcdefghijklmnopqrstuvwx")?;
        let mut out = Vec::new();
        put_sasl_initial(&mut out, client.mechanism().as_str(), &client.first_message())?;
        self.send(&out).await?;
        let challenge = self.sasl().await?;
        let (response, last) = client.respond(&challenge, password)?;
        out.clear();
        put_sasl_response(&mut out, &response)?;
        self.send(&out).await?;
        last.verify(&self.sasl().await?)?;
        Ok(())
    }

    async fn sasl(&mut self) -> anyhow::Result<Vec<u8>> {
        let message = self.message().await?;
        if let Some((code, text)) = message.error() {
            bail!("{code}: {text}");
        }
        let mut raw = vec![message.tag];
        raw.extend_from_slice(&u32::try_from(message.body.len() + 4)?.to_be_bytes());
        raw.extend_from_slice(&message.body);
        let frame = backend_frame(&raw, u32::MAX >> 1)?.context("a frame")?;
        match decode_backend(&frame)? {
            BackendMessage::Authentication(
                Authentication::SaslContinue(data) | Authentication::SaslFinal(data),
            ) => Ok(data.to_vec()),
            other => bail!("unexpected {other:?}"),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(())
    }

    /// Reads one raw byte, as after SSLRequest; `None` at the end of the connection.
    ///
    /// # Errors
    /// When nothing comes.
    pub async fn byte(&mut self) -> anyhow::Result<Option<u8>> {
        match timeout(PATIENCE, self.stream.read_u8())
            .await
            .context("nothing came")?
        {
            Ok(byte) => Ok(Some(byte)),
            Err(_) => Ok(None),
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// When the connection is closed, or nothing comes.
    pub async fn message(&mut self) -> anyhow::Result<Message> {
        self.next().await?.context("the connection was closed")
    }

    /// The next message; `None` at the end of the connection.
    ///
    /// # Errors
    /// When nothing comes.
    pub async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            if let Some(frame) = backend_frame(&self.buffer, u32::MAX >> 1)? {
                let message = Message {
                    tag: frame.tag,
                    body: frame.body.to_vec(),
                };
                let length = frame.raw.len();
                self.buffer.drain(..length);
                return Ok(Some(message));
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            match read.context("nothing came")? {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// Messages up to and with ReadyForQuery.
    ///
    /// # Errors
    /// When the connection is closed before.
    pub async fn until_ready(&mut self) -> anyhow::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await?;
            if message.tag == b'K' {
                let (pid, key) = message.body.split_first_chunk::<4>().context("BackendKeyData")?;
                self.cancel_key = Some((u32::from_be_bytes(*pid), key.to_vec()));
            }
            let done = message.tag == b'Z';
            messages.push(message);
            if done {
                return Ok(messages);
            }
        }
    }

    /// Everything up to the end of the connection.
    ///
    /// # Errors
    /// When it is not closed in time.
    pub async fn until_closed(&mut self) -> anyhow::Result<Vec<Message>> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// Sends a simple Query and reads the answer.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn query(&mut self, sql: &str) -> anyhow::Result<Vec<Message>> {
        let mut out = Vec::new();
        postern_wire::put_query(&mut out, sql)?;
        self.send(&out).await?;
        self.until_ready().await
    }
}

/// The tags of messages as text, such as `TDCZ`.
pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|m| char::from(m.tag)).collect()
}

/// The first error among messages: SQLSTATE and text.
pub fn first_error(messages: &[Message]) -> Option<(String, String)> {
    messages.iter().find_map(Message::error)
}
