//! `postern audit query`: the records that answer a question.

use super::{Filter, Records, Verdict, ignore_closed_pipe};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Find records by what they say, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern audit query ring --actor app --result refused --since 2026-11-23T14:00:00Z --until 2026-11-23T15:00:00Z
  postern audit query ring --reference 0a1b2c3d --json
  postern audit query ring --trace 4bf92f3577b34da6a3ce929d0e0e4736
  postern audit query ring --value 4711 --since 2026-11-01T00:00:00Z     who has touched patient 4711
  postern audit query ring --session 3f6c… --stage backend

Every condition must hold. The hashes are not checked; see `postern audit verify`. Times are UTC; records of a stage
whose clock was set back by more than 10 seconds may be missed at the ends of the range.
Exit codes: 0 some were found, 1 none was, 2 a ledger can't be read.")]
pub struct QueryArgs {
    /// A ring's directory, its audit directory, or the directory of one ledger.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Which records.
    #[command(flatten)]
    pub filter: Filter,
    /// Print each record as its line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `postern audit query`.
///
/// # Errors
/// When standard output can't be written to.
pub fn query(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    let mut records = match Records::open(&args.directory, &args.filter) {
        Ok(records) => records,
        Err(error) => {
            eprintln!("postern: {}: {error}", args.directory.display());
            return Ok(ExitCode::from(Verdict::Unreadable as u8));
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut found = 0_usize;
    while found < args.filter.limit {
        let record = match records.next() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) => {
                eprintln!("postern: {}: {error}", args.directory.display());
                return Ok(ExitCode::from(Verdict::Unreadable as u8));
            }
        };
        found = found.saturating_add(1);
        ignore_closed_pipe(record.write(args.json, &mut out))?;
    }
    ignore_closed_pipe(out.flush())?;
    Ok(ExitCode::from(u8::from(found == 0)))
}
