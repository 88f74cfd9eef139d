//! Checking one ledger from its first record to its head, in one pass and bounded memory.

use crate::chain::{self, ChainBreak, Link};
use crate::files::{self, Head, RecordFile};
use crate::line::{self, SealedLine};
use crate::reader::{self, Next};
use std::fmt;
use std::io;
use std::path::Path;

/// Findings that are kept; a ledger with more of them is not worth reading further.
const MOST_FINDINGS: usize = 100;

/// What a sound ledger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files of records.
    pub files: u64,
    /// Records.
    pub records: u64,
    /// The last record that was removed for its age; 0 for none. Whether it was to go is for a checkpoint to say.
    pub pruned: u64,
    /// Whole records after the head: written, but not yet committed when the ledger was read or its writer
    /// was killed.
    pub after_head: u64,
    /// Bytes of a torn line after the last record, which the next start will cut off; see `after_head`.
    pub torn_bytes: u64,
}

/// Something wrong with a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the file in the ledger's directory; empty for the directory.
    pub file: String,
    /// Line in the file, from 1; 0 for the whole file.
    pub line: u64,
    /// What is wrong.
    pub kind: FindingKind,
}

impl Finding {
    /// The number that the record in this line has where nothing is wrong; `None` where it is about a whole file.
    pub fn record(&self) -> Option<u64> {
        let before = self.line.checked_sub(1)?;
        files::number_of(&self.file)?.checked_add(before)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if let Some(record) = self.record() {
            write!(f, "{}: record {record}:", self.line)?;
        }
        let space = if self.file.is_empty() { "" } else { " " };
        write!(f, "{space}{}", self.kind)
    }
}

/// The kinds of [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindingKind {
    /// The file system refuses to show it.
    #[error("can't be read: {0}")]
    Unreadable(io::ErrorKind),
    /// There is neither a head nor a record.
    #[error("there is no ledger here")]
    NoLedger,
    /// A line is not in the form of a record, or longer than any.
    #[error("not a record: the line was changed or cut")]
    Malformed,
    /// A line's hash is not the hash of its bytes.
    #[error("the record was changed: its hash does not match")]
    Changed,
    /// Records are missing, repeated or out of order.
    #[error("expected record {expected}, found record {found}: records were removed, repeated or re-ordered")]
    Number {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The numbers fit but the record names another one as the one before it.
    #[error("the record does not follow the one before it: one of the two was replaced")]
    Previous,
    /// A file's name is not the number of its first record.
    #[error("the file's name says record {0}, its first record is another")]
    FileName(u64),
    /// A file that is not the last one ends inside a line.
    #[error("the file is cut: {0} bytes of a record are left at its end")]
    CutFile(u64),
    /// There are records but no head.
    #[error("the head is missing")]
    HeadMissing,
    /// The head is not in the form of a head.
    #[error("the head is not readable: it was changed")]
    HeadUnreadable,
    /// The head names a later record than the last.
    #[error("the tail is cut: the head names record {head}, the last record is {last}")]
    CutTail {
        /// The record that the head names.
        head: u64,
        /// The last record there is.
        last: u64,
    },
    /// The record that the head names is not there or has another hash.
    #[error("the head does not match record {0}")]
    HeadMismatch(u64),
    /// Too many findings to go on.
    #[error("too many findings; the rest was not read")]
    TooMany,
}

/// Checks the ledger in `directory`: every record's hash and number, the chain across files, and the head.
/// It may be in use while this runs.
///
/// # Errors
/// What was found, in the order of the files; at most about a hundred.
pub fn verify(directory: &Path) -> Result<Report, Vec<Finding>> {
    let mut check = Check::default();
    if let Err(error) = check.run(directory) {
        check.find("", 0, FindingKind::Unreadable(error.kind()));
    }
    if check.findings.is_empty() {
        Ok(check.report)
    } else {
        Err(check.findings)
    }
}

#[derive(Default)]
struct Check {
    report: Report,
    findings: Vec<Finding>,
    head: Option<Link>,
    /// The record that the head names was seen, with its hash.
    head_holds: bool,
    last: Option<Link>,
}

