//! Where the ledger of a stage is.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The ledger of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Directory that only this stage writes to.
    pub directory: PathBuf,
}
