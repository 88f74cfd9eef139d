//! The files of a ledger's directory: names, order, and the head.

use crate::chain::Link;
use crate::line::HexHash;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const HEAD_NAME: &str = "head";
const PREFIX: &str = "ledger-";
const SUFFIX: &str = ".jsonl";
/// 20 digits, a space, 64 hex digits, a line end. Fixed, so that rewriting it in place is one small write.
const HEAD_BYTES: usize = 20 + 1 + 64 + 1;

/// One file of records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordFile {
    /// Number of its first record, from its name.
    pub(crate) first: u64,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// Name of the file whose first record has this number.
pub(crate) fn file_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{SUFFIX}")
}

/// Path of the head.
pub(crate) fn head_path(directory: &Path) -> PathBuf {
    directory.join(HEAD_NAME)
}

/// The files of records in the order of their numbers. Files with other names are not the ledger's.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<RecordFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(first) = path.file_name().and_then(|name| number_of(name.to_str()?)) {
            files.push(RecordFile { first, path });
        }
    }
    files.sort();
    Ok(files)
}

/// Number of the first record of the file of this name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// Writes the head over the one before.
pub(crate) fn write_head(head: &File, link: &Link) -> io::Result<()> {
    let mut bytes = format!("{:020} ", link.number).into_bytes();
    bytes.extend_from_slice(&link.hash);
    bytes.push(b'\n');
    head.write_all_at(&bytes, 0)
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// There is none, or it is empty: made and not yet written.
    Empty,
    /// Not a head.
    Unreadable,
    /// The last committed record.
    At(Link),
}

/// Reads the head of a directory.
pub(crate) fn read_head(directory: &Path) -> io::Result<Head> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + 1);
    match File::open(head_path(directory)) {
        Ok(file) => file.take(HEAD_BYTES as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::Empty),
        Err(error) => return Err(error),
    };
    if bytes.is_empty() {
        return Ok(Head::Empty);
    }
    Ok(parse_head(&bytes).map_or(Head::Unreadable, Head::At))
}

fn parse_head(bytes: &[u8]) -> Option<Link> {
    let (digits, rest) = bytes.split_first_chunk::<20>()?;
    let (hash, end) = rest.strip_prefix(b" ")?.split_first_chunk::<64>()?;
    let digits = std::str::from_utf8(digits).ok()?;
    let hash: HexHash = *hash;
    let number = digits.parse().ok()?;
    let canonical = end == b"\n" && digits.bytes().all(|b| b.is_ascii_digit());
    canonical.then_some(Link { number, hash })
}
