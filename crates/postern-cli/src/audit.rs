//! `postern audit`: check and read the ledgers.
//!
//! DIR is a ring's directory (ledgers in `audit/STAGE`), the `audit` directory itself, or one ledger. What is
//! read is taken for what it is: bytes that somebody may have changed, also to fool a terminal.

use clap::Args;
use filter::Records;
use postern_ledger::{
    CrossReport, Finding, FindingKind, Report, TailReader, cross_check, verify as verify_ledger,
};
use postern_types::{Author, Stage};
use serde_json::{Value, json};
use signed::{Signed, Sources};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

mod checkpoints;
mod export;
mod filter;
mod pack;
mod prove;
mod prune;
mod publish;
mod query;
mod sign;
mod signed;
mod upkeep;
mod value;

pub use checkpoints::make_keys;
pub use export::{ExportArgs, export};
pub use filter::Filter;
pub use pack::{PackArgs, pack};
pub use prove::{ProveArgs, VerifyProofArgs, prove, verify_proof};
pub use prune::{PruneArgs, prune};
pub use publish::{PublishArgs, publish};
pub use query::{QueryArgs, query};
pub use sign::{SignArgs, sign};
pub(crate) use upkeep::Upkeep;

#[cfg(test)]
mod tests;

/// How often `tail --follow` looks for new records.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
/// Newest files of each ledger in which `tail` looks for the latest records.
const TAIL_FILES: usize = 2;

/// Check the ledgers: every record's hash, the chain, the head, what was signed, and the stages against each other.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern audit verify ring
  postern audit verify copy/audit --public-keys trusted --against /mnt/auditor/shop

