//! The way in: opens what the Query Validator sealed, puts each session's messages in order, records what
//! will run, and hands it out.
//!
//! A message acts at most once (P6): its envelope's counter must be new, and its session's sequence number
//! must be the next. A new run of the Backend knows no session of the one before.

use crate::ended::Ended;
use crate::inbox::{Ending, Inbox, Run, Work};
use crate::outbox::{Outbox, Outgoing};
use crate::session::{Session, Shared};
use postern_bus::{Delivery, Inlet};
use postern_envelope::{Freshness, Header, Opener, ReplayWindow, batch};
use postern_ledger::{Event, Ledger, Level, Outcome, Record};
use postern_runtime::LinkKeys;
use postern_types::ring::{Clean, CleanBody, DirtyBody, OpenSession, Opened, Standing, Verdict};
use postern_types::{Arrival, InstanceId, Refusal, Resequencer, SessionId, Slot, SqlState, body};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// NATS messages taken at once.
const DRAIN: usize = 256;
/// Messages of one session held because an earlier one is missing.
const HOLD: usize = 1024;
/// A Frontend that is silent for so long has gone, and its sessions with it.
const FRONTEND_SILENCE: Duration = Duration::from_secs(5);
/// Senders remembered in the replay window.
const SENDERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// A request in order.
struct Request {
    header: Header,
    frontend: Slot,
    body: CleanBody,
    payload: Vec<u8>,
}

struct Entry {
    frontend: Slot,
    frontend_instance: InstanceId,
    order: Resequencer<Request>,
    inbox: Rc<Inbox>,
}

struct FrontendState {
    instance: InstanceId,
    seen: Instant,
}

/// Sessions that are open or have ended.
#[derive(Default)]
struct SessionTable {
    open: HashMap<SessionId, Entry>,
    ended: Ended,
}

type Sessions = Rc<RefCell<SessionTable>>;

/// Everything the intake needs.
pub(crate) struct Intake {
    instance: InstanceId,
    opener: Opener,
    replay: ReplayWindow,
    ledger: Ledger,
    shared: Rc<Shared>,
    sessions: Sessions,
    frontends: HashMap<Slot, FrontendState>,
    max_sessions: usize,
    max_waiting_bytes: usize,
    /// In-order requests of the batch being taken in, handed out once they are recorded.
    ready: Vec<(Rc<Inbox>, Request)>,
    /// When that batch was there.
    begun: Instant,
}

