//! The verdicts on the messages of one exchange.

use crate::binding;
use crate::named::{self, Run};
use crate::names::{Known, Names};
use crate::rewrite::Rewriter;
use crate::values;
use crate::verdicts::{Judged, Verdicts, reset_not_last};
use postern_inspect::{Expectations, MaskKey, NotAnExchange};
use postern_ledger::{Outcome, StatementDigest};
use postern_policy::{Denial, NamedStatement, Rights, Who};
use postern_types::ring::{Definition, Effects, Verdict};
use postern_types::{ColumnRules, Expect, KeptValue, Refusal, SqlState, StatementRules, StatementShape};
use postern_wire::{EncodeError, FrontendMessage, Limits, Target, frontend_messages};
use std::sync::Arc;

/// Most messages of one exchange. Each adds some bytes to what is passed on, and a message of the bus has a
/// fixed size.
const MAX_MESSAGES: usize = 10_000;

/// Most values of one exchange that are recorded. Each takes memory and room in the ledger, and a client could send NULLs that
/// take hardly any of its own.
const MAX_KEPT: usize = 100_000;

/// Who asks, and by which rules.
pub(crate) struct Asker<'a> {
    pub(crate) roles: &'a [String],
    pub(crate) rights: &'a Rights<'a>,
    pub(crate) who: Who<'a>,
    /// Why no text of this user's may run now.
    pub(crate) too_fast: Option<&'a Refusal>,
    /// What a refusal quotes, so that an operator finds its record.
    pub(crate) reference: u32,
    /// Under which values are recorded as hashes.
    pub(crate) record_key: Option<&'a MaskKey>,
}

/// The decision on an exchange.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) steps: Vec<Expect>,
    /// Digests of the texts it runs or prepares, for the ledger.
    pub(crate) digests: Vec<StatementDigest>,
    /// How many statements it prepares or runs, whichever are more; those of a simple Query all count.
    pub(crate) statements: u32,
    /// Kind of its first statement, for the ledger.
    pub(crate) action: Option<&'static str>,
    /// The first named statement that it is or runs, for the ledger.
    pub(crate) named: Option<Arc<NamedStatement>>,
    /// The first reason of the policy against it, also where the policy is not enforced.
    pub(crate) denial: Option<Arc<Denial>>,
    /// What enforcing the policy would do, where it is not enforced.
    pub(crate) would: Option<Outcome>,
    /// Its statements without their literals, where the policy asks for them, with what enforcing would do to
    /// each.
    pub(crate) learned: Vec<Learned>,
    /// What goes on in place of the payload: messages of named statements are others than the client's.
    pub(crate) payload: Option<Vec<u8>>,
    /// What goes on in place of the definitions.
    pub(crate) definitions: Option<Vec<Definition>>,
    /// What is known of the answer to each statement of a simple Query, or to each Execute.
    pub(crate) rules: Vec<StatementRules>,
    /// Values that the policy asks to be recorded.
    pub(crate) kept: Vec<KeptValue>,
}

/// A statement as it is recorded for learning.
#[derive(Clone, Debug)]
pub(crate) struct Learned {
    pub(crate) judged: Arc<Judged>,
    /// Its parameters had values that enforcing would refuse.
    pub(crate) misbound: bool,
}

impl Decision {
    /// The first refusal in it.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.verdicts.iter().find_map(|verdict| match verdict {
            Verdict::Refuse(refusal) => Some(refusal),
            Verdict::Allow(_) => None,
        })
    }
}

