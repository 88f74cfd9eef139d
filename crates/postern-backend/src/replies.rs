//! What PostgreSQL still owes for an exchange, and which of it is the client's.
//!
//! The Backend sends PostgreSQL other messages than the client sent: a statement that is prepared already
//! is not prepared again, one that is missing on this connection is prepared first, and a refused one is
//! replaced by a message that is sure to fail. This queue knows, message by message, what to do with each
//! reply so that the client sees the answer to what it asked.

use crate::statements::{Change, ServerChange};
use postern_types::Refusal;
use std::collections::VecDeque;
use std::rc::Rc;

/// The client message (or a message of our own) that a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple Query; ends with ReadyForQuery.
    Query,
    /// Parse.
    Parse,
    /// Bind.
    Bind,
    /// Describe of a statement: parameters, then rows.
    DescribeStatement,
    /// Describe of a portal.
    DescribePortal,
    /// Execute.
    Execute,
    /// Close.
    Close,
    /// Sync; ends with ReadyForQuery.
    Sync,
}

/// What to do with a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It is the client's.
    Forward,
    /// It answers a message of our own; only an error is the client's.
    Swallow,
    /// Nothing was sent; the client gets this instead.
    Local(&'static [u8]),
    /// A message that must fail was sent; the client gets this in place of the error.
    Refuse(Refusal),
    /// A Describe of our own for a simple Query: RowDescription is the client's, NoData is not.
    Rows,
    /// The client's, but of the parameters these only, in this order.
    Parameters(Rc<[u16]>),
}

/// One awaited reply.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    /// What it answers.
    pub(crate) reply: Reply,
    /// What to do with it.
    pub(crate) treatment: Treatment,
    /// What is true for the session once it succeeded.
    pub(crate) change: Option<Change>,
    /// What is true for the connection once it succeeded.
    pub(crate) server_change: Option<ServerChange>,
}

impl Op {
    /// An op that changes nothing.
    pub(crate) fn new(reply: Reply, treatment: Treatment) -> Self {
        Op {
            reply,
            treatment,
            change: None,
            server_change: None,
        }
    }
}

/// ParseComplete as bytes.
pub(crate) const PARSE_COMPLETE: &[u8] = &[b'1', 0, 0, 0, 4];
/// CloseComplete as bytes.
pub(crate) const CLOSE_COMPLETE: &[u8] = &[b'3', 0, 0, 0, 4];

/// What becomes of one message of PostgreSQL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Goes to the client.
    Forward,
    /// Is dropped.
    Drop,
    /// This goes to the client in its place.
    Replace(Refusal),
    /// It is a ParameterDescription; these of its types go to the client, in this order.
    Parameters(Rc<[u16]>),
}

/// PostgreSQL sent something that fits nothing it owes. The connection can't be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {0:#04x} from the database does not fit what was asked")]
pub(crate) struct Unexpected(pub u8);

/// The awaited replies of one exchange, in order.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    ops: VecDeque<Op>,
    failed: bool,
    completed: Vec<(Option<Change>, Option<ServerChange>)>,
}

impl Replies {
    /// Awaits these.
    pub(crate) fn new(ops: VecDeque<Op>) -> Self {
        Replies {
            ops,
            failed: false,
            completed: Vec::new(),
        }
    }

    /// Nothing more is owed.
    pub(crate) fn done(&self) -> bool {
        self.ops.is_empty()
    }

