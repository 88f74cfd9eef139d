//! Packing what is no longer written to: gzip (RFC 1952), so that `zcat` shows it.
//!
//! A packed file holds the same lines, so records, hashes and checkpoints stay what they are.

use crate::files::{self, RecordFile};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// The newest files stay as they are: the stage writes to the last one, and reads the one before when it starts.
const NEWEST: usize = 2;

/// What packing did to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Name of the file in the ledger's directory, without `.gz`.
    pub file: String,
    /// Its bytes before.
    pub before: u64,
    /// ... and after.
    pub after: u64,
}

/// Packs the files of the ledger in `directory` but the newest two. It may be in use while this runs. A file goes only
/// when what was packed has been read back and is on the disk.
///
/// # Errors
/// When the file system refuses; what was packed before stays packed.
pub fn pack(directory: &Path) -> io::Result<Vec<Packed>> {
    let mut files = files::list(directory)?;
    files.truncate(files.len().saturating_sub(NEWEST));
    let plain = files.iter().filter(|file| !file.packed);
    plain.map(|file| pack_file(directory, file)).collect()
}

fn pack_file(directory: &Path, file: &RecordFile) -> io::Result<Packed> {
    let name = files::file_name(file.first);
    let packed = directory.join(files::packed_name(&name));
    let beside = directory.join(format!("{name}.packing"));
    let (before, digest) = write(&file.path, &beside)?;
    if digest_of(&beside)? != digest {
        let _ = fs::remove_file(&beside);
        return Err(io::Error::other(format!(
            "{name}: what was packed is not what was read"
        )));
    }
    let after = fs::metadata(&beside)?.len();
    fs::rename(&beside, &packed)?;
    File::open(directory)?.sync_all()?;
    fs::remove_file(&file.path)?;
    Ok(Packed {
        file: name,
        before,
        after,
    })
}

/// Writes the packed form of a file to a new one; the bytes that were read, and their digest.
fn write(from: &Path, to: &Path) -> io::Result<(u64, [u8; 32])> {
    let new = files::make_anew(to)?;
    let mut encoder = GzEncoder::new(BufWriter::new(new), Compression::default());
    let mut digest = Sha256::new();
    let read = each_block(&mut files::open_regular(from)?, |block| {
        digest.update(block);
        encoder.write_all(block)
    })?;
    let file = encoder
        .finish()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok((read, digest.finalize().into()))
}

fn digest_of(packed: &Path) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut unpacked = flate2::read::MultiGzDecoder::new(files::open_regular(packed)?);
    each_block(&mut unpacked, |block| {
        digest.update(block);
        Ok(())
    })?;
    Ok(digest.finalize().into())
}

fn each_block(from: &mut impl Read, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut block = vec![0; 128 * 1024];
    let mut total: u64 = 0;
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(total);
        }
        take(block.get(..read).unwrap_or_default())?;
        total = total.saturating_add(read as u64);
    }
}
