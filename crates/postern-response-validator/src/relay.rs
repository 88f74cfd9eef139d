//! Whole messages of the bus: batches in, batches out, records in between.

use crate::validator::{Refused, Validator};
use crate::watch::Watch;
use bytes::Bytes;
use postern_bus::DRAIN_BYTES;
use postern_bus::relay::{Output, Step};
use postern_envelope::{Batch, OpenError, SealError, batch};
use postern_ledger::{Details, Event, Ledger, Level, Outcome, Record};
use postern_runtime::{LinkKeys, Reload};
use postern_types::Slot;
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

/// How often the rules are looked at, in milliseconds. The Query Validator takes its time, so that changed rules are here
/// before the first exchange that was planned for them.
const LOOK_MS: u64 = 250;

/// The Response Validator between its two hops.
#[derive(Debug)]
pub struct Relay {
    validator: Validator,
    ledger: Ledger,
    /// Name of the stream that is written; subjects are `stream.slot`.
    stream: String,
    clock: fn() -> u64,
    /// The key may not be used any more.
    exhausted: bool,
    rules: Option<(Watch, Reload)>,
    looked_ms: u64,
    keys: Option<LinkKeys>,
}

impl Relay {
    /// Joins a validator and its ledger. `clock` gives milliseconds since the Unix epoch.
    pub fn new(validator: Validator, ledger: Ledger, stream: String, clock: fn() -> u64) -> Relay {
        Relay {
            validator,
            ledger,
            stream,
            clock,
            exhausted: false,
            rules: None,
            looked_ms: 0,
            keys: None,
        }
    }

    /// Takes changed rules as they come, and at once when asked.
    #[must_use]
    pub fn watching(mut self, watch: Watch, reload: Reload) -> Relay {
        self.rules = Some((watch, reload));
        self
    }

    /// Writes down when the keys that the validator was made with turn.
    #[must_use]
    pub fn turning(mut self, keys: LinkKeys) -> Relay {
        self.keys = Some(keys);
        self
    }

    /// Takes changed rules; wrong ones change nothing, and are told of. Heartbeats come by twice a second, so an idle
    /// ring looks too.
    fn look_at_rules(&mut self, now_ms: u64) {
        let Some((watch, reload)) = &mut self.rules else {
            return;
        };
        let asked = reload.take();
        if !asked && now_ms.abs_diff(self.looked_ms) < LOOK_MS {
            return;
        }
        self.looked_ms = now_ms;
        match watch.look(asked) {
            None => {}
            Some(Ok(inspector)) => {
                tracing::info!("rules about answers read again");
                self.ledger.append(&Record {
                    details: Details {
                        policy: Some(inspector.rules().version),
                        ..Details::default()
                    },
                    ..Record::new(Event::PolicyLoaded)
                });
                self.validator.set_inspector(inspector, now_ms);
            }
            Some(Err(error)) => {
                tracing::error!("rules about answers not taken; those from before still hold: {error}");
                self.ledger.append(&Record {
                    level: Level::Alert,
                    result: Outcome::Refused,
                    ..Record::new(Event::PolicyRefused)
                });
            }
        }
    }

    /// Records that the stage stops, and closes the ledger.
    ///
    /// # Errors
    /// When the record can't be written.
    pub fn close(self) -> io::Result<()> {
        self.ledger.close((self.clock)())
    }

    fn take(&mut self, now_ms: u64, message: Bytes, work: &mut Work) {
        let mut message = Vec::from(message);
        let Ok(envelopes) = batch::split(&mut message) else {
            work.refuse("batch-malformed", Level::Alert);
            return;
        };
        for envelope in envelopes {
            if let Err(refused) = self.pass(now_ms, envelope, work) {
                // Whose clock it may be is for the log; of what is forged there is nothing to be told.
                if let Refused::Closed(error @ (OpenError::Expired { .. } | OpenError::Early { .. })) =
                    refused
                {
                    tracing::warn!(%error, "an envelope does not open");
                }
                work.refuse(refused.name(), refused.level());
            }
        }
    }

    fn pass(&mut self, now_ms: u64, envelope: &mut [u8], work: &mut Work) -> Result<(), Refused> {
        let judged = self.validator.judge(now_ms, envelope)?;
        let batch = work.batches.entry(judged.frontend.clone()).or_default();
        let sealed = batch.push_with(|out| self.validator.seal(&judged, out));
        if let Err(error) = sealed {
            self.exhausted |= error == SealError::Exhausted;
            return Err(Refused::Unsealed(error));
        }
        if batch.len() >= DRAIN_BYTES {
            work.full.push((judged.frontend.clone(), batch.take()));
        }
        for note in judged.note.iter().chain(&judged.more) {
            self.ledger.append(&note.record().taking(work.begun.elapsed()));
        }
        Ok(())
    }
}

impl Step for Relay {
    fn step(&mut self, inputs: Vec<Bytes>) -> Vec<Output> {
        let now_ms = (self.clock)();
        for news in self.keys.iter().flat_map(LinkKeys::news) {
            self.ledger.append(&news.record());
        }
        self.look_at_rules(now_ms);
        let mut work = Work::new();
        for input in inputs {
            self.take(now_ms, input, &mut work);
        }
        for (reason, (level, count)) in &work.refused {
            tracing::warn!(reason, count, "refused");
            self.ledger.append(&Record {
                level: *level,
                result: Outcome::Refused,
                details: Details {
                    reason: Some(reason),
                    messages: Some(*count),
                    ..Details::default()
                },
                ..Record::new(Event::EnvelopeRefused)
            });
        }
        work.into_outputs(&self.stream)
    }

    fn commit(&mut self) -> io::Result<()> {
        self.ledger.commit()?;
        if self.exhausted {
            // A new run has a new key.
            return Err(io::Error::other("the key of this run is used up"));
        }
        Ok(())
    }
}

/// What one round makes.
struct Work {
    begun: Instant,
    batches: BTreeMap<Slot, Batch>,
    /// Batches that are large enough to be sent by themselves.
    full: Vec<(Slot, Vec<u8>)>,
    /// How many were refused, by reason: a flood of them must not flood the ledger.
    refused: BTreeMap<&'static str, (Level, u64)>,
}

impl Work {
    fn new() -> Work {
        Work {
            begun: Instant::now(),
            batches: BTreeMap::new(),
            full: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    fn refuse(&mut self, reason: &'static str, level: Level) {
        let (_, count) = self.refused.entry(reason).or_insert((level, 0));
        *count = count.saturating_add(1);
    }

    fn into_outputs(self, stream: &str) -> Vec<Output> {
        let rest = self.batches.into_iter().filter(|(_, batch)| !batch.is_empty());
        let rest = rest.map(|(slot, mut batch)| (slot, batch.take()));
        let all = self.full.into_iter().chain(rest);
        let output = |(slot, payload): (Slot, Vec<u8>)| Output {
            subject: format!("{stream}.{slot}"),
            payload: Bytes::from(payload),
        };
        all.map(output).collect()
    }
}
