//! What two sinks cost: pgbench on a ring, once with them and once without, in turn. Run it in release mode on a machine
//! with nothing else to do.
//!
//! The collectors share its processors, as they would not elsewhere. So two ratios are printed: that of the
//! transactions, and that of the transactions for each second of processor time which the collectors left to the ring
//! and the sinks.

#![expect(clippy::cast_precision_loss, reason = "ratios of counts")]

use anyhow::Context as _;
use postern_e2e::collectors::collectors;
use postern_e2e::pgbench;
use postern_testkit::process::cpu_time;
use postern_testkit::receiver::Receiver;
use postern_testkit::rsyslog::Rsyslog;
use postern_testkit::{Options, Part, Ring, Storage};
use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 6;
const RUN_S: u32 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options {
        storage: Storage::File,
        ..Options::default()
    };
    let ring = Ring::start(options).await?;
    let (collectors, sinks) = collectors(&ring)?;
    fs::write(ring.directory().join("sinks.toml"), sinks)?;
    let processors = available_parallelism()?.get() as f64;
    let (mut with, mut without) = (Run::default(), Run::default());
    let mut records = 0;
    for round in 1..=ROUNDS {
        // In turn, so that a machine which becomes faster or slower meanwhile favours neither.
        let first_without = round % 2 == 0;
        let mut other = Run::default();
        if first_without {
            other = run(&ring, &collectors).await?;
        }
        ring.restart(Part::Sinks).await?;
        // What was written while there were no sinks is not what this round costs.
        let before = idle(&ring, &collectors).await?;
        let one = run(&ring, &collectors).await?;
        let late = Instant::now();
        let after = idle(&ring, &collectors).await?;
        let late = late.elapsed().saturating_sub(QUIET);
        records += after.saturating_sub(before);
        anyhow::ensure!(ring.stop(Part::Sinks), "the sinks do not stop");
        if !first_without {
            other = run(&ring, &collectors).await?;
        }
        println!(
            "round {round}: {} transactions with sinks, {} without; the sinks used {:.2} s of {:.1}, the collectors {:.2}; \
             all was there {:.1} s after the last answer",
            one.transactions,
            other.transactions,
            one.sinks_s,
            one.seconds * processors,
            one.collectors_s,
            late.as_secs_f64()
        );
        with.add(&one);
        without.add(&other);
    }
    let plain = with.rate() / without.rate();
    let left = with.transactions as f64
        / (with.seconds * processors - with.collectors_s)
        / (without.transactions as f64 / (without.seconds * processors - without.collectors_s));
    println!(
        "{records} records; the sinks used {:.1} us for each in both",
        with.sinks_s * 1e6 / records as f64
    );
    println!("with to without: {plain:.3}");
    println!("with to without, the collectors' processor time counted out: {left:.3}");
    Ok(())
}

/// What came of some seconds of pgbench.
#[derive(Default)]
struct Run {
    transactions: u64,
    seconds: f64,
    /// Processor time of the sinks, in seconds.
    sinks_s: f64,
    /// Processor time of the collectors, one of which is this process.
    collectors_s: f64,
}

impl Run {
    fn add(&mut self, other: &Run) {
        self.transactions += other.transactions;
        self.seconds += other.seconds;
        self.sinks_s += other.sinks_s;
        self.collectors_s += other.collectors_s;
    }

    fn rate(&self) -> f64 {
        self.transactions as f64 / self.seconds
    }
}

async fn run(ring: &Ring, collectors: &(Rsyslog, Receiver)) -> anyhow::Result<Run> {
    let sinks = || ring.pid(Part::Sinks).and_then(cpu_time).unwrap_or_default();
    let own = || collectors.0.cpu_time() + cpu_time(std::process::id()).unwrap_or_default();
    let (begun, sinks_before, own_before) = (Instant::now(), sinks(), own());
    let transactions = pgbench::flawless(ring, RUN_S).await?;
    Ok(Run {
        transactions,
        seconds: begun.elapsed().as_secs_f64(),
        sinks_s: (sinks() - sinks_before).as_secs_f64(),
        collectors_s: (own() - own_before).as_secs_f64(),
    })
}

/// So long nothing must have arrived.
const QUIET: Duration = Duration::from_secs(2);

/// Waits until the sinks have no records to carry any more; how many the collector of logs has then.
async fn idle(ring: &Ring, collectors: &(Rsyslog, Receiver)) -> anyhow::Result<usize> {
    let pid = ring.pid(Part::Sinks).context("the sinks are down")?;
    let seen = || (collectors.1.count(), collectors.0.cpu_time());
    let mut before = seen();
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = seen();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        cpu_time(pid).context("the sinks have ended")?;
    }
    Ok(before.0)
}
