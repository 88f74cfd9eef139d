//! Finding the place to go on writing after the last run, however it ended.
//!
//! Only the newest file is read, so that a start stays quick; the whole is the business of
//! [`crate::verify`]. What a killed process can leave behind is accepted: whole records after the head, and
//! one torn line after them. Anything else refuses.

use crate::chain::{self, Link};
use crate::files::{self, Head, RecordFile, RecordReader};
use crate::line;
use crate::reader::{self, Next};
use crate::writer::LedgerError;
use std::io::{self, Read};
use std::path::Path;

/// Where to go on.
pub(crate) struct Place {
    /// The last whole record.
    pub(crate) link: Link,
    /// The newest file, if there is one.
    pub(crate) file: Option<RecordFile>,
    /// Bytes of whole lines in it.
    pub(crate) length: u64,
    /// Bytes of a torn line after them.
    pub(crate) torn: u64,
}

/// Reads the newest file and compares it with the head.
pub(crate) fn find_place(directory: &Path) -> Result<Place, LedgerError> {
    let io = |error| LedgerError::io(directory, error);
    let head = files::read_head(directory).map_err(io)?;
    let mut all = files::list(directory).map_err(io)?;
    let Some(newest) = all.pop() else {
        return without_files(directory, head);
    };
    let head = match head {
        Head::At(link) => link,
        Head::Empty => return Err(inconsistent(directory, 0, "there are records but no head")),
        Head::Unreadable => return Err(inconsistent(directory, 0, "the head is not readable")),
    };
    let before = match all.last() {
        Some(previous) => last_link(previous)?,
        None => files::begin(directory).map_err(io)?,
    };
    if newest.first != before.number.saturating_add(1) {
        return Err(inconsistent(
            &newest.path,
            0,
            "the file before it is missing or cut",
        ));
    }
    scan(newest, before, &head)
}

fn without_files(directory: &Path, head: Head) -> Result<Place, LedgerError> {
    if !matches!(head, Head::Empty | Head::At(Link::GENESIS)) {
        return Err(inconsistent(
            directory,
            0,
            "the head names a record but there are none",
        ));
    }
    Ok(Place {
        link: Link::GENESIS,
        file: None,
        length: 0,
        torn: 0,
    })
}

fn scan(file: RecordFile, before: Link, head: &Link) -> Result<Place, LedgerError> {
    let io = |error| LedgerError::io(&file.path, error);
    if file.packed {
        return Err(inconsistent(
            &file.path,
            0,
            "the file that was written to last is missing",
        ));
    }
    let mut reader = file.open().map_err(io)?;
    let mut bytes = Vec::new();
    let mut link = before;
    let mut head_holds = before == *head;
    let mut length: u64 = 0;
    let mut torn = 0;
    for number in 1.. {
        match reader::next_line(&mut reader, &mut bytes).map_err(io)? {
            Next::Line => {}
            Next::TooLong(_) => return Err(inconsistent(&file.path, number, "the line is too long")),
            Next::Torn(left) => {
                torn = left;
                break;
            }
            Next::End => break,
        }
        let sealed = line::read(&bytes)
            .filter(|sealed| sealed.holds)
            .ok_or_else(|| inconsistent(&file.path, number, "the record is damaged"))?;
        chain::follows(&link, &sealed)
            .map_err(|_| inconsistent(&file.path, number, "the record does not follow the one before"))?;
        link = sealed.link;
        head_holds |= link == *head;
        length = length.saturating_add(bytes.len() as u64 + 1);
    }
    if !head_holds {
        return Err(inconsistent(
            &file.path,
            0,
            "the record that the head names is not there",
        ));
    }
    Ok(Place {
        link,
        file: Some(file),
        length,
        torn,
    })
}

/// Number and hash of the last record of a file that is no longer written to.
pub(crate) fn last_link(file: &RecordFile) -> Result<Link, LedgerError> {
    let io = |error| LedgerError::io(&file.path, error);
    let damaged = || inconsistent(&file.path, 0, "its last record is damaged");
    let tail = read_tail(file).map_err(io)?;
    let whole = tail.strip_suffix(b"\n").ok_or_else(damaged)?;
    let last = whole.rsplit(|byte| *byte == b'\n').next().ok_or_else(damaged)?;
    let sealed = line::read(last).filter(|sealed| sealed.holds);
    sealed.map(|sealed| sealed.link).ok_or_else(damaged)
}

fn read_tail(file: &RecordFile) -> io::Result<Vec<u8>> {
    let mut reader = file.open()?;
    let length = match &reader {
        RecordReader::Plain(file) => file.get_ref().metadata()?.len(),
        // It tells by its end only. The newest two files are not packed, so this is not read at a start in good order.
        RecordReader::Packed(_) => io::copy(&mut file.open()?, &mut io::sink())?,
    };
    reader.skip_to(0, length.saturating_sub(line::MAX_LINE_BYTES as u64))?;
    let mut tail = Vec::new();
    reader.take(line::MAX_LINE_BYTES as u64).read_to_end(&mut tail)?;
    Ok(tail)
}

fn inconsistent(path: &Path, line: u64, reason: &'static str) -> LedgerError {
    LedgerError::Inconsistent {
        path: path.to_owned(),
        line,
        reason,
    }
}
