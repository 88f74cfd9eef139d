//! `postern audit publish`: copies of the checkpoints where the ring's machine can't change them later.

use super::checkpoints;
use anyhow::Context as _;
use clap::Args;
use postern_types::Stage;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Add new checkpoints to a copy that is kept elsewhere.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern audit publish ring --to /mnt/auditor/shop
  postern audit verify ring --against /mnt/auditor/shop

What the copy has is never changed. Exit codes: 0 done, 1 the copy has checkpoints that the ring has not: history was
made anew, or the copy is another ring's.")]
pub struct PublishArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Where the copy is: a directory.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// `postern audit publish`.
///
/// # Errors
/// When a file can't be read or written.
pub fn publish(args: &PublishArgs) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&args.to).with_context(|| format!("can't make {}", args.to.display()))?;
    let mut code = ExitCode::SUCCESS;
    for stage in Stage::ALL {
        let from = checkpoints::file(&args.directory.join("audit"), stage);
        let ours = fs::read_to_string(&from).with_context(|| format!("can't read {}", from.display()))?;
        let ours = ours.get(..ours.rfind('\n').map_or(0, |end| end.saturating_add(1)));
        let ours = ours.unwrap_or_default();
        let to = args.to.join(format!("{stage}.jsonl"));
        let theirs = match fs::read_to_string(&to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("can't read {}", to.display()))?,
        };
        let Some(new) = ours.strip_prefix(theirs.as_str()) else {
            eprintln!(
                "postern: {stage}: {} has checkpoints that the ring has not; nothing was added to it",
                to.display()
            );
            code = ExitCode::FAILURE;
            continue;
        };
        let mut copy = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&to)
            .with_context(|| format!("can't open {}", to.display()))?;
        copy.write_all(new.as_bytes())?;
        copy.sync_data()?;
    }
    Ok(code)
}
