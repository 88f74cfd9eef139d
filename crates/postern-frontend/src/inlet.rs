//! The way out of the ring: opens answers and gives each to its session.
//!
//! It believes only what the Response Validator sealed to this Frontend, once (P3, P5); what it can't open is
//! written down and dropped. Sign-in answers must be sealed by the Query Validator besides.

use crate::frontend::{Frontend, Seat};
use crate::session::{Arrived, SignInReply};
use bytes::{Bytes, BytesMut};
use postern_bus::Inlet;
use postern_envelope::{Freshness, Header, Opener, ReplayWindow, batch};
use postern_ledger::{Details, Event, Level, Outcome, Record};
use postern_runtime::unix_ms;
use postern_types::body;
use postern_types::ring::{Answer, Opened, SignInAnswer};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

/// Most messages of the bus taken at once.
const DRAIN: usize = 256;
/// Validators whose envelopes are told apart at the same time.
const SENDERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

const REPEATED: &str = "repeated";

/// Opens answers.
pub struct Openers {
    /// For everything from the Response Validator.
    pub answers: Opener,
    /// For the sign-in answers inside.
    pub sign_in: Opener,
}

/// Runs until the ledger can't be written.
///
/// # Errors
/// When the ledger can't be written.
pub async fn run(frontend: Rc<Frontend>, mut inlet: Inlet, openers: Openers) -> anyhow::Result<()> {
    let mut sorter = Sorter::new(frontend, openers);
    loop {
        let deliveries = inlet.next(DRAIN).await;
        let now = Instant::now();
        for delivery in deliveries {
            delivery.ack();
            sorter.message(delivery.payload, now);
        }
        sorter.hand_on()?;
    }
}

/// Opens messages and gives answers to sessions.
pub struct Sorter {
    frontend: Rc<Frontend>,
    openers: Openers,
    seen: ReplayWindow,
    touched: Vec<Rc<Seat>>,
}

struct Item {
    header: Header,
    answer: Answer,
    payload: Range<usize>,
}

impl Sorter {
    /// Nothing seen yet.
    pub fn new(frontend: Rc<Frontend>, openers: Openers) -> Self {
        Sorter {
            frontend,
            openers,
            seen: ReplayWindow::new(SENDERS),
            touched: Vec::new(),
        }
    }

    /// Takes one message of the bus. Nothing of it reaches a client before [`Sorter::hand_on`].
    pub fn message(&mut self, message: Bytes, now: Instant) {
        let mut message = BytesMut::from(message);
        let now_ms = unix_ms();
        let base = message.as_ptr() as usize;
        let mut items = Vec::new();
        let Ok(envelopes) = batch::split(&mut message) else {
            return self.refused("batch");
        };
        for envelope in envelopes {
            match self.open(envelope, base, now_ms) {
                Ok(item) => items.push(item),
                // A validator or a NATS server died and the message came again: expected, and dropped.
                Err(REPEATED) => tracing::debug!("an envelope came twice"),
                Err(reason) => self.refused(reason),
            }
        }
        let message = message.freeze();
        for item in items {
            // A slice keeps the whole message in memory. That is fine while most of it is the slice.
            let payload = match message.get(item.payload.clone()) {
                None | Some([]) => Bytes::new(),
                Some(part) if part.len().saturating_mul(4) < message.len() => Bytes::copy_from_slice(part),
                Some(_) => message.slice(item.payload),
            };
            self.give(&item.header, item.answer, payload, now);
        }
    }

