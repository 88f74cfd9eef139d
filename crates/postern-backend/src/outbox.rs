//! The way out: everything that sessions have ready at one moment is sealed and leaves as one message.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use postern_bus::Outlet;
use postern_envelope::{Header, Sealer, batch::Batch};
use postern_types::SessionId;
use postern_types::ring::{Dirty, DirtyBody};
use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Subject on NATS-3.
const SUBJECT: &str = "dirty-resp";
/// Bytes in one NATS message after which no further envelope is added. One envelope may be larger.
const BATCH_BYTES: usize = 384 * 1024;
/// NATS messages sent but not confirmed after which no further one is begun. What becomes ready meanwhile
/// shares the next one: under load that costs no time and saves the hops most of their work.
const MAX_IN_FLIGHT: usize = 2;
/// How long an envelope is valid after it was sealed.
const LIFETIME_MS: u64 = 60_000;

/// One message for a Frontend.
pub(crate) struct Outgoing {
    /// The session, or `NONE`.
    pub(crate) session: SessionId,
    /// Position in the session's answers; 0 stands outside.
    pub(crate) sequence: u64,
    /// The exchange it answers.
    pub(crate) exchange: u64,
    /// Number of the part.
    pub(crate) part: u32,
    /// What it is.
    pub(crate) head: Dirty,
    /// Raw messages.
    pub(crate) payload: Vec<u8>,
    /// Told when it is confirmed.
    pub(crate) pending: Option<Rc<Pending>>,
}

impl Outgoing {
    /// A message outside any sequence.
    pub(crate) fn control(
        session: SessionId,
        exchange: u64,
        frontend: postern_types::Slot,
        body: DirtyBody,
    ) -> Self {
        Outgoing {
            session,
            sequence: 0,
            exchange,
            part: 0,
            head: Dirty { frontend, body },
            payload: Vec::new(),
            pending: None,
        }
    }
}

/// How many of a session's parts NATS has not confirmed. While there are some, small parts wait for more
/// to send, so that a fast answer does not become a flood of small messages.
#[derive(Default)]
pub(crate) struct Pending {
    count: Cell<usize>,
    wake: Rc<Notify>,
}

impl Pending {
    /// Counts for the session that `wake` wakes.
    pub(crate) fn new(wake: Rc<Notify>) -> Self {
        Pending {
            count: Cell::new(0),
            wake,
        }
    }

    /// Nothing is on its way.
    pub(crate) fn is_clear(&self) -> bool {
        self.count.get() == 0
    }

    /// One more is on its way.
    pub(crate) fn add(&self) {
        self.count.set(self.count.get().saturating_add(1));
    }

    fn confirmed(&self) {
        self.count.set(self.count.get().saturating_sub(1));
        if self.is_clear() {
            self.wake.notify_one();
        }
    }
}

/// Where sessions put what they have for their clients. Bounded by each session's credit.
#[derive(Clone)]
pub(crate) struct Outbox(mpsc::UnboundedSender<Outgoing>);

impl Outbox {
    /// An outbox and its other end.
    pub(crate) fn new() -> (Outbox, mpsc::UnboundedReceiver<Outgoing>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Outbox(sender), receiver)
    }

    /// Sends. When the process is stopping the message is dropped with everything else.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        if let Some(pending) = &outgoing.pending {
            pending.add();
        }
        let _ = self.0.send(outgoing);
    }
}

/// Seals and publishes until `stop`.
pub(crate) async fn run(
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    mut sealer: Sealer,
    outlet: Rc<Outlet>,
    stop: CancellationToken,
) {
    let mut in_flight = FuturesUnordered::new();
    loop {
        let next = tokio::select! {
            biased;
            Some(()) = in_flight.next(), if !in_flight.is_empty() => continue,
            next = queue.recv(), if in_flight.len() < MAX_IN_FLIGHT => next,
            () = stop.cancelled() => return,
        };
        let Some(first) = next else { return };
        let mut batch = Batch::new();
        let mut waiting = Vec::new();
        let mut current = Some(first);
        while let Some(outgoing) = current {
            seal(&mut sealer, &mut batch, &outgoing);
            waiting.extend(outgoing.pending);
            current = if batch.len() < BATCH_BYTES {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        in_flight.push(publish(Rc::clone(&outlet), batch, waiting));
    }
}

fn seal(sealer: &mut Sealer, batch: &mut Batch, outgoing: &Outgoing) {
    let header = Header {
        session: outgoing.session,
        sequence: outgoing.sequence,
        exchange: outgoing.exchange,
        part: outgoing.part,
        deadline_ms: postern_runtime::unix_ms().saturating_add(LIFETIME_MS),
    };
    let sealed = batch.push_with(|out| sealer.seal_body(&header, &outgoing.head, &[&outgoing.payload], out));
    if let Err(error) = sealed {
        // Nothing else can be done with it: the Frontend will find the gap and end the session.
        tracing::error!(%error, session = %outgoing.session, "an answer can't be sealed");
    }
}

/// Publishes until NATS has confirmed it. A repeat is harmless: every envelope is numbered.
async fn publish(outlet: Rc<Outlet>, mut batch: Batch, waiting: Vec<Rc<Pending>>) {
    let bytes = bytes::Bytes::from(batch.take());
    if let Err(error) = outlet.deliver(SUBJECT, bytes).await {
        tracing::error!(%error, "an answer was given up; its sessions will end");
    }
    for pending in waiting {
        pending.confirmed();
    }
}
