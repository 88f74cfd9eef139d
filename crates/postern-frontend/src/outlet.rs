//! The way into the ring: seals what the sessions have got ready, writes it down, publishes it.
//!
//! Everything that is ready at the same moment shares one message of the bus and one write to the ledger.

use crate::backends::HEARTBEAT;
use crate::frontend::{Frontend, Queue};
use crate::session::Outgoing;
use bytes::Bytes;
use postern_bus::{Outlet, PublishError, PublishTicket};
use postern_envelope::{Batch, Header, SealError, Sealer};
use postern_ledger::{Details, Event, Record};
use postern_runtime::unix_ms;
use postern_types::SessionId;
use postern_types::ring::{Request, RequestBody};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// A message of the bus is closed when it is longer than this (bytes).
const BATCH_BYTES: usize = 256 * 1024;
/// Messages sent and not confirmed after which no further one is begun. What becomes ready meanwhile shares the
/// next one: under load that costs no time and saves the hops most of their work.
const MAX_ON_THE_WAY: usize = 2;
/// How long a request is good for.
const LIFETIME_MS: u64 = 30_000;
/// How long a heartbeat is.
const HEARTBEAT_LIFETIME_MS: u64 = 3_000;
/// How long a message is offered to a stream that does not take it.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A message whose confirmation is awaited.
struct Sent {
    ticket: PublishTicket,
    payload: Bytes,
    weight: usize,
}

/// Runs until the Frontend halts.
///
/// # Errors
/// When this process has sealed as much as its key allows, or the ledger can't be written.
pub async fn run(
    frontend: Rc<Frontend>,
    outlet: Outlet,
    sealer: Sealer,
    subject: String,
) -> anyhow::Result<()> {
    let (confirm, sent) = mpsc::unbounded_channel();
    let on_the_way = Rc::new(OnTheWay::default());
    let confirmations = confirmations(
        Rc::clone(&frontend),
        outlet.clone(),
        subject.clone(),
        sent,
        Rc::clone(&on_the_way),
    );
    let mut press = Press {
        frontend: Rc::clone(&frontend),
        outlet,
        sealer,
        subject,
        confirm,
        on_the_way: Rc::clone(&on_the_way),
        batches: Vec::new(),
    };
    let publishing = async {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut requests = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = async {
                    on_the_way.has_room().await;
                    frontend.queue.filled().await;
                } => {
                    frontend.queue.take(&mut requests);
                    press.publish(&mut requests)?;
                }
                _ = heartbeat.tick() => press.heartbeat()?,
            }
        }
    };
    tokio::select! {
        result = publishing => result,
        () = confirmations => Ok(()),
    }
}

/// How many messages are sent and not confirmed.
#[derive(Default)]
struct OnTheWay {
    count: Cell<usize>,
    landed: Notify,
}

impl OnTheWay {
    /// Waits until another one may be begun.
    async fn has_room(&self) {
        while self.count.get() >= MAX_ON_THE_WAY {
            self.landed.notified().await;
        }
    }

    fn begun(&self) {
        self.count.set(self.count.get().saturating_add(1));
    }

    fn landed(&self) {
        self.count.set(self.count.get().saturating_sub(1));
        self.landed.notify_one();
    }
}

struct Press {
    frontend: Rc<Frontend>,
    outlet: Outlet,
    sealer: Sealer,
    subject: String,
    confirm: mpsc::UnboundedSender<Sent>,
    on_the_way: Rc<OnTheWay>,
    batches: Vec<(Vec<u8>, usize)>,
}

