//! `./bench`: what a statement costs through the ring, beside what it costs without.
//!
//! Everything is measured in one run on one machine, in short rounds that take turns, so that whatever else
//! the machine does meanwhile falls on all alike; what is told is the median of the rounds. The parts are
//! real: pgbench, PostgreSQL, PgBouncer, four NATS servers that keep their streams in files, four stages.
//! Not in here: what single functions cost.

mod bulk;
mod client;
mod echo;
mod figures;
mod memory;
mod pgbench;
mod places;
mod plan;
mod pooler;
mod rounds;
mod table;

use anyhow::Context as _;
use clap::Parser;
use plan::Plan;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measure Postern beside PostgreSQL itself, PgBouncer and an empty ring.
#[derive(Parser)]
#[command(after_help = "Example:
  ./bench --quick --json bench.json")]
struct Arguments {
    /// Write the figures to this file too, as one JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer and shorter rounds, less data: under 90 seconds, and less exact.
    #[arg(long)]
    quick: bool,
    /// Megabytes (10^6 bytes) of each bulk transfer.
    #[arg(long, value_name = "MB")]
    bulk_mb: Option<u32>,
    /// Connections to PostgreSQL that PgBouncer and Postern keep each.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=200))]
    pool_size: Option<u32>,
    /// Keep everything running for so many seconds at the end, for looking at the processes.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide = true)]
    linger: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut plan = if arguments.quick {
        Plan::quick()
    } else {
        Plan::full()
    };
    if let Some(megabytes) = arguments.bulk_mb {
        plan.bulk_mb = megabytes;
    }
    if let Some(connections) = arguments.pool_size {
        plan.pool_size = connections;
    }
    let load_before = load_average();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    say("starting PostgreSQL, four NATS servers and four stages, and making the tables ...");
    let places = runtime.block_on(places::Places::start(&plan))?;
    let figures = rounds::measure(&plan, &places)?;
    let about = serde_json::json!({
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "load_average_before": load_before,
        "load_average_after": load_average(),
        "postgresql": places.ring.installation().major,
        "pgbouncer": places.pooler.as_ref().map(|pooler| pooler.version.to_string()),
        "pool_size": plan.pool_size,
        "rounds": plan.rounds,
        "seconds_per_round": plan.round_s,
        "bulk_mb": plan.bulk_mb,
        "quick": arguments.quick,
        "seconds": begun.elapsed().as_secs(),
    });
    let report = figures.json(about);
    print!("{}", table::draw(&report));
    if let Some(file) = &arguments.json {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        fs::write(file, text).with_context(|| format!("can't write {}", file.display()))?;
    }
    if arguments.linger > 0 {
        println!("through the ring: {}", places.ring.url("app"));
        std::thread::sleep(Duration::from_secs(arguments.linger));
    }
    Ok(())
}

/// The machine's load over the last minute; other work on it makes the figures worse.
fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn say(what: &str) {
    println!("   {what}");
}
