//! The hash chain: what one record hands to the next.

use crate::line::{HexHash, SealedLine};

/// Number and hash of a record, or of the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Number of the record; 0 is the beginning.
    pub(crate) number: u64,
    /// Its hash; zeros at the beginning.
    pub(crate) hash: HexHash,
}

impl Link {
    /// Before the first record.
    pub(crate) const GENESIS: Link = Link {
        number: 0,
        hash: [b'0'; 64],
    };
}

/// Why a line does not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainBreak {
    /// Another number than the next one.
    Number {
        /// The next one.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// It names another record as the one before it.
    Previous,
}

/// Checks that `line` follows `before`.
pub(crate) fn follows(before: &Link, line: &SealedLine) -> Result<(), ChainBreak> {
    let expected = before.number.saturating_add(1);
    if line.link.number != expected {
        return Err(ChainBreak::Number {
            expected,
            found: line.link.number,
        });
    }
    if line.prev != before.hash {
        return Err(ChainBreak::Previous);
    }
    Ok(())
}
