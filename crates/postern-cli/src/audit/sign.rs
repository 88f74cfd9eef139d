//! `postern audit sign`, and what `postern up` needs to do the same.

use super::checkpoints::{Notary, make_keys};
use crate::console::say;
use crate::directory::RingDirectory;
use clap::Args;
use postern_runtime::unix_ms;
use postern_types::Stage;
use std::collections::BTreeMap;
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
    for stage in Stage::ALL {
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

/// Signs the ledgers of a ring that is up.
#[derive(Debug, Default)]
pub(crate) struct Notaries {
    open: BTreeMap<Stage, Notary>,
    /// What went wrong last, so that it is told once.
    told: BTreeMap<Stage, String>,
}

impl Notaries {
    /// Signs what is new in each ledger. Reads all of them the first time, which takes its time.
    ///
    /// Gives what the operator should know, and did not hear yet.
    pub(crate) fn sign(&mut self, ring: &RingDirectory) -> Vec<String> {
        let mut news = Vec::new();
        for stage in Stage::ALL {
            let Err(error) = self.sign_one(ring, stage) else {
                self.told.remove(&stage);
                continue;
            };
            let error = format!("the ledger of {stage} was NOT signed: {error:#}");
            if self.told.get(&stage) != Some(&error) {
                news.push(error.clone());
                self.told.insert(stage, error);
            }
        }
        news
    }

    fn sign_one(&mut self, ring: &RingDirectory, stage: Stage) -> anyhow::Result<()> {
        // One that failed is opened anew: it then says everything that is wrong.
        let mut notary = match self.open.remove(&stage) {
            Some(notary) => notary,
            None => Notary::open(ring, stage)?,
        };
        notary.sign(unix_ms())?;
        self.open.insert(stage, notary);
        Ok(())
    }
}
