//! One client's session: what was asked, what may be answered, and what goes where next.
//!
//! Free of I/O and clocks, so that it can be tested message by message. It is fed the client's bytes, the
//! answers of the ring and the passing of time, and fills three queues: requests for the ring, bytes for the
//! client, and notes for the ledger. Whoever drives it must write the notes before he hands on the
//! rest (P8).
//!
//! It trusts an answer only as far as the exchange that is open and the chain of digests go (P5). Not here:
//! sign-in messages ([`crate::signin`]), sockets ([`crate::client`]), seals ([`crate::inlet`]).

mod answers;
mod requests;

use crate::copy::CopyIn;
use crate::credit::{AnswerCredit, CopyCredit};
use crate::exchange::{Cutter, End};
use crate::output::Output;
use crate::statements::{StatementLimits, Statements};
use crate::watch::{Advice, Loss, Watch};
pub use answers::{Arrived, SignInReply};
use bytes::{Bytes, BytesMut};
use postern_types::ring::RequestBody;
use postern_types::{
    AnswerState, InstanceId, Refusal, Resequencer, SessionId, Slot, SqlState, StateDigest, TraceParent,
};
use postern_wire::{Limits, TransactionStatus, put_ready, put_refusal};
use std::collections::VecDeque;
use std::time::Instant;

/// Most answers that may be held because an earlier one is missing.
const HELD_ANSWERS: usize = 512;
/// While nothing can be sent, this much is still read from the client (bytes).
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Bounds of one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Longest messages.
    pub wire: Limits,
    /// What is remembered.
    pub statements: StatementLimits,
    /// Most exchanges under way.
    pub exchanges: usize,
    /// Most bytes of them.
    pub exchange_bytes: usize,
    /// Bytes of answer that may be under way.
    pub answer_window: u64,
    /// Comments may name a trace.
    pub trace_comments: bool,
}

/// Something for the Query Validator, not sealed yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The session.
    pub session: SessionId,
    /// Number in the session; 0 outside the order.
    pub sequence: u64,
    /// The exchange; 0 for none.
    pub exchange: u64,
    /// Number of the chunk of COPY data in its exchange, from 1; 0 for everything else.
    pub part: u32,
    /// Which Backend it is for.
    pub backend: Slot,
    /// What it is.
    pub body: RequestBody,
    /// Raw tail of the body.
    pub payload: Bytes,
}

/// A note, and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The note.
    pub note: Note,
    /// When the request was there, if it ends one.
    pub begun: Option<Instant>,
    /// The trace that the client named.
    pub trace: Option<TraceParent>,
}

/// Something for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The answer to this exchange is complete.
    Answered(u64),
    /// This exchange will not be answered in full.
    Lost(u64, SqlState),
    /// The client asked to cancel this exchange.
    Cancel(u64),
}

/// An exchange that waits for (the rest of) its answer.
#[derive(Debug)]
struct Open {
    id: u64,
    sequence: u64,
    end: End,
    bytes: usize,
    closes: bool,
    failed: bool,
    /// Digest of the answer's state after the last part; `None` before the first.
    reached: Option<StateDigest>,
    parts: u32,
    /// When its last message was there.
    begun: Instant,
    trace: Option<TraceParent>,
}

#[derive(Debug)]
enum Entry {
    Exchange(Open),
    /// Answered here, in its turn.
    Refused(Refusal),
}

