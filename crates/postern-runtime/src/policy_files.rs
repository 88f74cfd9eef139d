//! The files of a policy directory, and when they change.
//!
//! Only what is read and how much of it is decided here; what the files say is `postern-policy`'s business.

use crate::FileStamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Most bytes of all files together. A catalogue of ten thousand tables has some ten megabytes.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Most files. Each is usually one or a few statements.
const MAX_FILES: usize = 20_000;
/// The one directory inside that is looked into.
const QUERIES: &str = "queries";

/// A directory whose files are read together.
#[derive(Clone, Debug)]
pub struct PolicyFiles {
    directory: PathBuf,
    wanted: fn(&str) -> bool,
}

/// What tells two states of the directory apart without reading the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<(String, FileStamp)>);

impl PolicyFiles {
    /// The files in `directory`, and in `queries` inside of it, whose relative paths are `wanted`.
    pub fn new(directory: impl Into<PathBuf>, wanted: fn(&str) -> bool) -> PolicyFiles {
        PolicyFiles {
            directory: directory.into(),
            wanted,
        }
    }

    /// Paths relative to the directory, with contents, in order.
    ///
    /// # Errors
    /// When something can't be read, or is more than a policy can be.
    pub fn read(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut left = MAX_BYTES;
        let mut files = Vec::new();
        for name in self.names()? {
            let path = self.directory.join(&name);
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let length = fs::metadata(&path).map_err(named)?.len();
            left = left.checked_sub(length).ok_or_else(too_much)?;
            files.push((name, fs::read(&path).map_err(named)?));
        }
        Ok(files)
    }

    /// The state of the directory now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn stamp(&self) -> io::Result<Stamp> {
        let mut stamp = Vec::new();
        for name in self.names()? {
            let file = FileStamp::of(&self.directory.join(&name));
            stamp.push((name, file));
        }
        Ok(Stamp(stamp))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = list(&self.directory, "")?;
        let queries = self.directory.join(QUERIES);
        if queries.is_dir() {
            names.extend(list(&queries, "queries/")?);
        }
        names.retain(|name| (self.wanted)(name));
        names.sort();
        Ok(names)
    }
}

fn list(directory: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(named)? {
        let entry = entry?;
        if names.len() >= MAX_FILES {
            return Err(too_much());
        }
        // A name that is not UTF-8 is none of ours.
        if let Some(name) = entry.file_name().to_str()
            && fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file())
        {
            names.push(format!("{prefix}{name}"));
        }
    }
    Ok(names)
}

fn too_much() -> io::Error {
    io::Error::other("the policy directory has more than 20,000 files or 128 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_files_are_read_in_order_and_changes_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir_all(path.join("queries/deeper")).unwrap();
        for name in [
            "policy.yaml",
            "notes.txt",
            "queries/b.sql",
            "queries/a.sql",
            "queries/deeper/c.sql",
        ] {
            fs::write(path.join(name), name).unwrap();
        }
        let files = PolicyFiles::new(path, |name| !name.ends_with(".txt"));
        let read = files.read().unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["policy.yaml", "queries/a.sql", "queries/b.sql"]);
        assert_eq!(read[1].1, b"queries/a.sql");
        let before = files.stamp().unwrap();
        assert_eq!(files.stamp().unwrap(), before);
        fs::write(path.join("notes.txt"), "other").unwrap();
        assert_eq!(files.stamp().unwrap(), before);
        fs::write(path.join("queries/a.sql"), "longer than before").unwrap();
        assert_ne!(files.stamp().unwrap(), before);
        assert!(PolicyFiles::new(path.join("none"), |_| true).read().is_err());
    }
}
