//! Holding a ledger against what was signed before.

use crate::chain::Link;
use crate::checkpoint::{self, Checkpoint, CheckpointError, PublicKey};
use crate::merkle::{self, Hash, Tree};
use crate::walk::Walker;
use postern_types::Author;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

/// Something that does not fit between a ledger and its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessFinding {
    /// Line of the checkpoint in its file, from 1; 0 when it is about the ledger.
    pub line: u64,
    /// What is wrong.
    pub kind: WitnessKind,
}

impl fmt::Display for WitnessFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.kind),
            line => write!(f, "checkpoint in line {line}: {}", self.kind),
        }
    }
}

/// The kinds of [`WitnessFinding`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessKind {
    /// The checkpoint itself can't be relied on.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The ledger has another record than the one that was signed.
    #[error("history was rewritten: a record after {after} and up to {last} is another than was signed")]
    Rewritten {
        /// Last record up to which an earlier checkpoint still holds; 0 for none.
        after: u64,
        /// Last record that the checkpoint covers.
        last: u64,
    },
    /// The ledger lacks records that were signed.
    #[error(
        "records that were signed are missing: the ledger goes to record {reached}, and record {last} of the file that \
         begins with {segment} was signed"
    )]
    Missing {
        /// First record of the file.
        segment: u64,
        /// Number of the last record that is there and follows the one before; 0 for none.
        reached: u64,
        /// Last record that the checkpoint covers.
        last: u64,
    },
    /// Records are gone that were not to go.
    #[error(
        "records were removed that were not to go: the ledger begins after record {begin}, and the checkpoints let records \
         up to {pruned} go"
    )]
    NotLetGo {
        /// The ledger begins after this one.
        begin: u64,
        /// Last record that a checkpoint has let go; 0 for none.
        pruned: u64,
    },
    /// There is no checkpoint of this stage.
    #[error("there is no checkpoint of this ledger")]
    NoCheckpoint,
    /// The ledger can be read up to here only.
    #[error("the ledger can't be read on: {0}")]
    Ledger(String),
}

/// The checkpoints of one ledger from a file of checkpoints.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Line in the file, and what it says.
    checkpoints: Vec<(u64, Checkpoint)>,
    /// Digest of the last.
    last: Hash,
    /// The last record that was to go; 0 for none.
    pruned: u64,
    findings: Vec<WitnessFinding>,
}

impl Witness {
    /// Takes the checkpoints of `stage`'s ledger out of `text`, one a line, which may hold those of other ledgers too.
    /// What is wrong with them is found by [`Witness::compare`].
    pub fn read(text: &str, stage: impl Into<Author>, key: &PublicKey) -> Witness {
        let stage = stage.into();
        let mut witness = Witness {
            checkpoints: Vec::new(),
            last: [0; 32],
            pruned: 0,
            findings: Vec::new(),
        };
        for (line, text) in (1..).zip(text.lines()) {
            match Checkpoint::read(text, key) {
                Ok(checkpoint) if checkpoint.stage == stage => witness.add(line, checkpoint, text),
                Ok(_) => {}
                // Whose it was can't be known: it is a finding for every stage.
                Err(error) => witness.find(line, error.into()),
            }
        }
        witness
    }

    fn add(&mut self, line: u64, checkpoint: Checkpoint, text: &str) {
        if checkpoint.prev != self.last {
            self.find(line, CheckpointError::Previous.into());
        }
        let before = self.checkpoints.last().map(|(_, before)| before.last_record());
        // One that lets records go need not cover more.
        let least = before.map(|before| before.saturating_add(u64::from(checkpoint.pruned == 0)));
        if least.is_some_and(|least| checkpoint.last_record() < least) {
            self.find(line, CheckpointError::Backwards.into());
        }
        if checkpoint.pruned > 0 {
            self.let_go(line, checkpoint.pruned);
        }
        self.last = checkpoint::digest(text);
        self.checkpoints.push((line, checkpoint));
    }

    /// Takes down that the records up to this one were to go: a checkpoint must end there.
    fn let_go(&mut self, line: u64, through: u64) {
        let mut before = self.checkpoints.iter();
        if through > self.pruned && before.any(|(_, before)| before.last_record() == through) {
            self.pruned = through;
        } else {
            self.find(line, CheckpointError::Pruned.into());
        }
    }

    fn find(&mut self, line: u64, kind: WitnessKind) {
        self.findings.push(WitnessFinding { line, kind });
    }

