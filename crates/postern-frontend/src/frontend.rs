//! What all tasks of one Frontend share. Everything runs on one thread, so there is no lock anywhere.

use crate::backends::Backends;
use crate::config::{LimitsConfig, TlsMode};
use crate::registry::CancelRegistry;
use crate::session::{Note, Noted, Outgoing, Session, SessionLimits};
use postern_ledger::{Details, Event, Ledger, Level, Outcome, Record};
use postern_types::{InstanceId, SessionId, Slot, SqlState};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Payload that may wait for the ring before clients are read no further (bytes).
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// What a request weighs besides its payload (bytes).
const REQUEST_WEIGHT: usize = 512;
/// How long a session that is over may take to write its last words.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the reply to a sign-in that the client gave up is waited for.
const LATE_REPLY: Duration = Duration::from_secs(60);

/// A session and the task that serves its client.
#[derive(Debug)]
pub struct Seat {
    /// The session.
    pub session: RefCell<Session>,
    /// Where the client connects from.
    pub client: IpAddr,
    waker: RefCell<Option<Waker>>,
    /// The connection is to be closed even though not all has been written.
    cut_off: Cell<bool>,
    over_since: Cell<Option<Instant>>,
    abandoned_since: Cell<Option<Instant>>,
}

impl Seat {
    fn new(session: Session, client: IpAddr) -> Self {
        Seat {
            session: RefCell::new(session),
            client,
            waker: RefCell::new(None),
            cut_off: Cell::new(false),
            over_since: Cell::new(None),
            abandoned_since: Cell::new(None),
        }
    }

    /// Wakes the client's task.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// The task of `cx` is to be woken next time.
    pub fn wake_me(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(old) => old.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// See the field.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }

    /// The client is gone, but a reply of the ring may still open the session.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned_since.get().is_some()
    }
}

/// Requests on their way to the outlet.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: RefCell<Vec<Outgoing>>,
    bytes: Cell<usize>,
    filled: Notify,
    blocked: RefCell<Vec<Waker>>,
}

impl Queue {
    /// What a request counts as.
    pub fn weight(request: &Outgoing) -> usize {
        request.payload.len().saturating_add(REQUEST_WEIGHT)
    }

    fn push(&self, requests: &mut Vec<Outgoing>) {
        if requests.is_empty() {
            return;
        }
        let weight = requests.iter().map(Self::weight).fold(0, usize::saturating_add);
        self.bytes.set(self.bytes.get().saturating_add(weight));
        self.waiting.borrow_mut().append(requests);
        self.filled.notify_one();
    }

    /// Whether more may be sent. If not, the task of `cx` is woken when it may.
    pub fn has_room(&self, cx: &Context<'_>) -> bool {
        if self.bytes.get() < QUEUE_BYTES {
            return true;
        }
        self.blocked.borrow_mut().push(cx.waker().clone());
        false
    }

    /// Waits until something is in the queue.
    pub async fn filled(&self) {
        if self.waiting.borrow().is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes all that is waiting; `into` is empty and its memory is used again.
    pub fn take(&self, into: &mut Vec<Outgoing>) {
        std::mem::swap(&mut *self.waiting.borrow_mut(), into);
    }

    /// Requests of this weight have been taken over by the ring.
    pub fn done(&self, weight: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(weight));
        if self.bytes.get() < QUEUE_BYTES {
            for waker in self.blocked.borrow_mut().drain(..) {
                waker.wake();
            }
        }
    }

    /// Nothing is waiting or unconfirmed.
    pub fn is_idle(&self) -> bool {
        self.bytes.get() == 0
    }
}

/// See the module's documentation.
pub struct Frontend {
    /// Its name.
    pub slot: Slot,
    /// Bounds of each session.
    pub session_limits: SessionLimits,
    /// All limits.
    pub limits: LimitsConfig,
    /// Whether clients may, must or can't use TLS.
    pub tls_mode: TlsMode,
    /// Accepts TLS, unless it is disabled.
    tls: RefCell<Option<TlsAcceptor>>,
    /// Requests for the ring.
    pub queue: Queue,
    /// Cancel keys.
    pub cancel_keys: RefCell<CancelRegistry>,
    /// Backends.
    pub backends: RefCell<Backends>,
    /// A Backend came to life.
    pub backend_arrived: Notify,
    /// Clients are to be let go.
    pub shutdown: CancellationToken,
    /// Nothing may be handed on any more: the ledger can't be written.
    pub halted: CancellationToken,
    seats: RefCell<HashMap<SessionId, Rc<Seat>>>,
    ledger: RefCell<Ledger>,
    signed_in: Cell<usize>,
}

/// What a [`Frontend`] is made of.
pub struct Parts {
    /// See [`Frontend::slot`].
    pub slot: Slot,
    /// See [`Frontend::session_limits`].
    pub session_limits: SessionLimits,
    /// See [`Frontend::limits`].
    pub limits: LimitsConfig,
    /// See [`Frontend::tls_mode`].
    pub tls_mode: TlsMode,
    /// See [`Frontend::tls()`].
    pub tls: Option<TlsAcceptor>,
    /// Names of the Backends.
    pub backends: Vec<Slot>,
    /// The ledger.
    pub ledger: Ledger,
    /// See [`Frontend::shutdown`].
    pub shutdown: CancellationToken,
}

