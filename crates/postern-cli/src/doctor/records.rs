//! The ledgers, and what runs.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use crate::sinks;
use crate::status::Status as Running;
use postern_types::Author;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Room on disk below which ledgers will soon stop the ring (bytes).
const LITTLE: u64 = 256 * 1024 * 1024;
/// ... and below which somebody should look (bytes).
const SOME: u64 = 4 * 1024 * 1024 * 1024;
/// A collector that lacks so many records is down, or too slow.
const BEHIND: u64 = 100_000;
/// A part that had to be started again so often is not well.
const RESTARTS: u32 = 3;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let records = ledgers(ring, report);
    sinks(ring, &records, report);
    room(ring, report);
    running(ring, report);
}

/// How many records each sound ledger has.
fn ledgers(ring: &Examined, report: &mut Report) -> BTreeMap<Author, u64> {
    let mut records = BTreeMap::new();
    let mut broken = Vec::new();
    let mut empty = Vec::new();
    for author in Author::ALL {
        let configured = author
            .stage()
            .and_then(|stage| ring.file(stage, &["ledger", "directory"]));
        let directory = configured.unwrap_or_else(|| ring.ring.ledger(author));
        match verify(&directory) {
            Ok(found) => {
                records.insert(author, found.records);
            }
            Err(findings)
                if findings
                    .iter()
                    .all(|f| f.kind == postern_ledger::FindingKind::NoLedger) =>
            {
                empty.push(format!("{author} has recorded nothing yet"));
            }
            Err(findings) => {
                let first = findings.first().map(ToString::to_string).unwrap_or_default();
                broken.push(format!("{author}: {first}"));
            }
        }
    }
    let mut section = report.about(Area::Monitoring);
    section.each(
        "ledgers",
        Status::Fail,
        &broken,
        "postern audit verify DIR says where; keep a copy before anything else",
        "no ledger was changed or cut",
    );
    section.each(
        "ledgers-begun",
        Status::Warn,
        &empty,
        "start the ring once",
        "all four stages record, and so does the operator",
    );
    records
}

/// Whether records are somewhere else too, and how far behind that is.
fn sinks(ring: &Examined, records: &BTreeMap<Author, u64>, report: &mut Report) {
    let mut section = report.about(Area::Monitoring);
    let names = match sinks::of_records(&ring.ring) {
        Ok(names) => names,
        Err(error) => return section.fail("sinks", format!("{error:#}"), "mend sinks.toml"),
    };
    if names.is_empty() {
        return section.warn(
            "sinks",
            "the records are on this machine only, and nobody is told of an alert",
            "name a collector in sinks.toml",
        );
    }
    let behind: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let confirmed = sinks::confirmed(&ring.ring, name);
            let lag = |(author, last): (&Author, &u64)| {
                last.saturating_sub(confirmed.get(author).copied().unwrap_or_default())
            };
            let lag: u64 = records.iter().map(lag).sum();
            (lag > BEHIND).then(|| format!("{name} is {lag} records behind"))
        })
        .collect();
    section.each(
        "sinks",
        Status::Warn,
        &behind,
        "see what the log of the sinks says of it",
        &format!("records go to {}", names.join(", ")),
    );
}

/// A running stage may be in the middle of a write; what is wrong is still wrong a moment later.
fn verify(directory: &Path) -> Result<postern_ledger::Report, Vec<postern_ledger::Finding>> {
    const MOMENT: Duration = Duration::from_millis(100);
    postern_ledger::verify(directory).or_else(|_| {
        std::thread::sleep(MOMENT);
        postern_ledger::verify(directory)
    })
}

fn room(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Monitoring);
    let directory = ring.ring.join("audit");
    let mend = "make room: without it the ring stops, because nothing goes on without a record";
    match rustix::fs::statvfs(&directory) {
        Err(error) => section.warn("ledger-room", format!("{}: {error}", directory.display()), mend),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let told = format!("{} MiB are free for the ledgers", free / 1024 / 1024);
            if free < LITTLE {
                section.fail("ledger-room", told, mend);
            } else if free < SOME {
                section.warn("ledger-room", told, mend);
            } else {
                section.pass("ledger-room", told);
            }
        }
    }
}

fn running(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Monitoring);
    match Running::read(&ring.ring) {
        Ok(Some(status)) => {
            let ill: Vec<String> = status
                .parts
                .iter()
                .filter(|(_, part)| part.pid.is_none() || part.restarts >= RESTARTS)
                .map(|(name, part)| match part.pid {
                    Some(_) => format!("{name} was started again {} times", part.restarts),
                    None => format!("{name} is down"),
                })
                .collect();
            section.each(
                "parts",
                Status::Warn,
                &ill,
                "see what its log says",
                "all parts run, without falling over",
            );
        }
        Ok(None) => section.warn(
            "parts",
            "`postern up` does not run here",
            "start the ring, or watch its parts yourself",
        ),
        Err(error) => section.warn("parts", format!("{error:#}"), "start the ring anew"),
    }
}
