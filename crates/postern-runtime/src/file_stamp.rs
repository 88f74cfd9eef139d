//! Noticing that a file has changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What tells two states of a file apart without reading it. Every change to its content, name or permissions counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(Option<State>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// When it was changed last, in seconds and nanoseconds.
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl FileStamp {
    /// The state of a file now. One that is not there, or can't be looked at, has a state too.
    pub fn of(file: &Path) -> FileStamp {
        FileStamp(fs::metadata(file).ok().map(|metadata| State {
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
            inode: metadata.ino(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread::sleep;
    use std::time::Duration;

    /// Longer than the clock of a file system takes to go on.
    const TICK: Duration = Duration::from_millis(20);

    #[test]
    fn every_change_shows() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let mut seen = vec![FileStamp::of(&file)];
        let mut differs = |what: &str| {
            let now = FileStamp::of(&file);
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(now, FileStamp::of(&file));
            seen.push(now);
            sleep(TICK);
        };
        fs::write(&file, "one").unwrap();
        differs("it is there");
        fs::write(&file, "two").unwrap();
        differs("another content of the same length");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        differs("others may not read it any more");
        fs::write(directory.path().join("other"), "six").unwrap();
        fs::rename(directory.path().join("other"), &file).unwrap();
        differs("another file in its place");
        fs::remove_file(&file).unwrap();
        assert_eq!(FileStamp::of(&file), seen[0]);
    }
}
