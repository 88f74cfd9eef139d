//! What was measured, and the medians of it as JSON.

use crate::bulk::Bulk;
use crate::echo::EchoOutcome;
use crate::memory::Memory;
use crate::pgbench::{Mode, Outcome, Run, Script};
use crate::places::Place;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Measured = (Place, Script, Mode, u32);

/// Every round of every measurement.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) echo: Vec<EchoOutcome>,
    pub(crate) pgbench: BTreeMap<Measured, Vec<Outcome>>,
    /// Nanoseconds of CPU in all rounds by process, and the transactions of all rounds.
    cpu: BTreeMap<Measured, (BTreeMap<String, u64>, u64)>,
    pub(crate) bulk: BTreeMap<(Place, Bulk), Vec<f64>>,
    pub(crate) memory: BTreeMap<String, Memory>,
}

impl Figures {
    /// Adds a round.
    pub(crate) fn add(&mut self, place: Place, run: &Run, outcome: Outcome) {
        self.pgbench
            .entry((place, run.script, run.mode, run.clients))
            .or_default()
            .push(outcome);
    }

    /// Adds the CPU time that the processes used in a round.
    pub(crate) fn add_cpu(
        &mut self,
        place: Place,
        run: &Run,
        used: &BTreeMap<String, u64>,
        transactions: u64,
    ) {
        let (sum, count) = self
            .cpu
            .entry((place, run.script, run.mode, run.clients))
            .or_default();
        *count = count.saturating_add(transactions);
        for (process, nanoseconds) in used {
            let total = sum.entry(process.clone()).or_default();
            *total = total.saturating_add(*nanoseconds);
        }
    }

    /// The report; `about` says under which circumstances.
    pub(crate) fn json(&self, about: Value) -> Value {
        let echo = |figure: fn(&EchoOutcome) -> f64| rounded(median(self.echo.iter().map(figure)));
        let mut postern = self.place(Place::Postern);
        if let Value::Object(postern) = &mut postern {
            postern.extend(self.processes());
        }
        let mut report = json!({
            "ring_echo": {
                "p50_us_1": echo(|outcome| outcome.p50_us),
                "p99_us_1": echo(|outcome| outcome.p99_us),
                "tps_32": echo(|outcome| outcome.tps_32),
                "tps_32_one_message_each": echo(|outcome| outcome.tps_32_one_message_each),
            },
            "direct": self.place(Place::Direct),
            "pgbouncer": self.place(Place::PgBouncer),
            "postern": postern,
        });
        let ratios = ratios(&report);
        if let Value::Object(report) = &mut report {
            report.insert("ratios".to_owned(), ratios);
            report.insert("about".to_owned(), about);
        }
        report
    }

    /// One place; null when it was not there.
    fn place(&self, place: Place) -> Value {
        let mut object = self.mode(place, Script::SelectOnly, Mode::Extended);
        if object.is_empty() {
            return Value::Null;
        }
        for bulk in Bulk::ALL {
            if let Some(rounds) = self.bulk.get(&(place, bulk)) {
                object.insert(bulk.figure().to_owned(), rounded(median(rounds.iter().copied())));
            }
        }
        for mode in [Mode::Prepared, Mode::Simple] {
            let figures = self.mode(place, Script::SelectOnly, mode);
            if !figures.is_empty() {
                object.insert(mode.name().to_owned(), Value::Object(figures));
            }
        }
        let tpc_b = self.mode(place, Script::TpcB, Mode::Extended);
        object.insert("tpcb".to_owned(), Value::Object(tpc_b));
        let outcomes = self
            .pgbench
            .iter()
            .filter(|((at, ..), _)| *at == place)
            .flat_map(|(_, rounds)| rounds);
        let (processed, failed, aborted) = outcomes.fold((0u64, 0u64, 0u64), |(p, f, a), outcome| {
            (
                p.saturating_add(outcome.processed),
                f.saturating_add(outcome.failed),
                a.saturating_add(outcome.aborted),
            )
        });
        object.insert("transactions".to_owned(), json!(processed));
        object.insert("failed_transactions".to_owned(), json!(failed));
        object.insert("aborted_clients".to_owned(), json!(aborted));
        Value::Object(object)
    }

    fn mode(&self, place: Place, script: Script, mode: Mode) -> Map<String, Value> {
        let mut object = Map::new();
        let mut figure = |name: &str, clients: u32, of: fn(&Outcome) -> f64| {
            if let Some(rounds) = self.pgbench.get(&(place, script, mode, clients)) {
                object.insert(
                    format!("{name}_{clients}"),
                    rounded(median(rounds.iter().map(of))),
                );
            }
        };
        for clients in crate::rounds::CLIENTS {
            figure("p50_us", clients, |outcome| outcome.p50_us);
            figure("p99_us", clients, |outcome| outcome.p99_us);
            figure("tps", clients, |outcome| outcome.tps);
        }
        object
    }

