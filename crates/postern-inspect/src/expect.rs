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
    ended: bool,
}

impl Expectations {
    /// No messages yet.
    pub fn new() -> Self {
        Expectations::default()
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
                let described = self.described.as_deref() == Some(*portal);
                // The rows of another portal in between have a number of columns of their own.
                if !described {
                    self.described = None;
                }
                let shape = shapes.first().copied().unwrap_or_default();
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

    fn forget(&mut self, portal: &str) {
        if self.described.as_deref() == Some(portal) {
            self.described = None;
        }
    }
}
