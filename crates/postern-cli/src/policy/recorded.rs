//! What the Query Validator recorded of statements in learn and shadow mode.
//!
//! Records are taken for what they are: lines that somebody may have changed. They propose; people decide.

use crate::directory::RingDirectory;
use anyhow::{Context as _, bail};
use postern_ledger::TailReader;
use postern_types::Stage;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Who ran a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Runner {
    pub(super) user: String,
    pub(super) roles: Vec<String>,
    pub(super) tenant: Option<String>,
}

/// Statements without their literals, with how often each runner ran them.
pub(super) type Recorded = BTreeMap<String, BTreeMap<Runner, u64>>;

#[derive(Deserialize)]
struct Line<'a> {
    event: &'a str,
    #[serde(default)]
    time: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    pattern: Option<String>,
}

/// Reads what the ledger of a ring says since a time, which is compared as text: `2026-11-22` or
/// `2026-11-22T10:00`.
pub(super) fn read(directory: &Path, since: Option<&str>) -> anyhow::Result<Recorded> {
    if let Some(since) = since
        && !(since.len() >= 4 && since.starts_with(|c: char| c.is_ascii_digit()))
    {
        bail!("--since takes the beginning of a time, such as 2026-11-22 or 2026-11-22T10:00");
    }
    let ledger = RingDirectory::new(directory).ledger(Stage::QueryValidator);
    let mut reader = TailReader::open(&ledger, usize::MAX)
        .with_context(|| format!("can't read the ledger {}", ledger.display()))?;
    let mut recorded = Recorded::new();
    while let Some(line) = reader.next_line()? {
        note(line, since, &mut recorded);
    }
    Ok(recorded)
}

fn note(line: &[u8], since: Option<&str>, recorded: &mut Recorded) {
    let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
        return;
    };
    let Some(pattern) = line.pattern.filter(|_| line.event == "statement.learned") else {
        return;
    };
    if since.is_some_and(|since| line.time.as_str() < since) {
        return;
    }
    let runner = Runner {
        user: line.actor,
        roles: line.roles,
        tenant: line.tenant,
    };
    let count = recorded.entry(pattern).or_default().entry(runner).or_default();
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_by_runner_since_a_time() {
        let mut recorded = Recorded::new();
        let line = |time: &str, event: &str, user: &str| {
            format!(
                r#"{{"number":1,"time":"{time}","stage":"query-validator","event":"{event}","actor":"{user}","roles":["app"],"pattern":"select \"a\" from t"}}"#
            )
        };
        for (time, event, user) in [
            ("2026-01-01T00:00:00.000Z", "statement.learned", "ann"),
            ("2026-01-02T00:00:00.000Z", "statement.learned", "ann"),
            ("2026-01-02T00:00:00.000Z", "statement.learned", "bob"),
            ("2026-01-02T00:00:00.000Z", "exchange", "ann"),
            ("2026-01-03T00:00:00.000Z", "statement.learned", "ann"),
        ] {
            note(
                line(time, event, user).as_bytes(),
                Some("2026-01-02"),
                &mut recorded,
            );
        }
        note(b"not json", None, &mut recorded);
        let runners = &recorded["select \"a\" from t"];
        let counts: Vec<_> = runners.iter().map(|(r, n)| (r.user.as_str(), *n)).collect();
        assert_eq!(counts, [("ann", 2), ("bob", 1)]);
    }
}
