//! `postern audit`: check and read the ledgers.

use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check the ledgers of all four stages.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The ring's directory.
    pub directory: PathBuf,
}

/// Show the latest records.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// The ring's directory.
    pub directory: PathBuf,
}

/// Placeholder.
///
/// # Errors
/// Always.
pub fn verify(_args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}

/// Placeholder.
///
/// # Errors
/// Always.
pub fn tail(_args: &TailArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
