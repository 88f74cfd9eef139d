//! Signing what a ledger holds, as it grows.

use crate::checkpoint::{self, Checkpoint, CheckpointError, SigningKey};
use crate::merkle::{Hash, Tree};
use crate::witness::{Course, Witness, WitnessFinding, WitnessKind, unreadable};
use postern_types::Author;
use std::collections::BTreeMap;
use std::path::Path;

/// Signs one ledger. It reads each record once: what is changed behind its back after that, the next
/// [`Signer::open`] and every verification notice.
#[derive(Debug)]
pub struct Signer {
    stage: Author,
    key: SigningKey,
    course: Course,
    /// Last record that a checkpoint covers.
    covered: u64,
    /// Last record that a checkpoint has let go.
    pruned: u64,
    /// Digest of the newest checkpoint, and when it was signed.
    last: Hash,
    time_ms: u64,
    /// What [`Signer::open`] found at the end of each file, for the first [`Signer::sign`].
    found: BTreeMap<u64, Held>,
}

/// What a file holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    records: u64,
    root: Hash,
    hash: Hash,
}

impl Signer {
    /// Reads the ledger in `directory` from the first record and holds it against `checkpoints`, the checkpoints of
    /// this ledger so far, one a line; none for the first time.
    ///
    /// # Errors
    /// What does not fit: a ledger that is damaged, or that contradicts its checkpoints, is not signed.
    pub fn open(
        directory: &Path,
        stage: impl Into<Author>,
        checkpoints: &str,
        key: SigningKey,
    ) -> Result<Signer, Vec<WitnessFinding>> {
        let stage = stage.into();
        let witness = Witness::read(checkpoints, stage, &key.public());
        let mut course = Course::new(directory);
        let mut found = BTreeMap::new();
        let (mut findings, _) = witness.walk(&mut course, |segment, tree, hash| {
            note(&mut found, segment, tree, hash)
        });
        findings.retain(|finding| finding.kind != WitnessKind::NoCheckpoint);
        if !findings.is_empty() {
            return Err(findings);
        }
        let newest = witness.newest();
        Ok(Signer {
            stage,
            key,
            course,
            covered: newest.map_or(0, Checkpoint::last_record),
            pruned: witness.pruned(),
            last: witness.digest(),
            time_ms: newest.map_or(0, |newest| newest.time_ms),
            found,
        })
    }

    /// The last record that a checkpoint covers; 0 for none.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// The last record that a checkpoint has let go; 0 for none.
    pub fn pruned(&self) -> u64 {
        self.pruned
    }

    /// Signs what was committed beyond the checkpoints: one new checkpoint for each file with records that none
    /// covers yet. Gives their lines, without ends.
    ///
    /// # Errors
    /// When the ledger can't be read on, or what follows is damaged.
    pub fn sign(&mut self, now_ms: u64) -> Result<Vec<String>, WitnessFinding> {
        self.sign_with(now_ms, 0)
    }

    /// The same, and says that the records up to `pruned` are removed for their age, in one more checkpoint if need be, but
    /// not twice. They must not go before it is kept.
    ///
    /// # Errors
    /// As for [`Signer::sign`], and when that record is not covered yet.
    pub fn sign_pruned(&mut self, now_ms: u64, pruned: u64) -> Result<Vec<String>, WitnessFinding> {
        if pruned > self.covered {
            let kind = CheckpointError::Pruned.into();
            return Err(WitnessFinding { line: 0, kind });
        }
        let is_new = pruned > self.pruned;
        self.sign_with(now_ms, if is_new { pruned } else { 0 })
    }

    fn sign_with(&mut self, now_ms: u64, pruned: u64) -> Result<Vec<String>, WitnessFinding> {
        let found = &mut self.found;
        self.course
            .advance(
                |_, _, _| {},
                |segment, tree, hash| note(found, segment, tree, hash),
            )
            .map_err(|error| unreadable(&error))?;
        // A clock that goes backwards does not take the order of checkpoints along.
        self.time_ms = self.time_ms.max(now_ms);
        let mut lines = Vec::new();
        let found = std::mem::take(&mut self.found);
        let newest = found.keys().next_back().copied();
        for (segment, held) in found {
            let pruned = if newest == Some(segment) { pruned } else { 0 };
            let checkpoint = Checkpoint {
                stage: self.stage,
                time_ms: self.time_ms,
                segment,
                records: held.records,
                root: held.root,
                hash: held.hash,
                pruned,
                prev: self.last,
            };
            if checkpoint.last_record() > self.covered || pruned > 0 {
                let line = checkpoint.sign(&self.key);
                self.last = checkpoint::digest(&line);
                self.pruned = self.pruned.max(pruned);
                self.covered = checkpoint.last_record();
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

fn note(found: &mut BTreeMap<u64, Held>, segment: u64, tree: &Tree, hash: Hash) {
    let held = Held {
        records: tree.leaves(),
        root: tree.root(),
        hash,
    };
    found.insert(segment, held);
}
