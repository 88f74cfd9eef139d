//! What a session makes of the answers of the ring.

use super::{Entry, Note, Open, Session, stopping};
use crate::copy::CopyIn;
use crate::exchange::End;
use crate::watch::Report;
use bytes::Bytes;
use postern_types::ring::{Opened, SignInAnswer, Standing};
use postern_types::{Arrival, Refusal, SqlState, StateDigest};
use postern_wire::TransactionStatus;
use std::time::Instant;

/// Types of the backend messages that are looked at here.
const COPY_IN_RESPONSE: u8 = b'G';
const ERROR_RESPONSE: u8 = b'E';

/// An answer, opened and addressed to this session.
#[derive(Debug)]
pub enum Arrived {
    /// A step of signing in.
    SignIn(SignInReply),
    /// A part of the answer to `exchange`, or, without `before`, messages that came by themselves.
    Part {
        /// The exchange.
        exchange: u64,
        /// See `Answer::Part`.
        before: Option<StateDigest>,
        /// See `Answer::Part`.
        after: StateDigest,
        /// See `Answer::Part`.
        parsed: u32,
        /// See `Answer::Part`.
        sent_bytes: u64,
        /// See `Answer::Part`.
        copy_in: bool,
        /// See `Answer::Part`.
        last: bool,
        /// See `Answer::Part`.
        hang_up: bool,
        /// Whole messages for the client.
        payload: Bytes,
    },
    /// See `Answer::Grant`.
    Grant(u64),
    /// See `Answer::Lost`.
    Lost(Refusal),
}

/// What came of one step of signing in.
#[derive(Debug)]
pub enum SignInReply {
    /// The Query Validator's word, and the Backend's if it was asked.
    Answer(SignInAnswer, Option<Opened>),
    /// The Backend went away.
    Lost,
}

impl Session {
    /// The reply to the last step of signing in, once.
    pub fn take_reply(&mut self, now: Instant) -> Option<SignInReply> {
        let reply = self.reply.take()?;
        self.take_answers(now);
        Some(reply)
    }

    /// An answer arrived under this number.
    pub fn arrive(&mut self, sequence: u64, arrived: Arrived, now: Instant) {
        if self.ended {
            return;
        }
        match self.answers.offer(sequence, arrived) {
            Arrival::InOrder => self.take_answers(now),
            Arrival::Held | Arrival::Duplicate => {}
            Arrival::TooFar => self.broken(),
        }
    }

    /// The Backend answered a probe.
    pub fn probed(&mut self, standing: Standing, sent: u64, expected: u64, now: Instant) {
        let Some(oldest) = self.oldest().map(|open| open.sequence) else {
            return;
        };
        let report = Report {
            standing,
            sent,
            expected,
            awaited: self.answers.expected(),
            next: self.next_sequence,
            oldest,
        };
        self.watch.report(now, report);
    }

    /// Takes answers in their order. While a session signs in, each waits until the one before is used.
    pub(super) fn take_answers(&mut self, now: Instant) {
        while !self.ended && self.reply.is_none() {
            let waits_for_sign_in = !self.signed_in && self.answers.expected() >= self.next_sequence;
            if waits_for_sign_in {
                return;
            }
            let Some(arrived) = self.answers.pop() else {
                return;
            };
            self.watch.progress(now);
            match arrived {
                Arrived::SignIn(reply) if !self.signed_in => self.reply = Some(reply),
                Arrived::SignIn(_) => self.broken(),
                Arrived::Grant(bytes) => self.copy_credit.grant(bytes),
                Arrived::Lost(refusal) if self.signed_in => self.end(refusal),
                Arrived::Lost(refusal) => {
                    self.reply = Some(SignInReply::Answer(SignInAnswer::Refused(refusal), None));
                }
                Arrived::Part {
                    before: None,
                    sent_bytes,
                    payload,
                    hang_up,
                    ..
                } => self.unsolicited(payload, sent_bytes, hang_up),
                Arrived::Part {
                    exchange,
                    before: Some(before),
                    after,
                    parsed,
                    sent_bytes,
                    copy_in,
                    last,
                    hang_up,
                    payload,
                } => {
                    let part = Part {
                        before,
                        after,
                        parsed,
                        sent_bytes,
                        copy_in,
                        last,
                        hang_up,
                    };
                    self.part(exchange, &part, payload);
                }
            }
        }
    }

