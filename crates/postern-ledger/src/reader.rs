//! Lines of a ledger, with bounded memory.

use crate::files::{self, RecordFile, RecordReader};
use crate::line::MAX_LINE_BYTES;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What came next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole line; its end is taken off.
    Line,
    /// A line longer than any record, which is this many bytes with its end. It is skipped.
    TooLong(u64),
    /// Bytes without a line end at the end of the file, this many.
    Torn(u64),
    /// Nothing.
    End,
}

/// Reads one line into `line`, which is cleared first.
pub(crate) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Next> {
    line.clear();
    let limit = MAX_LINE_BYTES as u64;
    let read = reader.by_ref().take(limit).read_until(b'\n', line)? as u64;
    if read == 0 {
        return Ok(Next::End);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Next::Line);
    }
    if read < limit {
        return Ok(Next::Torn(read));
    }
    // `skip_until` keeps nothing.
    let skipped = reader.skip_until(b'\n')? as u64;
    if skipped == 0 {
        return Ok(Next::Torn(read));
    }
    Ok(Next::TooLong(read.saturating_add(skipped)))
}

/// Follows a ledger as it grows, file after file, line by line, without judging what it reads.
#[derive(Debug)]
pub struct TailReader {
    directory: PathBuf,
    first: u64,
    file: Option<RecordReader>,
    /// Bytes of the current file that were given out.
    position: u64,
    line: Vec<u8>,
}

impl TailReader {
    /// Begins at the first record of the `files` newest files of the ledger in `directory`.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn open(directory: &Path, files: usize) -> io::Result<TailReader> {
        let all = files::list(directory)?;
        let first = all
            .get(all.len().saturating_sub(files))
            .map_or(1, |file| file.first);
        Ok(TailReader::beginning_with(directory, first))
    }

    /// Begins at the first record of the file in which record `number` is, or would be; where that file is gone, at the
    /// first record of the oldest one.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn open_at(directory: &Path, number: u64) -> io::Result<TailReader> {
        let all = files::list(directory)?;
        let within = all.iter().take_while(|file| file.first <= number).last();
        let first = within.or(all.first()).map_or(1, |file| file.first);
        Ok(TailReader::beginning_with(directory, first))
    }

    fn beginning_with(directory: &Path, first: u64) -> TailReader {
        TailReader {
            directory: directory.to_owned(),
            first,
            file: None,
            position: 0,
            line: Vec::new(),
        }
    }

    /// Begins at the file in which the first record of `time` or later is, by the times of the files' first records.
    /// `time` is written as in a record.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn open_since(directory: &Path, time: &str) -> io::Result<TailReader> {
        let mut first = None;
        for file in files::list(directory)? {
            let mut reader = file.open()?;
            let mut line = Vec::new();
            next_line(&mut reader, &mut line)?;
            if first.is_some() && time_of(&line).is_none_or(|begins| begins >= time) {
                break;
            }
            first = Some(file.first);
        }
        Ok(TailReader::beginning_with(directory, first.unwrap_or(1)))
    }

    /// The next whole line, without its end; `None` when there is none yet. Lines longer than
    /// [`MAX_LINE_BYTES`] are left out.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            if self.file.is_none() && !self.open_file()? {
                return Ok(None);
            }
            let Some(file) = &mut self.file else {
                return Ok(None);
            };
            let next = next_line(file, &mut self.line)?;
            match next {
                Next::Line => {
                    self.position = self.position.saturating_add(self.line.len() as u64 + 1);
                    return Ok(Some(&self.line));
                }
                Next::TooLong(length) => self.position = self.position.saturating_add(length),
                Next::Torn(_) | Next::End => {
                    if let RecordReader::Plain(file) = file {
                        file.seek(SeekFrom::Start(self.position))?;
                    }
                    if !self.move_on(next)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn open_file(&mut self) -> io::Result<bool> {
        let file = RecordFile {
            first: self.first,
            path: self.directory.join(files::file_name(self.first)),
            packed: false,
        };
        match file.open() {
            Ok(file) => {
                self.file = Some(file);
                self.position = 0;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.pass_over()?),
            Err(error) => Err(error),
        }
    }

    /// Goes to the oldest file if that is a later one: the current one was removed for its age.
    fn pass_over(&mut self) -> io::Result<bool> {
        let oldest = files::list(&self.directory)?.into_iter().next();
        let Some(oldest) = oldest.filter(|oldest| oldest.first > self.first) else {
            return Ok(false);
        };
        self.first = oldest.first;
        self.open_file()
    }

    /// Goes to the next file if there is one and the current one has ended.
    fn move_on(&mut self, next: Next) -> io::Result<bool> {
        if next != Next::End {
            return Ok(false);
        }
        let newer = files::list(&self.directory)?
            .into_iter()
            .find(|file| file.first > self.first);
        let Some(newer) = newer else {
            return Ok(false);
        };
        // The writer may have added to this file between our end of file and its rotation: look again.
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        if !file.fill_buf()?.is_empty() {
            return Ok(true);
        }
        self.first = newer.first;
        self.file = None;
        Ok(true)
    }
}

/// Number and hashes of a record, as its line claims them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal<'a> {
    /// Its number.
    pub number: u64,
    /// Hash of the record before, in hex.
    pub prev: &'a str,
    /// Its hash, in hex.
    pub hash: &'a str,
}

/// The seal of a record's line, without checking that it holds; `None` when the line is not in the form of a record.
pub fn seal_of(line: &[u8]) -> Option<Seal<'_>> {
    let sealed = crate::line::claims(line)?;
    let [prev, hash] = crate::line::hashes_of(line)?;
    Some(Seal {
        number: sealed.link.number,
        prev,
        hash,
    })
}

/// The time of a record's line, without reading the rest; `None` when it does not begin as records do. Times are of one
/// length, so that they compare as text.
pub fn time_of(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"number\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let time = rest.get(digits..)?.strip_prefix(b",\"time\":\"")?;
    let end = time.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(time.get(..end)?).ok()
}