impl Frontend {
    /// Without clients.
    pub fn new(parts: Parts) -> Self {
        Frontend {
            slot: parts.slot,
            session_limits: parts.session_limits,
            limits: parts.limits,
            tls_mode: parts.tls_mode,
            tls: RefCell::new(parts.tls),
            queue: Queue::default(),
            cancel_keys: RefCell::default(),
            backends: RefCell::new(Backends::new(parts.backends)),
            backend_arrived: Notify::new(),
            shutdown: parts.shutdown,
            halted: CancellationToken::new(),
            seats: RefCell::default(),
            ledger: RefCell::new(parts.ledger),
            signed_in: Cell::new(0),
        }
    }

    /// Accepts TLS, unless it is disabled.
    pub fn tls(&self) -> Option<TlsAcceptor> {
        self.tls.borrow().clone()
    }

    /// Clients that connect from now on are to see another certificate.
    pub fn set_tls(&self, acceptor: TlsAcceptor) {
        self.tls.replace(Some(acceptor));
    }

    /// A place for a new session.
    pub fn seat(&self, session: Session, client: IpAddr) -> Rc<Seat> {
        let id = session.id();
        let seat = Rc::new(Seat::new(session, client));
        self.seats.borrow_mut().insert(id, Rc::clone(&seat));
        seat
    }

    /// The place of this session.
    pub fn find(&self, session: SessionId) -> Option<Rc<Seat>> {
        self.seats.borrow().get(&session).cloned()
    }

    /// All sessions.
    pub fn seats(&self) -> Vec<Rc<Seat>> {
        self.seats.borrow().values().cloned().collect()
    }

    /// The session is over.
    pub fn unseat(&self, session: SessionId) {
        self.seats.borrow_mut().remove(&session);
    }

    /// The client gave up while signing in; what the ring still answers must not leave a session behind.
    pub fn abandon(&self, seat: &Seat, now: Instant) {
        seat.abandoned_since.set(Some(now));
    }

    /// One more signed-in session, if there is room. Give it back with [`Frontend::release`].
    pub fn admit(&self) -> bool {
        let more = self.signed_in.get().saturating_add(1);
        let room = more <= self.limits.sessions;
        if room {
            self.signed_in.set(more);
        }
        room
    }

    /// See [`Frontend::admit`].
    pub fn release(&self) {
        self.signed_in.set(self.signed_in.get().saturating_sub(1));
    }

    /// Sessions that are signed in.
    pub fn sessions(&self) -> usize {
        self.signed_in.get()
    }

    /// Hands on what a session has got ready for the ring, and writes down what it has to say. Answers must
    /// not be written to the client before [`Frontend::commit`].
    pub fn collect(&self, session: &mut Session) -> bool {
        self.queue.push(&mut session.requests);
        let noted = !session.notes.is_empty();
        let id = session.id();
        for note in session.notes.drain(..) {
            self.record(&note_record(id, note));
        }
        noted
    }

    /// As [`Frontend::collect`], and commits at once if there was something to write down.
    pub fn collect_and_commit(&self, session: &mut Session) {
        if self.collect(session) && self.commit().is_err() {
            session.leave();
        }
    }

    /// Appends a record.
    pub fn record(&self, record: &Record<'_>) {
        self.ledger.borrow_mut().append(record);
    }

    /// Writes all records down (P8). When it fails the Frontend halts.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn commit(&self) -> io::Result<()> {
        let result = self.ledger.borrow_mut().commit();
        if let Err(error) = &result {
            tracing::error!(%error, "the ledger can't be written; nothing goes on without it");
            self.halted.cancel();
        }
        result
    }

    /// Ends the sessions of a Backend run that is gone.
    pub fn backend_gone(&self, instance: InstanceId) {
        let mut count = 0usize;
        for seat in self.seats() {
            let mut session = seat.session.borrow_mut();
            if session.backend_instance() == instance {
                count = count.saturating_add(1);
                session.backend_gone();
                self.collect_and_commit(&mut session);
                seat.wake();
            }
        }
        tracing::warn!(%instance, sessions = count, "a Backend is gone");
    }

    /// What has to happen twice a second.
    pub fn tick(&self, now: Instant) {
        let silent = self.backends.borrow_mut().silent(now);
        for instance in silent {
            self.backend_gone(instance);
        }
        for seat in self.seats() {
            let mut session = seat.session.borrow_mut();
            session.tick(now);
            self.collect_and_commit(&mut session);
            let since = |cell: &Cell<Option<Instant>>| cell.get().map(|at| now.saturating_duration_since(at));
            if session.ended() {
                match since(&seat.over_since) {
                    None => seat.over_since.set(Some(now)),
                    Some(age) if age >= LAST_WORDS => seat.cut_off.set(true),
                    Some(_) => {}
                }
                seat.wake();
            }
            if since(&seat.abandoned_since).is_some_and(|age| age >= LATE_REPLY) {
                self.unseat(session.id());
            }
        }
    }
}

fn note_record(session: SessionId, noted: Noted) -> Record<'static> {
    let (event, exchange, result, sqlstate): (_, _, _, Option<SqlState>) = match noted.note {
        Note::Answered(exchange) => (Event::ExchangeAnswered, exchange, Outcome::Allowed, None),
        Note::Lost(exchange, code) => (Event::ExchangeLost, exchange, Outcome::Failed, Some(code)),
        Note::Cancel(exchange) => (Event::ExchangeCancel, exchange, Outcome::Allowed, None),
    };
    let level = if event == Event::ExchangeLost {
        Level::Warn
    } else {
        Level::Info
    };
    Record {
        level,
        session: Some(session),
        exchange: Some(exchange),
        trace: noted.trace,
        result,
        details: Details {
            sqlstate,
            duration_us: noted
                .begun
                .and_then(|begun| u64::try_from(begun.elapsed().as_micros()).ok()),
            ..Details::default()
        },
        ..Record::new(event)
    }
}
