//! From the messages of an exchange to the answer they must get.

use postern_types::{Expect, StatementShape};
use postern_wire::{FrontendMessage, Target};

/// The messages are not one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExchange {
    /// A message that is never part of an exchange: COPY data, a password, Terminate, FunctionCall.
    #[error("the message does not belong in an exchange")]
    Misplaced,
    /// A message after the one that ends the exchange.
    #[error("a message after the end of the exchange")]
    AfterEnd,
    /// No Sync, Flush or simple Query at the end.
    #[error("the exchange does not end in Sync, Flush or Query")]
    Unfinished,
}

/// Builds the steps of an exchange, message by message.
#[derive(Debug, Default)]
pub struct Expectations {
    steps: Vec<Expect>,
    /// Portal of the last Describe, as long as it can't have become another portal.
    described: Option<String>,
    /// See [`Expectations::by_columns`].
    by_columns: bool,
    ended: bool,
}

impl Expectations {
    /// No messages yet.
    pub fn new() -> Self {
        Expectations::default()
    }

    /// No messages yet, of an exchange whose answer is judged by its columns: the steps begin with
    /// [`Expect::Columns`], and an [`Expect::HiddenDescribe`] comes before every Execute that may return rows
    /// nobody has described.
    pub fn by_columns() -> Self {
        Expectations {
            steps: vec![Expect::Columns],
            by_columns: true,
            ..Expectations::default()
        }
    }

    /// Adds one message. `shapes` are those of its statements: all statements of a Query in order, or the one
    /// statement of the portal that an Execute runs; other messages need none. Where the text does not parse, or is
    /// refused, give no shapes: an error is a legal answer to everything.
    ///
    /// # Errors
    /// `Misplaced` for a message that belongs in no exchange, `AfterEnd` for one that follows a Sync, a Flush or a
    /// Query.
    pub fn push(
        &mut self,
        message: &FrontendMessage<'_>,
        shapes: &[StatementShape],
    ) -> Result<(), NotAnExchange> {
        if self.ended {
            return Err(NotAnExchange::AfterEnd);
        }
        let step = match message {
            FrontendMessage::Query { .. } => Expect::Query(shapes.to_vec()),
            FrontendMessage::Parse { .. } => Expect::Parse,
            FrontendMessage::Bind { portal, .. } => {
                self.forget(portal);
                Expect::Bind
            }
            FrontendMessage::Describe {
                target: Target::Statement,
                ..
            } => {
                self.described = None;
                Expect::DescribeStatement
            }
            FrontendMessage::Describe {
                target: Target::Portal,
                name,
            } => {
                self.described = Some((*name).to_owned());
                Expect::DescribePortal
            }
            FrontendMessage::Execute { portal, max_rows } => {
                let shape = shapes.first().copied().unwrap_or_default();
                let mut described = self.described.as_deref() == Some(*portal);
                if !described && self.by_columns && shape.rows {
                    self.steps.push(Expect::HiddenDescribe);
                    self.described = Some((*portal).to_owned());
                    described = true;
                }
                // The rows of another portal in between have a number of columns of their own.
                if !described {
                    self.described = None;
                }
                Expect::Execute {
                    shape,
                    max_rows: *max_rows,
                    described,
                }
            }
            FrontendMessage::Close {
                target: Target::Portal,
                name,
            } => {
                self.forget(name);
                Expect::Close
            }
            // Closing a statement closes the portals made of it.
            FrontendMessage::Close {
                target: Target::Statement,
                ..
            } => {
                self.described = None;
                Expect::Close
            }
            FrontendMessage::Flush => Expect::Flush,
            FrontendMessage::Sync => Expect::Sync,
            FrontendMessage::CopyData(_)
            | FrontendMessage::CopyDone
            | FrontendMessage::CopyFail { .. }
            | FrontendMessage::Terminate
            | FrontendMessage::Password(_)
            | FrontendMessage::FunctionCall => return Err(NotAnExchange::Misplaced),
        };
        self.ended = matches!(step, Expect::Query(_) | Expect::Flush | Expect::Sync);
        self.steps.push(step);
        Ok(())
    }

    /// The steps, once the exchange has its end.
    ///
    /// # Errors
    /// `Unfinished` when the last message is not a Sync, a Flush or a Query.
    pub fn finish(self) -> Result<Vec<Expect>, NotAnExchange> {
        if self.ended {
            Ok(self.steps)
        } else {
            Err(NotAnExchange::Unfinished)
        }
    }

    /// Whether `steps` are those of `messages`, as far as the messages tell: what their statements may answer
    /// with is taken from `steps`. Gives for each message whether a hidden Describe comes before it.
    ///
    /// The Backend asks this before it runs anything, so that a Query Validator can't have the rows of one portal
    /// taken for those of another that was described.
    pub fn retrace(messages: &[FrontendMessage<'_>], steps: &[Expect]) -> Option<Vec<bool>> {
        let mut again = match steps.first() {
            Some(Expect::Columns) => Expectations::by_columns(),
            _ => Expectations::new(),
        };
        let mut rest = steps
            .iter()
            .filter(|step| !matches!(step, Expect::Columns | Expect::HiddenDescribe));
        let mut hidden = Vec::with_capacity(messages.len());
        for message in messages {
            let before = again.steps.len();
            let step = rest.next()?;
            let pushed = match step {
                Expect::Query(shapes) => again.push(message, shapes),
                Expect::Execute { shape, .. } => again.push(message, std::slice::from_ref(shape)),
                _ => again.push(message, &[]),
            };
            pushed.ok()?;
            hidden.push(again.steps.get(before) == Some(&Expect::HiddenDescribe));
        }
        (again.steps == steps).then_some(hidden)
    }

    fn forget(&mut self, portal: &str) {
        if self.described.as_deref() == Some(portal) {
            self.described = None;
        }
    }
}
