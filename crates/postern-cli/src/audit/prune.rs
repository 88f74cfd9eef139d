//! `postern audit prune`: records that are older than they have to be kept.

use super::checkpoints::{Notary, make_keys};
use crate::console::say;
use crate::directory::RingDirectory;
use crate::operator;
use crate::sinks;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use postern_ledger::prunable;
use postern_runtime::unix_ms;
use postern_types::Author;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

/// Remove records that are older than they have to be kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern audit prune ring --keep-days 400

Whole files go, all of whose records are older. That they were to go is signed before, in a checkpoint, so that
`postern audit verify` tells them from records that somebody took away. The newest two files of each ledger stay, and so does
what a sink has not got confirmed. `postern up` does so by itself with `keep_days = 400` below [audit] in postern.toml; while it
runs, this command can not. Exit codes: 0 done, 1 something that is old enough could not be removed.")]
pub struct PruneArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// How long records are kept, in days.
    #[arg(long, value_name = "DAYS")]
    pub keep_days: NonZeroU32,
}

/// `postern audit prune`.
///
/// # Errors
/// When the ring's files can't be read or a key can't be made.
pub fn prune(args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    ring.ring_config()?;
    make_keys(&ring)?;
    let what = [format!("older than {} days", args.keep_days)];
    operator::recorded(&ring, "audit.prune", &what, || {
        Ok(prune_all(&ring, args.keep_days))
    })
}

fn prune_all(ring: &RingDirectory, keep_days: NonZeroU32) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for stage in Author::ALL {
        let done = Notary::open(ring, stage).and_then(|mut notary| {
            notary.sign(unix_ms())?;
            prune_one(ring, stage, keep_days, &mut notary)
        });
        match done {
            Ok(pruned) => {
                match pruned.told(stage) {
                    Some(told) => say!("{told}"),
                    None => say!("{stage}: nothing to remove"),
                }
                if let Some(reason) = pruned.held_up {
                    eprintln!("postern: {stage}: {reason}");
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                eprintln!("postern: {stage}: nothing removed: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// What was removed of a ledger.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    files: u64,
    through: u64,
    /// Why not everything that is old enough went.
    pub(super) held_up: Option<String>,
}

impl Pruned {
    /// For a person; `None` when nothing was.
    pub(super) fn told(&self, stage: Author) -> Option<String> {
        let Pruned { files, through, .. } = self;
        (*files > 0)
            .then(|| format!("{stage}: removed the records up to {through}, {files} files, for their age"))
    }
}

/// Removes what is older than so many days from the ledger of a stage, and has that signed before.
///
/// # Errors
/// When a file can't be read or written, or `sinks.toml` is wrong.
pub(super) fn prune_one(
    ring: &RingDirectory,
    stage: Author,
    keep: NonZeroU32,
    notary: &mut Notary,
) -> anyhow::Result<Pruned> {
    let ledger = ring.ledger(stage);
    let before = Timestamp::now().checked_sub(SignedDuration::from_hours(i64::from(keep.get()) * 24))?;
    let before = format!("{before:.9}");
    let old_enough = match prunable(&ledger, &before, notary.covered()) {
        // The stage has written nothing yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pruned::default()),
        other => other?,
    };
    let mut pruned = Pruned::default();
    let mut through = old_enough;
    for sink in sinks::of_records(ring)? {
        let confirmed = sinks::confirmed(ring, &sink).get(&stage).copied().unwrap_or(0);
        if old_enough.is_some_and(|old_enough| confirmed < old_enough) {
            pruned.held_up = Some(format!(
                "the sink {sink} has got them confirmed up to record {confirmed} only"
            ));
            through = prunable(&ledger, &before, confirmed.min(through.unwrap_or(0)))?;
        }
    }
    if let Some(through) = through {
        notary.sign_pruned(unix_ms(), through)?;
    }
    // Without anything new, what an interrupted removal has left.
    pruned.through = notary.pruned();
    pruned.files = postern_ledger::prune(&ledger, pruned.through)?;
    Ok(pruned)
}