    fn open(&mut self, envelope: &mut [u8], base: usize, now_ms: u64) -> Result<Item, &'static str> {
        let opened = self
            .openers
            .answers
            .open(envelope, now_ms)
            .inspect_err(|error| tracing::warn!(%error, "an envelope does not open"))
            .map_err(|error| error.name())?;
        match self.seen.offer(opened.sender, opened.counter) {
            Freshness::Fresh => {}
            Freshness::Repeated => return Err(REPEATED),
            Freshness::TooOld => return Err("too-old"),
        }
        let (answer, tail) = body::decode::<Answer>(opened.body).map_err(|_| "body")?;
        if !tail.is_empty() && !matches!(answer, Answer::Part { .. }) {
            return Err("body");
        }
        // The place of the tail in the message, of which `envelope` is a part.
        let start = (tail.as_ptr() as usize).saturating_sub(base);
        Ok(Item {
            header: opened.header,
            answer,
            payload: start..start.saturating_add(tail.len()),
        })
    }

    fn give(&mut self, header: &Header, answer: Answer, payload: Bytes, now: Instant) {
        if let Answer::Heartbeat { backend, instance } = &answer {
            let replaced = self.frontend.backends.borrow_mut().heard(backend, *instance, now);
            if let Some(replaced) = replaced {
                self.frontend.backend_gone(replaced);
            }
            return self.frontend.backend_arrived.notify_waiters();
        }
        // Late answers to a client that has left are nothing unusual.
        let Some(seat) = self.frontend.find(header.session) else {
            return;
        };
        let arrived = match answer {
            Answer::Heartbeat { .. } => return,
            Answer::Probed {
                standing,
                sent,
                expected,
            } => {
                return seat.session.borrow_mut().probed(standing, sent, expected, now);
            }
            Answer::SignIn { answer, opened } => match self.sign_in(header, answer, opened) {
                Ok(reply) => Arrived::SignIn(reply),
                Err(reason) => return self.refused(reason),
            },
            Answer::Part {
                before,
                after,
                parsed,
                sent_bytes,
                copy_in,
                last,
                hang_up,
            } => Arrived::Part {
                exchange: header.exchange,
                before,
                after,
                parsed,
                sent_bytes,
                copy_in,
                last,
                hang_up,
                payload,
            },
            Answer::Grant { bytes } => Arrived::Grant(bytes),
            Answer::Lost(refusal) => Arrived::Lost(refusal),
        };
        seat.session.borrow_mut().arrive(header.sequence, arrived, now);
        self.touched.push(seat);
    }

    /// Opens the Query Validator's word. It must be about this session and this step of it.
    fn sign_in(
        &mut self,
        header: &Header,
        mut sealed: Vec<u8>,
        opened: Option<Opened>,
    ) -> Result<SignInReply, &'static str> {
        let inner = self
            .openers
            .sign_in
            .open(&mut sealed, unix_ms())
            .map_err(|error| error.name())?;
        if inner.header.session != header.session || inner.header.sequence != header.sequence {
            return Err("sign-in-mismatch");
        }
        let (answer, tail) = body::decode::<SignInAnswer>(inner.body).map_err(|_| "body")?;
        if !tail.is_empty() {
            return Err("body");
        }
        Ok(SignInReply::Answer(answer, opened))
    }

    /// Writes down what was answered (P8), then lets the sessions write to their clients.
    ///
    /// # Errors
    /// When the ledger can't be written. Nothing is handed on then.
    pub fn hand_on(&mut self) -> anyhow::Result<()> {
        for seat in &self.touched {
            let mut session = seat.session.borrow_mut();
            if seat.is_abandoned() {
                close_late(&mut session);
            }
            self.frontend.collect(&mut session);
            if seat.is_abandoned() && session.ended() {
                self.frontend.unseat(session.id());
            }
        }
        self.frontend.commit()?;
        for seat in self.touched.drain(..) {
            seat.wake();
        }
        Ok(())
    }

    fn refused(&self, reason: &'static str) {
        tracing::warn!(reason, "an envelope was refused");
        let record = Record {
            level: Level::Warn,
            result: Outcome::Refused,
            details: Details {
                reason: Some(reason),
                ..Details::default()
            },
            ..Record::new(Event::EnvelopeRefused)
        };
        self.frontend.record(&record);
    }
}

/// The reply to a sign-in came after the client had given up. If it opened a session, that is closed again.
fn close_late(session: &mut crate::session::Session) {
    let now = Instant::now();
    if let Some(SignInReply::Answer(SignInAnswer::Accepted { ticket, .. }, Some(Opened::Ready(_)))) =
        session.take_reply(now)
    {
        session.open(ticket, now);
    }
    session.leave();
}
