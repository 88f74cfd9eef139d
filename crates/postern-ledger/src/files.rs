//! The files of a ledger's directory: names, order, and the head.

use crate::chain::Link;
use crate::line::HexHash;
use flate2::bufread::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const HEAD_NAME: &str = "head";
/// Where the ledger begins since old files were removed ([`crate::prune`]).
const BEGIN_NAME: &str = "begin";
const PREFIX: &str = "ledger-";
const SUFFIX: &str = ".jsonl";
/// Follows [`SUFFIX`] where a file was packed (RFC 1952).
const PACKED: &str = ".gz";
/// Read from a file at a time.
const READ_BYTES: usize = 128 * 1024;
/// 20 digits, a space, 64 hex digits, a line end. Fixed, so that rewriting it in place is one small write.
const HEAD_BYTES: usize = 20 + 1 + 64 + 1;

/// One file of records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordFile {
    /// Number of its first record, from its name.
    pub(crate) first: u64,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// It was packed by [`crate::pack`].
    pub(crate) packed: bool,
}

impl RecordFile {
    /// Begins to read it. It may have been packed since it was listed.
    pub(crate) fn open(&self) -> io::Result<RecordReader> {
        let name = file_name(self.first);
        match open_regular(&self.path.with_file_name(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = open_regular(&self.path.with_file_name(packed_name(&name)))?;
                let unpacked = MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, file));
                Ok(RecordReader::Packed(Box::new(BufReader::with_capacity(
                    READ_BYTES, unpacked,
                ))))
            }
            opened => Ok(RecordReader::Plain(BufReader::with_capacity(READ_BYTES, opened?))),
        }
    }
}

/// Opens a file that a stage has written, for a reader that must trust the stage with nothing else: a link could lead to
/// a file that only the reader may read, and at a pipe the reader would wait for ever.
///
/// # Errors
/// When it can't be opened, or is anything but a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    Ok(file)
}

/// Makes a new file, for its owner only, in the place of one that an interrupted run left. What a stage puts there in
/// between is not written to, wherever it leads.
pub(crate) fn make_anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Bytes of the lines of a file.
#[derive(Debug)]
pub(crate) enum RecordReader {
    Plain(BufReader<File>),
    Packed(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

impl RecordReader {
    /// Goes on at this offset of the lines, which must not be behind the present one if the file is packed.
    pub(crate) fn skip_to(&mut self, at: u64, offset: u64) -> io::Result<()> {
        match self {
            RecordReader::Plain(file) => file.seek(SeekFrom::Start(offset)).map(drop),
            RecordReader::Packed(file) => {
                let missing = offset.saturating_sub(at);
                io::copy(&mut file.take(missing), &mut io::sink()).map(drop)
            }
        }
    }
}

impl Read for RecordReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            RecordReader::Plain(file) => file.read(out),
            RecordReader::Packed(file) => file.read(out),
        }
    }
}

impl BufRead for RecordReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            RecordReader::Plain(file) => file.fill_buf(),
            RecordReader::Packed(file) => file.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            RecordReader::Plain(file) => file.consume(amount),
            RecordReader::Packed(file) => file.consume(amount),
        }
    }
}

/// Name of the file whose first record has this number.
pub(crate) fn file_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{SUFFIX}")
}

/// Name of the packed form of the file of this name.
pub(crate) fn packed_name(name: &str) -> String {
    format!("{name}{PACKED}")
}

/// Path of the head.
pub(crate) fn head_path(directory: &Path) -> PathBuf {
    directory.join(HEAD_NAME)
}

/// Path of what says where the ledger begins.
pub(crate) fn begin_path(directory: &Path) -> PathBuf {
    directory.join(BEGIN_NAME)
}

/// The last record that was removed for its age; [`Link::GENESIS`] where none was.
///
/// # Errors
/// When the file that says so can't be read, with `InvalidData` when it is not one.
pub(crate) fn begin(directory: &Path) -> io::Result<Link> {
    match read_link(&begin_path(directory))? {
        Head::At(link) => Ok(link),
        Head::Empty => Ok(Link::GENESIS),
        Head::Unreadable => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "what says where the ledger begins is not readable",
        )),
    }
}

/// The files of records in the order of their numbers, without those that were to go with [`crate::prune`]. Files with
/// other names are not the ledger's.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<RecordFile>> {
    let begin = begin(directory)?;
    let mut files = list_all(directory)?;
    files.retain(|file| file.first > begin.number);
    Ok(files)
}

/// All files of records.
pub(crate) fn list_all(directory: &Path) -> io::Result<Vec<RecordFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let packed = name.strip_suffix(PACKED);
        if let Some(first) = number_of(packed.unwrap_or(name)) {
            let packed = packed.is_some();
            files.push(RecordFile { first, path, packed });
        }
    }
    // Packing was interrupted where there are both: the plain one, which sorts first, is whole.
    files.sort();
    files.dedup_by_key(|file| file.first);
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
    head.write_all_at(&link_bytes(link), 0)
}

/// What a head, or a beginning, consists of.
pub(crate) fn link_bytes(link: &Link) -> Vec<u8> {
    let mut bytes = format!("{:020} ", link.number).into_bytes();
    bytes.extend_from_slice(&link.hash);
    bytes.push(b'\n');
    bytes
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

/// Number of the last committed record of the ledger in a directory; 0 when there is none.
///
/// # Errors
/// When the head can't be read.
pub fn committed(directory: &Path) -> io::Result<u64> {
    match read_head(directory)? {
        Head::At(link) => Ok(link.number),
        Head::Empty => Ok(0),
        Head::Unreadable => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Reads the head of a directory.
pub(crate) fn read_head(directory: &Path) -> io::Result<Head> {
    read_link(&head_path(directory))
}

fn read_link(path: &Path) -> io::Result<Head> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + 1);
    match open_regular(path) {
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