impl Check {
    fn run(&mut self, directory: &Path) -> io::Result<()> {
        // The head first: what a running stage adds afterwards is after it.
        let head = files::read_head(directory)?;
        let files = files::list(directory)?;
        match head {
            Head::At(link) => self.head = Some(link),
            Head::Unreadable => self.find("head", 0, FindingKind::HeadUnreadable),
            Head::Empty if files.is_empty() => self.find("", 0, FindingKind::NoLedger),
            Head::Empty => self.find("head", 0, FindingKind::HeadMissing),
        }
        let begin = files::begin(directory)?;
        self.report.pruned = begin.number;
        self.pass(begin);
        let newest = files.last().cloned();
        for file in &files {
            let is_newest = newest.as_ref() == Some(file);
            if let Err(error) = self.read_file(file, is_newest) {
                self.find(&name(file), 0, FindingKind::Unreadable(error.kind()));
            }
            if self.findings.len() >= MOST_FINDINGS {
                self.find(&name(file), 0, FindingKind::TooMany);
                return Ok(());
            }
        }
        self.compare_with_head(newest.as_ref());
        Ok(())
    }

    fn read_file(&mut self, file: &RecordFile, is_newest: bool) -> io::Result<()> {
        let name = name(file);
        let mut reader = file.open()?;
        let mut bytes = Vec::new();
        self.report.files = self.report.files.saturating_add(1);
        let mut line: u64 = 0;
        while self.findings.len() < MOST_FINDINGS {
            let next = reader::next_line(&mut reader, &mut bytes)?;
            line = line.saturating_add(1);
            match next {
                Next::Line => {
                    let found = self.read_line(&name, line, &bytes);
                    if line == 1 && found.is_some_and(|link| link.number != file.first) {
                        self.find(&name, 0, FindingKind::FileName(file.first));
                    }
                }
                Next::TooLong(_) => {
                    self.find(&name, line, FindingKind::Malformed);
                    self.last = None;
                }
                Next::Torn(left) if is_newest => {
                    self.report.torn_bytes = left;
                    break;
                }
                Next::Torn(left) => {
                    self.find(&name, line, FindingKind::CutFile(left));
                    break;
                }
                Next::End => break,
            }
        }
        Ok(())
    }

    fn read_line(&mut self, file: &str, line: u64, bytes: &[u8]) -> Option<Link> {
        let Some(sealed) = line::read(bytes) else {
            self.find(file, line, FindingKind::Malformed);
            // The next line can't be compared with this one; its number still is, with the one after.
            self.last = None;
            return None;
        };
        if !sealed.holds {
            // What it claims still serves to check the line after it.
            self.find(file, line, FindingKind::Changed);
        }
        self.report.records = self.report.records.saturating_add(1);
        self.compare_with_last(file, line, &sealed);
        self.pass(sealed.link);
        Some(sealed.link)
    }

    fn compare_with_last(&mut self, file: &str, line: u64, sealed: &SealedLine) {
        let Some(last) = self.last else {
            return;
        };
        match chain::follows(&last, sealed) {
            Ok(()) => {}
            Err(ChainBreak::Number { expected, found }) => {
                self.find(file, line, FindingKind::Number { expected, found });
            }
            Err(ChainBreak::Previous) => self.find(file, line, FindingKind::Previous),
        }
    }

    fn pass(&mut self, link: Link) {
        self.last = Some(link);
        self.head_holds |= self.head == Some(link);
        if self.head.is_some_and(|head| link.number > head.number) {
            self.report.after_head = self.report.after_head.saturating_add(1);
        }
    }

    fn compare_with_head(&mut self, newest: Option<&RecordFile>) {
        let (Some(head), false) = (self.head, self.head_holds) else {
            return;
        };
        let file = newest.map(name).unwrap_or_default();
        let kind = match self.last {
            Some(last) if last.number < head.number => FindingKind::CutTail {
                head: head.number,
                last: last.number,
            },
            _ => FindingKind::HeadMismatch(head.number),
        };
        self.find(&file, 0, kind);
    }

    fn find(&mut self, file: &str, line: u64, kind: FindingKind) {
        self.findings.push(Finding {
            file: file.to_owned(),
            line,
            kind,
        });
    }
}

fn name(file: &RecordFile) -> String {
    files::file_name(file.first)
}