/// Decides on every message of an exchange.
///
/// # Errors
/// A fatal refusal when the payload is not one exchange: the client, or the Frontend, does not keep to the
/// protocol.
pub(crate) fn decide(
    asker: &Asker<'_>,
    verdicts: &mut Verdicts,
    limits: &Limits,
    definitions: &[Definition],
    payload: &[u8],
) -> Result<Decision, Refusal> {
    let mut judge = Judge {
        asker,
        verdicts,
        names: Names::default(),
        decision: Decision::default(),
        reset_at: None,
        flushed: false,
        instead: None,
        parsed: 0,
        executed: 0,
    };
    judge.define(definitions);
    let mut sent = Rewriter::new(payload);
    let mut expected = Vec::new();
    for message in frontend_messages(payload, limits) {
        let (message, raw) = message.map_err(|error| Refusal {
            fatal: true,
            ..error.refusal()
        })?;
        if judge.decision.verdicts.len() >= MAX_MESSAGES {
            return Err(Refusal::fatal(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "too many messages before a Sync; send Sync more often",
            ));
        }
        if matches!(message, FrontendMessage::Query { .. }) && !judge.decision.verdicts.is_empty() {
            return Err(not_an_exchange("a simple Query must stand alone"));
        }
        let (verdict, shapes) = judge.message(&message);
        if judge.decision.kept.len() > MAX_KEPT {
            return Err(Refusal::fatal(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "too many parameters before a Sync; send Sync more often",
            ));
        }
        sent.message(raw, judge.instead.take().as_deref())?;
        expected.push((message, shapes));
        judge.decision.verdicts.push(verdict);
    }
    let mut decision = judge.finish();
    decision.payload = sent.finish();
    decision.steps = steps(asker, &expected, &decision.rules).map_err(not_an_exchange)?;
    Ok(decision)
}

