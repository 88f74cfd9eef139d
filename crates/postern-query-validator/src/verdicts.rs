//! Verdicts on SQL texts, remembered so that a text is parsed once for each set of roles.

use crate::answers;
use crate::exchange::Asker;
use crate::named::{self, Run};
use lru::LruCache;
use postern_ledger::{Outcome, StatementDigest};
use postern_policy::{Demand, Denial, Mode, Rights, Who};
use postern_sql::resolve::{Names, ResolveError, Resolved, analyse_and_resolve};
use postern_sql::{Analysis, SqlLimits};
use postern_types::ring::{Deallocate, Effects};
use postern_types::{Refusal, SqlState, StatementRules, StatementShape};
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
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    /// SHA-256 of the text, for the ledger.
    pub(crate) digest: StatementDigest,
    /// Kind of its first statement, for the ledger.
    pub(crate) action: &'static str,
    /// One for each statement; empty when it is refused.
    pub(crate) shapes: Vec<StatementShape>,
    /// What all of its statements leave behind, or why none of them may run.
    pub(crate) outcome: Result<Effects, Refusal>,
    /// The policy's reason against it, also where the policy is not enforced.
    pub(crate) denial: Option<Arc<Denial>>,
    /// What enforcing the policy would do, where it is not enforced.
    pub(crate) would: Option<Outcome>,
    /// What must hold of its literals and parameters.
    pub(crate) demands: Vec<Demand>,
    /// Its statements without their literals, where the policy asks for them.
    pub(crate) patterns: Vec<String>,
    /// What runs in place of the text, where a statement of it is a named one.
    pub(crate) run: Option<Run>,
    /// What is known of the answers, one for each statement.
    pub(crate) rules: Vec<StatementRules>,
}

impl Judged {
    /// A text that is refused before its statements are known.
    pub(crate) fn refused(digest: StatementDigest, action: &'static str, refusal: Refusal) -> Judged {
        Judged {
            digest,
            action,
            shapes: Vec::new(),
            outcome: Err(refusal),
            denial: None,
            would: None,
            demands: Vec::new(),
            patterns: Vec::new(),
            run: None,
            rules: Vec::new(),
        }
    }
}

/// Decisions on long texts that are kept for each set of roles.
const LONG_TEXTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// Remembers decisions, refusals too: the same text again costs next to nothing.
pub(crate) struct Verdicts {
    limits: SqlLimits,
    /// By roles.
    shelves: BTreeMap<Vec<String>, Shelf>,
    /// By roles, user and tenant, where some rule of the policy tells users apart.
    personal: BTreeMap<(Vec<String>, String, Option<String>), Shelf>,
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
            personal: BTreeMap::new(),
        }
    }

    /// Decides on a text.
    pub(crate) fn judge(&mut self, asker: &Asker<'_>, text: &str) -> Arc<Judged> {
        if text.len() > MAX_TEXT_BYTES {
            let limits = self.limits;
            let digest = StatementDigest::of(text);
            return Arc::clone(
                self.shelf(asker)
                    .long
                    .get_or_insert(digest, || Arc::new(judge(asker, text, digest, &limits))),
            );
        }
        // Most texts were seen before, and most policies tell nobody apart: no copy of the roles is made then.
        let shelf = if asker.rights.is_personal() {
            Some(self.shelf(asker))
        } else {
            self.shelves.get_mut(asker.roles)
        };
        if let Some(known) = shelf.and_then(|shelf| shelf.entries.get(text)) {
            return Arc::clone(known);
        }
        let judged = Arc::new(judge(asker, text, StatementDigest::of(text), &self.limits));
        self.shelf(asker).put(text, Arc::clone(&judged));
        judged
    }

    fn shelf(&mut self, asker: &Asker<'_>) -> &mut Shelf {
        // So many sets of roles are not expected; forgetting costs only time.
        if self.shelves.len().saturating_add(self.personal.len()) > MAX_SHELVES {
            self.shelves.clear();
            self.personal.clear();
        }
        if asker.rights.is_personal() {
            let tenant = asker.who.tenant.map(str::to_owned);
            let key = (asker.roles.to_vec(), asker.who.user.to_owned(), tenant);
            return self.personal.entry(key).or_insert_with(Shelf::new);
        }
        self.shelves
            .entry(asker.roles.to_vec())
            .or_insert_with(Shelf::new)
    }
}