impl Intake {
    /// An intake without sessions.
    pub(crate) fn new(
        instance: InstanceId,
        opener: Opener,
        ledger: Ledger,
        shared: Rc<Shared>,
        max_sessions: usize,
        max_waiting_bytes: usize,
    ) -> Self {
        Intake {
            instance,
            opener,
            replay: ReplayWindow::new(SENDERS),
            ledger,
            shared,
            sessions: Rc::default(),
            frontends: HashMap::new(),
            max_sessions,
            max_waiting_bytes,
            ready: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// Counts the sessions that are open, at any time.
    pub(crate) fn sessions(&self) -> impl Fn() -> usize + 'static {
        let sessions = Rc::clone(&self.sessions);
        move || sessions.borrow().open.len()
    }

    /// Takes in until `stop`, then ends every session.
    ///
    /// # Errors
    /// When the ledger can't be written: without a record nothing may run (P8).
    pub(crate) async fn run(
        mut self,
        mut inlet: Inlet,
        keys: LinkKeys,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                deliveries = inlet.next(DRAIN) => self.take(deliveries)?,
                _ = tick.tick() => {
                    self.drop_silent_frontends();
                    self.note(&keys)?;
                }
            }
        }
        self.end_all();
        self.ledger.close(postern_runtime::unix_ms())
    }

    /// Writes down that the keys have turned.
    fn note(&mut self, keys: &LinkKeys) -> io::Result<()> {
        for news in keys.news() {
            self.ledger.append(&news.record());
        }
        self.ledger.commit()
    }

    fn take(&mut self, deliveries: Vec<Delivery>) -> io::Result<()> {
        let now_ms = postern_runtime::unix_ms();
        self.begun = Instant::now();
        for delivery in deliveries {
            // Acknowledged before anything runs: at most once.
            delivery.ack();
            let mut bytes = match delivery.payload.try_into_mut() {
                Ok(bytes) => bytes,
                Err(shared) => shared.as_ref().into(),
            };
            match batch::split(&mut bytes) {
                Ok(envelopes) => {
                    for envelope in envelopes {
                        self.envelope(envelope, now_ms);
                    }
                }
                Err(error) => self.refused(&error.to_string(), "malformed-batch"),
            }
        }
        self.ledger.commit()?;
        let ready = std::mem::take(&mut self.ready);
        for (inbox, request) in ready {
            self.hand_out(&inbox, request);
        }
        Ok(())
    }

    fn refused(&mut self, error: &str, reason: &'static str) {
        tracing::warn!(error, "an envelope was refused");
        let mut record = Record {
            level: Level::Alert,
            result: Outcome::Refused,
            ..Record::new(Event::EnvelopeRefused)
        };
        record.details.reason = Some(reason);
        self.ledger.append(&record);
    }

    fn envelope(&mut self, envelope: &mut [u8], now_ms: u64) {
        let opened = match self.opener.open(envelope, now_ms) {
            Ok(opened) => opened,
            Err(error) => return self.refused(&error.to_string(), error.name()),
        };
        let (header, sender) = (opened.header, opened.sender);
        if self.replay.offer(sender, opened.counter) != Freshness::Fresh {
            // A validator or a server died and the message came again: expected, and dropped.
            tracing::debug!(session = %header.session, "an envelope came twice");
            return;
        }
        let (head, payload) = match body::decode::<Clean>(opened.body) {
            Ok((head, payload)) => (head, payload.to_vec()),
            Err(error) => return self.refused(&error.to_string(), "malformed-body"),
        };
        let request = Request {
            header,
            frontend: head.frontend,
            body: head.body,
            payload,
        };
        match request.body {
            CleanBody::Heartbeat { instance } => self.heartbeat(&request.frontend, instance),
            CleanBody::SignIn { answer, open } => self.sign_in(header, request.frontend, answer, open),
            CleanBody::Probe => self.probe(header, request.frontend),
            _ => self.sequence(request),
        }
    }

    fn heartbeat(&mut self, frontend: &Slot, instance: InstanceId) {
        let state = FrontendState {
            instance,
            seen: Instant::now(),
        };
        let before = self.frontends.insert(frontend.clone(), state);
        if before.is_some_and(|before| before.instance != instance) {
            self.end_sessions(|entry| entry.frontend == *frontend && entry.frontend_instance != instance);
        }
    }

    fn drop_silent_frontends(&mut self) {
        let silent: Vec<Slot> = self
            .frontends
            .iter()
            .filter(|(_, state)| state.seen.elapsed() > FRONTEND_SILENCE)
            .map(|(slot, _)| slot.clone())
            .collect();
        for slot in silent {
            tracing::warn!(frontend = %slot, "a frontend has gone silent; its sessions end");
            self.frontends.remove(&slot);
            self.end_sessions(|entry| entry.frontend == slot);
        }
    }

    fn end_sessions(&self, gone: impl Fn(&Entry) -> bool) {
        for entry in self.sessions.borrow().open.values().filter(|entry| gone(entry)) {
            entry.inbox.end(Ending::Closed);
        }
    }

    fn end_all(&self) {
        let refusal = Refusal::fatal(SqlState::ADMIN_SHUTDOWN, "the database gate is shutting down");
        for entry in self.sessions.borrow().open.values() {
            entry.inbox.end(Ending::Expelled(refusal.clone()));
        }
    }

    fn outbox(&self) -> &Outbox {
        &self.shared.outbox
    }

    fn sign_in(&mut self, header: Header, frontend: Slot, answer: Vec<u8>, open: Option<OpenSession>) {
        let Some(open) = open else {
            return self.answer_sign_in(header, frontend, answer, None);
        };
        let failed = |message: &str| {
            Some(Opened::Failed(Refusal::fatal(
                SqlState::CANNOT_CONNECT_NOW,
                message.to_owned(),
            )))
        };
        if open.backend_instance != self.instance {
            let opened = failed("the database gate was restarted; sign in again");
            return self.answer_sign_in(header, frontend, answer, opened);
        }
        if self.sessions.borrow().open.len() >= self.max_sessions {
            let opened = Some(Opened::Failed(Refusal::fatal(
                SqlState::TOO_MANY_CONNECTIONS,
                "too many sessions; try again later",
            )));
            return self.answer_sign_in(header, frontend, answer, opened);
        }
        let known = {
            let mut sessions = self.sessions.borrow_mut();
            sessions.ended.forget_old(Instant::now());
            sessions.open.contains_key(&header.session) || sessions.ended.contains(&header.session)
        };
        if known {
            // The request that opens a session came again, by accident or from an attacker who would have
            // the session's statements run once more.
            return;
        }
        let inbox = Rc::new(Inbox::new(open.window, header.sequence));
        let entry = Entry {
            frontend: frontend.clone(),
            frontend_instance: open.frontend_instance,
            order: Resequencer::new(header.sequence.saturating_add(1), HOLD),
            inbox: Rc::clone(&inbox),
        };
        self.sessions.borrow_mut().open.insert(header.session, entry);
        let session = Session::new(
            header.session,
            frontend,
            &open,
            Rc::clone(&self.shared),
            Rc::clone(&inbox),
        );
        let sessions = Rc::clone(&self.sessions);
        tokio::task::spawn_local(async move {
            session.run(open, answer, header.sequence, header.exchange).await;
            let mut sessions = sessions.borrow_mut();
            sessions.open.remove(&header.session);
            sessions.ended.add(header.session, Instant::now());
        });
    }

    fn answer_sign_in(&self, header: Header, frontend: Slot, answer: Vec<u8>, opened: Option<Opened>) {
        let body = DirtyBody::SignIn { answer, opened };
        let mut outgoing = Outgoing::control(header.session, header.exchange, frontend, body);
        outgoing.sequence = header.sequence;
        self.outbox().send(outgoing);
    }

    fn probe(&self, header: Header, frontend: Slot) {
        let body = match self.sessions.borrow().open.get(&header.session) {
            None => DirtyBody::Probed {
                standing: Standing::NoSession,
                sent: 0,
                expected: 0,
            },
            Some(entry) => {
                let standing = if header.exchange > entry.inbox.newest.get() {
                    Standing::NotSeen
                } else if header.exchange <= entry.inbox.answered.get() {
                    Standing::Answered
                } else {
                    Standing::Running
                };
                let (sent, expected) = (entry.inbox.sent.get(), entry.order.expected());
                DirtyBody::Probed {
                    standing,
                    sent,
                    expected,
                }
            }
        };
        self.outbox()
            .send(Outgoing::control(header.session, header.exchange, frontend, body));
    }

    /// Puts a request in its place and takes all that are now in order.
    fn sequence(&mut self, request: Request) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(entry) = sessions.open.get_mut(&request.header.session) else {
            // The session has ended on this side; a probe of the Frontend will tell it so.
            return;
        };
        match entry.order.offer(request.header.sequence, request) {
            Arrival::InOrder => {}
            Arrival::Held | Arrival::Duplicate => return,
            Arrival::TooFar => {
                entry.inbox.end(Ending::Expelled(Refusal::fatal(
                    SqlState::CONNECTION_FAILURE,
                    "requests of this session were lost on their way; connect again",
                )));
                return;
            }
        }
        while let Some(request) = entry.order.pop() {
            if let CleanBody::Run { verdicts, trace, .. } = &request.body {
                let refused = verdicts.iter().any(|v| matches!(v, Verdict::Refuse(_)));
                let mut record = Record {
                    session: Some(request.header.session),
                    exchange: Some(request.header.exchange),
                    trace: *trace,
                    result: if refused {
                        Outcome::Refused
                    } else {
                        Outcome::Allowed
                    },
                    ..Record::new(Event::Exchange)
                };
                record.details.duration_us = u64::try_from(self.begun.elapsed().as_micros()).ok();
                record.details.messages = u64::try_from(verdicts.len()).ok();
                record.details.bytes = u64::try_from(request.payload.len()).ok();
                self.ledger.append(&record);
            }
            self.ready.push((Rc::clone(&entry.inbox), request));
        }
    }

    /// Gives a recorded request to its session.
    fn hand_out(&self, inbox: &Inbox, request: Request) {
        let exchange = request.header.exchange;
        let waiting = match request.body {
            CleanBody::Run {
                verdicts,
                definitions,
                steps,
                contract,
                trace: _,
            } => {
                let payload = request.payload;
                let run = Run {
                    exchange,
                    verdicts,
                    definitions,
                    steps,
                    contract,
                    payload,
                    begun: Instant::now(),
                };
                inbox.push(Work::Run(Box::new(run)))
            }
            CleanBody::CopyData => inbox.push(Work::CopyData {
                exchange,
                payload: request.payload,
            }),
            CleanBody::Grant { bytes } => {
                inbox.window.set(inbox.window.get().max(bytes));
                inbox.wake.notify_one();
                0
            }
            CleanBody::Cancel => {
                inbox.cancel.set(Some(exchange));
                inbox.wake.notify_one();
                0
            }
            CleanBody::Close => {
                inbox.end(Ending::Closed);
                0
            }
            CleanBody::Expel(refusal) => {
                inbox.end(Ending::Expelled(refusal));
                0
            }
            CleanBody::Heartbeat { .. } | CleanBody::SignIn { .. } | CleanBody::Probe => 0,
        };
        if waiting > self.max_waiting_bytes {
            inbox.end(Ending::Expelled(Refusal::fatal(
                SqlState::INSUFFICIENT_RESOURCES,
                "this session has too many requests waiting",
            )));
        }
    }
}
