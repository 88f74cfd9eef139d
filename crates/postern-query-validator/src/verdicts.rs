//! Verdicts on SQL texts, remembered so that a text is parsed once for each set of roles.

use lru::LruCache;
use postern_ledger::StatementDigest;
use postern_policy::Rights;
use postern_sql::{Analysis, SqlLimits, SyntaxError};
use postern_types::ring::{Deallocate, Effects};
use postern_types::{Refusal, SqlState, StatementShape};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Bytes of texts kept for each set of roles, bookkeeping included.
const SHELF_BYTES: usize = 16 * 1024 * 1024;
/// Sets of roles that are kept.
const MAX_SHELVES: usize = 64;
/// Of longer texts only the digest is kept.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// What an entry costs besides its text, about.
const ENTRY_BYTES: usize = 512;

/// The decision on one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// SHA-256 of the text, for the ledger.
    pub(crate) digest: StatementDigest,
    /// Kind of its first statement, for the ledger.
    pub(crate) action: &'static str,
    /// One for each statement; empty when it is refused.
    pub(crate) shapes: Vec<StatementShape>,
    /// What all of its statements leave behind, or why none of them may run.
    pub(crate) outcome: Result<Effects, Refusal>,
}

/// Decisions on long texts that are kept for each set of roles.
const LONG_TEXTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Remembers decisions, refusals too: the same text again costs next to nothing.
pub(crate) struct Verdicts {
    limits: SqlLimits,
    shelves: BTreeMap<Vec<String>, Shelf>,
}

struct Shelf {
    entries: LruCache<Box<str>, Arc<Judged>>,
    bytes: usize,
    /// Long texts, by digest.
    long: LruCache<StatementDigest, Arc<Judged>>,
}

impl Verdicts {
    pub(crate) fn new(limits: SqlLimits) -> Verdicts {
        Verdicts {
            limits,
            shelves: BTreeMap::new(),
        }
    }

    /// Decides on a text for a user with these roles, whose rights are `rights`.
    pub(crate) fn judge(&mut self, roles: &[String], rights: &Rights<'_>, text: &str) -> Arc<Judged> {
        if text.len() > MAX_TEXT_BYTES {
            let limits = self.limits;
            let digest = StatementDigest::of(text);
            return Arc::clone(
                self.shelf(roles)
                    .long
                    .get_or_insert(digest, || Arc::new(judge(rights, text, digest, &limits))),
            );
        }
        if let Some(shelf) = self.shelves.get_mut(roles)
            && let Some(known) = shelf.entries.get(text)
        {
            return Arc::clone(known);
        }
        let judged = Arc::new(judge(rights, text, StatementDigest::of(text), &self.limits));
        self.shelf(roles).put(text, Arc::clone(&judged));
        judged
    }

    fn shelf(&mut self, roles: &[String]) -> &mut Shelf {
        if self.shelves.len() >= MAX_SHELVES && !self.shelves.contains_key(roles) {
            // So many sets of roles are not expected; forgetting costs only time.
            self.shelves.clear();
        }
        self.shelves.entry(roles.to_vec()).or_insert_with(|| Shelf {
            entries: LruCache::unbounded(),
            bytes: 0,
            long: LruCache::new(LONG_TEXTS),
        })
    }
}

impl Shelf {
    fn put(&mut self, text: &str, judged: Arc<Judged>) {
        self.bytes = self.bytes.saturating_add(cost(text));
        self.entries.put(text.into(), judged);
        while self.bytes > SHELF_BYTES {
            let Some((oldest, _)) = self.entries.pop_lru() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(cost(&oldest));
        }
    }
}

/// A text is kept twice over in the worst case: as the key, and in part in the text of its refusal.
fn cost(text: &str) -> usize {
    text.len().saturating_mul(2).saturating_add(ENTRY_BYTES)
}

fn judge(rights: &Rights<'_>, text: &str, digest: StatementDigest, limits: &SqlLimits) -> Judged {
    let refused = |action, refusal| Judged {
        digest,
        action,
        shapes: Vec::new(),
        outcome: Err(refusal),
    };
    if let Err(refusal) = rights.judge_length(text) {
        return refused("too-long", refusal);
    }
    let analysis = match postern_sql::analyse(text, limits) {
        Ok(analysis) => analysis,
        Err(error) => return refused("unparsed", syntax_refusal(error)),
    };
    let action = analysis.statements.first().map_or("empty", |s| s.kind.name());
    match judge_all(rights, &analysis) {
        Ok(effects) => Judged {
            digest,
            action,
            shapes: analysis.statements.iter().map(|s| s.shape).collect(),
            outcome: Ok(effects),
        },
        Err(refusal) => refused(action, refusal),
    }
}

fn syntax_refusal(error: SyntaxError) -> Refusal {
    Refusal {
        code: error.code,
        message: error.message,
        position: error.position,
        fatal: false,
    }
}

/// One refused statement refuses the whole text: PostgreSQL would run what stands before it.
fn judge_all(rights: &Rights<'_>, analysis: &Analysis) -> Result<Effects, Refusal> {
    let mut all = Effects::default();
    for statement in &analysis.statements {
        rights.judge(statement)?;
        // Its settings are put back after the exchange, too late for a statement that follows in it.
        if all.resets_settings {
            return Err(reset_not_last());
        }
        add(&mut all, &statement.effects)?;
    }
    Ok(all)
}

pub(crate) fn reset_not_last() -> Refusal {
    Refusal::error(
        SqlState::FEATURE_NOT_SUPPORTED,
        "RESET ALL and DISCARD ALL must be the last statement that is sent at once; send them alone",
    )
}

fn add(all: &mut Effects, one: &Effects) -> Result<(), Refusal> {
    all.pins |= one.pins;
    all.changes_schema |= one.changes_schema;
    all.ends_transaction |= one.ends_transaction;
    all.resets_settings |= one.resets_settings;
    all.deallocates = match (all.deallocates.take(), &one.deallocates) {
        (None, other) => other.clone(),
        (some, None) => some,
        (Some(a), Some(b)) if a == *b => Some(a),
        (Some(Deallocate::All), _) | (_, Some(Deallocate::All)) => Some(Deallocate::All),
        _ => {
            return Err(Refusal::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "several DEALLOCATE in one query are not supported; send them one by one",
            ));
        }
    };
    Ok(())
}
