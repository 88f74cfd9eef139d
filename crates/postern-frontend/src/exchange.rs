//! Cuts the client's stream of messages into exchanges.
//!
//! An exchange is one simple Query, or extended-query messages up to Sync or Flush (PostgreSQL manual,
//! "Message Flow"). Where a client leaves extended messages without either (it sends a Query or COPY data
//! next, or very many messages), the exchange ends in a Flush of our own, which changes nothing but the
//! moment at which answers are sent.
//!
//! Every message is decoded in full here, and again at each later stage. Not here: sending, and COPY data
//! (see [`crate::copy`]).

use crate::statements::Statements;
use bytes::{Bytes, BytesMut};
use postern_types::{Refusal, SqlState};
use postern_wire::{FrontendMessage, Limits, WireError, decode_frontend, frontend_frame, put_flush};

/// An exchange that has grown to this (bytes) is ended in a Flush before its next Parse or Bind.
const CUT_BYTES: usize = 1024 * 1024;
/// ... or to this many messages.
const CUT_MESSAGES: u32 = 4096;
/// No exchange of several messages is longer (bytes): the longest Bind, and a little for what goes with it.
const MOST_BYTES: usize = 8 * 1024 * 1024 + 256 * 1024;
/// ... or has more messages.
const MOST_MESSAGES: u32 = 2 * CUT_MESSAGES;

/// How an exchange ends, which decides whether its answer ends in ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A simple Query.
    Query,
    /// Sync.
    Sync,
    /// Flush, the client's or ours.
    Flush,
}

/// What the client's bytes hold next.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// More bytes are needed.
    Incomplete,
    /// An exchange; its bookkeeping waits in [`Statements::finish`].
    Exchange {
        /// The client's messages as they came.
        payload: Bytes,
        /// How it ends.
        end: End,
        /// It closes prepared statements.
        closes: bool,
    },
    /// COPY data, CopyDone or CopyFail stands first in the buffer and was left there.
    CopyMessage,
    /// A FunctionCall, or a Query that is not valid UTF-8, was taken out of the buffer. It is answered with
    /// this error and ReadyForQuery.
    Refused(Refusal),
    /// The client leaves.
    Terminate,
}

/// Remembers how far into the buffer the next exchange has been read.
#[derive(Debug, Default)]
pub struct Cutter {
    scanned: usize,
    messages: u32,
    closes: bool,
}

enum Next {
    Incomplete,
    Query,
    Extended,
    Flush,
    Sync,
    Copy,
    /// The message does not fit into the exchange any more.
    Full,
    Refused(Refusal),
    Terminate,
}

impl Cutter {
    /// Extended messages wait for their Sync or Flush.
    pub fn has_unsent(&self) -> bool {
        self.scanned > 0
    }

    /// Takes the next thing out of `buffer`, which must hold the client's unread bytes from one call to the
    /// next. The names in extended messages go into `statements`.
    ///
    /// # Errors
    /// A refusal that ends the session: the protocol was broken or a limit exceeded.
    pub fn cut(
        &mut self,
        buffer: &mut BytesMut,
        statements: &mut Statements,
        limits: &Limits,
    ) -> Result<Cut, Refusal> {
        loop {
            let rest = buffer.get(self.scanned..).unwrap_or_default();
            let (next, length) = self.read(rest, statements, limits)?;
            match next {
                Next::Incomplete => return Ok(Cut::Incomplete),
                Next::Extended => {
                    self.closes |= rest.first() == Some(&postern_wire::frontend_tag::CLOSE);
                    self.scanned = self.scanned.saturating_add(length);
                    self.messages = self.messages.saturating_add(1);
                }
                // Nothing waits, so there is nothing to flush.
                Next::Flush if self.scanned == 0 => drop(buffer.split_to(length)),
                Next::Flush => return Ok(self.finish(buffer, length, End::Flush)),
                Next::Sync => return Ok(self.finish(buffer, length, End::Sync)),
                Next::Terminate => return Ok(Cut::Terminate),
                Next::Full => return Ok(self.flush(buffer)),
                _ if self.scanned > 0 => return Ok(self.flush(buffer)),
                Next::Query => return Ok(self.finish(buffer, length, End::Query)),
                Next::Copy => return Ok(Cut::CopyMessage),
                Next::Refused(refusal) => {
                    drop(buffer.split_to(length));
                    return Ok(Cut::Refused(refusal));
                }
            }
        }
    }