impl Press {
    fn publish(&mut self, requests: &mut Vec<Outgoing>) -> anyhow::Result<()> {
        let now = unix_ms();
        let mut batch = Batch::new();
        let mut weight = 0usize;
        for request in requests.drain(..) {
            if let Some(record) = record(&request) {
                self.frontend.record(&record);
            }
            weight = weight.saturating_add(Queue::weight(&request));
            // What is large travels alone, so that messages stay below what the bus can carry.
            if batch.len().saturating_add(request.payload.len()) > BATCH_BYTES && !batch.is_empty() {
                self.batches.push((batch.take(), 0));
            }
            self.seal(request, now.saturating_add(LIFETIME_MS), &mut batch)?;
            if batch.len() >= BATCH_BYTES {
                self.batches.push((batch.take(), std::mem::take(&mut weight)));
            }
        }
        if !batch.is_empty() {
            self.batches.push((batch.take(), weight));
        }
        self.frontend.commit()?;
        for (bytes, weight) in self.batches.drain(..) {
            let payload = Bytes::from(bytes);
            let ticket = self.outlet.publish(&self.subject, payload.clone());
            self.on_the_way.begun();
            // The other end lives as long as this one.
            let _ = self.confirm.send(Sent {
                ticket,
                payload,
                weight,
            });
        }
        Ok(())
    }

    fn heartbeat(&mut self) -> anyhow::Result<()> {
        let deadline = unix_ms().saturating_add(HEARTBEAT_LIFETIME_MS);
        let mut batch = Batch::new();
        let slots: Vec<_> = self.frontend.backends.borrow().slots().cloned().collect();
        for backend in slots {
            let request = Outgoing {
                session: SessionId::NONE,
                sequence: 0,
                exchange: 0,
                part: 0,
                backend,
                body: RequestBody::Heartbeat,
                payload: Bytes::new(),
            };
            self.seal(request, deadline, &mut batch)?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        // A lost heartbeat is made good by the next one.
        drop(tokio::task::spawn_local(
            self.outlet.publish(&self.subject, batch.take().into()),
        ));
        Ok(())
    }

    fn seal(&mut self, request: Outgoing, deadline_ms: u64, batch: &mut Batch) -> Result<(), SealError> {
        let header = Header {
            session: request.session,
            sequence: request.sequence,
            exchange: request.exchange,
            part: request.part,
            deadline_ms,
        };
        let head = Request {
            frontend: self.frontend.slot.clone(),
            backend: request.backend,
            body: request.body,
        };
        batch.push_with(|out| self.sealer.seal_body(&header, &head, &[&request.payload], out))
    }
}

/// What is written down before a request is handed on.
fn record(request: &Outgoing) -> Option<Record<'static>> {
    let (event, trace) = match request.body {
        RequestBody::Exchange { trace, .. } => (Event::Exchange, trace),
        RequestBody::SignIn(_) => (Event::SignIn, None),
        _ => return None,
    };
    let bytes = u64::try_from(request.payload.len()).unwrap_or(u64::MAX);
    let is_exchange = event == Event::Exchange;
    Some(Record {
        session: Some(request.session),
        exchange: is_exchange.then_some(request.exchange),
        trace,
        details: Details {
            bytes: is_exchange.then_some(bytes),
            ..Details::default()
        },
        ..Record::new(event)
    })
}

/// Waits for confirmations in the order of sending, and sends again what was not confirmed: the envelopes
/// keep their numbers, so a repeat does no harm.
async fn confirmations(
    frontend: Rc<Frontend>,
    outlet: Outlet,
    subject: String,
    mut sent: mpsc::UnboundedReceiver<Sent>,
    on_the_way: Rc<OnTheWay>,
) {
    while let Some(message) = sent.recv().await {
        if let Err(error) = message.ticket.await {
            send_again(&outlet, &subject, message.payload, error).await;
        }
        on_the_way.landed();
        frontend.queue.done(message.weight);
    }
}

async fn send_again(outlet: &Outlet, subject: &str, payload: Bytes, mut error: PublishError) {
    let give_up = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    while error != PublishError::Impossible && Instant::now() < give_up {
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        match outlet.publish(subject, payload.clone()).await {
            Ok(()) => return,
            Err(again) => error = again,
        }
    }
    // The sessions find out by their probes.
    tracing::error!(%error, bytes = payload.len(), "a message could not be published and is lost");
}
