//! Statements under rules, tenants and constraints, against a small catalogue. Each case is data: who, what,
//! and the rule that must decide. A rule that is taken out of the code makes one of them fail.

mod database;
mod mistakes;
mod rules;
mod tenants;

use crate::{Judgement, Policy, PolicyError, Who};
use postern_sql::SqlLimits;
use postern_sql::resolve::{Names, analyse_and_resolve};

/// Reads a policy beside the catalogue.
fn load(yaml: &str, cedar: &str) -> Result<Policy, Vec<PolicyError>> {
    Policy::load(&[
        ("policy.yaml", yaml),
        ("access.cedar", cedar),
        ("catalog.json", &database::json()),
    ])
}

#[track_caller]
fn policy(yaml: &str, cedar: &str) -> Policy {
    load(yaml, cedar).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Judges the first statement of a text that refuses, or the last one.
fn judge(policy: &Policy, roles: &[&str], text: &str) -> Judgement {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let rights = policy.rights(&roles).unwrap();
    let names = Names {
        catalog: policy.catalog().unwrap(),
        search_path: rights.search_path(),
    };
    let (analysis, resolved) =
        analyse_and_resolve(text, &names, &SqlLimits::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let who = Who {
        user: "ann",
        tenant: Some("7"),
    };
    let mut last = None;
    for (index, statement) in analysis.statements.iter().enumerate() {
        let resolved = resolved.as_ref().map(|all| &all[index]);
        let judged = rights.decide(&who, statement, rights.catalog().map(|_| resolved));
        if judged.outcome.is_err() {
            return judged;
        }
        last = Some(judged);
    }
    last.unwrap()
}

#[track_caller]
fn allowed(policy: &Policy, roles: &[&str], texts: &[&str]) {
    for text in texts {
        let judged = judge(policy, roles, text);
        assert!(judged.outcome.is_ok(), "{text}: {judged:#?}");
    }
}

/// Each text must be refused by a rule that begins so.
#[track_caller]
fn refused(policy: &Policy, roles: &[&str], texts: &[(&str, &str)]) {
    for (text, rule) in texts {
        let judged = judge(policy, roles, text);
        let denial = judged.outcome.expect_err(text);
        assert!(denial.rule.starts_with(rule), "{text}: {denial:?}");
    }
}