impl Shelf {
    fn new() -> Shelf {
        Shelf {
            entries: LruCache::unbounded(),
            bytes: 0,
            long: LruCache::new(LONG_TEXTS),
        }
    }

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

fn judge(asker: &Asker<'_>, text: &str, digest: StatementDigest, limits: &SqlLimits) -> Judged {
    let rights = asker.rights;
    if let Err(refusal) = rights.judge_length(text) {
        return Judged::refused(digest, "too-long", refusal);
    }
    let analysed = match rights.catalog().or(rights.catalog_for_answers()) {
        None => postern_sql::analyse(text, limits)
            .map(|analysis| (analysis, None))
            .map_err(ResolveError::from),
        Some(catalog) => {
            let names = Names {
                catalog,
                search_path: rights.search_path(),
            };
            analyse_and_resolve(text, &names, limits).map(|(analysis, resolved)| (analysis, Some(resolved)))
        }
    };
    let (analysis, resolved) = match analysed {
        Ok(analysed) => analysed,
        Err(error) => return Judged::refused(digest, "unparsed", syntax_refusal(error)),
    };
    let action = analysis.statements.first().map_or("empty", |s| s.kind.name());
    let enforced = matches!(rights.mode(), Mode::Enforce | Mode::Open);
    let mut judged = Judged {
        shapes: analysis.statements.iter().map(|s| s.shape).collect(),
        would: (!enforced).then_some(Outcome::Allowed),
        patterns: patterns(rights, text, limits),
        ..Judged::refused(digest, action, no_statement())
    };
    judged.run = Run::of(named::find(rights, text, limits), &analysis);
    let known = resolved.as_ref().and_then(|resolved| resolved.as_ref().ok());
    let rules = (analysis.statements.iter().enumerate())
        .map(|(at, statement)| {
            let resolved = known.and_then(|all| all.get(at));
            answers::rules(rights.answers(), resolved, statement, asker.roles)
        })
        .collect::<Result<_, _>>();
    let resolved = resolved.filter(|_| rights.catalog().is_some());
    judged.outcome = judge_all(rights, &asker.who, &analysis, resolved, &mut judged);
    match rules {
        Ok(rules) => judged.rules = rules,
        Err(refusal) => judged.outcome = judged.outcome.and(Err(refusal)),
    }
    if judged.outcome.is_err() {
        judged.shapes.clear();
    }
    // Where the policy is not enforced, the client's own text runs.
    if judged.outcome.is_err() || !enforced {
        judged.run = None;
    }
    judged
}

fn no_statement() -> Refusal {
    Refusal::error(SqlState::INTERNAL_ERROR, "the statement was not judged")
}

/// The statements as they are recorded for learning.
fn patterns(rights: &Rights<'_>, text: &str, limits: &SqlLimits) -> Vec<String> {
    if !rights.records_statements() {
        return Vec::new();
    }
    let found = postern_sql::normalise(text, limits).unwrap_or_default();
    found.into_iter().map(|found| found.text).collect()
}

fn syntax_refusal(error: ResolveError) -> Refusal {
    Refusal {
        code: error.code,
        message: error.message,
        position: error.position,
        fatal: false,
    }
}

/// One refused statement refuses the whole text: PostgreSQL would run what stands before it.
fn judge_all(
    rights: &Rights<'_>,
    who: &Who<'_>,
    analysis: &Analysis,
    resolved: Option<Result<Vec<Resolved>, ResolveError>>,
    judged: &mut Judged,
) -> Result<Effects, Refusal> {
    let mut all = Effects::default();
    let unknown = ResolveError {
        code: SqlState::INTERNAL_ERROR,
        message: "the statement was not resolved".to_owned(),
        position: None,
    };
    for (index, statement) in analysis.statements.iter().enumerate() {
        let resolved = resolved.as_ref().map(|resolved| match resolved {
            Ok(all) => all.get(index).ok_or(&unknown),
            Err(error) => Err(error),
        });
        let is_named = judged.run.as_ref().is_some_and(|run| run.is_named(index));
        match rights.decide(who, statement, resolved).outcome {
            Ok(demands) => judged.demands.extend(demands),
            // The policy lets it through by its name. What nobody may do it can't name.
            Err(denial) if is_named && !denial.absolute => {}
            Err(denial) => {
                let refused = judged.would.is_none() || denial.absolute;
                let refusal = denial.refusal.clone();
                judged.denial.get_or_insert(Arc::new(denial));
                if refused {
                    return Err(refusal);
                }
                judged.would = Some(Outcome::Refused);
            }
        }
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
    all.block = one.block.or(all.block);
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
