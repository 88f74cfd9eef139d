//! `postern audit sign`.

use super::checkpoints::{Notary, make_keys};
use crate::console::say;
use crate::directory::RingDirectory;
use clap::Args;
use postern_runtime::unix_ms;
use postern_types::Author;
use std::path::PathBuf;
use std::process::ExitCode;

/// Sign what the ledgers hold beyond their checkpoints.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern audit sign ring

`postern up` does so every 10 seconds by itself. A ledger that is damaged, or is not what was signed before, is not
signed. Exit codes: 0 signed, 1 one of the ledgers could not be.")]
pub struct SignArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// `postern audit sign`.
///
/// # Errors
/// When a key can't be made.
pub fn sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    ring.ring_config()?;
    make_keys(&ring)?;
    let mut code = ExitCode::SUCCESS;
    for stage in Author::ALL {
        match Notary::open(&ring, stage).and_then(|mut notary| notary.sign(unix_ms())) {
            Ok(0) => say!("{stage}: nothing new"),
            Ok(1) => say!("{stage}: one checkpoint"),
            Ok(new) => say!("{stage}: {new} checkpoints"),
            Err(error) => {
                eprintln!("postern: {stage}: not signed: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
