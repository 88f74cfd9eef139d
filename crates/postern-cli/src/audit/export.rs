//! `postern audit export`: records for an auditor, or for another system.
//!
//! What is read is taken for what it is: bytes that somebody may have changed, also to fool who opens the export.

use super::{Filter, Records, Shown, Verdict, ignore_closed_pipe};
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::borrow::Cow;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod csv;
mod elsewhere;

/// Write records for an auditor or for another system, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern audit export ring --since 2026-11-01T00:00:00Z --until 2026-11-30T23:59:59Z --to november.jsonl
  postern audit export ring --format ecs --level alert | curl -T - https://collector.example/ingest
  postern audit export ring --format csv --actor app --to app.csv

The records of several stages are merged by time. The names in `ecs` and `ocsf` are those of docs/audit/README.md. In `csv`,
lists are JSON, control characters are escaped, and ' stands before what a spreadsheet would take for a formula.
An export proves nothing by itself: the hashes are not checked (`postern audit verify`), and one record is proved by
`postern audit prove`. Lines that are no records are left out, and it is said how many. FILE is there only when it is whole.
Exit codes: 0 some were written, 1 none was or something was left out, 2 a ledger can't be read.")]
pub struct ExportArgs {
    /// A ring's directory, its audit directory, or the directory of one ledger.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// What is written of each record.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// Write to this file, which must not exist, for its owner only; default: standard output.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Which records.
    #[command(flatten)]
    pub filter: Filter,
}

/// What an export consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The lines of the ledgers, byte for byte.
    Jsonl,
    /// Objects of the Elastic Common Schema 8, one a line.
    Ecs,
    /// Objects of OCSF's Datastore Activity (6005), one a line.
    Ocsf,
    /// A table with a head (RFC 4180).
    Csv,
}

/// Why an export has ended too early.
enum Fault {
    /// A ledger can't be read.
    Ledger(io::Error),
    /// The export can't be written.
    Out(io::Error),
}

/// `postern audit export`.
///
/// # Errors
/// When the file is there already, or the export can't be written.
pub fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let unreadable = |error: io::Error| {
        eprintln!("postern: {}: {error}", args.directory.display());
        Ok(ExitCode::from(Verdict::Unreadable as u8))
    };
    if let Some(file) = &args.to
        && fs::symlink_metadata(file).is_ok()
    {
        bail!("{} is there already; name a new file", file.display());
    }
    let mut records = match Records::open(&args.directory, &args.filter) {
        Ok(records) => records,
        Err(error) => return unreadable(error),
    };
    let written = match &args.to {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            write(args, &mut records, &mut out)
        }
        Some(file) => write_file(args, &mut records, file),
    };
    let written = match written {
        Ok(written) => written,
        Err(Fault::Ledger(error)) => return unreadable(error),
        // Whoever read it has seen enough.
        Err(Fault::Out(error)) if args.to.is_none() => {
            ignore_closed_pipe(Err(error))?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(Fault::Out(error)) => {
            let file = args.to.as_deref().unwrap_or(Path::new("-"));
            return Err(error).with_context(|| format!("can't write {}", file.display()));
        }
    };
    let left_out = records.left_out();
    if left_out > 0 {
        eprintln!(
            "postern: {left_out} lines are no records and were left out; `postern audit verify` says where they are"
        );
    }
    Ok(ExitCode::from(u8::from(written == 0 || left_out > 0)))
}

/// Writes it beside the file, and gives it its name when it is whole.
fn write_file(args: &ExportArgs, records: &mut Records, file: &Path) -> Result<usize, Fault> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // For its owner only, as `NamedTempFile` makes them.
    let whole = tempfile::NamedTempFile::new_in(folder).map_err(Fault::Out)?;
    let mut out = BufWriter::new(whole);
    let written = write(args, records, &mut out)?;
    let whole = out.into_inner().map_err(|error| Fault::Out(error.into_error()))?;
    whole.as_file().sync_all().map_err(Fault::Out)?;
    whole
        .persist_noclobber(file)
        .map_err(|error| Fault::Out(error.error))?;
    Ok(written)
}

/// Writes the records one by one; how many there were.
fn write(args: &ExportArgs, records: &mut Records, out: &mut impl Write) -> Result<usize, Fault> {
    if args.format == Format::Csv {
        csv::write_head(out).map_err(Fault::Out)?;
    }
    let mut written = 0_usize;
    while written < args.filter.limit
        && let Some(record) = records.next().map_err(Fault::Ledger)?
    {
        args.format.write(&record, out).map_err(Fault::Out)?;
        written = written.saturating_add(1);
    }
    out.flush().map_err(Fault::Out)?;
    Ok(written)
}

impl Format {
    fn write(self, record: &Shown, out: &mut impl Write) -> io::Result<()> {
        match self {
            Format::Jsonl => writeln!(out, "{}", record.line),
            Format::Ecs => write_json(&elsewhere::ecs(&record.record), out),
            Format::Ocsf => write_json(&elsewhere::ocsf(&record.record), out),
            Format::Csv => csv::write(&record.record, out),
        }
    }
}

/// One line of JSON in which every control character is escaped, as in the ledger, and not only those that JSON asks for.
fn write_json(value: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", without_control(&value.to_string()))
}

/// Control characters as JSON writes them.
fn without_control(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| match c {
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests;