    fn unsolicited(&mut self, payload: Bytes, sent_bytes: u64, hang_up: bool) {
        let received = self.answer_credit.receive_unasked(sent_bytes, payload.len());
        if received.is_err() {
            return self.end(Refusal::fatal(
                SqlState::INSUFFICIENT_RESOURCES,
                "the client does not read what it is sent; too many messages wait for it",
            ));
        }
        self.output.push_answer(payload);
        self.grant(0);
        if hang_up {
            self.finish(SqlState::CONNECTION_FAILURE);
        }
    }

    fn part(&mut self, exchange: u64, part: &Part, payload: Bytes) {
        let newest = self.entries.len() == 1;
        let start = self.starts.next;
        let Some(Entry::Exchange(open)) = self.entries.front_mut() else {
            return self.broken();
        };
        let fits = open.id == exchange && open.reached.unwrap_or(start) == part.before;
        if !fits
            || self
                .answer_credit
                .receive(part.sent_bytes, payload.len())
                .is_err()
            || self.statements.parsed(exchange, part.parsed).is_err()
        {
            return self.broken();
        }
        open.reached = Some(part.after);
        open.failed |= open.closes && has_message(&payload, ERROR_RESPONSE);
        let copy_begins = part.copy_in && !part.last && has_message(&payload, COPY_IN_RESPONSE);
        let end = open.end;
        let ready = (part.last && end != End::Flush)
            .then(|| ready_status(&payload))
            .flatten();
        self.output.push_answer(payload);
        // Of a part from which everything was left out nothing is ever written.
        self.grant(0);
        if copy_begins {
            if !newest {
                // PostgreSQL would take the next message for a part of the COPY and fail.
                return self.end(Refusal::fatal(
                    SqlState::PROTOCOL_VIOLATION,
                    "a message other than COPY data was sent during COPY from stdin",
                ));
            }
            self.stop_copy();
            self.copy = Some(CopyIn::new(end));
        }
        if part.last {
            self.answered(part.after, ready);
        }
        if part.hang_up {
            self.finish(SqlState::CONNECTION_FAILURE);
        }
    }

    fn answered(&mut self, after: StateDigest, ready: Option<TransactionStatus>) {
        let newest = self.entries.len() == 1;
        let Some(Entry::Exchange(open)) = self.entries.pop_front() else {
            return;
        };
        let Open {
            id, bytes, failed, ..
        } = open;
        if newest {
            self.stop_copy();
        }
        self.open_bytes = self.open_bytes.saturating_sub(bytes);
        self.starts.next = if after == self.starts.skipping {
            after
        } else {
            self.starts.fresh
        };
        self.statements.ended(id, failed);
        self.notes.push(open.noted(Note::Answered(id)));
        if let Some(status) = ready {
            self.status = status;
            if status == TransactionStatus::Idle && self.entries.is_empty() && !self.cutter.has_unsent() {
                self.statements.no_transaction();
            }
        }
        self.answer_refused();
        self.leave_when_done();
        if self.stopping && self.entries.is_empty() {
            self.end(stopping());
        }
    }

    /// The COPY is over, whether or not the client has sent all of it.
    fn stop_copy(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.skip = self.skip.saturating_add(copy.unsent());
        }
    }

    /// An answer that is not for us, or not in its place (P5).
    fn broken(&mut self) {
        tracing::error!(session = %self.id, "an answer does not fit its exchange; the session ends");
        self.end(Refusal::fatal(
            SqlState::INTERNAL_ERROR,
            "the answer did not fit the statement and was withheld; whether it ran is unknown",
        ));
    }
}

struct Part {
    before: StateDigest,
    after: StateDigest,
    parsed: u32,
    sent_bytes: u64,
    copy_in: bool,
    last: bool,
    hang_up: bool,
}

/// Whether a message of this type is among these whole messages.
fn has_message(payload: &[u8], tag: u8) -> bool {
    let mut rest = payload;
    while let Some(([found, length @ ..], _)) = rest.split_first_chunk::<5>() {
        if *found == tag {
            return true;
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        match rest.get(length.saturating_add(1).max(5)..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    false
}

/// The status in the ReadyForQuery at the end of an answer.
fn ready_status(payload: &[u8]) -> Option<TransactionStatus> {
    let (_, message) = payload.split_last_chunk::<6>()?;
    let [b'Z', 0, 0, 0, 5, status] = message else {
        return None;
    };
    TransactionStatus::from_byte(*status)
}
