//! Puts the records of one exchange together, from all four ledgers.

use crate::feed::Entry;
use crate::record::Fields;
use jiff::Timestamp;
use postern_types::{SessionId, Stage, TraceId};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most exchanges that are waited for; those over it are not traced.
const MOST: usize = 100_000;
/// When its answer is there, the other ledgers are waited for so long.
const OTHERS: Duration = Duration::from_secs(2);
/// An exchange that takes longer is not traced.
const LONGEST: Duration = Duration::from_secs(900);

/// A time of a record, in nanoseconds since the Unix epoch.
pub(super) type Nanos = u64;

/// What one stage wrote down of an exchange that it handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// When it took the exchange up.
    pub(super) taken: Nanos,
    /// When it wrote down that it hands it on.
    pub(super) handed_on: Nanos,
}

/// What is known of an exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    /// By stage, in the order of [`Stage::ALL`].
    pub(super) passed: [Option<Passed>; 4],
    /// From when the Backend began until it sent the first and the last part of the answer, in nanoseconds.
    pub(super) ran: Option<(Nanos, Nanos)>,
    /// When the Response Validator handed on the last part.
    pub(super) checked: Option<Nanos>,
    /// When the client was told all, and how long that took, in nanoseconds.
    pub(super) ended: Option<(Nanos, Nanos)>,
    /// The client never got an answer.
    pub(super) lost: bool,
    /// The trace that the client named, its span there, and whether it is recorded.
    pub(super) named: Option<(TraceId, Vec<u8>, bool)>,
    /// What was attempted.
    pub(super) action: Option<String>,
    /// The named statement.
    pub(super) statement: Option<String>,
    /// What the client was given.
    pub(super) sqlstate: Option<String>,
    /// Rows of the answer.
    pub(super) rows: Option<u64>,
    /// Some stage refused it.
    pub(super) refused: bool,
}

impl Gathered {
    /// What a stage wrote down.
    pub(super) fn passed(&self, stage: Stage) -> Option<Passed> {
        self.passed.get(index(stage)).copied().flatten()
    }

    fn complete(&self) -> bool {
        self.ended.is_some() && self.passed.iter().all(Option::is_some)
    }

    fn add(&mut self, stage: Stage, fields: &Fields<'_>, time: Nanos) {
        let duration = fields.details.duration_us.map_or(0, nanos);
        match &*fields.event {
            "exchange" => {
                if let Some(place) = self.passed.get_mut(index(stage)) {
                    *place = Some(Passed {
                        taken: time.saturating_sub(duration),
                        handed_on: time,
                    });
                }
            }
            "exchange.answered" => self.ended = Some((time, duration)),
            "exchange.lost" => {
                self.ended = Some((time, duration));
                self.lost = true;
            }
            _ => {}
        }
        if stage == Stage::ResponseValidator {
            self.checked = self.checked.max(Some(time));
            if let Some(ran) = fields.details.backend_us.map(nanos) {
                let (first, last) = self.ran.unwrap_or((ran, ran));
                self.ran = Some((first.min(ran), last.max(ran)));
            }
        }
        if let (Some(trace), Some(parent)) = (fields.trace_id(), fields.parent.as_deref().and_then(span_id)) {
            self.named = Some((trace, parent, fields.sampled.unwrap_or(true)));
        }
        let first = |own: &mut Option<String>, new: &Option<std::borrow::Cow<'_, str>>| {
            if own.is_none() {
                *own = new.as_deref().map(str::to_owned);
            }
        };
        first(&mut self.action, &fields.action);
        first(&mut self.statement, &fields.named);
        first(&mut self.sqlstate, &fields.details.sqlstate);
        self.rows = fields.details.rows.or(self.rows);
        self.refused |= fields.result == "refused";
    }
}

fn index(stage: Stage) -> usize {
    stage as usize
}

fn nanos(us: u64) -> Nanos {
    us.saturating_mul(1000)
}

fn span_id(text: &str) -> Option<Vec<u8>> {
    let id = u64::from_str_radix(text, 16).ok()?;
    (text.len() == 16).then(|| id.to_be_bytes().to_vec())
}

/// Exchanges of which not everything is known yet.
#[derive(Debug, Default)]
pub(super) struct Gatherer {
    open: HashMap<(SessionId, u64), (Gathered, Instant)>,
}

impl Gatherer {
    /// Takes in what a record says, if it is not older than what is traced.
    pub(super) fn add(&mut self, entry: &Entry, now: Instant) {
        let fields = Fields::of(&entry.line);
        let about_one = matches!(
            &*fields.event,
            "exchange" | "exchange.end" | "exchange.answered" | "exchange.lost"
        );
        let Some(key) = fields.exchange_of_session().filter(|_| about_one) else {
            return;
        };
        let Ok(time) = fields.time.parse::<Timestamp>() else {
            return;
        };
        if Timestamp::now().duration_since(time) > jiff::SignedDuration::try_from(LONGEST).unwrap_or_default()
        {
            return;
        }
        if self.open.len() >= MOST && !self.open.contains_key(&key) {
            return;
        }
        let Some(stage) = entry.stage.stage() else {
            return;
        };
        let (gathered, _) = self.open.entry(key).or_insert_with(|| (Gathered::default(), now));
        gathered.add(stage, &fields, super::nanoseconds(time));
    }

    /// Those that are complete, and those that will not be.
    pub(super) fn take(&mut self, now: Instant) -> Vec<((SessionId, u64), Gathered)> {
        let done = |gathered: &Gathered, since: Instant| {
            gathered.complete() || gathered.ended.is_some() && now.saturating_duration_since(since) >= OTHERS
        };
        let taken = self
            .open
            .extract_if(|_, (gathered, since)| done(gathered, *since));
        let taken = taken.map(|(key, (gathered, _))| (key, gathered)).collect();
        self.open
            .retain(|_, (_, since)| now.saturating_duration_since(*since) < LONGEST);
        taken
    }
}
