//! Row and byte caps: what is left out, and what stops an answer.

use crate::Violation;
use crate::rules::Rules;
use postern_types::{AnswerState, Contract, OverCap, StatementRules};

/// Caps on rows and bytes; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cap {
    rows: u64,
    bytes: u64,
}

impl Cap {
    const NONE: Cap = Cap {
        rows: u64::MAX,
        bytes: u64::MAX,
    };

    fn lower(&mut self, rows: Option<u64>, bytes: Option<u64>) {
        self.rows = self.rows.min(rows.unwrap_or(u64::MAX));
        self.bytes = self.bytes.min(bytes.unwrap_or(u64::MAX));
    }
}

/// The caps that hold for one statement of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Over these the whole answer is stopped.
    refuse: Cap,
    refuse_statement: Cap,
    /// Over these rows are left out.
    cut: Cap,
    cut_statement: Cap,
}

impl Caps {
    /// The caps of the contract and its rules for this statement, and those of the own rules.
    pub(crate) fn new(rules: &Rules, contract: &Contract, statement: &StatementRules) -> Caps {
        let mut caps = Caps {
            refuse: Cap::NONE,
            refuse_statement: Cap::NONE,
            cut: Cap::NONE,
            cut_statement: Cap::NONE,
        };
        let (whole, one) = match contract.over {
            OverCap::Refuse => (&mut caps.refuse, &mut caps.refuse_statement),
            OverCap::Truncate => (&mut caps.cut, &mut caps.cut_statement),
        };
        whole.lower(contract.max_rows, contract.max_bytes);
        one.lower(statement.max_rows, statement.max_bytes);
        let whole = match rules.over {
            OverCap::Refuse => &mut caps.refuse,
            OverCap::Truncate => &mut caps.cut,
        };
        whole.lower(rules.max_rows, rules.max_bytes);
        caps
    }

    /// Whether the last row that was counted is left out.
    ///
    /// # Errors
    /// When it stops the answer.
    pub(crate) fn check(&self, count: Count) -> Result<bool, Violation> {
        if self.cuts(count) {
            return Ok(true);
        }
        if count.rows > self.refuse.rows || count.step_rows > self.refuse_statement.rows {
            let limit = self.refuse.rows.min(self.refuse_statement.rows);
            return Err(Violation::Rows { limit });
        }
        if count.bytes > self.refuse.bytes || count.step_bytes > self.refuse_statement.bytes {
            let limit = self.refuse.bytes.min(self.refuse_statement.bytes);
            return Err(Violation::Bytes { limit });
        }
        Ok(false)
    }

    fn cuts(&self, count: Count) -> bool {
        count.rows > self.cut.rows
            || count.bytes > self.cut.bytes
            || count.step_rows > self.cut_statement.rows
            || count.step_bytes > self.cut_statement.bytes
    }

    /// Whether a row that is left out is the first one of its statement; `bytes` are its own.
    pub(crate) fn begins_to_cut(&self, count: Count, bytes: u64) -> bool {
        count.step_rows <= 1
            || !self.cuts(Count {
                rows: count.rows.saturating_sub(1),
                bytes: count.bytes.saturating_sub(bytes),
                step_rows: count.step_rows.saturating_sub(1),
                step_bytes: count.step_bytes.saturating_sub(bytes),
            })
    }

    /// Rows of a statement that were left out by the caps on rows, when so many have come.
    pub(crate) fn left_out(&self, count: Count) -> u64 {
        let before = count.rows.saturating_sub(count.step_rows);
        let kept = count
            .step_rows
            .min(self.cut_statement.rows)
            .min(self.cut.rows.saturating_sub(before));
        count.step_rows.saturating_sub(kept)
    }
}

/// How much has come, the row in question included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    rows: u64,
    bytes: u64,
    step_rows: u64,
    step_bytes: u64,
}

impl Count {
    pub(crate) fn of(state: &AnswerState) -> Count {
        Count {
            rows: state.rows,
            bytes: state.bytes,
            step_rows: state.step_rows,
            step_bytes: state.step_bytes,
        }
    }
}

/// A command tag with so many rows fewer in it. Only tags whose number is that of the rows that came back are
/// changed: an INSERT with RETURNING has inserted what it says.
pub(crate) fn fewer(tag: &str, left_out: u64) -> Option<String> {
    let (word, count) = tag.split_once(' ')?;
    if !matches!(word, "SELECT" | "FETCH" | "COPY") {
        return None;
    }
    let count: u64 = count.parse().ok()?;
    Some(format!("{word} {}", count.saturating_sub(left_out)))
}
