//! `postern status`.

use crate::console::say;
use crate::directory::RingDirectory;
use crate::sinks::{self, Progress};
use crate::status::Status;
use clap::Args;
use postern_types::Author;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// The ring is not up.
const NOT_UP: u8 = 3;

/// Show what runs, and how many records each collector has not confirmed yet.
#[derive(Debug, Args)]
#[command(
    after_help = "A sink is behind by the records of all ledgers that its collector has not confirmed. Sinks of kind s3, which get
checkpoints only, are left out.
Exit codes: 0 the ring is up, 1 failed, 3 it is not up."
)]
pub(super) struct StatusArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object, with the ledgers of each sink.
    #[arg(long)]
    json: bool,
}

/// The sinks that get records, by name.
type Sinks = BTreeMap<String, BTreeMap<Author, Progress>>;

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    let status = Status::read(&ring)?;
    if args.json {
        let sinks = as_json(&sinks(&ring)?);
        say!(
            "{}",
            json!({ "up": status.is_some(), "status": status, "sinks": sinks })
        );
    } else {
        write_parts(status.as_ref());
        for (name, ledgers) in &sinks(&ring)? {
            say!("{}", line(name, ledgers));
        }
    }
    Ok(match status {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(NOT_UP),
    })
}

fn write_parts(status: Option<&Status>) {
    let Some(status) = status else {
        return say!("not up");
    };
    say!(
        "{} on {}, run by process {}",
        if status.ready { "ready" } else { "starting" },
        status.listen,
        status.supervisor_pid
    );
    for (name, part) in &status.parts {
        let pid = part.pid.map_or_else(|| "down".to_owned(), |pid| pid.to_string());
        say!("  {name:<20} {pid:>8}   restarts: {}", part.restarts);
    }
}

fn sinks(ring: &RingDirectory) -> anyhow::Result<Sinks> {
    let names = sinks::of_records(ring)?;
    let with_progress = |name: String| {
        let progress = sinks::progress(ring, &name)?;
        Ok((name, progress))
    };
    names.into_iter().map(with_progress).collect()
}

/// Records of all ledgers that a collector has not confirmed.
fn behind(ledgers: &BTreeMap<Author, Progress>) -> u64 {
    let all = ledgers.values().map(|progress| progress.behind);
    all.fold(0, u64::saturating_add)
}

fn line(name: &str, ledgers: &BTreeMap<Author, Progress>) -> String {
    let (sink, behind) = (format!("sink {name}"), behind(ledgers));
    let records = if behind == 1 { "record" } else { "records" };
    let mut line = format!("  {sink:<20} {behind:>8} {records} behind");
    let ahead = ledgers
        .iter()
        .filter(|(_, progress)| progress.confirmed > progress.committed);
    for (stage, _) in ahead {
        line.push_str(&format!(
            "; confirmed more than the ledger of {stage} has, see postern audit verify"
        ));
    }
    line
}

fn as_json(sinks: &Sinks) -> Value {
    let of_sink = |(name, ledgers): (&String, &BTreeMap<Author, Progress>)| {
        let each: serde_json::Map<String, Value> = ledgers
            .iter()
            .map(|(stage, progress)| (stage.to_string(), json!(progress)))
            .collect();
        (
            name.clone(),
            json!({ "behind": behind(ledgers), "ledgers": each }),
        )
    };
    Value::Object(sinks.iter().map(of_sink).collect())
}
