//! The verdicts on the messages of one exchange.

use crate::names::Names;
use crate::verdicts::{Judged, Verdicts, reset_not_last};
use postern_inspect::Expectations;
use postern_ledger::StatementDigest;
use postern_policy::Rights;
use postern_types::ring::{Definition, Effects, Verdict};
use postern_types::{Expect, Refusal, SqlState, StatementShape};
use postern_wire::{FrontendMessage, Limits, Target, frontend_messages};
use std::sync::Arc;

/// Most messages of one exchange. Each adds some bytes to what is passed on, and a message of the bus has a
/// fixed size.
const MAX_MESSAGES: usize = 10_000;

/// Who asks, and by which rules.
pub(crate) struct Asker<'a> {
    pub(crate) roles: &'a [String],
    pub(crate) rights: &'a Rights<'a>,
}

/// The decision on an exchange.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) steps: Vec<Expect>,
    /// Digests of the texts it runs or prepares, for the ledger.
    pub(crate) digests: Vec<StatementDigest>,
    /// Kind of its first statement, for the ledger.
    pub(crate) action: Option<&'static str>,
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
    };
    for definition in definitions {
        let judged = single(judge.text(&definition.sql));
        judge.names.define(definition, judged);
    }
    let mut steps = Expectations::new();
    for message in frontend_messages(payload, limits) {
        let (message, _) = message.map_err(|error| Refusal {
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
        steps.push(&message, &shapes).map_err(not_an_exchange)?;
        judge.decision.verdicts.push(verdict);
    }
    let mut decision = judge.finish();
    decision.steps = steps.finish().map_err(not_an_exchange)?;
    Ok(decision)
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
}

impl Judge<'_> {
    fn text(&mut self, sql: &str) -> Arc<Judged> {
        self.verdicts.judge(self.asker.roles, self.asker.rights, sql)
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
                (verdict(&judged), judged.shapes.clone())
            }
            FrontendMessage::Parse { name, sql, .. } => {
                let judged = single(self.noted(sql));
                let verdict = verdict(&judged);
                self.names.set(Target::Statement, name, judged);
                (verdict, Vec::new())
            }
            FrontendMessage::Bind {
                portal, statement, ..
            } => {
                let found = self.names.get(Target::Statement, statement).cloned();
                match found {
                    Ok(judged) => {
                        let verdict = verdict(&judged);
                        self.note(&judged);
                        self.names.set(Target::Portal, portal, judged);
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
                let verdict = match self.names.get(target, name) {
                    Ok(judged) => without_effects(judged),
                    // A cursor made by SQL is a portal too. Only a statement that was let through can
                    // have made it in this session, so its columns are no secret; running it by name
                    // stays refused, because its text is not known here.
                    Err(_) if target == Target::Portal => Verdict::Allow(Effects::default()),
                    Err(refusal) => Verdict::Refuse(refusal),
                };
                (verdict, Vec::new())
            }
            FrontendMessage::Execute { portal, .. } => self.execute(portal),
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
        match self.names.get(Target::Portal, portal) {
            Ok(judged) => {
                if judged
                    .outcome
                    .as_ref()
                    .is_ok_and(|effects| effects.resets_settings)
                {
                    self.reset_at = Some(self.decision.verdicts.len());
                }
                (without_effects(judged), judged.shapes.clone())
            }
            Err(refusal) => (Verdict::Refuse(refusal), Vec::new()),
        }
    }

    fn noted(&mut self, sql: &str) -> Arc<Judged> {
        let judged = self.text(sql);
        self.note(&judged);
        judged
    }

    fn note(&mut self, judged: &Judged) {
        self.decision.action.get_or_insert(judged.action);
        if self.decision.digests.last() != Some(&judged.digest) {
            self.decision.digests.push(judged.digest);
        }
    }

    fn finish(mut self) -> Decision {
        // After a Flush the same transaction goes on, and settings can't be put back in between.
        if self.flushed
            && let Some(at) = self.reset_at
            && let Some(verdict) = self.decision.verdicts.get_mut(at)
        {
            *verdict = Verdict::Refuse(reset_not_last());
        }
        self.decision
    }
}

fn verdict(judged: &Judged) -> Verdict {
    match &judged.outcome {
        Ok(effects) => Verdict::Allow(effects.clone()),
        Err(refusal) => Verdict::Refuse(refusal.clone()),
    }
}

/// Effects are told once, with Parse and Bind.
fn without_effects(judged: &Judged) -> Verdict {
    match &judged.outcome {
        Ok(_) => Verdict::Allow(Effects::default()),
        Err(refusal) => Verdict::Refuse(refusal.clone()),
    }
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
        ..(*judged).clone()
    })
}