impl Open {
    fn noted(&self, note: Note) -> Noted {
        Noted {
            note,
            begun: Some(self.begun),
            trace: self.trace,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    backend: Slot,
    backend_instance: InstanceId,
    limits: SessionLimits,
    ticket: Vec<u8>,
    /// Bytes of the client that were not taken yet.
    pub input: BytesMut,
    /// Bytes for the client.
    pub output: Output,
    /// Messages for the ring.
    pub requests: Vec<Outgoing>,
    /// For the ledger.
    pub notes: Vec<Noted>,
    cutter: Cutter,
    statements: Statements,
    entries: VecDeque<Entry>,
    open_bytes: usize,
    next_sequence: u64,
    next_exchange: u64,
    answers: Resequencer<Arrived>,
    reply: Option<SignInReply>,
    signed_in: bool,
    starts: Starts,
    status: TransactionStatus,
    answer_credit: AnswerCredit,
    copy_credit: CopyCredit,
    copy: Option<CopyIn>,
    /// Bytes of an unfinished CopyData of a COPY that is over.
    skip: usize,
    watch: Watch,
    /// The last attempt to go on ended for another reason than missing bytes.
    blocked: bool,
    stopping: bool,
    /// The client has said good-bye; what it asked for before is finished first, as PostgreSQL does.
    leaving: bool,
    ended: bool,
}

/// Digests in which an answer may begin.
#[derive(Clone, Copy, Debug)]
struct Starts {
    fresh: StateDigest,
    skipping: StateDigest,
    next: StateDigest,
}

impl Session {
    /// A session that is about to sign in through this Backend.
    pub fn new(
        id: SessionId,
        backend: Slot,
        backend_instance: InstanceId,
        limits: SessionLimits,
        now: Instant,
    ) -> Self {
        let fresh = postern_inspect::digest(&AnswerState::default());
        Session {
            id,
            backend,
            backend_instance,
            limits,
            ticket: Vec::new(),
            input: BytesMut::new(),
            output: Output::default(),
            requests: Vec::new(),
            notes: Vec::new(),
            cutter: Cutter::default(),
            statements: Statements::new(limits.statements),
            entries: VecDeque::new(),
            open_bytes: 0,
            next_sequence: 1,
            next_exchange: 1,
            answers: Resequencer::new(1, HELD_ANSWERS),
            reply: None,
            signed_in: false,
            starts: Starts {
                fresh,
                skipping: postern_inspect::digest(&postern_inspect::SKIPPING),
                next: fresh,
            },
            status: TransactionStatus::Idle,
            answer_credit: AnswerCredit::new(limits.answer_window),
            copy_credit: CopyCredit::default(),
            copy: None,
            skip: 0,
            watch: Watch::new(now),
            blocked: false,
            stopping: false,
            leaving: false,
            ended: false,
        }
    }

    /// The session's identity.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The run of the Backend that serves it.
    pub fn backend_instance(&self) -> InstanceId {
        self.backend_instance
    }

    /// First answer window, to be told at sign-in.
    pub fn window(&self) -> u64 {
        self.answer_credit.granted()
    }

    /// Nothing more is taken from client or ring; once `output` is written the connection is to be closed.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// More of the client's bytes can be used.
    pub fn wants_input(&self) -> bool {
        !self.ended && (!self.blocked || self.input.len() < READ_AHEAD_BYTES)
    }

    /// An exchange waits for its answer.
    pub fn is_waiting(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Sends one step of signing in, or another message outside exchanges, with the next number.
    pub fn send(&mut self, body: RequestBody) {
        let exchange = self.oldest().map_or(0, |open| open.id);
        let sequence = self.take_sequence();
        self.push(sequence, exchange, 0, body, Bytes::new());
    }

    /// The sign-in was accepted: from now on exchanges may be sent.
    pub fn open(&mut self, ticket: Vec<u8>, now: Instant) {
        self.ticket = ticket;
        self.signed_in = true;
        self.watch.progress(now);
        self.take_answers(now);
    }

    /// Refusals of our own that have come to the front of the queue.
    fn answer_refused(&mut self) {
        while let Some(Entry::Refused(refusal)) = self.entries.front() {
            let mut message = Vec::new();
            put_refusal(&mut message, refusal);
            put_ready(&mut message, self.status);
            self.output.push_own(message);
            self.entries.pop_front();
        }
    }

    /// The client's socket took this many bytes of `output`.
    pub fn written(&mut self, bytes: usize) {
        let answers = self.output.advance(bytes);
        if answers > 0 {
            self.grant(answers);
        }
    }

    /// Tells the Backend that it may send more, if this many bytes of answers that were written make it so.
    fn grant(&mut self, written: usize) {
        if !self.ended
            && let Some(bytes) = self.answer_credit.written(written)
        {
            let ticket = self.ticket.clone();
            self.send(RequestBody::Grant { ticket, bytes });
        }
    }

    /// A CancelRequest with this session's key arrived.
    pub fn cancel(&mut self) {
        let Some(exchange) = self.oldest().map(|open| open.id) else {
            return;
        };
        if self.ended {
            return;
        }
        self.notes.push(Noted {
            note: Note::Cancel(exchange),
            begun: None,
            trace: None,
        });
        let ticket = self.ticket.clone();
        self.send(RequestBody::Cancel { ticket });
    }

    /// Called twice a second.
    pub fn tick(&mut self, now: Instant) {
        if self.ended || !self.signed_in {
            return;
        }
        let Some(exchange) = self.oldest().map(|open| open.id) else {
            return;
        };
        match self.watch.tick(now) {
            Advice::Wait => {}
            Advice::Probe => {
                let ticket = self.ticket.clone();
                self.push(0, exchange, 0, RequestBody::Probe { ticket }, Bytes::new());
            }
            Advice::Lost(Loss::NeverBegun) => self.end(never_begun()),
            Advice::Lost(Loss::Unknown) => self.end(outcome_unknown()),
        }
    }

    /// The Backend that serves the session is gone.
    pub fn backend_gone(&mut self) {
        if !self.signed_in {
            self.reply = Some(SignInReply::Lost);
            return;
        }
        if self.ended {
            return;
        }
        let refusal = if self.is_waiting() {
            outcome_unknown()
        } else if self.status == TransactionStatus::Idle {
            Refusal::fatal(
                SqlState::CONNECTION_FAILURE,
                "the connection to the database was lost while nothing was running; connect again",
            )
        } else {
            Refusal::fatal(
                SqlState::CONNECTION_FAILURE,
                "the connection to the database was lost and the open transaction is rolled back; connect again",
            )
        };
        self.end(refusal);
    }

    /// The Frontend stops: ends the session as soon as nothing is under way, or at once if `now`.
    pub fn stop(&mut self, now: bool) {
        self.stopping = true;
        if self.ended || (self.is_waiting() && !now) {
            return;
        }
        self.end(if self.is_waiting() {
            outcome_unknown()
        } else {
            stopping()
        });
    }

    /// The client left: no more is written to it.
    pub fn leave(&mut self) {
        self.finish(SqlState::CONNECTION_FAILURE);
        self.output.clear();
    }

    /// Ends the session with an error.
    pub fn end(&mut self, refusal: Refusal) {
        if self.ended {
            return;
        }
        let refusal = Refusal {
            fatal: true,
            ..refusal
        };
        let mut message = Vec::new();
        put_refusal(&mut message, &refusal);
        self.output.push_own(message);
        self.finish(refusal.code);
    }

    fn finish(&mut self, code: SqlState) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.input.clear();
        for entry in self.entries.drain(..) {
            if let Entry::Exchange(open) = entry {
                self.notes.push(open.noted(Note::Lost(open.id, code)));
            }
        }
        if self.signed_in {
            let ticket = self.ticket.clone();
            self.send(RequestBody::Close { ticket });
        }
    }

    fn oldest(&self) -> Option<&Open> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Exchange(open) => Some(open),
            Entry::Refused(_) => None,
        })
    }

    fn take_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.saturating_add(1);
        sequence
    }

    fn push(&mut self, sequence: u64, exchange: u64, part: u32, body: RequestBody, payload: Bytes) {
        self.requests.push(Outgoing {
            session: self.id,
            sequence,
            exchange,
            part,
            backend: self.backend.clone(),
            body,
            payload,
        });
    }
}

fn never_begun() -> Refusal {
    Refusal::fatal(
        SqlState::CONNECTION_FAILURE,
        "the statement was lost on its way and did not run; connect again and repeat it",
    )
}

fn outcome_unknown() -> Refusal {
    Refusal::fatal(
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        "the connection to the database was lost; whether the last statement ran is unknown, check before you repeat it",
    )
}

fn stopping() -> Refusal {
    Refusal::fatal(
        SqlState::ADMIN_SHUTDOWN,
        "terminating connection because the server is shutting down; connect again",
    )
}

#[cfg(test)]
mod tests;
