//! COPY FROM STDIN: cuts what the client sends into chunks for the Backend, as far as its credit goes.
//!
//! When PostgreSQL has sent CopyInResponse it reads CopyData, CopyDone and CopyFail, and ignores Flush and
//! Sync (manual, "COPY Operations"). So the Sync that a client sent after its Execute has no effect, and
//! the client sends another after CopyDone: the answer's ReadyForQuery is for that one, and it belongs to
//! the same exchange. After a simple Query, or an exchange that ended in Flush, the COPY ends with CopyDone
//! or CopyFail, and what follows is the next exchange's.
//!
//! A large CopyData is cut into smaller ones: their borders mean nothing in this direction, and no stage has
//! to hold megabytes because of one message.

use crate::exchange::End;
use bytes::{Buf, Bytes, BytesMut};
use postern_types::{Refusal, SqlState};
use postern_wire::{
    FrontendMessage, Limits, WireError, decode_frontend, frontend_frame, frontend_tag, put_copy_data,
};

/// Most payload of one chunk (bytes).
const CHUNK_BYTES: usize = 128 * 1024;
/// A CopyData with more data than this (bytes) is cut up.
const PIECE_BYTES: usize = 64 * 1024;
/// A piece of a larger CopyData is sent when this much of it is there (bytes), so that pieces are not tiny.
const LEAST_PIECE_BYTES: usize = 16 * 1024;
/// Tag and length field.
const HEADER_BYTES: usize = 5;

/// What became of a look at the client's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Incomplete,
    /// There is data, but the Backend has not granted enough.
    NoCredit,
    /// Send this on.
    Chunk(Bytes),
    /// Send this on; the client has sent all that belongs to the exchange.
    Last(Bytes),
    /// The client leaves in the middle of it.
    Terminate,
}

/// Where the client stands in one COPY FROM STDIN.
#[derive(Debug)]
pub struct CopyIn {
    until_sync: bool,
    done: bool,
    /// Bytes of a large CopyData that have not been sent yet.
    rest: usize,
}

enum Found {
    Part,
    End,
    Ignore,
    Large(usize),
    Terminate,
}

impl CopyIn {
    /// A COPY that began in an exchange that ends this way.
    pub fn new(end: End) -> Self {
        CopyIn {
            until_sync: end == End::Sync,
            done: false,
            rest: 0,
        }
    }

    /// Bytes that are still to come of a CopyData which was sent in part.
    pub fn unsent(&self) -> usize {
        self.rest
    }

    /// Takes the next chunk out of `buffer`, of at most `available` bytes.
    ///
    /// # Errors
    /// A refusal that ends the session: a message that has no place here, or one too large.
    pub fn step(&mut self, buffer: &mut BytesMut, available: u64, limits: &Limits) -> Result<Step, Refusal> {
        let available = usize::try_from(available).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        if self.rest > 0 {
            return Ok(self.piece(buffer, available));
        }
        let mut length = 0usize;
        loop {
            let rest = buffer.get(length..).unwrap_or_default();
            let Some((found, bytes)) = self.look(rest, limits)? else {
                return Ok(chunk(buffer, length, Step::Incomplete));
            };
            let with_it = length.saturating_add(bytes);
            match found {
                // What stands before it goes first; then it is looked at again.
                Found::Ignore | Found::Large(_) | Found::Terminate if length > 0 => {
                    return Ok(chunk(buffer, length, Step::Incomplete));
                }
                Found::Terminate => return Ok(Step::Terminate),
                Found::Ignore => buffer.advance(bytes.min(buffer.len())),
                Found::Large(data) => {
                    buffer.advance(HEADER_BYTES.min(buffer.len()));
                    self.rest = data;
                    return Ok(self.piece(buffer, available));
                }
                Found::Part | Found::End if with_it > available => {
                    return Ok(chunk(buffer, length, Step::NoCredit));
                }
                Found::Part => {
                    self.note(rest);
                    length = with_it;
                }
                Found::End => return Ok(Step::Last(buffer.split_to(with_it.min(buffer.len())).freeze())),
            }
        }
    }

    /// Judges the first message of `rest`; `None` when it is not complete.
    fn look(&self, rest: &[u8], limits: &Limits) -> Result<Option<(Found, usize)>, Refusal> {
        let frame = frontend_frame(rest, limits).map_err(fatal)?;
        if !self.done
            && let Some(data) = large(rest)
        {
            return Ok(Some((Found::Large(data), 0)));
        }
        let Some(frame) = frame else {
            return Ok(None);
        };
        let found =
            match decode_frontend(&frame).map_err(fatal)? {
                FrontendMessage::Terminate => Found::Terminate,
                FrontendMessage::CopyData(_) if !self.done => Found::Part,
                FrontendMessage::CopyDone | FrontendMessage::CopyFail { .. } if !self.done => {
                    if self.until_sync { Found::Part } else { Found::End }
                }
                FrontendMessage::Sync if self.done => Found::End,
                FrontendMessage::Sync | FrontendMessage::Flush => Found::Ignore,
                // After an error PostgreSQL ignores COPY messages that are still under way.
                FrontendMessage::CopyData(_)
                | FrontendMessage::CopyDone
                | FrontendMessage::CopyFail { .. } => Found::Ignore,
                _ => {
                    return Err(Refusal::fatal(
                        SqlState::PROTOCOL_VIOLATION,
                        format!(
                            "unexpected message type 0x{:02x} during COPY from stdin",
                            frame.tag
                        ),
                    ));
                }
            };
        Ok(Some((found, frame.raw.len())))
    }

    fn note(&mut self, message: &[u8]) {
        let tag = message.first();
        if tag == Some(&frontend_tag::COPY_DONE) || tag == Some(&frontend_tag::COPY_FAIL) {
            self.done = true;
        }
    }

    /// A part of a large CopyData, as a CopyData of its own.
    fn piece(&mut self, buffer: &mut BytesMut, available: usize) -> Step {
        let wanted = self.rest.min(PIECE_BYTES);
        let there = wanted.min(buffer.len());
        if there < wanted.min(LEAST_PIECE_BYTES) {
            return Step::Incomplete;
        }
        if available < there.saturating_add(HEADER_BYTES) {
            return Step::NoCredit;
        }
        let data = buffer.split_to(there);
        let mut message = Vec::with_capacity(there.saturating_add(HEADER_BYTES));
        if put_copy_data(&mut message, &data).is_err() {
            // Only more than 2^31 bytes fail to encode, and a piece is a few thousand.
            return Step::Terminate;
        }
        self.rest = self.rest.saturating_sub(there);
        Step::Chunk(message.into())
    }
}

/// Bytes of data in a CopyData that is to be cut up. Its length was checked against the limit before.
fn large(rest: &[u8]) -> Option<usize> {
    let (tag, rest) = rest.split_first()?;
    let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
    let data = usize::try_from(length).ok()?.checked_sub(4)?;
    (*tag == frontend_tag::COPY_DATA && data > PIECE_BYTES).then_some(data)
}

fn chunk(buffer: &mut BytesMut, length: usize, otherwise: Step) -> Step {
    if length == 0 {
        return otherwise;
    }
    Step::Chunk(buffer.split_to(length.min(buffer.len())).freeze())
}

fn fatal(error: WireError) -> Refusal {
    Refusal {
        fatal: true,
        ..error.refusal()
    }
}

#[cfg(test)]
mod tests;
