//! Where the ledger of a stage is, and what it survives.

use postern_ledger::{Durability, Ledger, LedgerError, OnFull};
use postern_types::{InstanceId, Stage};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The ledger of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Directory that only this stage writes to.
    pub directory: PathBuf,
    /// What records survive before anything is handed on: `process` or `power`.
    #[serde(default)]
    pub durability: Durability,
    /// When the disk is full: `stop`, so that nothing goes on without a record, or `serve`, which drops records and
    /// writes an alert in their place when there is room.
    #[serde(default)]
    pub on_full: OnFull,
}

impl LedgerConfig {
    /// Opens it for a run of a stage.
    ///
    /// # Errors
    /// When it can't be written, or is not as it was left; see [`LedgerError`].
    pub fn open(&self, stage: Stage, instance: InstanceId, now_ms: u64) -> Result<Ledger, LedgerError> {
        let ledger = Ledger::open(&self.directory, stage, instance, now_ms)?;
        ledger
            .on_full(self.on_full)
            .surviving(self.durability)
            .map_err(|source| LedgerError::Io {
                path: self.directory.clone(),
                source,
            })
    }
}
