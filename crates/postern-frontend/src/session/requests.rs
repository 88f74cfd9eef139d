//! What a session asks of the ring: exchanges and COPY data, made of the client's bytes.

use super::{Entry, Open, Session};
use crate::copy::Step;
use crate::exchange::{Cut, End};
use crate::trace;
use bytes::{Buf, Bytes};
use postern_bus::MAX_MESSAGE_BYTES;
use postern_types::ring::{Definition, RequestBody};
use postern_types::{Refusal, SqlState};
use std::time::Instant;

/// Left free in a message of the bus for the ticket and headers (bytes).
const MESSAGE_MARGIN: usize = 64 * 1024;

impl Session {
    /// Goes on with what the client has sent, as far as possible. `room` is false while the way to the ring
    /// is full.
    pub fn go_on(&mut self, room: bool, now: Instant) {
        self.blocked = false;
        while !self.ended && !self.blocked {
            let skipped = self.skip.min(self.input.len());
            self.input.advance(skipped);
            self.skip = self.skip.saturating_sub(skipped);
            let more = if !room || !self.signed_in || self.leaving {
                self.blocked = true;
                false
            } else if self.copy.is_some() {
                self.go_on_with_copy()
            } else {
                self.go_on_with_exchanges(now)
            };
            if !more {
                return;
            }
        }
    }

    /// Gives whether there may be more to do.
    fn go_on_with_exchanges(&mut self, now: Instant) -> bool {
        if self.stopping
            || self.entries.len() >= self.limits.exchanges
            || self.open_bytes >= self.limits.exchange_bytes
        {
            self.blocked = true;
            return false;
        }
        match self
            .cutter
            .cut(&mut self.input, &mut self.statements, &self.limits.wire)
        {
            Ok(Cut::Incomplete) => return false,
            Ok(Cut::Exchange { payload, end, closes }) => self.send_exchange(payload, end, closes, now),
            Ok(Cut::Refused(refusal)) => {
                self.entries.push_back(Entry::Refused(refusal));
                self.answer_refused();
            }
            // It may belong to a COPY whose CopyInResponse is still on its way.
            Ok(Cut::CopyMessage) if self.is_waiting() => {
                self.blocked = true;
                return false;
            }
            Ok(Cut::CopyMessage) => self.drop_message(),
            Ok(Cut::Terminate) => {
                self.leaving = true;
                self.leave_when_done();
            }
            Err(refusal) => self.end(refusal),
        }
        true
    }

    pub(super) fn leave_when_done(&mut self) {
        if self.leaving && !self.is_waiting() {
            self.finish(SqlState::CONNECTION_FAILURE);
        }
    }

    /// PostgreSQL ignores COPY messages outside COPY, because it can't help that they come late.
    fn drop_message(&mut self) {
        let whole = postern_wire::frontend_frame(&self.input, &self.limits.wire);
        if let Ok(Some(frame)) = whole {
            let length = frame.raw.len();
            self.input.advance(length);
        }
    }

    fn send_exchange(&mut self, payload: Bytes, end: End, closes: bool, now: Instant) {
        let id = self.next_exchange;
        self.next_exchange = id.saturating_add(1);
        let definitions = self.statements.finish(id);
        if size_of(&definitions).saturating_add(payload.len())
            > MAX_MESSAGE_BYTES.saturating_sub(MESSAGE_MARGIN)
        {
            self.end(Refusal::fatal(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the statement and its parameters are larger than what can be sent at once",
            ));
            return;
        }
        if !self.is_waiting() {
            self.watch.progress(now);
        }
        let trace = match self.limits.trace_comments {
            true => trace::named_by(&payload, &self.limits.wire),
            false => None,
        };
        let sequence = self.take_sequence();
        self.open_bytes = self.open_bytes.saturating_add(payload.len());
        self.entries.push_back(Entry::Exchange(Open {
            id,
            sequence,
            end,
            bytes: payload.len(),
            closes,
            failed: false,
            reached: None,
            parts: 0,
            begun: now,
            trace,
        }));
        let body = RequestBody::Exchange {
            ticket: self.ticket.clone(),
            definitions,
            trace,
        };
        self.push(sequence, id, 0, body, payload);
    }

    /// Gives whether there may be more to do.
    fn go_on_with_copy(&mut self) -> bool {
        let Some(copy) = &mut self.copy else {
            return true;
        };
        match copy.step(&mut self.input, self.copy_credit.available(), &self.limits.wire) {
            Ok(Step::Incomplete) => return false,
            Ok(Step::NoCredit) => {
                self.blocked = true;
                return false;
            }
            Ok(Step::Chunk(payload)) => self.send_copy(payload),
            Ok(Step::Last(payload)) => {
                self.copy = None;
                self.send_copy(payload);
            }
            Ok(Step::Terminate) => self.leave(),
            Err(refusal) => self.end(refusal),
        }
        true
    }

    fn send_copy(&mut self, payload: Bytes) {
        let Some(Entry::Exchange(open)) = self.entries.back_mut() else {
            return;
        };
        open.parts = open.parts.saturating_add(1);
        let (exchange, part) = (open.id, open.parts);
        self.copy_credit.spend(payload.len());
        let sequence = self.take_sequence();
        let ticket = self.ticket.clone();
        self.push(
            sequence,
            exchange,
            part,
            RequestBody::CopyData { ticket },
            payload,
        );
    }
}

fn size_of(definitions: &[Definition]) -> usize {
    let size = |d: &Definition| {
        let types = d.parameter_types.len().saturating_mul(5);
        d.sql.len().saturating_add(d.name.len()).saturating_add(types)
    };
    definitions.iter().map(size).fold(0, usize::saturating_add)
}