It may run while the ring is up. Exit codes: 0 sound, 1 something is wrong, 2 a ledger can't be read.")]
pub struct VerifyArgs {
    /// A ring's directory, its audit directory, or the directory of one ledger.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Where the public keys are, as STAGE.pub; default: keys/audit of the ring's directory. Take those that you came
    /// to trust, not those of a machine in doubt.
    #[arg(long, value_name = "DIR")]
    pub public_keys: Option<PathBuf>,
    /// Checkpoints that were kept elsewhere, as STAGE.jsonl, or as files in folders STAGE as a sink stores them; default:
    /// those beside the ledgers. Only such a copy shows a history that was made anew with the key.
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Show the latest records.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern audit tail ring --follow

Records of several stages are merged by time. The hashes are not checked; see `postern audit verify`.")]
pub struct TailArgs {
    /// A ring's directory, its audit directory, or the directory of one ledger.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Go on and show new records as they come, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// Records to begin with.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub lines: usize,
    /// Print each record as its line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `postern audit verify`.
///
/// # Errors
/// When standard output can't be written to.
pub fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let audit = Audit::of(&args.directory, &Sources::of(args));
    let mut out = io::stdout().lock();
    let written = if args.json {
        writeln!(out, "{}", audit.to_json())
    } else {
        audit.write_text(&mut out)
    };
    ignore_closed_pipe(written)?;
    Ok(ExitCode::from(audit.verdict() as u8))
}

/// `postern audit tail`.
///
/// # Errors
/// When standard output can't be written to.
pub fn tail(args: &TailArgs) -> anyhow::Result<ExitCode> {
    let mut tail = match Tail::open(&args.directory) {
        Ok(tail) => tail,
        Err(error) => {
            eprintln!("postern: {}: {error}", args.directory.display());
            return Ok(ExitCode::from(Verdict::Unreadable as u8));
        }
    };
    let mut out = io::stdout().lock();
    ignore_closed_pipe(show(&mut tail, args, &mut out))?;
    Ok(ExitCode::SUCCESS)
}

fn show(tail: &mut Tail, args: &TailArgs, out: &mut impl Write) -> io::Result<()> {
    let mut keep = args.lines;
    loop {
        for record in tail.poll(keep)? {
            record.write(args.json, out)?;
        }
        out.flush()?;
        if !args.follow {
            return Ok(());
        }
        keep = usize::MAX;
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// The name of a ledger's author on the command line.
fn stage(name: &str) -> Result<Author, String> {
    let names = || Author::ALL.map(Author::name).join(", ");
    Author::from_name(name).ok_or_else(|| format!("one of {} is expected", names()))
}

fn ignore_closed_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The ledgers that a directory holds.
enum Ledgers {
    /// The directory of one ledger.
    One(PathBuf),
    /// One for each stage, and the operator's.
    Ring(BTreeMap<Author, PathBuf>),
}

impl Ledgers {
    fn of(directory: &Path) -> Ledgers {
        let audit = directory.join("audit");
        let audit = if audit.is_dir() {
            audit.as_path()
        } else {
            directory
        };
        // A stage that is configured here has a ledger, and so has the operator of a ring whose ledgers are signed here,
        // even if somebody has taken it away.
        let is_here = |author: Author| match author {
            Author::Stage(stage) => directory.join(format!("{stage}.toml")).exists(),
            Author::Operator => checkpoints::public_key_file(directory, author).exists(),
        };
        let expected = |author: &Author| audit.join(author.name()).exists() || is_here(*author);
        let ring: BTreeMap<Author, PathBuf> = Author::ALL
            .into_iter()
            .filter(expected)
            .map(|author| (author, audit.join(author.name())))
            .collect();
        if ring.is_empty() {
            Ledgers::One(directory.to_owned())
        } else {
            Ledgers::Ring(ring)
        }
    }
}

/// The comparison of the stages' ledgers, if there is more than one.
fn cross(ring: &BTreeMap<Author, PathBuf>) -> Option<io::Result<CrossReport>> {
    let of_stage = |(author, directory): (&Author, &PathBuf)| Some((author.stage()?, directory.clone()));
    let stages: BTreeMap<Stage, PathBuf> = ring.iter().filter_map(of_stage).collect();
    (stages.len() > 1).then(|| cross_check(&stages))
}

/// The answer of `verify`; the numbers are its exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Verdict {
    Sound = 0,
    Wrong = 1,
    Unreadable = 2,
}

/// What checking one ledger by itself came to.
type Checked = Result<Report, Vec<Finding>>;

/// Everything that `verify` found out.
struct Audit {
    /// By author; `None` for a single ledger whose author does not matter.
    ledgers: Vec<(Option<Author>, Checked)>,
    /// What the checkpoints say of the ledgers that have any.
    signed: Signed,
    /// The comparison, if there is more than one ledger.
    cross: Option<io::Result<CrossReport>>,
}

impl Audit {
    fn of(directory: &Path, sources: &Sources) -> Audit {
        match Ledgers::of(directory) {
            Ledgers::One(directory) => Audit {
                ledgers: vec![(None, verify_ledger(&directory))],
                signed: Signed::default(),
                cross: None,
            },
            Ledgers::Ring(ring) => Audit {
                signed: Signed::of(&ring, sources),
                ledgers: ring
                    .iter()
                    .map(|(stage, directory)| (Some(*stage), verify_ledger(directory)))
                    .collect(),
                cross: cross(&ring),
            },
        }
    }

    fn verdict(&self) -> Verdict {
        let findings = || {
            self.ledgers
                .iter()
                .filter_map(|(_, result)| result.as_ref().err())
                .flatten()
        };
        let unreadable =
            |finding: &Finding| matches!(finding.kind, FindingKind::Unreadable(_) | FindingKind::NoLedger);
        // A ledger that is gone while others are there was taken away.
        let some_sound = self.ledgers.iter().any(|(_, result)| result.is_ok());
        let gone = |finding: &Finding| {
            some_sound
                && matches!(
                    finding.kind,
                    FindingKind::Unreadable(io::ErrorKind::NotFound) | FindingKind::NoLedger
                )
        };
        let disagree = matches!(&self.cross, Some(Ok(cross)) if cross.total_findings > 0);
        if disagree
            || self.signed.is_wrong()
            || findings().any(|finding| gone(finding) || !unreadable(finding))
        {
            Verdict::Wrong
        } else if findings().next().is_some() || matches!(self.cross, Some(Err(_))) {
            Verdict::Unreadable
        } else {
            Verdict::Sound
        }
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for (stage, result) in &self.ledgers {
            let name = stage.map_or("ledger", Author::name);
            match result {
                Ok(report) => writeln!(out, "{name}: sound, {}", counts(report))?,
                Err(findings) => {
                    writeln!(out, "{name}: NOT sound")?;
                    for finding in findings {
                        writeln!(out, "  {finding}")?;
                    }
                }
            }
        }
        self.signed.write_text(out)?;
        match &self.cross {
            None => Ok(()),
            Some(Ok(cross)) => write_cross(cross, out),
            Some(Err(error)) => writeln!(out, "The ledgers can't be compared: {error}"),
        }
    }

    fn to_json(&self) -> Value {
        let mut ledgers = serde_json::Map::new();
        for (stage, result) in &self.ledgers {
            let name = stage.map_or("ledger", Author::name);
            let value = match result {
                Ok(report) => json!({
                    "sound": true,
                    "files": report.files,
                    "records": report.records,
                    "pruned": report.pruned,
                    "after_head": report.after_head,
                    "torn_bytes": report.torn_bytes,
                    "findings": [],
                }),
                Err(findings) => json!({
                    "sound": false,
                    "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
                }),
            };
            ledgers.insert(name.to_owned(), value);
        }
        json!({
            "sound": self.verdict() == Verdict::Sound,
            "ledgers": ledgers,
            "signed": self.signed.to_json(),
            "comparison": self.cross.as_ref().map(cross_json),
        })
    }
}

fn counts(report: &Report) -> String {
    let files = if report.files == 1 { "file" } else { "files" };
    let mut text = format!("{} records in {} {files}", report.records, report.files);
    if report.pruned > 0 {
        text.push_str(&format!(", beginning after record {}", report.pruned));
    }
    if report.after_head > 0 || report.torn_bytes > 0 {
        // Not worth a finding: a stage in the middle of a write looks the same.
        text.push_str(&format!(
            " ({} of them and {} more bytes not committed yet)",
            report.after_head, report.torn_bytes
        ));
    }
    text
}

fn write_cross(cross: &CrossReport, out: &mut impl Write) -> io::Result<()> {
    let word = if cross.total_findings == 0 {
        "agree"
    } else {
        "do NOT agree"
    };
    writeln!(
        out,
        "The ledgers {word}: {} exchanges, {} in all ledgers, {} accounted for, {} on their way{}",
        cross.exchanges,
        cross.complete,
        cross.accounted,
        cross.open,
        match cross.older {
            0 => String::new(),
            older => format!(", {older} not compared, as their records are partly removed for their age"),
        }
    )?;
    for finding in &cross.findings {
        writeln!(out, "  {finding}")?;
    }
    let listed = cross.findings.len() as u64;
    if cross.total_findings > listed {
        writeln!(out, "  and {} more", cross.total_findings.saturating_sub(listed))?;
    }
    Ok(())
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "file": finding.file,
        "line": finding.line,
        "record": finding.record(),
        "message": finding.kind.to_string()
    })
}

