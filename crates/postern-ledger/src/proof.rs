//! Inclusion proofs: one record, and the path that leads from it to a signed checkpoint.
//!
//! ```text
//! {"record":"<line of the record>","path":["<64 hex>", …],"checkpoint":"<line of the checkpoint>"}
//! ```
//!
//! Checking one needs the public key and nothing else of the ledger.

use crate::checkpoint::{Checkpoint, CheckpointError, PublicKey, from_hex, to_hex};
use crate::files;
use crate::line;
use crate::merkle::{self, Hash, LONGEST_PATH};
use crate::walk::walk;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Longest proof that is read, in bytes: a record, whose characters may take six bytes here, and its path.
const LONGEST_PROOF: usize = 8 * line::MAX_LINE_BYTES;

/// A record with the way to a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    record: String,
    path: Vec<String>,
    checkpoint: String,
}

/// What a proof that holds has proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Number of the record.
    pub number: u64,
    /// Its line.
    pub record: String,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

/// Why there is no proof, or why it does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It is not in the form of a proof.
    #[error("not a proof: it was changed or cut")]
    Malformed,
    /// The record is not one.
    #[error("the record was changed: its hash does not match")]
    Record,
    /// Its checkpoint does not hold.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The path does not lead from the record to the checkpoint's root.
    #[error("the checkpoint does not cover this record as it is")]
    NotIncluded,
    /// The record was removed for its age.
    #[error("record {0} was removed for its age; a proof of it can only have been made before")]
    Pruned(u64),
    /// No checkpoint covers the record yet.
    #[error("no checkpoint covers record {0}")]
    NotCovered(u64),
    /// The ledger does not have what the checkpoint covers.
    #[error("the ledger is not as the checkpoint says")]
    Contradicted,
    /// The ledger can't be read.
    #[error("the ledger can't be read: {0}")]
    Ledger(#[from] io::Error),
}

impl Proof {
    /// Proves record `number` of the ledger in `directory` by a checkpoint of it in `checkpoints`, one a
    /// line.
    ///
    /// # Errors
    /// When no checkpoint covers it, or the ledger is not what was signed.
    pub fn make(
        directory: &Path,
        number: u64,
        stage: impl Into<postern_types::Author>,
        checkpoints: &str,
        key: &PublicKey,
    ) -> Result<Proof, ProofError> {
        let stage = stage.into();
        let covers = |line: &&str| {
            Checkpoint::read(line, key).is_ok_and(|checkpoint| {
                let covered = checkpoint.segment..=checkpoint.last_record();
                checkpoint.stage == stage && covered.contains(&number)
            })
        };
        if (1..=files::begin(directory)?.number).contains(&number) {
            return Err(ProofError::Pruned(number));
        }
        let line = checkpoints.lines().find(covers);
        let line = line.ok_or(ProofError::NotCovered(number))?;
        let checkpoint = Checkpoint::read(line, key)?;
        let mut leaves: Vec<Hash> = Vec::new();
        let mut record = None;
        walk(directory, |visit| {
            if visit.segment == checkpoint.segment && (leaves.len() as u64) < checkpoint.records {
                leaves.push(merkle::leaf(visit.bytes));
            }
            if visit.link.number == number {
                record = String::from_utf8(visit.bytes.to_vec()).ok();
            }
        })?;
        let record = record.ok_or(ProofError::Contradicted)?;
        let index = usize::try_from(number.saturating_sub(checkpoint.segment)).ok();
        let path = index.and_then(|index| merkle::path(index, &leaves));
        let path = path.ok_or(ProofError::Contradicted)?;
        let proof = Proof {
            record,
            path: path.iter().map(|hash| to_hex(hash)).collect(),
            checkpoint: line.to_owned(),
        };
        match proof.check(key) {
            Ok(_) => Ok(proof),
            Err(_) => Err(ProofError::Contradicted),
        }
    }

    /// Reads a proof; it proves nothing before [`Proof::check`].
    ///
    /// # Errors
    /// When it is not in the form of one.
    pub fn parse(text: &str) -> Result<Proof, ProofError> {
        if text.len() > LONGEST_PROOF {
            return Err(ProofError::Malformed);
        }
        serde_json::from_str(text).map_err(|_| ProofError::Malformed)
    }

    /// The line of its checkpoint, to look it up in a copy that was kept elsewhere.
    pub fn checkpoint_line(&self) -> &str {
        &self.checkpoint
    }

    /// What it proves to whoever has the public key.
    ///
    /// # Errors
    /// When it proves nothing.
    pub fn check(&self, key: &PublicKey) -> Result<Proved, ProofError> {
        let checkpoint = Checkpoint::read(&self.checkpoint, key)?;
        let sealed = line::read(self.record.as_bytes()).filter(|sealed| sealed.holds);
        let number = sealed.ok_or(ProofError::Record)?.link.number;
        let index = number.checked_sub(checkpoint.segment);
        let index = index.ok_or(ProofError::NotIncluded)?;
        if self.path.len() > LONGEST_PATH {
            return Err(ProofError::Malformed);
        }
        let path: Option<Vec<Hash>> = self.path.iter().map(|hash| from_hex(hash)).collect();
        let path = path.ok_or(ProofError::Malformed)?;
        let leaf = merkle::leaf(self.record.as_bytes());
        let root = merkle::root_by_path(leaf, index, checkpoint.records, &path);
        if root != Some(checkpoint.root) {
            return Err(ProofError::NotIncluded);
        }
        Ok(Proved {
            number,
            record: self.record.clone(),
            checkpoint,
        })
    }
}