    fn finish(&mut self, buffer: &mut BytesMut, last: usize, end: End) -> Cut {
        let total = self.scanned.saturating_add(last).min(buffer.len());
        let payload = buffer.split_to(total).freeze();
        let closes = std::mem::take(self).closes;
        Cut::Exchange { payload, end, closes }
    }

    fn flush(&mut self, buffer: &mut BytesMut) -> Cut {
        let total = self.scanned.min(buffer.len());
        let mut payload = buffer.split_to(total).to_vec();
        put_flush(&mut payload);
        let closes = std::mem::take(self).closes;
        Cut::Exchange {
            payload: payload.into(),
            end: End::Flush,
            closes,
        }
    }

    /// Reads the message that follows what has been scanned.
    fn read(
        &self,
        rest: &[u8],
        statements: &mut Statements,
        limits: &Limits,
    ) -> Result<(Next, usize), Refusal> {
        let fatal = |error: WireError| Refusal {
            fatal: true,
            ..error.refusal()
        };
        let Some(frame) = frontend_frame(rest, limits).map_err(fatal)? else {
            return Ok((Next::Incomplete, 0));
        };
        let length = frame.raw.len();
        let message = match decode_frontend(&frame) {
            Ok(message) => message,
            // As PostgreSQL does: the statement fails, the session goes on. In the extended protocol the rest
            // up to Sync would have to be skipped, which is not ours to do.
            Err(error @ WireError::Encoding { .. }) if frame.tag == postern_wire::frontend_tag::QUERY => {
                return Ok((Next::Refused(error.refusal()), length));
            }
            Err(error) => return Err(fatal(error)),
        };
        let next = match message {
            FrontendMessage::Query { .. } => Next::Query,
            FrontendMessage::Flush => Next::Flush,
            FrontendMessage::Sync => Next::Sync,
            FrontendMessage::Terminate => Next::Terminate,
            FrontendMessage::CopyData(_) | FrontendMessage::CopyDone | FrontendMessage::CopyFail { .. } => {
                Next::Copy
            }
            FrontendMessage::FunctionCall => Next::Refused(Refusal::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "the function call protocol is not supported; use SELECT",
            )),
            FrontendMessage::Password(_) => return Err(fatal(WireError::UnknownTag(frame.tag))),
            // What there is goes first, and this is read again.
            _ if self.has_unsent() && self.is_full(&message, length) => Next::Full,
            FrontendMessage::Parse {
                name,
                sql,
                parameter_types,
            } => {
                statements.parse(name, sql, parameter_types.iter())?;
                Next::Extended
            }
            FrontendMessage::Bind {
                portal, statement, ..
            } => {
                statements.bind(portal, statement);
                Next::Extended
            }
            FrontendMessage::Describe { target, name } => {
                statements.refer(target, name);
                Next::Extended
            }
            FrontendMessage::Execute { portal, .. } => {
                statements.refer(postern_wire::Target::Portal, portal);
                Next::Extended
            }
            FrontendMessage::Close { target, name } => {
                statements.close(target, name);
                Next::Extended
            }
        };
        Ok((next, length))
    }

    /// Whether the exchange is better cut before `message`, or has to be. After an Execute is the best place.
    fn is_full(&self, message: &FrontendMessage<'_>, length: usize) -> bool {
        let begins = matches!(
            message,
            FrontendMessage::Parse { .. } | FrontendMessage::Bind { .. }
        );
        let large = self.scanned >= CUT_BYTES || self.messages >= CUT_MESSAGES;
        let most = self.scanned.saturating_add(length) > MOST_BYTES || self.messages >= MOST_MESSAGES;
        most || (begins && large)
    }
}

#[cfg(test)]
mod tests;
