//! Read-only runs and time limits of single statements, put in force in the database.
//!
//! Messages of the Backend's own go before and after the Execute, in the same batch, so that they cost no
//! round trip. Their replies are swallowed. They use a portal of their own name, for the client's unnamed
//! portal is bound already, and statements that are prepared once on each connection.
//!
//! A time limit is set before and put back after. A read-only run inside a transaction block gets a savepoint
//! of its own: PostgreSQL puts the transaction's own mode back when the savepoint is released. Without a
//! block all statements up to the Sync are one transaction, and a transaction can't become read-write
//! again; so after a read-only run nothing else may follow there but read-only runs.

use super::{Planner, Refused};
use crate::replies::{Op, Reply, Treatment};
use crate::statements::StatementKey;
use postern_types::ring::Guard;
use postern_types::{Refusal, SqlState};
use postern_wire::Target;

const PORTAL: &str = "postern_guard";
/// Formats, values and result formats: none.
const NO_VALUES: &[u8] = &[0, 0, 0, 0, 0, 0];

const READ_ONLY: &str = "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)";
const SAVE: &str = "SAVEPOINT postern_read_only";
const RELEASE: &str = "RELEASE SAVEPOINT postern_read_only";
const TIMEOUT_BACK: &str = "SELECT pg_catalog.set_config('statement_timeout', \
     pg_catalog.current_setting('postern.outer_timeout'), true)";

fn timeout(milliseconds: u32) -> String {
    format!(
        "SELECT pg_catalog.set_config('postern.outer_timeout', \
         pg_catalog.current_setting('statement_timeout'), true), \
         pg_catalog.set_config('statement_timeout', '{milliseconds}', true)"
    )
}

impl Planner<'_, '_> {
    /// What goes before an Execute.
    pub(super) fn before(&mut self, guard: Guard) -> Result<(), Refused> {
        if self.sealed_read_only && !guard.read_only {
            return self.refuse(Refusal::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "a statement that only reads was sent before this one without a Sync in between; send them \
                 apart, or begin a transaction first",
            ));
        }
        if guard.read_only {
            if self.block {
                self.own(SAVE)?;
            } else {
                self.sealed_read_only = true;
            }
            self.own(READ_ONLY)?;
        }
        match guard.timeout_ms {
            Some(milliseconds) => self.own(&timeout(milliseconds)),
            None => Ok(()),
        }
    }

    /// What goes after an Execute. `block`: the statement began or ended a transaction block.
    pub(super) fn after(&mut self, guard: Guard, block: Option<bool>) -> Result<(), Refused> {
        if guard.timeout_ms.is_some() {
            self.own(TIMEOUT_BACK)?;
        }
        if guard.read_only && self.block {
            self.own(RELEASE)?;
        }
        if let Some(block) = block {
            self.block = block;
        }
        Ok(())
    }

    /// Runs a statement of the Backend's own.
    fn own(&mut self, sql: &str) -> Result<(), Refused> {
        let name = self.ensure_prepared(&StatementKey::new(sql, &[]), 0)?;
        let result = postern_wire::put_bind(self.out, PORTAL, &name, NO_VALUES)
            .and_then(|()| postern_wire::put_execute(self.out, PORTAL, 0))
            .and_then(|()| postern_wire::put_close(self.out, Target::Portal, PORTAL));
        self.encoded(result)?;
        for reply in [Reply::Bind, Reply::Execute, Reply::Close] {
            self.ops.push_back(Op::new(reply, Treatment::Swallow));
        }
        Ok(())
    }
}
