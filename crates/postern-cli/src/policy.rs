//! `postern policy`: read, try out, learn and compare policies.
//!
//! Nothing here talks to a running ring: policies are files, and what happened is in the ledger. It judges
//! with the code of the Query Validator's own crates, so that what it says is what the ring does.

mod accept;
mod cases;
mod check;
mod diff;
mod explain;
mod learn;
mod opinion;
mod proposal;
mod recorded;
mod sketch;

use crate::directory::RingDirectory;
use anyhow::Context as _;
use clap::Subcommand;
use postern_policy::{Policy, PolicyError, is_policy_file};
use postern_runtime::PolicyFiles;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check, try out, learn and compare policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check all files of a policy.
    Check(check::CheckArgs),
    /// Say what the policy makes of a statement, and why.
    Explain(explain::ExplainArgs),
    /// Run the cases in policy/tests/*.yaml.
    Test(cases::TestArgs),
    /// Propose named statements and access rules from what was recorded.
    Learn(learn::LearnArgs),
    /// Take proposed statements into the policy.
    Accept(accept::AcceptArgs),
    /// Show what another policy would have changed.
    Diff(diff::DiffArgs),
}

/// `postern policy`.
///
/// # Errors
/// A sentence for the person at the terminal.
pub fn run(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Explain(args) => explain::run(args),
        PolicyCommand::Test(args) => cases::run(args),
        PolicyCommand::Learn(args) => learn::run(args),
        PolicyCommand::Accept(args) => accept::run(args),
        PolicyCommand::Diff(args) => diff::run(args),
    }
}

/// The policy directory that is meant: that of a ring, or the directory itself.
fn policy_directory(directory: &Path) -> PathBuf {
    let inside = directory.join("policy");
    if !directory.join("policy.yaml").is_file() && inside.is_dir() {
        inside
    } else {
        directory.to_owned()
    }
}

/// A policy, or every mistake in it.
type Loaded = Result<Policy, Vec<PolicyError>>;

fn load(directory: &Path) -> anyhow::Result<Loaded> {
    let directory = policy_directory(directory);
    let files = PolicyFiles::new(&directory, is_policy_file)
        .read()
        .with_context(|| format!("can't read {}", directory.display()))?;
    Ok(Policy::load(&files))
}

/// A policy that must be sound.
fn sound(directory: &Path) -> anyhow::Result<Policy> {
    load(directory)?.map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
        anyhow::anyhow!(
            "the policy in {} has mistakes:\n{}",
            policy_directory(directory).display(),
            lines.join("\n")
        )
    })
}

/// Roles and tenant of a user of the ring.
fn user_of(directory: &Path, name: &str) -> anyhow::Result<(Vec<String>, Option<String>)> {
    let file = RingDirectory::new(directory).users_file();
    let users = crate::users::read(&file)?.users;
    let user = users.get(name).with_context(|| {
        format!(
            "{} has no user {name}; --roles and --tenant do without one",
            file.display()
        )
    })?;
    Ok((user.roles.clone(), user.tenant.clone()))
}
