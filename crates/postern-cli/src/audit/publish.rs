//! `postern audit publish`: copies of the checkpoints where the ring's machine can't change them later.

use super::checkpoints;
use anyhow::Context as _;
use clap::Args;
use postern_types::Author;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
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
    let mut code = ExitCode::SUCCESS;
    for stage in Author::ALL {
        match add(&args.directory, stage, &args.to) {
            Ok(()) => {}
            Err(error) if error.is::<OtherHistory>() => {
                eprintln!("postern: {stage}: {error}");
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(code)
}

/// A copy is not of this history.
#[derive(Debug, thiserror::Error)]
#[error("{} has checkpoints that the ring has not; nothing was added to it", .0.display())]
struct OtherHistory(PathBuf);

/// Adds the checkpoints of a stage that are new to the copy in a directory.
///
/// # Errors
/// When the copy is not of this history, or a file can't be read or written.
pub(crate) fn add(ring: &Path, stage: Author, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
    let from = checkpoints::file(&ring.join("audit"), stage);
    let ours = fs::read_to_string(&from).with_context(|| format!("can't read {}", from.display()))?;
    let ours = ours.get(..ours.rfind('\n').map_or(0, |end| end.saturating_add(1)));
    let ours = ours.unwrap_or_default();
    let to = directory.join(format!("{stage}.jsonl"));
    let theirs = match fs::read_to_string(&to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("can't read {}", to.display()))?,
    };
    let Some(new) = ours.strip_prefix(theirs.as_str()) else {
        return Err(OtherHistory(to).into());
    };
    if new.is_empty() {
        return Ok(());
    }
    let mut copy = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&to)
        .with_context(|| format!("can't open {}", to.display()))?;
    copy.write_all(new.as_bytes())?;
    copy.sync_data()?;
    Ok(())
}
