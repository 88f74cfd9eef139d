//! A simple Query whose values came apart from its text: run by the extended protocol, answered as a simple
//! Query.
//!
//! All of its statements are one batch with one Sync at the end, so that they are one implicit transaction as
//! in a simple Query, and an error skips the rest. PostgreSQL's answers to Parse and Bind are swallowed. The
//! description of the rows comes from a Describe of each portal, as text, and is the client's where there
//! are rows; what it says for a statement without rows is not.

use super::{Planner, Refused};
use crate::replies::{Op, Reply, Treatment};
use crate::statements::StatementKey;
use postern_types::ring::BoundStatement;
use postern_wire::{EncodeError, Target};
use std::rc::Rc;

impl Planner<'_, '_> {
    pub(super) fn bound(&mut self, statements: &[BoundStatement]) -> Result<(), Refused> {
        for statement in statements {
            self.bound_statement(statement)?;
        }
        postern_wire::put_sync(self.out);
        self.ops.push_back(Op::new(Reply::Sync, Treatment::Forward));
        Ok(())
    }

    fn bound_statement(&mut self, statement: &BoundStatement) -> Result<(), Refused> {
        let key = StatementKey::new(&statement.sql, &statement.parameter_types);
        let schema_epoch = self.context.schema_epoch;
        let one_off =
            self.find_prepared(&key, schema_epoch).is_none() && !self.context.server.seen_before(&key);
        let name = if one_off {
            self.parse_unnamed(&key, &key.sql, Op::new(Reply::Parse, Treatment::Swallow))?;
            Rc::from("")
        } else {
            self.ensure_prepared(&key, schema_epoch)?
        };
        let result = tail(&statement.values)
            .and_then(|tail| postern_wire::put_bind(self.out, "", &name, &tail))
            .and_then(|()| postern_wire::put_describe(self.out, Target::Portal, ""));
        self.encoded(result)?;
        self.ops.push_back(Op::new(Reply::Bind, Treatment::Swallow));
        self.ops
            .push_back(Op::new(Reply::DescribePortal, Treatment::Rows));
        self.before(statement.guard)?;
        let result = postern_wire::put_execute(self.out, "", 0);
        self.encoded(result)?;
        self.ops.push_back(Op::new(Reply::Execute, Treatment::Forward));
        self.after(statement.guard, statement.block)
    }
}

/// The tail of a Bind: all values and results as text.
fn tail(values: &[Option<String>]) -> Result<Vec<u8>, EncodeError> {
    let values: Vec<(bool, Option<&[u8]>)> = values
        .iter()
        .map(|value| (false, value.as_deref().map(str::as_bytes)))
        .collect();
    postern_wire::bind_tail(&values, &[0, 0])
}
