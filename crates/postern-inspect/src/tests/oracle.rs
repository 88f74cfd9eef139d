//! The protocol once more, written as a grammar over a complete answer: what the state machine is compared with.
//! Slow and without state between messages, so that a slip in one is not a slip in the other.

use super::message::Message::{self, Described, Error, Fatal, Notice, Plain, Row, Status};
use postern_types::{CopyDirection, Expect, StatementShape};

/// How a legal answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Skipping,
    Ended,
}

/// Why the answer does not go on as a success.
enum Stop {
    Error,
    Fatal,
    Illegal,
}

type Go = Result<(), Stop>;

/// How the complete answer `messages` to `steps` ends, or `None` when it is not one.
pub(super) fn judge(steps: &[Expect], skipping: bool, messages: &[Message]) -> Option<Ending> {
    if trailing_aside(messages) {
        return None;
    }
    let messages: Vec<Message> = messages
        .iter()
        .copied()
        .filter(|message| !matches!(message, Notice | Status))
        .collect();
    let mut reader = Reader {
        rest: &messages,
        columns: 0,
    };
    let ending = if skipping {
        reader.skip(steps)
    } else {
        reader.answer(steps)
    };
    match ending {
        Ok(ending) if reader.rest.is_empty() => Some(ending),
        Err(Stop::Fatal) if reader.rest.is_empty() => Some(Ending::Ended),
        _ => None,
    }
}

/// Notices and settings are part of the answer only while it is not complete.
fn trailing_aside(messages: &[Message]) -> bool {
    matches!(messages.last(), Some(Notice | Status))
}

struct Reader<'a> {
    rest: &'a [Message],
    columns: u16,
}

impl Reader<'_> {
    fn next_is(&mut self, wanted: Message) -> bool {
        let found = self.rest.first() == Some(&wanted);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn expect(&mut self, wanted: Message) -> Go {
        if self.next_is(wanted) {
            return Ok(());
        }
        Err(self.trouble())
    }

    fn trouble(&mut self) -> Stop {
        if self.next_is(Error) {
            Stop::Error
        } else if self.next_is(Fatal) {
            Stop::Fatal
        } else {
            Stop::Illegal
        }
    }

    fn answer(&mut self, steps: &[Expect]) -> Result<Ending, Stop> {
        for (at, step) in steps.iter().enumerate() {
            let go = self.step(step);
            match go {
                Ok(()) => {}
                // Simple Query and Sync: the database goes on to ReadyForQuery by itself.
                Err(Stop::Error) if matches!(step, Expect::Query(_) | Expect::Sync) => {
                    self.ready_after_error()?;
                }
                Err(Stop::Error) => return self.skip(&steps[at + 1..]),
                Err(stop) => return Err(stop),
            }
        }
        Ok(Ending::Done)
    }

    /// After an error: nothing up to Sync, then ReadyForQuery and what follows the Sync.
    fn skip(&mut self, steps: &[Expect]) -> Result<Ending, Stop> {
        let Some(sync) = steps.iter().position(|step| *step == Expect::Sync) else {
            return Ok(Ending::Skipping);
        };
        self.ready_after_error()?;
        self.answer(&steps[sync + 1..])
    }

    fn ready_after_error(&mut self) -> Go {
        match self.expect(Plain(b'Z')) {
            Err(Stop::Error) => Err(Stop::Illegal),
            go => go,
        }
    }

    fn step(&mut self, step: &Expect) -> Go {
        match step {
            Expect::Query(statements) => {
                if statements.is_empty() {
                    self.expect(Plain(b'I'))?;
                }
                statements.iter().try_for_each(|shape| self.statement(*shape))?;
                self.expect(Plain(b'Z'))
            }
            Expect::Parse => self.expect(Plain(b'1')),
            Expect::Bind => self.expect(Plain(b'2')),
            Expect::Close => self.expect(Plain(b'3')),
            Expect::DescribeStatement => {
                self.expect(Plain(b't'))?;
                self.columns_or_none()
            }
            Expect::DescribePortal | Expect::HiddenDescribe => self.columns_or_none(),
            Expect::Execute {
                shape,
                max_rows,
                described,
            } => self.execute(*shape, *max_rows, *described),
            Expect::Flush | Expect::Columns => Ok(()),
            Expect::Sync => self.expect(Plain(b'Z')),
        }
    }

    fn columns_or_none(&mut self) -> Go {
        for columns in [1, 2] {
            if self.next_is(Described(columns)) {
                self.columns = columns;
                return Ok(());
            }
        }
        self.columns = 0;
        self.expect(Plain(b'n'))
    }

    fn statement(&mut self, shape: StatementShape) -> Go {
        if shape.rows {
            for columns in [1, 2] {
                if self.next_is(Described(columns)) {
                    while self.next_is(Row(columns)) {}
                    return self.expect(Plain(b'C'));
                }
            }
        }
        self.copy(shape)?;
        self.expect(Plain(b'C'))
    }

    fn copy(&mut self, shape: StatementShape) -> Go {
        match shape.copy {
            None => Ok(()),
            Some(CopyDirection::In) => self.expect(Plain(b'G')),
            Some(CopyDirection::Out) => {
                self.expect(Plain(b'H'))?;
                while self.next_is(Plain(b'd')) {}
                self.expect(Plain(b'c'))
            }
        }
    }

    fn execute(&mut self, shape: StatementShape, max_rows: u32, described: bool) -> Go {
        if shape == StatementShape::default() && self.next_is(Plain(b'I')) {
            return Ok(());
        }
        let mut rows = 0;
        if shape.rows {
            let columns = match self.rest.first() {
                Some(Row(columns)) if !described => *columns,
                _ => self.columns,
            };
            while (max_rows == 0 || rows < max_rows) && self.next_is(Row(columns)) {
                rows += 1;
            }
            if max_rows != 0 && rows == max_rows && self.next_is(Plain(b's')) {
                return Ok(());
            }
        }
        if rows == 0 {
            self.copy(shape)?;
        }
        self.expect(Plain(b'C'))
    }
}
