//! What the intake hands to a session.

use crate::outbox::Pending;
use postern_types::ring::{Definition, Verdict};
use postern_types::{Expect, Refusal};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::Notify;

/// An exchange to run.
pub(crate) struct Run {
    /// Its number.
    pub(crate) exchange: u64,
    /// One for each message.
    pub(crate) verdicts: Vec<Verdict>,
    /// Texts for names it does not define.
    pub(crate) definitions: Vec<Definition>,
    /// What the answer will look like.
    pub(crate) steps: Vec<Expect>,
    /// Sealed for the Response Validator.
    pub(crate) contract: Vec<u8>,
    /// The messages.
    pub(crate) payload: Vec<u8>,
    /// When it was written down.
    pub(crate) begun: Instant,
}

/// Something for a session to do, in order.
pub(crate) enum Work {
    /// Run an exchange.
    Run(Box<Run>),
    /// More CopyData for an exchange.
    CopyData {
        /// The exchange.
        exchange: u64,
        /// CopyData, CopyDone, CopyFail, Sync and Flush messages.
        payload: Vec<u8>,
    },
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Work::Run(run) => run.payload.len(),
            Work::CopyData { payload, .. } => payload.len(),
        }
    }
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client has gone.
    Closed,
    /// The Query Validator or a limit put it out.
    Expelled(Refusal),
}

/// What intake and session share. Everything runs on one thread.
pub(crate) struct Inbox {
    work: RefCell<VecDeque<Work>>,
    waiting_bytes: Cell<usize>,
    /// Wakes the session.
    pub(crate) wake: Rc<Notify>,
    /// Answer bytes the session may have sent in all.
    pub(crate) window: Cell<u64>,
    /// Exchange to cancel.
    pub(crate) cancel: Cell<Option<u64>>,
    /// Set when the session is to end.
    pub(crate) ending: RefCell<Option<Ending>>,
    /// The newest exchange that arrived.
    pub(crate) newest: Cell<u64>,
    /// The newest exchange whose answer is complete.
    pub(crate) answered: Cell<u64>,
    /// Highest answer sequence number used.
    pub(crate) sent: Cell<u64>,
    /// Parts on their way.
    pub(crate) pending: Rc<Pending>,
}

impl Inbox {
    /// An empty inbox with an answer window.
    pub(crate) fn new(window: u64, sent: u64) -> Self {
        let wake = Rc::new(Notify::new());
        Inbox {
            work: RefCell::default(),
            waiting_bytes: Cell::new(0),
            pending: Rc::new(Pending::new(Rc::clone(&wake))),
            wake,
            window: Cell::new(window),
            cancel: Cell::new(None),
            ending: RefCell::new(None),
            newest: Cell::new(0),
            answered: Cell::new(0),
            sent: Cell::new(sent),
        }
    }

    /// Adds work and wakes the session; returns the bytes now waiting.
    pub(crate) fn push(&self, work: Work) -> usize {
        if let Work::Run(run) = &work {
            self.newest.set(run.exchange);
        }
        let bytes = self.waiting_bytes.get().saturating_add(work.bytes());
        self.waiting_bytes.set(bytes);
        self.work.borrow_mut().push_back(work);
        self.wake.notify_one();
        bytes
    }

    /// The next thing to do.
    pub(crate) fn pop(&self) -> Option<Work> {
        let work = self.work.borrow_mut().pop_front()?;
        self.waiting_bytes
            .set(self.waiting_bytes.get().saturating_sub(work.bytes()));
        Some(work)
    }

    /// The next thing, if it is CopyData of this exchange.
    pub(crate) fn pop_copy(&self, exchange: u64) -> Option<Vec<u8>> {
        let is_copy =
            matches!(self.work.borrow().front(), Some(Work::CopyData { exchange: e, .. }) if *e == exchange);
        match is_copy.then(|| self.pop())?? {
            Work::CopyData { payload, .. } => Some(payload),
            Work::Run(_) => None,
        }
    }

    /// Ends the session, for the first reason given.
    pub(crate) fn end(&self, ending: Ending) {
        self.ending.borrow_mut().get_or_insert(ending);
        self.wake.notify_one();
    }

    /// Whether the session is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Takes a request to cancel this exchange.
    pub(crate) fn take_cancel(&self, exchange: u64) -> bool {
        let hit = self.cancel.get() == Some(exchange);
        if hit {
            self.cancel.set(None);
        }
        hit
    }
}
