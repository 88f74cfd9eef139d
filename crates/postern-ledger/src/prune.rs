//! Retention: old files go, and the ledger says where it begins since.
//!
//! `begin` holds number and hash of the last record that was removed, in the form of `head`. Anybody who can write the
//! directory can write it too, so it proves nothing: that the records before it were to go is for a checkpoint to say
//! ([`crate::Checkpoint::pruned`]), and for [`crate::Witness`] to insist on.

use crate::chain::Link;
use crate::files::{self, RecordFile};
use crate::reader::{self, time_of};
use crate::recover;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The newest files stay, however old: the stage writes to the last one, and reads the one before when it starts.
const NEWEST: usize = 2;

/// Number of the last record that may go from the ledger in `directory`: the end of the newest file whose records are
/// all of `time` or before, and none of them beyond record `at_most`. `time` is written as in a record. `None` when
/// nothing may go.
///
/// # Errors
/// When a file can't be read.
pub fn prunable(directory: &Path, time: &str, at_most: u64) -> io::Result<Option<u64>> {
    let mut files = files::list(directory)?;
    // The first record that stays is in one of those that stay, or in the one after them.
    files.truncate(files.len().saturating_sub(NEWEST.saturating_sub(1)));
    let mut last = None;
    for next in files.iter().skip(1) {
        let end = next.first.saturating_sub(1);
        if end > at_most || !begins_by(next, time)? {
            break;
        }
        last = Some(end);
    }
    Ok(last)
}

/// Whether the first record of a file is of `time` or before, and so all records of the files before it.
fn begins_by(file: &RecordFile, time: &str) -> io::Result<bool> {
    let mut line = Vec::new();
    reader::next_line(&mut file.open()?, &mut line)?;
    Ok(time_of(&line).is_some_and(|begins| begins <= time))
}

/// Number of the last record that was removed for its age from the ledger in `directory`, as its `begin` says; 0 for none.
///
/// # Errors
/// When that can't be read, with `InvalidData` when it is not in its form.
pub fn pruned(directory: &Path) -> io::Result<u64> {
    files::begin(directory).map(|begin| begin.number)
}

/// Removes the files of the ledger in `directory` up to record `through`, which must be the last of its file, and signed for:
/// nothing goes on the word of `begin`. It may be in use while this runs. What an interrupted call with the same `through` has
/// left goes too. Gives how many files went.
///
/// # Errors
/// When `through` is not the end of a file, one of the newest two would go, the ledger begins after it already, or the file
/// system refuses.
pub fn prune(directory: &Path, through: u64) -> io::Result<u64> {
    let before = files::begin(directory)?;
    if before.number > through {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the ledger begins after record {}, which was not let go",
                before.number
            ),
        ));
    }
    if through > before.number {
        let files = files::list(directory)?;
        let staying = files
            .iter()
            .position(|file| file.first == through.saturating_add(1));
        let staying = staying.filter(|index| files.len().saturating_sub(*index) >= NEWEST);
        let last = staying.and_then(|index| files.get(index.checked_sub(1)?));
        let last = last.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("record {through} is not the last of a file that may go"),
            )
        })?;
        let link = recover::last_link(last).map_err(io::Error::other)?;
        if link.number != through {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("record {through} is not where it should be"),
            ));
        }
        write_begin(directory, &link)?;
    }
    let mut removed: u64 = 0;
    for file in files::list_all(directory)? {
        if file.first <= through {
            fs::remove_file(&file.path)?;
            removed = removed.saturating_add(1);
        }
    }
    Ok(removed)
}

/// Says where the ledger begins, before anything goes.
fn write_begin(directory: &Path, link: &Link) -> io::Result<()> {
    let path = files::begin_path(directory);
    let beside = path.with_extension("new");
    let mut file = files::make_anew(&beside)?;
    file.write_all(&files::link_bytes(link))?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    File::open(directory)?.sync_all()
}
