//! A client that does as little as a client can, so that what is measured is the other side: it reads into one
//! buffer, looks at the length of every message, and throws the rows away.

use crate::places::{DATABASE, USER};
use anyhow::{Context as _, bail, ensure};
use postern_scram::client::{Binding, Client as Scram};
use postern_wire::{
    Authentication, BackendMessage, Frame, backend_frame, decode_backend, put_copy_done, put_query,
    put_sasl_initial, put_sasl_response, put_startup,
};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longest message that is taken.
const MAX_BYTES: u32 = 16 * 1024 * 1024;
/// What one read asks for.
const READ_BYTES: usize = 256 * 1024;
/// How long the other side may be silent before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is signed in.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes from `begin` to `end` are read and not yet taken.
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Client {
    /// Connects to a port on 127.0.0.1 and signs in.
    ///
    /// # Errors
    /// When that is refused.
    pub(crate) fn connect(port: u16) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Client {
            stream,
            buffer: vec![0; READ_BYTES],
            begin: 0,
            end: 0,
        };
        let mut out = Vec::new();
        put_startup(&mut out, 0, &[("user", USER), ("database", DATABASE)])?;
        client.stream.write_all(&out)?;
        client.sign_in()?;
        client.until_ready()?;
        Ok(client)
    }

    fn sign_in(&mut self) -> anyhow::Result<()> {
        ensure!(self.message(|frame| frame.tag)? == b'R', "no AuthenticationSASL");
        // A nonce of a benchmark need not be hard to guess.
        let scram = Scram::new(Binding::None, "a-nonce-of-postern-bench")?;
        let mut out = Vec::new();
        put_sasl_initial(&mut out, scram.mechanism().as_str(), &scram.first_message())?;
        self.stream.write_all(&out)?;
        let (response, last) = scram.respond(&self.sasl()?, USER)?;
        out.clear();
        put_sasl_response(&mut out, &response)?;
        self.stream.write_all(&out)?;
        last.verify(&self.sasl()?)?;
        Ok(())
    }

    fn sasl(&mut self) -> anyhow::Result<Vec<u8>> {
        self.message(|frame| match decode_backend(frame)? {
            BackendMessage::Authentication(
                Authentication::SaslContinue(data) | Authentication::SaslFinal(data),
            ) => Ok(data.to_vec()),
            BackendMessage::ErrorResponse(_) => bail!("signing in: {}", error_text(frame)),
            other => bail!("signing in: unexpected {other:?}"),
        })?
    }

    /// Runs a statement and counts the bytes of rows and of COPY's data in the answer.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn read_all(&mut self, sql: &str) -> anyhow::Result<u64> {
        self.query(sql)?;
        self.until_ready()
    }

    /// Sends `blocks`, which are whole CopyData messages, as the input of a COPY; counts nothing.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn copy_in<'a>(
        &mut self,
        sql: &str,
        blocks: impl Iterator<Item = &'a [u8]>,
    ) -> anyhow::Result<()> {
        self.query(sql)?;
        self.message(|frame| match frame.tag {
            b'G' => Ok(()),
            b'E' => bail!("{}", error_text(frame)),
            other => bail!("COPY was answered with {:?}", char::from(other)),
        })??;
        for block in blocks {
            self.stream.write_all(block).context("sending COPY's data")?;
        }
        let mut done = Vec::new();
        put_copy_done(&mut done);
        self.stream.write_all(&done)?;
        self.until_ready()?;
        Ok(())
    }

    fn query(&mut self, sql: &str) -> anyhow::Result<()> {
        let mut out = Vec::new();
        put_query(&mut out, sql)?;
        Ok(self.stream.write_all(&out)?)
    }

    /// Reads up to ReadyForQuery; gives the bytes of DataRow and CopyData bodies.
    fn until_ready(&mut self) -> anyhow::Result<u64> {
        let mut bytes: u64 = 0;
        let mut error = None;
        loop {
            let tag = self.message(|frame| {
                match frame.tag {
                    b'D' | b'd' => bytes = bytes.saturating_add(frame.body.len() as u64),
                    b'E' => error = Some(error_text(frame)),
                    _ => {}
                }
                frame.tag
            })?;
            if tag == b'Z' {
                break;
            }
        }
        match error {
            None => Ok(bytes),
            Some(text) => bail!("{text}"),
        }
    }

    /// Takes the next message.
    fn message<T>(&mut self, look: impl FnOnce(&Frame<'_>) -> T) -> anyhow::Result<T> {
        loop {
            let unread = self.buffer.get(self.begin..self.end).unwrap_or_default();
            if let Some(frame) = backend_frame(unread, MAX_BYTES)? {
                self.begin = self.begin.saturating_add(frame.raw.len());
                return Ok(look(&frame));
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> anyhow::Result<()> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end = self.end.saturating_sub(self.begin);
        self.begin = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len().saturating_mul(2), 0);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.stream.read(free).context("waiting for an answer")?;
        ensure!(read > 0, "the connection was closed");
        self.end = self.end.saturating_add(read);
        Ok(())
    }
}

/// SQLSTATE and message of an ErrorResponse.
fn error_text(frame: &Frame<'_>) -> String {
    let field = |code: u8| {
        frame
            .body
            .split(|byte| *byte == 0)
            .find_map(|field| field.split_first().filter(|(first, _)| **first == code))
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    format!("{} {}", field(b'C'), field(b'M'))
}
