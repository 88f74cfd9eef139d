//! How far a collector has confirmed the ledgers, and their checkpoints.

use crate::checkpoints::Places;
use postern_ledger::seal_of;
use postern_types::Author;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// The last record of a ledger that was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its number.
    pub number: u64,
    /// Its hash, by which a ledger that was made anew is noticed.
    pub hash: String,
}

impl Mark {
    /// That of a record's line; `None` when it is not in the form of one.
    pub(crate) fn of(line: &[u8]) -> Option<Mark> {
        let seal = seal_of(line)?;
        Some(Mark {
            number: seal.number,
            hash: seal.hash.to_owned(),
        })
    }
}

/// By ledger; one that is missing begins with its first record.
pub type Positions = BTreeMap<Author, Mark>;

/// Where they are kept.
#[derive(Clone, Debug)]
pub struct PositionsFile<T = Positions> {
    path: PathBuf,
    kept: PhantomData<T>,
}

impl PositionsFile {
    /// That of the sink of this name in a directory.
    pub fn new(directory: &Path, sink: &str) -> PositionsFile {
        PositionsFile::of(directory.join(format!("{sink}.json")))
    }
}

impl PositionsFile<Places> {
    /// That for the checkpoints.
    pub(crate) fn of_checkpoints(directory: &Path, sink: &str) -> PositionsFile<Places> {
        // No sink has a dot in its name.
        PositionsFile::of(directory.join(format!("{sink}.checkpoints.json")))
    }
}

impl<T: Default + Serialize + DeserializeOwned> PositionsFile<T> {
    fn of(path: PathBuf) -> PositionsFile<T> {
        let kept = PhantomData;
        PositionsFile { path, kept }
    }

    /// Reads them; nothing was confirmed when there is no file.
    ///
    /// # Errors
    /// When the file can't be read or is not one of these. Then whoever looks at it must decide: to begin anew would
    /// send everything again, to go on could leave records out.
    pub fn read(&self) -> io::Result<T> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| named(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(named(error)),
        }
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// When that can't be done.
    pub fn write(&self, positions: &T) -> io::Result<()> {
        let beside = self.path.with_extension("json.new");
        let mut file = fs::File::create(&beside)?;
        serde_json::to_writer(&mut file, positions)?;
        file.write_all(b"\n")?;
        // Else a power cut could leave an empty file in the place of a good one.
        file.sync_all()?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_types::Stage;

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = PositionsFile::new(directory.path(), "siem");
        assert_eq!(file.read().unwrap(), Positions::new());
        let mark = Mark {
            number: 7,
            hash: "ab".repeat(32),
        };
        let positions = Positions::from([(Stage::Backend.into(), mark)]);
        file.write(&positions).unwrap();
        file.write(&positions).unwrap();
        assert_eq!(file.read().unwrap(), positions);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_none_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = PositionsFile::new(directory.path(), "siem");
        for text in [
            "",
            "{",
            "{\"frontend\":{\"number\":-1,\"hash\":\"\"}}",
            "{\"nobody\":{}}",
        ] {
            fs::write(directory.path().join("siem.json"), text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("siem.json"), "{text}: {error}");
        }
    }
}
