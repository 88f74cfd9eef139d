//! `postern policy diff`.

use super::{opinion, recorded, sound};
use crate::console::say;
use clap::Args;
use postern_policy::Policy;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what another policy would have changed.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern policy diff ring --with policy-next --since 2026-11-22

It judges what the Query Validator recorded of roles in learn and shadow mode, and of roles with
`record_statements: true`, by both policies, as if both were enforced. Parameters are not recorded, so a demand on
one counts as met. Exit codes: 0 nothing would have changed, 1 something would, or it failed.")]
pub struct DiffArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Directory of the other policy.
    #[arg(long, value_name = "NEWDIR")]
    with: PathBuf,
    /// Only what was recorded since then: 2026-11-22, or 2026-11-22T10:00 (UTC).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

struct Change {
    pattern: String,
    roles: Vec<String>,
    count: u64,
    allowed: bool,
    rule: Option<String>,
}

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let (old, new) = (sound(&args.directory)?, sound(&args.with)?);
    let recorded = recorded::read(&args.directory, args.since.as_deref())?;
    let (mut statements, mut same) = (0u64, 0u64);
    let mut changes = Vec::new();
    for (pattern, runners) in &recorded {
        // What it was is gone.
        if pattern.contains('?') {
            continue;
        }
        for (runner, count) in runners {
            statements = statements.saturating_add(*count);
            let judge = |policy: &Policy| {
                let opinion = opinion::of(
                    policy,
                    &runner.user,
                    &runner.roles,
                    runner.tenant.as_deref(),
                    pattern,
                );
                match opinion {
                    None => (false, Some("a role that the policy does not have".to_owned())),
                    Some(opinion) => (opinion.allowed(), opinion.against()),
                }
            };
            let (before, _) = judge(&old);
            let (allowed, rule) = judge(&new);
            if before == allowed {
                same = same.saturating_add(*count);
                continue;
            }
            changes.push(Change {
                pattern: pattern.clone(),
                roles: runner.roles.clone(),
                count: *count,
                allowed,
                rule,
            });
        }
    }
    changes.sort_by(|a, b| {
        (a.allowed, std::cmp::Reverse(a.count)).cmp(&(b.allowed, std::cmp::Reverse(b.count)))
    });
    let total = |allowed: bool| -> u64 {
        changes
            .iter()
            .filter(|c| c.allowed == allowed)
            .map(|c| c.count)
            .sum()
    };
    if args.json {
        let list: Vec<_> = changes
            .iter()
            .map(|c| {
                json!({ "statement": c.pattern, "roles": c.roles, "count": c.count,
                        "now": if c.allowed { "allowed" } else { "refused" }, "rule": c.rule })
            })
            .collect();
        say!(
            "{}",
            json!({ "recorded": statements, "same": same, "refused": total(false), "allowed": total(true), "changes": list })
        );
    } else {
        for change in &changes {
            let word = if change.allowed { "allowed" } else { "refused" };
            say!(
                "{word} {:>8} × {} ({})",
                change.count,
                change.pattern,
                change.roles.join(", ")
            );
            if let Some(rule) = &change.rule {
                say!("                   by {rule}");
            }
        }
        say!(
            "{statements} statements recorded: {same} as before, {} would now be refused, {} allowed",
            total(false),
            total(true)
        );
    }
    Ok(if changes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
