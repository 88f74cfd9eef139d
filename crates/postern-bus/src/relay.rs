//! The loop of a validator: drain, step, commit, publish, acknowledge.
//!
//! An input is acknowledged only when everything that was made from it is confirmed by the next server, so
//! a validator that dies at any moment loses nothing. What could not be confirmed is sent again, byte for
//! byte. While too much is on its way nothing more is drained, and the hop before fills up instead.

use crate::delivery::{Delivery, MessageId};
use crate::inlet::Inlet;
use crate::outlet::Outlet;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// Messages drained at once.
const DRAIN_MESSAGES: usize = 256;
/// Drained sets whose outputs may be unconfirmed at the same time. What arrives meanwhile becomes one set: under
/// load that costs no time and saves the next hop most of its work.
const MAX_SETS: usize = 2;
/// Bytes of outputs that may be unconfirmed at the same time; one set more may go above it.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long the relay goes on for what is on its way when it is asked to stop.
const PARTING: Duration = Duration::from_secs(2);

/// A message for the next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Subject of the outlet's stream.
    pub subject: String,
    /// At most [`crate::MAX_MESSAGE_BYTES`].
    pub payload: Bytes,
}

/// What a validator does with messages.
pub trait Step {
    /// Makes outputs from all messages that were ready, oldest first, and notes the records of what it
    /// decided. Whatever a message holds this must not fail: what is not understood gives no output. The
    /// same message may come again.
    fn step(&mut self, inputs: Vec<Bytes>) -> Vec<Output>;

    /// Writes the records of the last step to disk. Nothing goes on before this has returned (P8).
    ///
    /// # Errors
    /// When the records can't be kept. The relay then ends.
    fn commit(&mut self) -> io::Result<()>;
}

/// Why a relay ended. Inputs that were not acknowledged come again after the next start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// What can't be recorded must not happen.
    #[error("the ledger can't be written")]
    Commit(#[source] io::Error),
}

/// Runs until `shutdown` is ready, then waits a moment for what is on its way.
///
/// An output that can never be sent, because it is larger than a message can be, is dropped with an error
/// in the log: trying it for ever would stop the ring for everybody. Its session notices the gap and ends.
///
/// # Errors
/// [`RelayError::Commit`] when the ledger can't be written.
pub async fn run<S: Step>(
    mut inlet: Inlet,
    outlet: Outlet,
    step: &mut S,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RelayError> {
    let mut flight = Flight::default();
    let mut sending = FuturesUnordered::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            Some((set, bytes)) = sending.next() => flight.landed(set, bytes),
            drained = inlet.next(DRAIN_MESSAGES), if flight.has_room() => {
                let fresh = flight.admit(drained);
                if fresh.is_empty() {
                    continue;
                }
                let outputs = step.step(fresh.iter().map(|delivery| delivery.payload.clone()).collect());
                step.commit().map_err(RelayError::Commit)?;
                let set = flight.depart(fresh, &outputs);
                for Output { subject, payload } in outputs {
                    let outlet = outlet.clone();
                    let bytes = payload.len();
                    // Polled first thing in the next round, so it is on its way before the next drain.
                    sending.push(async move {
                        let _ = outlet.deliver(&subject, payload).await;
                        (set, bytes)
                    });
                }
            }
            () = &mut shutdown => break,
        }
    }
    let _ = tokio::time::timeout(PARTING, async {
        while let Some((set, bytes)) = sending.next().await {
            flight.landed(set, bytes);
        }
    })
    .await;
    inlet.flush().await;
    Ok(())
}

/// What is on its way: inputs that wait for the confirmation of their outputs.
#[derive(Default)]
struct Flight {
    sets: HashMap<u64, Set>,
    last_set: u64,
    bytes: usize,
    /// Inputs on their way. The server delivers them again when they take longer than its patience;
    /// stepping them again would only add to the load.
    known: HashMap<MessageId, ()>,
}

struct Set {
    inputs: Vec<Delivery>,
    unconfirmed: usize,
}

impl Flight {
    fn has_room(&self) -> bool {
        self.sets.len() < MAX_SETS && self.bytes < MAX_BYTES
    }

    /// Leaves out what is on its way already.
    fn admit(&mut self, drained: Vec<Delivery>) -> Vec<Delivery> {
        drained
            .into_iter()
            .filter(|delivery| delivery.id().is_none_or(|id| self.known.insert(id, ()).is_none()))
            .collect()
    }

    /// Notes a set of inputs with what was made of it.
    fn depart(&mut self, inputs: Vec<Delivery>, outputs: &[Output]) -> u64 {
        self.last_set = self.last_set.wrapping_add(1);
        for output in outputs {
            self.bytes = self.bytes.saturating_add(output.payload.len());
        }
        self.sets.insert(
            self.last_set,
            Set {
                inputs,
                unconfirmed: outputs.len(),
            },
        );
        if outputs.is_empty() {
            self.finish(self.last_set);
        }
        self.last_set
    }

    /// Notes that one output of a set is confirmed.
    fn landed(&mut self, set: u64, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(found) = self.sets.get_mut(&set) {
            found.unconfirmed = found.unconfirmed.saturating_sub(1);
            if found.unconfirmed == 0 {
                self.finish(set);
            }
        }
    }

    fn finish(&mut self, set: u64) {
        for delivery in self.sets.remove(&set).into_iter().flat_map(|set| set.inputs) {
            delivery.ack();
            if let Some(id) = delivery.id() {
                self.known.remove(&id);
            }
        }
    }
}
