//! `postern policy learn`.

use super::proposal::{self, Proposal};
use super::recorded::{self, Recorded};
use super::{policy_directory, sketch, sound};
use crate::console::say;
use crate::secret_file;
use anyhow::Context as _;
use clap::Args;
use postern_policy::Policy;
use postern_sql::SqlLimits;
use postern_sql::canonical::whole_statements;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Propose named statements and access rules from what was recorded.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern policy learn ring --since 2026-11-22
  postern policy accept ring

It reads what the Query Validator recorded of roles in learn and shadow mode, and writes what the policy does not
know yet to policy/proposed/. Nothing in there is in force. Exit codes: 0 done, 1 failed.")]
pub struct LearnArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only what was recorded since then: 2026-11-22, or 2026-11-22T10:00 (UTC).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print one JSON object, and write nothing.
    #[arg(long)]
    json: bool,
}

/// Where proposals are, relative to the policy directory.
pub(super) fn proposed(directory: &Path) -> PathBuf {
    policy_directory(directory).join("proposed")
}

/// The file of proposed statements.
pub(super) const STATEMENTS: &str = "statements.sql";

/// What the policy does not know yet of what was recorded.
pub(super) fn proposals(policy: &Policy, recorded: &Recorded) -> Vec<Proposal> {
    let fresh = recorded.iter().filter_map(|(pattern, runners)| {
        let unknown: Vec<_> = runners
            .iter()
            .filter(|(runner, _)| !is_known(policy, &runner.roles, pattern))
            .collect();
        let roles: BTreeSet<String> = unknown
            .iter()
            .flat_map(|(runner, _)| runner.roles.iter().cloned())
            .collect();
        let count = unknown.iter().map(|(_, count)| **count).sum();
        (!unknown.is_empty()).then_some((pattern.as_str(), roles, count))
    });
    proposal::propose(fresh, |name| policy.named().get(name).is_some())
}

/// Whether the policy has a named statement for it, whether or not the roles are held to those yet.
fn is_known(policy: &Policy, roles: &[String], pattern: &str) -> bool {
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    match whole_statements(pattern, &SqlLimits::default()) {
        Ok(Some(statements)) => statements
            .iter()
            .all(|one| policy.named().find(&one.canonical, &roles).is_some()),
        _ => false,
    }
}

pub(super) fn run(args: &LearnArgs) -> anyhow::Result<ExitCode> {
    let policy = sound(&args.directory)?;
    let recorded = recorded::read(&args.directory, args.since.as_deref())?;
    let proposals = proposals(&policy, &recorded);
    let incomplete = recorded.keys().filter(|pattern| pattern.contains('?')).count();
    if args.json {
        let list: Vec<_> = proposals
            .iter()
            .map(|p| json!({ "name": p.name, "roles": p.roles, "count": p.count, "sql": p.sql, "file": p.about }))
            .collect();
        say!("{}", json!({ "recorded": recorded.len(), "proposed": list }));
        return Ok(ExitCode::SUCCESS);
    }
    let directory = proposed(&args.directory);
    secret_file::directory(&directory).with_context(|| format!("can't make {}", directory.display()))?;
    let texts: Vec<String> = proposals
        .iter()
        .map(|p| format!("-- file: {}.sql, run {} times\n{}", p.about, p.count, p.text()))
        .collect();
    let file = directory.join(STATEMENTS);
    secret_file::write(&file, &texts.join("\n"))?;
    say!(
        "{} statements recorded, {} of them new: {}",
        recorded.len(),
        proposals.len(),
        file.display()
    );
    if incomplete > 0 {
        say!(
            "{incomplete} can't be named statements, mostly SET and its like; `statements` allows those by kind."
        );
    }
    match sketch::sketch(&policy, &recorded) {
        None => say!("No catalog.json, so no rules were sketched; `postern catalog` makes it."),
        Some((rules, unresolved)) => {
            let file = directory.join("access.cedar");
            secret_file::write(&file, &rules)?;
            say!("Rules for the same: {}", file.display());
            if unresolved > 0 {
                say!("{unresolved} statements name what catalog.json does not have, and are not in them.");
            }
        }
    }
    say!("Next: postern policy accept {}", args.directory.display());
    Ok(ExitCode::SUCCESS)
}
