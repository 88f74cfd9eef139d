//! What the commands take over many records: those of a day, of 100 users, in a ledger of the Query Validator.
//!
//! `cargo run --release -p postern-cli --example many_records [RECORDS]`, with `postern` built beside it; ten million take
//! 6 GB of disk where temporary files go.

use anyhow::Context as _;
use postern_ledger::{Details, Event, Ledger, Record, StatementDigest, pack};
use postern_types::{InstanceId, SessionId, Stage};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// 2023-11-14T22:13:20Z, in milliseconds.
const NOW: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// How many users there are, each with statements of their own.
const USERS: u64 = 100;
const GROUP: u64 = 8;

fn main() -> anyhow::Result<()> {
    let records: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse().context("RECORDS is a number")?,
        None => 1_000_000,
    };
    let files = tempfile::tempdir()?;
    let directory = files.path().join("query-validator");
    let begun = Instant::now();
    write(&directory, records)?;
    println!(
        "{records} records written in {:.1?}, {GROUP} a commit",
        begun.elapsed()
    );
    let plain = bytes(&directory)?;
    println!("{} bytes a record", plain / records);
    ask(&directory, records)?;
    let begun = Instant::now();
    let packed = pack(&directory)?;
    let (before, after) = packed.iter().fold((0, 0), |(before, after), one| {
        (before + one.before, after + one.after)
    });
    println!(
        "{} files packed in {:.1?}: {} bytes a record of them before, {} after",
        packed.len(),
        begun.elapsed(),
        plain / records,
        (plain / records * after).checked_div(before).unwrap_or_default()
    );
    ask(&directory, records)
}

fn write(directory: &Path, records: u64) -> anyhow::Result<()> {
    let mut ledger = Ledger::open(directory, Stage::QueryValidator, InstanceId([1; 16]), NOW)?;
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
    let statements: Vec<_> = (0..USERS)
        .map(|n| [StatementDigest::of(&format!("SELECT {n}"))])
        .collect();
    let mut noise: u64 = 1;
    for (number, (user, statement)) in (1..=records).zip(users.iter().zip(&statements).cycle()) {
        // Times that a real stage would take, none like the other.
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let time_ms = NOW + DAY_MS * number / records;
        ledger.append(&Record {
            time_ns: Some(time_ms * 1_000_000 + (noise >> 44)),
            session: Some(SessionId(
                (u128::from(number % USERS) * 0x9e37_79b9_7f4a_7c15_f39c_c060).to_be_bytes(),
            )),
            exchange: Some(number / USERS),
            actor: Some(user),
            action: Some("select"),
            resource: statement,
            details: Details {
                bytes: Some(60 + (noise >> 56)),
                messages: Some(1),
                statements: Some(1),
                duration_us: Some(noise >> 54),
                client: Some([10, 0, 0, 7].into()),
                policy: Some(0x0123_4567_89ab_cdef),
                ..Details::default()
            },
            ..Record::new(Event::Exchange)
        });
        if number % GROUP == 0 {
            ledger.commit()?;
        }
    }
    ledger.commit()?;
    Ok(())
}

fn bytes(directory: &Path) -> anyhow::Result<u64> {
    let files = fs::read_dir(directory)?;
    files.map(|file| Ok(file?.metadata()?.len())).sum()
}

fn ask(directory: &Path, records: u64) -> anyhow::Result<()> {
    let hour = [
        "--since",
        "2023-11-15T10:00:00Z",
        "--until",
        "2023-11-15T11:00:00Z",
    ];
    timed(
        "query",
        directory,
        &[&hour[..], &["--actor", "user7", "--json"]].concat(),
    )?;
    timed("query", directory, &["--actor", "user7", "--exchange", "107"])?;
    let took = timed("verify", directory, &[])?;
    println!("verify: {:.0} records/s", records as f64 / took.as_secs_f64());
    Ok(())
}

fn timed(command: &str, directory: &Path, arguments: &[&str]) -> anyhow::Result<Duration> {
    let own = std::env::current_exe()?;
    let postern = own
        .parent()
        .and_then(Path::parent)
        .context("this program is in no directory of cargo's")?
        .join("postern");
    let begun = Instant::now();
    let output = Command::new(&postern)
        .args(["audit", command])
        .arg(directory)
        .args(arguments)
        .output()
        .with_context(|| {
            format!(
                "can't run {}: build it with `cargo build --bin postern`",
                postern.display()
            )
        })?;
    let took = begun.elapsed();
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    println!(
        "{command} {arguments:?}: {took:.2?}, {}, {lines} lines",
        output.status
    );
    Ok(took)
}