/// What the answer will look like. Rules by columns need the columns to be described.
fn steps(
    asker: &Asker<'_>,
    expected: &[(FrontendMessage<'_>, Vec<StatementShape>)],
    rules: &[StatementRules],
) -> Result<Vec<Expect>, NotAnExchange> {
    let listed = |rules: &StatementRules| matches!(rules.columns, ColumnRules::Listed(_));
    let by_columns = asker.rights.answers().goes_by_columns() || rules.iter().any(listed);
    let mut steps = if by_columns {
        Expectations::by_columns()
    } else {
        Expectations::new()
    };
    for (message, shapes) in expected {
        steps.push(message, shapes)?;
    }
    steps.finish()
}

fn not_an_exchange(error: impl std::fmt::Display) -> Refusal {
    Refusal::fatal(
        SqlState::PROTOCOL_VIOLATION,
        format!("protocol violation: {error}"),
    )
}

struct Judge<'a> {
    asker: &'a Asker<'a>,
    verdicts: &'a mut Verdicts,
    names: Names,
    decision: Decision,
    /// Index of the Execute that put all settings back.
    reset_at: Option<usize>,
    /// The exchange ends in Flush.
    flushed: bool,
    /// What goes on in place of the message that is being judged.
    instead: Option<Vec<u8>>,
    /// Statements that came as text.
    parsed: u32,
    /// ... and those that a portal runs.
    executed: u32,
}

impl Judge<'_> {
    /// What stood before the exchange, and what goes on in its place.
    fn define(&mut self, definitions: &[Definition]) {
        let mut others = definitions.to_vec();
        let mut changed = false;
        for (definition, other) in definitions.iter().zip(&mut others) {
            let mut judged = single(self.text(&definition.sql));
            if let Some(found) = judged.run.as_ref().and_then(Run::single) {
                match named::parameter_types(found, &definition.parameter_types) {
                    Ok(types) => {
                        other.sql.clone_from(&found.sql);
                        other.parameter_types = types;
                        changed = true;
                    }
                    Err(refusal) => judged = refused(&judged, refusal),
                }
            }
            self.names.define(definition, judged);
        }
        self.decision.definitions = changed.then_some(others);
    }

    fn text(&mut self, sql: &str) -> Arc<Judged> {
        if let Some(refusal) = self.asker.too_fast {
            let digest = StatementDigest::of(sql);
            return Arc::new(Judged::refused(digest, "too-fast", refusal.clone()));
        }
        self.verdicts.judge(self.asker, sql)
    }

    /// The verdict on a message, and the shapes of the statements it runs.
    fn message(&mut self, message: &FrontendMessage<'_>) -> (Verdict, Vec<StatementShape>) {
        self.flushed = matches!(message, FrontendMessage::Flush);
        let ends = self.flushed || matches!(message, FrontendMessage::Sync);
        let closes = matches!(message, FrontendMessage::Close { .. });
        if self.reset_at.is_some() && !ends && !closes {
            return (Verdict::Refuse(reset_not_last()), Vec::new());
        }
        match *message {
            FrontendMessage::Query { sql } => {
                let judged = self.noted(sql);
                let statements = u32::try_from(judged.shapes.len()).unwrap_or(u32::MAX);
                self.parsed = self.parsed.saturating_add(statements.max(1));
                let met = values::hold(self.asker, &judged, None);
                let verdict = self.verdict(&judged, met);
                self.rule(&judged);
                let verdict = self.query(&judged, verdict);
                if matches!(verdict, Verdict::Allow(_)) {
                    self.decision
                        .kept
                        .append(&mut values::kept(self.asker, &judged, None));
                }
                (verdict, judged.shapes.clone())
            }
            FrontendMessage::Parse {
                name,
                sql,
                parameter_types,
            } => {
                self.parsed = self.parsed.saturating_add(1);
                let judged = single(self.noted(sql));
                let types: Arc<[u32]> = parameter_types.iter().collect();
                let (judged, verdict) = self.parse(judged, name, &types);
                self.names.set(Target::Statement, name, Known { judged, types });
                (verdict, Vec::new())
            }
            FrontendMessage::Bind {
                portal,
                statement,
                tail,
            } => {
                let found = self.names.get(Target::Statement, statement).cloned();
                match found {
                    Ok(known) => {
                        self.note(&known.judged);
                        let met = values::hold(self.asker, &known.judged, Some((tail, &known.types)));
                        let verdict = self.verdict(&known.judged, met);
                        let verdict = self.bind(&known.judged, verdict, portal, statement, tail);
                        if matches!(verdict, Verdict::Allow(_)) {
                            let bound = Some((tail, &*known.types));
                            let mut kept = values::kept(self.asker, &known.judged, bound);
                            self.decision.kept.append(&mut kept);
                        }
                        if matches!(verdict, Verdict::Refuse(_)) && known.judged.outcome.is_ok() {
                            // A portal of that name from before is not what this one would have been.
                            self.names.drop(Target::Portal, portal);
                        } else {
                            self.names.set(Target::Portal, portal, known);
                        }
                        (verdict, Vec::new())
                    }
                    Err(refusal) => {
                        // A portal of that name from before is not what this one would have been.
                        self.names.drop(Target::Portal, portal);
                        (Verdict::Refuse(refusal), Vec::new())
                    }
                }
            }
            FrontendMessage::Describe { target, name } => {
                let found = self
                    .names
                    .get(target, name)
                    .map(|known| Arc::clone(&known.judged));
                let verdict = match found {
                    Ok(judged) => {
                        let verdict = self.verdict(&judged, true);
                        let run = judged.run.as_ref().filter(|_| target == Target::Statement);
                        instead_of_effects(verdict, |_| Effects {
                            parameters: run.and_then(Run::single).and_then(named::order),
                            ..Effects::default()
                        })
                    }
                    // A cursor made by SQL is a portal too. Only a statement that was let through can
                    // have made it in this session, so its columns are no secret; running it by name
                    // stays refused, because its text is not known here.
                    Err(_) if target == Target::Portal => Verdict::Allow(Effects::default()),
                    Err(refusal) => Verdict::Refuse(refusal),
                };
                (verdict, Vec::new())
            }
            FrontendMessage::Execute { portal, .. } => {
                self.executed = self.executed.saturating_add(1);
                self.execute(portal)
            }
            FrontendMessage::Close { target, name } => {
                self.names.drop(target, name);
                (Verdict::Allow(Effects::default()), Vec::new())
            }
            FrontendMessage::Flush | FrontendMessage::Sync => {
                (Verdict::Allow(Effects::default()), Vec::new())
            }
            // These end in an error from the expectations: they belong in no exchange.
            FrontendMessage::CopyData(_)
            | FrontendMessage::CopyDone
            | FrontendMessage::CopyFail { .. }
            | FrontendMessage::Terminate
            | FrontendMessage::Password(_)
            | FrontendMessage::FunctionCall => (
                Verdict::Refuse(Refusal::error(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "this protocol message is not supported",
                )),
                Vec::new(),
            ),
        }
    }

    fn execute(&mut self, portal: &str) -> (Verdict, Vec<StatementShape>) {
        let found = self.names.get(Target::Portal, portal);
        match found.map(|known| Arc::clone(&known.judged)) {
            Ok(judged) => {
                if judged
                    .outcome
                    .as_ref()
                    .is_ok_and(|effects| effects.resets_settings)
                {
                    self.reset_at = Some(self.decision.verdicts.len());
                }
                let verdict = self.verdict(&judged, true);
                let verdict = instead_of_effects(verdict, |effects| {
                    named::of_execute(&effects, judged.run.as_ref())
                });
                self.rule(&judged);
                (verdict, judged.shapes.clone())
            }
            Err(refusal) => {
                self.decision.rules.push(StatementRules::default());
                (Verdict::Refuse(refusal), Vec::new())
            }
        }
    }

    /// A simple Query of named statements goes on with the policy's texts.
    fn query(&mut self, judged: &Judged, verdict: Verdict) -> Verdict {
        let (Verdict::Allow(effects), Some(run)) = (&verdict, &judged.run) else {
            return verdict;
        };
        match run.query(self.asker.who.tenant) {
            Ok((text, bound)) => {
                // Values that come apart have their texts with them.
                let text = if bound.is_empty() { text.as_str() } else { "" };
                let effects = Effects {
                    bound,
                    ..effects.clone()
                };
                self.instead(|out| postern_wire::put_query(out, text), effects)
            }
            Err(refusal) => self.refuse_named(refusal),
        }
    }

    /// A Parse of a named statement goes on with the policy's text. Gives the decision that its name stands for.
    fn parse(&mut self, judged: Arc<Judged>, name: &str, types: &[u32]) -> (Arc<Judged>, Verdict) {
        let verdict = self.verdict(&judged, true);
        let found = judged.run.as_ref().and_then(Run::single);
        let (Verdict::Allow(effects), Some(found)) = (&verdict, found) else {
            return (judged, verdict);
        };
        let prepared = named::check_literal(found, self.asker.who.tenant)
            .and_then(|()| named::parameter_types(found, types));
        match prepared {
            Ok(types) => {
                let put = |out: &mut Vec<u8>| postern_wire::put_parse(out, name, &found.sql, types);
                let verdict = self.instead(put, effects.clone());
                (judged, verdict)
            }
            Err(refusal) => (refused(&judged, refusal.clone()), self.refuse_named(refusal)),
        }
    }

    /// A Bind of a named statement goes on with the values in the policy's order.
    fn bind(
        &mut self,
        judged: &Judged,
        verdict: Verdict,
        portal: &str,
        statement: &str,
        tail: &[u8],
    ) -> Verdict {
        let found = judged.run.as_ref().and_then(Run::single);
        let (Verdict::Allow(effects), Some(found)) = (&verdict, found) else {
            return verdict;
        };
        match named::bind(found, statement, tail, self.asker.who.tenant) {
            Ok(None) => verdict,
            Ok(Some(tail)) => {
                let put = |out: &mut Vec<u8>| postern_wire::put_bind(out, portal, statement, &tail);
                self.instead(put, effects.clone())
            }
            Err(refusal) => self.refuse_named(refusal),
        }
    }

    /// Another message goes on in place of the one that is judged.
    fn instead(
        &mut self,
        put: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
        effects: Effects,
    ) -> Verdict {
        let mut out = Vec::new();
        match put(&mut out) {
            Ok(()) => {
                self.instead = Some(out);
                Verdict::Allow(effects)
            }
            Err(error) => Verdict::Refuse(Refusal::error(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("this message can't be sent to the database: {error}"),
            )),
        }
    }

    /// A named statement that may not run in this way.
    fn refuse_named(&mut self, refusal: Refusal) -> Verdict {
        if refusal.code != SqlState::INSUFFICIENT_PRIVILEGE {
            return Verdict::Refuse(refusal);
        }
        let denial = Arc::new(Denial {
            refusal: refusal.clone(),
            rule: "what a named statement asks of its parameters".to_owned(),
            objects: Vec::new(),
            absolute: false,
        });
        self.decision.denial.get_or_insert(Arc::clone(&denial));
        self.refuse(refusal, Some(&denial))
    }

    /// Notes what is known of the answers to the statements of a text.
    fn rule(&mut self, judged: &Judged) {
        let mut rules = judged.rules.clone();
        rules.resize(rules.len().max(1), StatementRules::default());
        if let Some(run) = &judged.run {
            run.tighten(&mut rules);
        }
        self.decision.rules.append(&mut rules);
    }

    /// The verdict on a message that brings or uses a text. `met`: what is demanded of its values holds.
    fn verdict(&mut self, judged: &Judged, met: bool) -> Verdict {
        if !met && judged.outcome.is_ok() {
            let denial = Arc::new(binding::misbound());
            self.decision.denial.get_or_insert(Arc::clone(&denial));
            if judged.would.is_none() {
                return self.refuse(denial.refusal.clone(), Some(&denial));
            }
            self.decision.would = Some(Outcome::Refused);
            if let Some(last) = self.decision.learned.last_mut() {
                last.misbound = true;
            }
        }
        match &judged.outcome {
            Ok(effects) => Verdict::Allow(effects.clone()),
            Err(refusal) => self.refuse(refusal.clone(), judged.denial.as_deref()),
        }
    }

    /// A refusal of the policy quotes the reference of its record.
    fn refuse(&self, refusal: Refusal, denial: Option<&Denial>) -> Verdict {
        let Some(denial) = denial else {
            return Verdict::Refuse(refusal);
        };
        let told = if self.asker.rights.tells_denials() {
            denial.detailed()
        } else {
            refusal
        };
        Verdict::Refuse(Refusal {
            message: format!("{} (reference {:08x})", told.message, self.asker.reference),
            ..told
        })
    }

    fn noted(&mut self, sql: &str) -> Arc<Judged> {
        let judged = self.text(sql);
        self.note(&judged);
        judged
    }

    fn note(&mut self, judged: &Arc<Judged>) {
        self.decision.action.get_or_insert(judged.action);
        if let Some(denial) = &judged.denial {
            self.decision.denial.get_or_insert(Arc::clone(denial));
        }
        // One refusal makes all of it one.
        if self.decision.would != Some(Outcome::Refused) {
            self.decision.would = judged.would.or(self.decision.would);
        }
        if self.decision.digests.last() == Some(&judged.digest) {
            return;
        }
        self.decision.digests.push(judged.digest);
        if let (None, Some(run)) = (&self.decision.named, &judged.run) {
            self.decision.named = run.first();
        }
        if !judged.patterns.is_empty() {
            self.decision.learned.push(Learned {
                judged: Arc::clone(judged),
                misbound: false,
            });
        }
    }

    fn finish(mut self) -> Decision {
        self.decision.statements = self.parsed.max(self.executed);
        // After a Flush the same transaction goes on, and settings can't be put back in between.
        if self.flushed
            && let Some(at) = self.reset_at
            && let Some(verdict) = self.decision.verdicts.get_mut(at)
        {
            *verdict = Verdict::Refuse(reset_not_last());
        }
        // Nothing is the same as nothing known.
        let known = |rules: &StatementRules| *rules != StatementRules::default();
        if !self.decision.rules.iter().any(known) {
            self.decision.rules.clear();
        }
        self.decision
    }
}

/// Most effects are told once, with Parse and Bind; with other messages what `others` makes of them.
fn instead_of_effects(verdict: Verdict, others: impl FnOnce(Effects) -> Effects) -> Verdict {
    match verdict {
        Verdict::Allow(effects) => Verdict::Allow(others(effects)),
        refused @ Verdict::Refuse(_) => refused,
    }
}

/// The decision on a text that may not be prepared as the client asks.
fn refused(judged: &Judged, refusal: Refusal) -> Arc<Judged> {
    Arc::new(Judged::refused(judged.digest, judged.action, refusal))
}

/// A prepared statement is one statement or none.
fn single(judged: Arc<Judged>) -> Arc<Judged> {
    if judged.shapes.len() <= 1 {
        return judged;
    }
    Arc::new(Judged {
        shapes: Vec::new(),
        outcome: Err(Refusal::error(
            SqlState::SYNTAX_ERROR,
            "cannot insert multiple commands into a prepared statement",
        )),
        run: None,
        ..(*judged).clone()
    })
}
