//! `postern audit pack`: ledger files that are no longer written to become smaller.

use super::Ledgers;
use crate::console::say;
use clap::Args;
use postern_ledger::Packed;
use std::path::PathBuf;
use std::process::ExitCode;

/// Pack the files of the ledgers that are no longer written to.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern audit pack ring

The newest two files of each ledger stay as they are. Packed ones (.jsonl.gz, `zcat` shows them) are read by all commands as
before: hashes, checkpoints and proofs are about lines, not files. `postern up` does so every 10 seconds by itself, unless
postern.toml has `pack = false` below [audit]. Exit codes: 0 done, 1 a file could not be packed.")]
pub struct PackArgs {
    /// A ring's directory, its audit directory, or the directory of one ledger.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// `postern audit pack`.
///
/// # Errors
/// Never; the exit code tells.
pub fn pack(args: &PackArgs) -> anyhow::Result<ExitCode> {
    let directories = match Ledgers::of(&args.directory) {
        Ledgers::One(directory) => vec![directory],
        Ledgers::Ring(ring) => ring.into_values().collect(),
    };
    let mut code = ExitCode::SUCCESS;
    for directory in directories {
        match postern_ledger::pack(&directory) {
            Ok(packed) if packed.is_empty() => say!("{}: nothing to pack", directory.display()),
            Ok(packed) => {
                for one in &packed {
                    say!("{}", told(&directory.display().to_string(), one));
                }
            }
            Err(error) => {
                eprintln!("postern: {}: {error}", directory.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// What was done to a file, for a person.
pub(crate) fn told(ledger: &str, packed: &Packed) -> String {
    let Packed { file, before, after } = packed;
    let per_mille = after
        .saturating_mul(1000)
        .checked_div(*before)
        .unwrap_or_default();
    format!(
        "{ledger}: packed {file}: {before} bytes became {after} ({}.{} %)",
        per_mille / 10,
        per_mille % 10
    )
}
