//! `postern policy explain`.

use super::opinion::{self, Opinion};
use crate::console::say;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say what the policy makes of a statement, and why.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern policy explain 'select total from orders where id = $1' --as alice --dir ring
  postern policy explain 'delete from orders' --roles analyst --tenant 7 --dir ring

Each line is an object that the statement touches, and the rule that spoke for or against it. Exit codes: 0 it may
run, 1 it may not.")]
pub struct ExplainArgs {
    /// The statement.
    #[arg(value_name = "SQL")]
    sql: String,
    /// A user of the ring.
    #[arg(long = "as", value_name = "USER", required_unless_present = "roles")]
    user: Option<String>,
    /// Roles to try instead of a user's, separated by commas.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// Tenant to try instead of the user's.
    #[arg(long)]
    tenant: Option<String>,
    /// A ring's directory, or a policy directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let policy = super::sound(&args.directory)?;
    let (mut roles, mut tenant) = (args.roles.clone(), args.tenant.clone());
    if let Some(user) = args.user.as_ref().filter(|_| roles.is_empty()) {
        let (of_user, tenant_of_user) = super::user_of(&args.directory, user)?;
        roles = of_user;
        tenant = tenant.or(tenant_of_user);
    }
    if roles.is_empty() {
        bail!("--as USER or --roles says who asks");
    }
    let user = args.user.as_deref().unwrap_or("nobody");
    let opinion = opinion::of(&policy, user, &roles, tenant.as_deref(), &args.sql)
        .with_context(|| format!("the policy lacks one of the roles {}", roles.join(", ")))?;
    if args.json {
        say!("{}", as_json(&opinion));
    } else {
        show(&opinion);
        let rights = policy.rights(&roles);
        if let Some(mode) = rights.map(|rights| rights.mode())
            && mode != postern_policy::Mode::Enforce
        {
            say!("The roles are not enforced ({mode:?} mode), so it would run whatever is said here.");
        }
    }
    Ok(if opinion.allowed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(opinion: &Opinion) {
    if let Some(why) = &opinion.refused {
        say!("refused: {why}");
    }
    for one in &opinion.statements {
        match (&one.allowed, &one.denial) {
            (Some(by), _) => say!("{}: allowed by {by}", one.kind.name()),
            (None, Some(denial)) => say!("{}: refused by {}", one.kind.name(), denial.rule),
            (None, None) => say!("{}: refused", one.kind.name()),
        }
        for finding in &one.findings {
            let sign = if finding.allowed { '+' } else { '-' };
            say!("  {sign} {:<44} {}", finding.what, finding.rule);
        }
        for demand in &one.demands {
            say!("  if {demand}");
        }
        if let Some(denial) = &one.denial {
            say!("  the client is told: {}", denial.refusal);
        }
    }
}

fn as_json(opinion: &Opinion) -> serde_json::Value {
    let statements: Vec<_> = opinion
        .statements
        .iter()
        .map(|one| {
            let findings: Vec<_> = one
                .findings
                .iter()
                .map(|f| json!({ "what": f.what, "allowed": f.allowed, "rule": f.rule }))
                .collect();
            json!({
                "kind": one.kind.name(), "allowed": one.allowed.is_some(), "by": one.allowed, "named": one.named,
                "rule": one.denial.as_ref().map(|d| d.rule.clone()),
                "objects": one.denial.as_ref().map(|d| d.objects.clone()),
                "findings": findings, "demands": one.demands,
            })
        })
        .collect();
    json!({ "allowed": opinion.allowed(), "refused": opinion.refused, "statements": statements })
}
