//! Going over the committed records of a ledger, file after file, as far as everything holds.

use crate::chain::{self, Link};
use crate::files::{self, Head, RecordFile};
use crate::line;
use crate::reader::{self, Next};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit<'a> {
    /// Number of the first record of its file.
    pub(crate) segment: u64,
    /// Its line, without the end.
    pub(crate) bytes: &'a [u8],
    /// Its number and hash.
    pub(crate) link: Link,
}

/// Calls `visit` for each record up to the head. When it returns, everything up to the head was sound.
///
/// # Errors
/// When a file can't be read, with that error; when something is damaged, with `InvalidData` and where. The
/// records before were visited.
pub(crate) fn walk(directory: &Path, mut visit: impl FnMut(Visit<'_>)) -> io::Result<()> {
    let head = match files::read_head(directory)? {
        Head::At(link) => link,
        Head::Empty | Head::Unreadable => return Err(damaged("head", 0, "missing or not readable")),
    };
    let mut last = Link::GENESIS;
    for file in files::list(directory)? {
        if last.number >= head.number {
            break;
        }
        last = walk_file(&file, last, &head, &mut visit)?;
    }
    if last != head {
        return Err(damaged("head", 0, "the record that it names is not there"));
    }
    Ok(())
}

fn walk_file(
    file: &RecordFile,
    before: Link,
    head: &Link,
    visit: &mut impl FnMut(Visit<'_>),
) -> io::Result<Link> {
    let name = files::file_name(file.first);
    if file.first != before.number.saturating_add(1) {
        return Err(damaged(&name, 0, "records before it are missing"));
    }
    let mut reader = BufReader::with_capacity(128 * 1024, File::open(&file.path)?);
    let mut bytes = Vec::new();
    let mut last = before;
    let mut number: u64 = 0;
    while last.number < head.number {
        number = number.saturating_add(1);
        match reader::next_line(&mut reader, &mut bytes)? {
            Next::Line => {}
            Next::End => break,
            Next::TooLong | Next::Torn(_) => return Err(damaged(&name, number, "the line is not a record")),
        }
        let sealed = line::read(&bytes).filter(|sealed| sealed.holds);
        let sealed = sealed.ok_or_else(|| damaged(&name, number, "the record was changed"))?;
        chain::follows(&last, &sealed)
            .map_err(|_| damaged(&name, number, "the record does not follow the one before"))?;
        last = sealed.link;
        visit(Visit {
            segment: file.first,
            bytes: &bytes,
            link: last,
        });
    }
    Ok(last)
}

fn damaged(file: &str, line: u64, reason: &str) -> io::Error {
    let text = match line {
        0 => format!("{file}: {reason}"),
        _ => format!("{file}:{line}: {reason}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}
