//! `postern policy test`: cases that are kept beside the policy.

use super::opinion;
use crate::console::say;
use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run the cases in policy/tests/*.yaml.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern policy test ring

A file of cases:
  version: 1
  cases:
    - name: analysts can't read card numbers
      roles: [analyst]          # or user: alice, of users.toml
      tenant: \"7\"
      sql: select card from orders
      expect: refuse            # or allow
      rule: access.cedar        # optional: what the rule that decides begins with

Exit codes: 0 all as expected, 1 not.")]
pub struct TestArgs {
    /// A ring's directory, or a policy directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    sql: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    tenant: Option<String>,
    expect: Expected,
    #[serde(default)]
    rule: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Refuse,
}

pub(super) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let policy = super::sound(&args.directory)?;
    let directory = super::policy_directory(&args.directory).join("tests");
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .with_context(|| format!("can't read {}", directory.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    let (mut passed, mut failures) = (0usize, Vec::new());
    for path in &paths {
        for case in read(path)? {
            let (mut roles, mut tenant) = (case.roles.clone(), case.tenant.clone());
            if let Some(user) = case.user.as_ref().filter(|_| roles.is_empty()) {
                let (of_user, of_user_tenant) = super::user_of(&args.directory, user)?;
                roles = of_user;
                tenant = tenant.or(of_user_tenant);
            }
            let user = case.user.as_deref().unwrap_or("nobody");
            let problem = match opinion::of(&policy, user, &roles, tenant.as_deref(), &case.sql) {
                None => Some("the policy lacks one of its roles".to_owned()),
                Some(opinion) => differs(&case, opinion.allowed(), opinion.against()),
            };
            match problem {
                None => passed = passed.saturating_add(1),
                Some(problem) => failures.push((path.display().to_string(), case.name, problem)),
            }
        }
    }
    if args.json {
        let list: Vec<_> = failures
            .iter()
            .map(|(file, case, problem)| json!({ "file": file, "case": case, "problem": problem }))
            .collect();
        say!(
            "{}",
            json!({ "passed": passed, "failed": list.len(), "failures": list })
        );
    } else {
        for (file, case, problem) in &failures {
            say!("FAILED {file}: {case}: {problem}");
        }
        say!("{passed} passed, {} failed", failures.len());
    }
    Ok(if failures.is_empty() && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let file: File =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    anyhow::ensure!(
        file.version == 1,
        "{}: this reads `version: 1` only",
        path.display()
    );
    Ok(file.cases)
}

/// What is not as the case expects.
fn differs(case: &Case, allowed: bool, against: Option<String>) -> Option<String> {
    let against = against.unwrap_or_default();
    match (case.expect, allowed) {
        (Expected::Allow, false) => Some(format!("refused by {against}")),
        (Expected::Refuse, true) => Some("allowed".to_owned()),
        (Expected::Refuse, false) => {
            let wrong = case
                .rule
                .as_ref()
                .filter(|rule| !against.starts_with(rule.as_str()));
            wrong.map(|rule| format!("refused by {against}, not by {rule}"))
        }
        (Expected::Allow, true) => None,
    }
}
