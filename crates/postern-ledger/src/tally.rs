//! Counting what is written down, for whoever watches a stage from outside: numbers only, no names of anybody.
//!
//! What a stage does passes the ledger, so it is counted there. Counters begin with the process.

use crate::record::{Event, Level, Outcome, Record};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper ends of the buckets of times, in microseconds.
const BUCKETS_US: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000, 10_000_000,
];

const RESULTS: [Outcome; 3] = [Outcome::Allowed, Outcome::Refused, Outcome::Failed];
const LEVELS: [Level; 3] = [Level::Info, Level::Warn, Level::Alert];

/// What was counted since the process began.
#[derive(Debug, Default)]
pub struct Tally {
    records: [[AtomicU64; RESULTS.len()]; Event::ALL.len()],
    levels: [AtomicU64; LEVELS.len()],
    /// How long exchanges took in this stage.
    stage: Times,
    /// ... from the client's request to the end of its answer (Frontend).
    answer: Times,
    /// ... in the Backend, as far as it is told (Response Validator).
    backend: Times,
    rows: AtomicU64,
    bytes: AtomicU64,
    ledger_bytes: AtomicU64,
    failed_commits: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Times {
    /// One more than there are ends: what is above the last.
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Times {
    fn add(&self, us: u64) {
        let place = BUCKETS_US.partition_point(|end| *end < us);
        if let Some(bucket) = self.buckets.get(place) {
            add(bucket, 1);
        }
        add(&self.sum_us, us);
    }

    /// A histogram (Prometheus text format 0.0.4), in seconds.
    fn write(&self, name: &str, help: &str, out: &mut String) {
        let mut total: u64 = 0;
        head(name, "histogram", help, out);
        let ends = BUCKETS_US.iter().map(Some).chain([None]);
        for (bucket, end) in self.buckets.iter().zip(ends) {
            total = total.saturating_add(read(bucket));
            let _ = match end {
                Some(us) => writeln!(out, "{name}_bucket{{le=\"{}\"}} {total}", seconds(*us)),
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {total}"),
            };
        }
        let sum = seconds(read(&self.sum_us));
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {total}");
    }
}

impl Tally {
    /// Counts a record.
    pub(crate) fn count(&self, record: &Record<'_>) {
        let results = Event::ALL
            .iter()
            .position(|event| *event == record.event)
            .and_then(|event| self.records.get(event));
        let result = RESULTS.iter().position(|result| *result == record.result);
        if let Some(counter) = results.zip(result).and_then(|(results, at)| results.get(at)) {
            add(counter, 1);
        }
        let level = LEVELS.iter().position(|level| *level == record.level);
        if let Some(counter) = level.and_then(|level| self.levels.get(level)) {
            add(counter, 1);
        }
        let details = &record.details;
        match (record.event, details.duration_us) {
            (Event::Exchange, Some(us)) => self.stage.add(us),
            (Event::ExchangeAnswered, Some(us)) => self.answer.add(us),
            _ => {}
        }
        if let (Event::Exchange, Some(us)) = (record.event, details.backend_us) {
            self.backend.add(us);
        }
        if matches!(record.event, Event::Exchange | Event::ExchangeEnd) {
            add(&self.rows, details.rows.unwrap_or_default());
            add(&self.bytes, details.bytes.unwrap_or_default());
        }
    }

    /// Counts a commit of so many bytes; how many records are lost at present.
    pub(crate) fn committed(&self, bytes: u64, lost: u64) {
        add(&self.ledger_bytes, bytes);
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Counts a commit that failed.
    pub(crate) fn commit_failed(&self) {
        add(&self.failed_commits, 1);
    }

    /// Appends what was counted in the text format of Prometheus (0.0.4).
    pub fn write(&self, out: &mut String) {
        let name = "postern_records_total";
        head(name, "counter", "Records written, by event and result.", out);
        for (event, results) in Event::ALL.iter().zip(&self.records) {
            for (result, counter) in RESULTS.iter().zip(results) {
                let count = read(counter);
                // A stage has few of all the events there are.
                if count > 0 {
                    let (event, result) = (event.name(), result.name());
                    let _ = writeln!(out, "{name}{{event=\"{event}\",result=\"{result}\"}} {count}");
                }
            }
        }
        let name = "postern_records_by_level_total";
        head(
            name,
            "counter",
            "Records written, by level; alert is for a person, now.",
            out,
        );
        for (level, counter) in LEVELS.iter().zip(&self.levels) {
            let _ = writeln!(out, "{name}{{level=\"{}\"}} {}", level.name(), read(counter));
        }
        for (name, help, counter) in [
            (
                "postern_rows_total",
                "Rows of answers that were handed on.",
                &self.rows,
            ),
            (
                "postern_payload_bytes_total",
                "Bytes of requests or answers that were handed on.",
                &self.bytes,
            ),
            (
                "postern_ledger_bytes_total",
                "Bytes written to the ledger.",
                &self.ledger_bytes,
            ),
            (
                "postern_ledger_failed_commits_total",
                "Commits that failed; nothing is handed on then.",
                &self.failed_commits,
            ),
        ] {
            head(name, "counter", help, out);
            let _ = writeln!(out, "{name} {}", read(counter));
        }
        let name = "postern_ledger_dropped_records";
        head(
            name,
            "gauge",
            "Records that a full disk has cost since the last one was written.",
            out,
        );
        let _ = writeln!(out, "{name} {}", read(&self.lost));
        self.stage.write(
            "postern_stage_seconds",
            "Time of exchanges in this stage, until it hands them on.",
            out,
        );
        self.answer.write(
            "postern_answer_seconds",
            "Time from the client's request to the end of its answer (Frontend).",
            out,
        );
        self.backend.write(
            "postern_backend_seconds",
            "Time from the Backend's record to the first part of the answer (Response Validator).",
            out,
        );
    }
}

fn head(name: &str, kind: &str, help: &str, out: &mut String) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn seconds(us: u64) -> String {
    let (whole, rest) = (us / 1_000_000, us % 1_000_000);
    format!("{whole}.{rest:06}")
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::{Details, Event, Level, Outcome, Record};

    fn line(text: &str, wanted: &str) -> bool {
        text.lines().any(|line| line == wanted)
    }

    #[test]
    fn what_was_written_is_counted() {
        let tally = Tally::default();
        for (us, result) in [
            (50, Outcome::Allowed),
            (51, Outcome::Refused),
            (20_000_000, Outcome::Refused),
        ] {
            tally.count(&Record {
                result,
                level: Level::Warn,
                details: Details {
                    duration_us: Some(us),
                    rows: Some(10),
                    ..Details::default()
                },
                ..Record::new(Event::Exchange)
            });
        }
        tally.count(&Record::new(Event::StageStart));
        tally.committed(100, 7);
        let mut text = String::new();
        tally.write(&mut text);
        for wanted in [
            "postern_records_total{event=\"exchange\",result=\"allowed\"} 1",
            "postern_records_total{event=\"exchange\",result=\"refused\"} 2",
            "postern_records_total{event=\"stage.start\",result=\"allowed\"} 1",
            "postern_records_by_level_total{level=\"warn\"} 3",
            "postern_rows_total 30",
            "postern_ledger_bytes_total 100",
            "postern_ledger_dropped_records 7",
            "postern_stage_seconds_bucket{le=\"0.000050\"} 1",
            "postern_stage_seconds_bucket{le=\"0.000100\"} 2",
            "postern_stage_seconds_bucket{le=\"10.000000\"} 2",
            "postern_stage_seconds_bucket{le=\"+Inf\"} 3",
            "postern_stage_seconds_sum 20.000101",
            "postern_stage_seconds_count 3",
            "postern_answer_seconds_count 0",
        ] {
            assert!(line(&text, wanted), "{wanted} is not in {text}");
        }
    }
}
