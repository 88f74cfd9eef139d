//! Going over the committed records of a ledger, file after file, as far as everything holds.

use crate::chain::{self, Link};
use crate::files::{self, Head, RecordFile};
use crate::line;
use crate::reader::{self, Next};
use std::io;
use std::path::{Path, PathBuf};

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
/// See [`Walker::advance`].
pub(crate) fn walk(directory: &Path, visit: impl FnMut(Visit<'_>)) -> io::Result<()> {
    Walker::new(directory).advance(visit)
}

/// A place in a ledger, from which one can go on when the ledger has grown. What was visited before is not looked at
/// again.
#[derive(Clone, Debug)]
pub(crate) struct Walker {
    directory: PathBuf,
    /// See [`Walker::begin`].
    begin: Option<Link>,
    /// The record visited last.
    last: Link,
    /// First record of the file it is in, lines of it and bytes of them; zeros before the first.
    segment: u64,
    lines: u64,
    offset: u64,
}

impl Walker {
    /// Before the first record of the ledger in `directory`.
    pub(crate) fn new(directory: &Path) -> Walker {
        Walker {
            directory: directory.to_owned(),
            begin: None,
            last: Link::GENESIS,
            segment: 0,
            lines: 0,
            offset: 0,
        }
    }

    /// The record before the first one that is visited: the last that was removed for its age when this was first asked
    /// for, or none.
    ///
    /// # Errors
    /// When that can't be read.
    pub(crate) fn begin(&mut self) -> io::Result<Link> {
        if let Some(begin) = self.begin {
            return Ok(begin);
        }
        let begin = files::begin(&self.directory)?;
        self.begin = Some(begin);
        self.last = begin;
        Ok(begin)
    }

    /// Calls `visit` for each record from here up to the head as it is now.
    ///
    /// # Errors
    /// When a file can't be read, with that error; when something is damaged, with `InvalidData` and where. The
    /// records before were visited.
    pub(crate) fn advance(&mut self, mut visit: impl FnMut(Visit<'_>)) -> io::Result<()> {
        let head = match files::read_head(&self.directory)? {
            Head::At(link) => link,
            Head::Empty | Head::Unreadable => return Err(damaged("head", 0, "missing or not readable")),
        };
        self.begin()?;
        for file in files::list(&self.directory)? {
            if self.last.number >= head.number {
                break;
            }
            if file.first >= self.segment {
                self.enter(&file)?;
                self.read(&file, &head, &mut visit)?;
            }
        }
        if self.last != head {
            return Err(damaged("head", 0, "the record that it names is not there"));
        }
        Ok(())
    }

    fn enter(&mut self, file: &RecordFile) -> io::Result<()> {
        if file.first == self.segment {
            return Ok(());
        }
        if file.first != self.last.number.saturating_add(1) {
            let name = files::file_name(file.first);
            return Err(damaged(&name, 0, "records before it are missing"));
        }
        (self.segment, self.lines, self.offset) = (file.first, 0, 0);
        Ok(())
    }

    fn read(&mut self, file: &RecordFile, head: &Link, visit: &mut impl FnMut(Visit<'_>)) -> io::Result<()> {
        let name = files::file_name(file.first);
        let mut reader = file.open()?;
        reader.skip_to(0, self.offset)?;
        let mut bytes = Vec::new();
        while self.last.number < head.number {
            let line = self.lines.saturating_add(1);
            match reader::next_line(&mut reader, &mut bytes)? {
                Next::Line => {}
                Next::End => break,
                Next::TooLong(_) | Next::Torn(_) => {
                    return Err(damaged(&name, line, "the line is not a record"));
                }
            }
            let sealed = line::read(&bytes).filter(|sealed| sealed.holds);
            let sealed = sealed.ok_or_else(|| damaged(&name, line, "the record was changed"))?;
            chain::follows(&self.last, &sealed)
                .map_err(|_| damaged(&name, line, "the record does not follow the one before"))?;
            self.last = sealed.link;
            self.lines = line;
            self.offset = self.offset.saturating_add(bytes.len() as u64 + 1);
            visit(Visit {
                segment: file.first,
                bytes: &bytes,
                link: self.last,
            });
        }
        Ok(())
    }
}

fn damaged(file: &str, line: u64, reason: &str) -> io::Error {
    let text = match line {
        0 => format!("{file}: {reason}"),
        _ => format!("{file}:{line}: {reason}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}