    /// Holds the ledger in `directory` against the checkpoints: every record that was signed must be there as
    /// it was. Gives the number of the last record that is proved so.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn compare(&self, directory: &Path) -> Result<u64, Vec<WitnessFinding>> {
        let (findings, held) = self.walk(&mut Course::new(directory), |_, _, _| {});
        if findings.is_empty() {
            Ok(held)
        } else {
            Err(findings)
        }
    }

    /// Goes over the ledger from the place where `course` is, to its head, and compares; `ended` is called at the end
    /// of each file with what it held. Gives the number of the last record that is proved.
    pub(crate) fn walk(
        &self,
        course: &mut Course,
        ended: impl FnMut(u64, &Tree, Hash),
    ) -> (Vec<WitnessFinding>, u64) {
        let mut findings = self.findings.clone();
        let mut waiting: BTreeMap<(u64, u64), Vec<&(u64, Checkpoint)>> = BTreeMap::new();
        let mut held = 0;
        // Where that can't be read, the walk fails over it.
        let begin = course.begin().unwrap_or(Link::GENESIS);
        if begin.number > 0 {
            match self.was_to_go(&begin) {
                Ok(()) => held = begin.number,
                Err(kind) => findings.push(WitnessFinding { line: 0, kind }),
            }
        }
        // What has gone can't be compared any more.
        let there = self.checkpoints.iter();
        for entry in there.filter(|(_, checkpoint)| checkpoint.last_record() > begin.number) {
            let place = (entry.1.segment, entry.1.records);
            waiting.entry(place).or_default().push(entry);
        }
        let passed = |segment: u64, tree: &Tree, hash: Hash| {
            for (line, checkpoint) in waiting.remove(&(segment, tree.leaves())).unwrap_or_default() {
                let last = checkpoint.last_record();
                if checkpoint.root == tree.root() && checkpoint.hash == hash {
                    held = last;
                } else {
                    let kind = WitnessKind::Rewritten { after: held, last };
                    findings.push(WitnessFinding { line: *line, kind });
                }
            }
        };
        if let Err(error) = course.advance(passed, ended) {
            findings.push(unreadable(&error));
        }
        for (line, checkpoint) in waiting.into_values().flatten() {
            let kind = WitnessKind::Missing {
                segment: checkpoint.segment,
                reached: course.reached(),
                last: checkpoint.last_record(),
            };
            findings.push(WitnessFinding { line: *line, kind });
        }
        if self.checkpoints.is_empty() {
            let kind = WitnessKind::NoCheckpoint;
            findings.push(WitnessFinding { line: 0, kind });
        }
        (findings, held)
    }

    /// Whether the ledger may begin after this record.
    fn was_to_go(&self, begin: &Link) -> Result<(), WitnessKind> {
        if begin.number > self.pruned {
            return Err(WitnessKind::NotLetGo {
                begin: begin.number,
                pruned: self.pruned,
            });
        }
        let hash = hash_of(&begin.hash);
        let mut ends = self.checkpoints.iter();
        if ends.any(|(_, end)| end.last_record() == begin.number && end.hash == hash) {
            return Ok(());
        }
        Err(WitnessKind::Rewritten {
            after: 0,
            last: begin.number,
        })
    }

    /// The newest checkpoint.
    pub(crate) fn newest(&self) -> Option<&Checkpoint> {
        self.checkpoints.last().map(|(_, checkpoint)| checkpoint)
    }

    /// The last record that was to go; 0 for none.
    pub(crate) fn pruned(&self) -> u64 {
        self.pruned
    }

    /// Digest of the newest; zeros when there is none.
    pub(crate) fn digest(&self) -> Hash {
        self.last
    }
}

/// A place in a ledger with the tree of its file up to there.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    walker: Walker,
    tree: Tree,
    segment: u64,
    hash: Hash,
}

impl Course {
    /// Before the first record of the ledger in `directory`.
    pub(crate) fn new(directory: &Path) -> Course {
        Course {
            walker: Walker::new(directory),
            tree: Tree::default(),
            segment: 0,
            hash: [0; 32],
        }
    }

    /// The record before the first; see [`Walker::begin`].
    fn begin(&mut self) -> io::Result<Link> {
        self.walker.begin()
    }

    /// Number of the last record that was passed; 0 before the first.
    fn reached(&self) -> u64 {
        self.segment.saturating_add(self.tree.leaves()).saturating_sub(1)
    }

    /// Goes on to the head. `passed` is called after each record, `ended` at the end of each file and at the head.
    ///
    /// # Errors
    /// See [`Walker::advance`].
    pub(crate) fn advance(
        &mut self,
        mut passed: impl FnMut(u64, &Tree, Hash),
        mut ended: impl FnMut(u64, &Tree, Hash),
    ) -> io::Result<()> {
        let Course {
            walker,
            tree,
            segment,
            hash,
        } = self;
        walker.advance(|visit| {
            if *segment != visit.segment {
                if tree.leaves() > 0 {
                    ended(*segment, tree, *hash);
                }
                *tree = Tree::default();
            }
            tree.push(merkle::leaf(visit.bytes));
            (*segment, *hash) = (visit.segment, hash_of(&visit.link.hash));
            passed(*segment, tree, *hash);
        })?;
        if tree.leaves() > 0 {
            ended(*segment, tree, *hash);
        }
        Ok(())
    }
}

pub(crate) fn unreadable(error: &io::Error) -> WitnessFinding {
    WitnessFinding {
        line: 0,
        kind: WitnessKind::Ledger(error.to_string()),
    }
}

/// A hash from its hex; what is not hex was refused by the walk, as no hash would hold.
fn hash_of(hex: &[u8]) -> Hash {
    let text = std::str::from_utf8(hex).unwrap_or_default();
    checkpoint::from_hex(text).unwrap_or_default()
}