    /// An ErrorResponse arrived in this exchange.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Takes the next answer that needs no message of PostgreSQL.
    pub(crate) fn next_local(&mut self) -> Option<&'static [u8]> {
        let Treatment::Local(bytes) = self.ops.front()?.treatment else {
            return None;
        };
        self.complete_front();
        Some(bytes)
    }

    /// Changes of the ops that succeeded since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<(Option<Change>, Option<ServerChange>)> {
        std::mem::take(&mut self.completed)
    }

    /// Decides on a message of PostgreSQL by its tag.
    ///
    /// # Errors
    /// `Unexpected` when nothing that is owed can bring this message.
    pub(crate) fn take(&mut self, tag: u8) -> Result<Fate, Unexpected> {
        match tag {
            // DataRow and CopyData first: they are nearly all of the traffic.
            b'D' | b'd' => self.within(tag),
            b'N' | b'S' | b'A' => Ok(Fate::Forward),
            b'E' => Ok(self.fail()),
            _ => self.step(tag),
        }
    }

    fn within(&self, tag: u8) -> Result<Fate, Unexpected> {
        match self.ops.front() {
            Some(op)
                if op.treatment == Treatment::Forward
                    && matches!(op.reply, Reply::Query | Reply::Execute) =>
            {
                Ok(Fate::Forward)
            }
            // A statement of our own that returns something.
            Some(op) if op.treatment == Treatment::Swallow && op.reply == Reply::Execute && tag == b'D' => {
                Ok(Fate::Drop)
            }
            _ => Err(Unexpected(tag)),
        }
    }

    fn step(&mut self, tag: u8) -> Result<Fate, Unexpected> {
        let front = self.ops.front().ok_or(Unexpected(tag))?;
        if matches!(front.treatment, Treatment::Refuse(_)) {
            // The message that had to fail did not.
            return Err(Unexpected(tag));
        }
        let fate = match &front.treatment {
            Treatment::Swallow => Fate::Drop,
            Treatment::Rows if tag == b'n' => Fate::Drop,
            Treatment::Parameters(order) if tag == b't' => Fate::Parameters(Rc::clone(order)),
            _ => Fate::Forward,
        };
        let complete = match (front.reply, tag) {
            (Reply::Parse, b'1') | (Reply::Bind, b'2') | (Reply::Close, b'3') => true,
            (Reply::DescribeStatement, b't') => false,
            (Reply::DescribeStatement | Reply::DescribePortal, b'T' | b'n') => true,
            (Reply::Execute, b'C' | b's' | b'I') | (Reply::Query | Reply::Sync, b'Z') => true,
            (Reply::Query, b'T' | b'C' | b'I') => false,
            (Reply::Query | Reply::Execute, b'G' | b'H' | b'c') => false,
            _ => return Err(Unexpected(tag)),
        };
        if complete {
            self.complete_front();
        }
        Ok(fate)
    }

    /// After an error PostgreSQL skips everything up to the next Sync.
    fn fail(&mut self) -> Fate {
        self.failed = true;
        let fate = match self.ops.front().map(|op| &op.treatment) {
            Some(Treatment::Refuse(refusal)) => Fate::Replace(refusal.clone()),
            _ => Fate::Forward,
        };
        if let Some(Op {
            reply: Reply::Query | Reply::Sync,
            ..
        }) = self.ops.front()
        {
            // Its ReadyForQuery is still owed, but what it would have changed is not.
            if let Some(op) = self.ops.front_mut() {
                op.change = None;
                op.server_change = None;
            }
            return fate;
        }
        while self.ops.front().is_some_and(|op| op.reply != Reply::Sync) {
            self.ops.pop_front();
        }
        fate
    }

    fn complete_front(&mut self) {
        if let Some(op) = self.ops.pop_front()
            && (op.change.is_some() || op.server_change.is_some())
        {
            self.completed.push((op.change, op.server_change));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_types::SqlState;

    fn replies(ops: &[(Reply, Treatment)]) -> Replies {
        Replies::new(ops.iter().map(|(r, t)| Op::new(*r, t.clone())).collect())
    }

    #[test]
    fn a_cached_statement_answers_by_itself_and_an_own_parse_is_dropped() {
        let mut r = replies(&[
            (Reply::Parse, Treatment::Local(PARSE_COMPLETE)),
            (Reply::Parse, Treatment::Swallow),
            (Reply::Bind, Treatment::Forward),
            (Reply::Execute, Treatment::Forward),
            (Reply::Sync, Treatment::Forward),
        ]);
        assert_eq!(r.next_local(), Some(PARSE_COMPLETE));
        assert_eq!(r.next_local(), None);
        let fates: Vec<_> = b"12DDCZ".iter().map(|t| r.take(*t).unwrap()).collect();
        assert_eq!(fates[0], Fate::Drop);
        assert!(fates[1..].iter().all(|f| *f == Fate::Forward));
        assert!(r.done());
    }

    #[test]
    fn an_error_skips_to_sync_and_a_refusal_takes_its_place() {
        let refusal = Refusal::error(SqlState::INSUFFICIENT_PRIVILEGE, "no");
        let mut r = replies(&[
            (Reply::Execute, Treatment::Refuse(refusal.clone())),
            (Reply::Parse, Treatment::Local(PARSE_COMPLETE)),
            (Reply::Sync, Treatment::Forward),
        ]);
        assert_eq!(r.take(b'E'), Ok(Fate::Replace(refusal)));
        assert_eq!(r.next_local(), None);
        assert_eq!(r.take(b'C'), Err(Unexpected(b'C')));
        assert_eq!(r.take(b'Z'), Ok(Fate::Forward));
        assert!(r.done());
    }

    #[test]
    fn a_message_that_had_to_fail_and_did_not_is_an_alarm() {
        let refusal = Refusal::error(SqlState::INSUFFICIENT_PRIVILEGE, "no");
        let mut r = replies(&[(Reply::Execute, Treatment::Refuse(refusal))]);
        for tag in *b"CDsIZ" {
            assert_eq!(r.take(tag), Err(Unexpected(tag)));
        }
    }

    #[test]
    fn an_error_without_sync_ends_the_exchange() {
        let mut r = replies(&[
            (Reply::Parse, Treatment::Forward),
            (Reply::Bind, Treatment::Forward),
        ]);
        assert_eq!(r.take(b'E'), Ok(Fate::Forward));
        assert!(r.done() && r.has_failed());
    }

    #[test]
    fn a_failed_step_changes_nothing() {
        let mut op = Op::new(Reply::Query, Treatment::Forward);
        op.change = Some(Change::DropAllStatements);
        let mut r = Replies::new(VecDeque::from([op]));
        r.take(b'E').unwrap();
        r.take(b'Z').unwrap();
        assert!(r.done() && r.take_changes().is_empty());
    }

    #[test]
    fn rows_without_a_query_are_refused() {
        let mut r = replies(&[(Reply::Parse, Treatment::Forward)]);
        assert_eq!(r.take(b'D'), Err(Unexpected(b'D')));
        assert_eq!(Replies::default().take(b'Z'), Err(Unexpected(b'Z')));
    }
}
