//! Reads the signed checkpoints of a ring's ledgers on from where a collector has them.
//!
//! They are lines of files that only grow, beside the ledgers. Their signatures are not looked at here: an auditor does
//! that, with the public keys.

use crate::feed::{Entry, Oddity, What};
use bytes::Bytes;
use postern_types::Author;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Read of a file at a time; checkpoints have less than 600 bytes.
const MOST_BYTES: u64 = 256 * 1024;
/// So much before a place is looked at, to see whether the file is the one that was sent.
const LOOKED_AT: u64 = 2048;

/// A place in a file of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Bytes before it.
    pub(crate) bytes: u64,
    /// SHA-256 of the last 2048 of them, or of all if they are fewer, in hex.
    pub(crate) digest: String,
}

/// By ledger; one that is missing begins with the first checkpoint.
pub(crate) type Places = BTreeMap<Author, Place>;

/// The checkpoints of all ledgers, each read on from a place.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    directory: PathBuf,
    places: Places,
}

impl Checkpoints {
    /// Begins at `places` in the checkpoints beside the ledgers in `audit`. Those that are not there yet are waited for.
    pub(crate) fn new(audit: &Path, places: Places) -> Checkpoints {
        Checkpoints {
            directory: audit.join("checkpoints"),
            places,
        }
    }

    /// After the last that was given out.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// The next ones; none when there are none yet.
    ///
    /// # Errors
    /// When a file that is there can't be read.
    pub(crate) fn read(&mut self, odd: &mut Vec<Oddity>) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for stage in Author::ALL {
            let file = match File::open(self.directory.join(format!("{stage}.jsonl"))) {
                // Nothing was signed yet. What was sent and is gone is missed when something comes again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            self.read_one(stage, &file, &mut entries, odd)?;
        }
        Ok(entries)
    }

    fn read_one(
        &mut self,
        stage: Author,
        file: &File,
        entries: &mut Vec<Entry>,
        odd: &mut Vec<Oddity>,
    ) -> io::Result<()> {
        let length = file.metadata()?.len();
        let mut from = 0;
        if let Some(place) = self.places.get(&stage) {
            if place.bytes == length {
                return Ok(());
            }
            if place.bytes < length && digest_before(file, place.bytes)? == place.digest {
                from = place.bytes;
            } else {
                // All that is there goes on its way once more; who has both has the proof.
                odd.push(Oddity::OtherCheckpoints { stage });
            }
        }
        let mut bytes = Vec::new();
        let mut rest = file;
        io::Seek::seek(&mut rest, io::SeekFrom::Start(from))?;
        rest.take(MOST_BYTES).read_to_end(&mut bytes)?;
        // A line that is being written has no end yet.
        let mut whole = Bytes::from(bytes);
        whole.truncate(
            whole
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end.saturating_add(1)),
        );
        let mut at = from;
        while let Some(end) = whole.iter().position(|byte| *byte == b'\n') {
            let line = whole.split_to(end);
            drop(whole.split_to(1));
            entries.push(Entry {
                stage,
                line,
                what: What::Checkpoint { at },
            });
            at = at.saturating_add(end as u64).saturating_add(1);
        }
        if at > from || from == 0 {
            let digest = digest_before(file, at)?;
            self.places.insert(stage, Place { bytes: at, digest });
        }
        Ok(())
    }
}

fn digest_before(file: &File, at: u64) -> io::Result<String> {
    let length = at.min(LOOKED_AT);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, at.saturating_sub(length))?;
    let mut text = String::new();
    for byte in Sha256::digest(&bytes) {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_types::Stage;
    use std::fs;

    fn write(directory: &Path, text: &str) {
        fs::create_dir_all(directory.join("checkpoints")).unwrap();
        fs::write(directory.join("checkpoints/backend.jsonl"), text).unwrap();
    }

    fn read(checkpoints: &mut Checkpoints) -> (Vec<(String, u64)>, Vec<Oddity>) {
        let mut odd = Vec::new();
        let entries = checkpoints.read(&mut odd).unwrap();
        let lines = entries.iter().map(|entry| {
            let What::Checkpoint { at } = entry.what else {
                panic!("a record: {entry:?}")
            };
            (String::from_utf8(entry.line.to_vec()).unwrap(), at)
        });
        (lines.collect(), odd)
    }

    #[test]
    fn whole_lines_are_given_out_once_and_with_their_places() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(directory.path(), Places::new());
        assert_eq!(read(&mut checkpoints), (vec![], vec![]));
        write(directory.path(), "");
        assert_eq!(read(&mut checkpoints), (vec![], vec![]));
        write(directory.path(), "one\ntwo\nthr");
        let both = vec![("one".to_owned(), 0), ("two".to_owned(), 4)];
        assert_eq!(read(&mut checkpoints), (both, vec![]));
        assert_eq!(read(&mut checkpoints), (vec![], vec![]));
        write(directory.path(), "one\ntwo\nthree\n");
        let mut after = Checkpoints::new(directory.path(), checkpoints.places().clone());
        for checkpoints in [&mut checkpoints, &mut after] {
            let third = vec![("three".to_owned(), 8)];
            assert_eq!(read(checkpoints), (third, vec![]));
            assert_eq!(read(checkpoints), (vec![], vec![]));
        }
    }

    #[test]
    fn checkpoints_that_were_made_anew_are_noticed_and_sent() {
        for (anew, lines) in [("one\nTWO\n3\n", 3), ("one\n", 1), ("one\ntow\n", 2)] {
            let directory = tempfile::tempdir().unwrap();
            let mut checkpoints = Checkpoints::new(directory.path(), Places::new());
            write(directory.path(), "one\ntwo\n");
            read(&mut checkpoints);
            write(directory.path(), anew);
            if anew.len() == 8 {
                // As long as before: seen when the next one comes.
                write(directory.path(), &format!("{anew}3\n"));
            }
            let (found, odd) = read(&mut checkpoints);
            let stage = Stage::Backend.into();
            assert_eq!(odd, [Oddity::OtherCheckpoints { stage }], "{anew}");
            assert!(found.len() >= lines, "{anew}: {found:?}");
            assert_eq!(read(&mut checkpoints), (vec![], vec![]), "told once");
        }
    }
}