    /// Memory and CPU time of the ring's processes.
    fn processes(&self) -> Map<String, Value> {
        let megabytes = |of: fn(&Memory) -> u64| -> Value {
            self.memory
                .iter()
                .map(|(process, memory)| (process.clone(), rounded(of(memory) as f64 / 1_048_576.0)))
                .collect::<Map<_, _>>()
                .into()
        };
        let mut object = Map::new();
        object.insert("peak_rss_mb".to_owned(), megabytes(|memory| memory.peak));
        object.insert("rss_mb".to_owned(), megabytes(|memory| memory.now));
        for clients in crate::rounds::CLIENTS {
            let measured = (Place::Postern, Script::SelectOnly, Mode::Extended, clients);
            let Some((used, transactions)) = self.cpu.get(&measured) else {
                continue;
            };
            let each: Map<String, Value> = used
                .iter()
                .filter(|(process, _)| self.memory.contains_key(*process))
                .map(|(process, nanoseconds)| {
                    let each = *nanoseconds as f64 / 1000.0 / (*transactions).max(1) as f64;
                    (process.clone(), rounded(each))
                })
                .collect();
            object.insert(format!("cpu_us_per_transaction_{clients}"), each.into());
        }
        object
    }
}

/// How Postern stands to the others.
fn ratios(report: &Value) -> Value {
    let figure = |path: &str| report.pointer(path).and_then(Value::as_f64);
    let ratio = |over: &str, under: &str| match (figure(over), figure(under)) {
        (Some(over), Some(under)) if under > 0.0 => rounded(over / under),
        _ => Value::Null,
    };
    let added = figure("/postern/p50_us_1")
        .zip(figure("/direct/p50_us_1"))
        .map(|(postern, direct)| postern - direct);
    let added_over_echo = match (added, figure("/ring_echo/p50_us_1")) {
        (Some(added), Some(echo)) if echo > 0.0 => rounded(added / echo),
        _ => Value::Null,
    };
    json!({
        "p50_minus_direct_over_echo": added_over_echo,
        "tps_32_over_direct": ratio("/postern/tps_32", "/direct/tps_32"),
        "tps_32_over_pgbouncer": ratio("/postern/tps_32", "/pgbouncer/tps_32"),
        "tps_32_over_ring_echo": ratio("/postern/tps_32", "/ring_echo/tps_32"),
        "tpcb_tps_32_over_direct": ratio("/postern/tpcb/tps_32", "/direct/tpcb/tps_32"),
        "tpcb_tps_32_over_pgbouncer": ratio("/postern/tpcb/tps_32", "/pgbouncer/tpcb/tps_32"),
        "copy_out_over_direct": ratio("/postern/copy_out_mb_s", "/direct/copy_out_mb_s"),
        "select_out_over_direct": ratio("/postern/select_out_mb_s", "/direct/select_out_mb_s"),
        "copy_in_over_direct": ratio("/postern/copy_in_mb_s", "/direct/copy_in_mb_s"),
    })
}

/// Half of the values lie above it; the mean of the middle two of an even number.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    let lower = sorted.len().saturating_sub(1) / 2;
    match (sorted.get(lower), sorted.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => f64::NAN,
    }
}

/// Two places after the point say all that can be known.
fn rounded(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(tps: f64, p50_us: f64) -> Outcome {
        Outcome {
            tps,
            processed: 10,
            failed: 1,
            aborted: 0,
            p50_us,
            p99_us: p50_us * 2.0,
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn the_report_has_medians_sums_and_ratios() {
        let mut figures = Figures::default();
        let run = |clients| Run {
            mode: Mode::Extended,
            script: Script::SelectOnly,
            clients,
            seconds: 1,
        };
        figures.echo.push(EchoOutcome {
            p50_us: 400.0,
            p99_us: 900.0,
            tps_32: 40_000.0,
            tps_32_one_message_each: 19_000.0,
        });
        for tps in [90.0, 100.0, 500.0] {
            figures.add(Place::Direct, &run(32), outcome(tps, 100.0));
            figures.add(Place::Direct, &run(1), outcome(tps, 100.0));
            figures.add(Place::Postern, &run(32), outcome(tps / 2.0, 700.0));
            figures.add(Place::Postern, &run(1), outcome(tps / 2.0, 700.0));
        }
        let report = figures.json(json!({}));
        assert_eq!(report["direct"]["tps_32"], 100.0);
        assert_eq!(report["postern"]["p99_us_1"], 1400.0);
        assert_eq!(report["postern"]["failed_transactions"], 6);
        assert_eq!(report["pgbouncer"], Value::Null);
        assert_eq!(report["ratios"]["p50_minus_direct_over_echo"], 1.5);
        assert_eq!(report["ratios"]["tps_32_over_direct"], 0.5);
        assert_eq!(report["ratios"]["tps_32_over_pgbouncer"], Value::Null);
    }
}
