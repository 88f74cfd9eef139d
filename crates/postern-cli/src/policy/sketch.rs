//! A sketch of `access.cedar` from recorded statements: for each role what it did, table by table.

use super::recorded::Recorded;
use postern_policy::Policy;
use postern_sql::SqlLimits;
use postern_sql::resolve::{Action, Names, Object, resolve};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The rules under which what was recorded would have been allowed, and how many statements could not be
/// resolved. `None` without a catalogue.
pub(super) fn sketch(policy: &Policy, recorded: &Recorded) -> Option<(String, usize)> {
    let catalog = policy.catalog()?;
    // By role and object: the actions.
    let mut done: BTreeMap<(String, String), BTreeSet<&'static str>> = BTreeMap::new();
    let mut unresolved = 0usize;
    for (pattern, runners) in recorded {
        let roles: BTreeSet<&String> = runners.keys().flat_map(|runner| &runner.roles).collect();
        for role in roles {
            let only = [role.clone()];
            let Some(rights) = policy.rights(&only) else {
                continue;
            };
            let names = Names {
                catalog,
                search_path: rights.search_path(),
            };
            let Ok(resolved) = resolve(pattern, &names, &SqlLimits::default()) else {
                unresolved = unresolved.saturating_add(1);
                continue;
            };
            for used in resolved.iter().flat_map(|one| &one.actions) {
                let (Some(word), Object::Relation(id) | Object::Column(id, _)) =
                    (word(used.action), &used.object)
                else {
                    continue;
                };
                let Some(relation) = catalog.relation_by_oid(id.0) else {
                    continue;
                };
                if matches!(relation.schema.as_str(), "pg_catalog" | "information_schema") {
                    continue;
                }
                let table = format!("{}.{}", relation.schema, relation.name);
                done.entry((role.clone(), table)).or_default().insert(word);
            }
        }
    }
    let mut out =
        "// A sketch of what was recorded. Narrow it down: to columns, and to what should be.\n".to_owned();
    for ((role, table), actions) in &done {
        let actions: Vec<String> = actions.iter().map(|word| format!("Action::\"{word}\"")).collect();
        // Writing to a String can't fail.
        let _ = write!(
            out,
            "\npermit (\n  principal in Role::{role:?},\n  action in [{}],\n  resource in Table::{table:?}\n);\n",
            actions.join(", ")
        );
    }
    Some((out, unresolved))
}

fn word(action: Action) -> Option<&'static str> {
    match action {
        Action::Select => Some("select"),
        Action::Insert => Some("insert"),
        Action::Update => Some("update"),
        Action::Delete => Some("delete"),
        Action::Truncate => Some("truncate"),
        Action::Lock => Some("lock"),
        Action::Copy => Some("copy"),
        // People write these down, if at all.
        Action::Call | Action::Ddl | Action::Set | Action::Listen | Action::Notify | Action::Explain => None,
    }
}
