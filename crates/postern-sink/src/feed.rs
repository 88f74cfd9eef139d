//! Reads the ledgers of a ring on from a position.

use crate::positions::{Mark, Positions};
use bytes::{Bytes, BytesMut};
use postern_ledger::{Seal, TailReader, seal_of};
use postern_types::Author;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Lines have their places in memory in pieces of about so many bytes.
const ROOM_BYTES: usize = 64 * 1024;

/// One record, or one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose ledger it is in.
    pub stage: Author,
    /// Its line, without the end.
    pub line: Bytes,
    /// What the line is.
    pub what: What,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A record of the ledger.
    Record,
    /// A signed checkpoint of the ledger.
    Checkpoint {
        /// Bytes before it in the file of checkpoints.
        at: u64,
    },
}

/// The ledgers, each read on from where its collector has confirmed it.
#[derive(Debug)]
pub struct Feed {
    audit: PathBuf,
    sources: BTreeMap<Author, Source>,
    /// After the last entry that was given out.
    position: Positions,
}

/// One ledger.
#[derive(Debug)]
struct Source {
    directory: PathBuf,
    tail: TailReader,
    /// The record that was confirmed, until it was seen again.
    confirmed: Option<Mark>,
    /// The line that was read and did not fit any more.
    kept: Option<Bytes>,
    /// Room for the lines to come, so that not each has a place in memory of its own.
    room: BytesMut,
}

/// What of a ledger is not as it was when it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The record that was confirmed last is another one now, or is gone although later ones or none are there.
    Changed {
        /// Whose ledger.
        stage: Author,
        /// The number of the record.
        number: u64,
    },
    /// The checkpoints are not those that were sent, or not all of them are there any more.
    OtherCheckpoints {
        /// Of whose ledger.
        stage: Author,
    },
    /// A line is not a record. It is passed over.
    NoRecord {
        /// Whose ledger.
        stage: Author,
    },
}

impl Feed {
    /// Begins after `positions` in the ledgers in `audit/STAGE`. A ledger that is not there yet is waited for.
    pub fn new(audit: &Path, positions: Positions) -> Feed {
        Feed {
            audit: audit.to_owned(),
            sources: BTreeMap::new(),
            position: positions,
        }
    }

    /// Where the next entry comes from.
    pub fn position(&self) -> &Positions {
        &self.position
    }

    /// Whether entries are known of that did not fit into those which were given out last.
    pub fn has_more(&self) -> bool {
        self.sources.values().any(|source| source.kept.is_some())
    }

    /// The next entries of all ledgers, of at most about so many bytes; none when there are none yet.
    ///
    /// # Errors
    /// When a ledger that is there can't be read.
    pub fn read(&mut self, bytes: usize, odd: &mut Vec<Oddity>) -> io::Result<Vec<Entry>> {
        let share = bytes.div_ceil(Author::ALL.len());
        let mut entries = Vec::new();
        for stage in Author::ALL {
            self.read_one(stage, share, &mut entries, odd)?;
        }
        Ok(entries)
    }

    fn read_one(
        &mut self,
        stage: Author,
        share: usize,
        entries: &mut Vec<Entry>,
        odd: &mut Vec<Oddity>,
    ) -> io::Result<()> {
        let source = match self.sources.entry(stage) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let directory = self.audit.join(stage.name());
                if !directory.is_dir() {
                    return Ok(());
                }
                place.insert(Source::open(&directory, self.position.get(&stage))?)
            }
        };
        let mut left = share;
        let before = entries.len();
        while let Some(line) = source.next(stage, odd)? {
            match left.checked_sub(line.len()) {
                Some(less) => left = less,
                None if left < share => {
                    source.kept = Some(line);
                    break;
                }
                // One line longer than a share goes by itself.
                None => left = 0,
            }
            entries.push(Entry {
                stage,
                line,
                what: What::Record,
            });
        }
        let new = entries.get(before..).unwrap_or_default();
        if let Some(mark) = new.last().and_then(|last| Mark::of(&last.line)) {
            self.position.insert(stage, mark);
        }
        Ok(())
    }
}

impl Source {
    fn open(directory: &Path, confirmed: Option<&Mark>) -> io::Result<Source> {
        let first = confirmed.map_or(1, |mark| mark.number);
        Ok(Source {
            directory: directory.to_owned(),
            tail: TailReader::open_at(directory, first)?,
            confirmed: confirmed.cloned(),
            kept: None,
            room: BytesMut::new(),
        })
    }

    /// The next record that was not confirmed.
    fn next(&mut self, stage: Author, odd: &mut Vec<Oddity>) -> io::Result<Option<Bytes>> {
        if let Some(kept) = self.kept.take() {
            return Ok(Some(kept));
        }
        loop {
            while let Some(line) = self.tail.next_line()? {
                let Some(seal) = seal_of(line) else {
                    odd.push(Oddity::NoRecord { stage });
                    continue;
                };
                if let Some(confirmed) = &self.confirmed {
                    let found = compare(confirmed, &seal);
                    if found == Found::Before {
                        continue;
                    }
                    if found == Found::Another {
                        let number = confirmed.number;
                        odd.push(Oddity::Changed { stage, number });
                    }
                    self.confirmed = None;
                    if found == Found::Itself {
                        continue;
                    }
                }
                if self.room.capacity() < line.len() {
                    self.room.reserve(ROOM_BYTES.max(line.len()));
                }
                self.room.extend_from_slice(line);
                return Ok(Some(self.room.split().freeze()));
            }
            // The record that was confirmed is not there: somebody has cut the ledger. All that is in it goes on its
            // way once more; the collector holds both, and that is the proof.
            let Some(confirmed) = self.confirmed.take() else {
                return Ok(None);
            };
            let number = confirmed.number;
            odd.push(Oddity::Changed { stage, number });
            self.tail = TailReader::open_at(&self.directory, 1)?;
        }
    }
}

/// What a line is to the record that was confirmed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// One before it.
    Before,
    /// That very record.
    Itself,
    /// The one that follows it.
    Next,
    /// One that does not belong there.
    Another,
}

fn compare(confirmed: &Mark, seal: &Seal<'_>) -> Found {
    if seal.number < confirmed.number {
        Found::Before
    } else if seal.number == confirmed.number && seal.hash == confirmed.hash {
        Found::Itself
    } else if seal.number.checked_sub(1) == Some(confirmed.number) && seal.prev == confirmed.hash {
        // Its file was removed, after it was confirmed.
        Found::Next
    } else {
        Found::Another
    }
}

#[cfg(test)]
mod tests;