fn cross_json(cross: &io::Result<CrossReport>) -> Value {
    match cross {
        Ok(cross) => json!({
            "exchanges": cross.exchanges,
            "complete": cross.complete,
            "accounted": cross.accounted,
            "open": cross.open,
            "older": cross.older,
            "total_findings": cross.total_findings,
            "findings": cross.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// A record to show.
struct Shown {
    line: String,
    record: Value,
}

impl Shown {
    /// `None` when the line is not JSON; nothing of it is then shown.
    fn parse(line: &[u8]) -> Option<Shown> {
        let line = std::str::from_utf8(line).ok()?.to_owned();
        let record = serde_json::from_str(&line).ok()?;
        Some(Shown { line, record })
    }

    fn time(&self) -> &str {
        self.text("time")
    }

    fn text(&self, key: &str) -> &str {
        self.record.get(key).and_then(Value::as_str).unwrap_or("-")
    }

    fn write(&self, json: bool, out: &mut impl Write) -> io::Result<()> {
        if json {
            return writeln!(out, "{}", self.line);
        }
        write!(out, "{}", self.time().escape_debug())?;
        for key in ["stage", "level", "event", "result"] {
            write!(out, " {}", self.text(key).escape_debug())?;
        }
        for key in ["session", "exchange", "actor", "tenant", "action", "objects"] {
            write_pair(key, self.record.get(key), out)?;
        }
        let values = self.record.get("values").and_then(Value::as_array);
        let of = values.into_iter().flatten().filter_map(|value| value.get("of"));
        let of: BTreeSet<&str> = of.filter_map(Value::as_str).collect();
        if !of.is_empty() {
            // Which, and not what: values are for who asks for the whole record.
            write_pair("values", Some(&json!(of)), out)?;
        }
        if let Some(Value::Object(details)) = self.record.get("details") {
            for (key, value) in details {
                write_pair(key, Some(value), out)?;
            }
        }
        writeln!(out)
    }
}

fn write_pair(key: &str, value: Option<&Value>, out: &mut impl Write) -> io::Result<()> {
    let key = key.escape_debug();
    match value {
        Some(Value::String(text)) if text.contains(' ') => write!(out, " {key}=\"{}\"", text.escape_debug()),
        Some(Value::String(text)) => write!(out, " {key}={}", text.escape_debug()),
        Some(Value::Number(number)) => write!(out, " {key}={number}"),
        Some(Value::Array(list)) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            write!(out, " {key}=\"{}\"", texts.join(", ").escape_debug())
        }
        _ => Ok(()),
    }
}

/// The ledgers of a directory, followed as they grow.
struct Tail {
    readers: Vec<TailReader>,
}

impl Tail {
    fn open(directory: &Path) -> io::Result<Tail> {
        let directories = match Ledgers::of(directory) {
            Ledgers::One(directory) => vec![directory],
            Ledgers::Ring(ring) => ring.into_values().collect(),
        };
        let readers = directories
            .iter()
            .map(|directory| TailReader::open(directory, TAIL_FILES));
        Ok(Tail {
            readers: readers.collect::<io::Result<_>>()?,
        })
    }

    /// What was added since the last call, or ever for the first one: the latest `keep` records, by time.
    fn poll(&mut self, keep: usize) -> io::Result<Vec<Shown>> {
        let mut all = Vec::new();
        for reader in &mut self.readers {
            let mut latest = VecDeque::new();
            while let Some(line) = reader.next_line()? {
                latest.push_back(line.to_vec());
                if latest.len() > keep {
                    latest.pop_front();
                }
            }
            all.extend(latest.iter().filter_map(|line| Shown::parse(line)));
        }
        // Times are of one length and form, so they sort as text; equal ones stay in the order of the ring.
        all.sort_by(|a, b| a.time().cmp(b.time()));
        all.drain(..all.len().saturating_sub(keep));
        Ok(all)
    }
}
