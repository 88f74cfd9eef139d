//! Checkpoints of a ring's ledgers: where they and their keys are, and signing them.
//!
//! `keys/audit/STAGE.key` signs, and is read by no stage; `keys/audit/STAGE.pub` is for auditors. The checkpoints are
//! in `audit/checkpoints/STAGE.jsonl`, which only grows.

use crate::directory::RingDirectory;
use crate::secret_file;
use anyhow::Context as _;
use postern_ledger::{PublicKey, Signer, SigningKey, WitnessFinding};
use postern_types::Author;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Directory of the keys, in a ring's directory.
const KEYS: &str = "keys/audit";

/// Where a ring's directory has the public keys.
pub(super) fn public_keys(ring: &Path) -> PathBuf {
    ring.join(KEYS)
}

/// The file of an author's public key, in a ring's directory.
pub(super) fn public_key_file(ring: &Path, author: Author) -> PathBuf {
    public_keys(ring).join(format!("{author}.pub"))
}

/// The file of a ledger's checkpoints in an audit directory.
pub(super) fn file(audit: &Path, stage: Author) -> PathBuf {
    audit.join("checkpoints").join(format!("{stage}.jsonl"))
}

/// Makes the keys that are missing.
///
/// # Errors
/// When the file system or the operating system's randomness refuses.
pub fn make_keys(ring: &RingDirectory) -> anyhow::Result<()> {
    secret_file::directory(&ring.join(KEYS))?;
    for stage in Author::ALL {
        let secret = secret_key_file(ring, stage);
        if secret.exists() {
            continue;
        }
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(io::Error::from)?;
        let mut text: Zeroizing<String> = Zeroizing::default();
        for byte in seed.iter() {
            write!(text, "{byte:02x}")?;
        }
        let key = SigningKey::from_hex(&text).context("no key can be made of this seed")?;
        secret_file::write(&secret, &text)?;
        let public = public_key_file(ring.path(), stage);
        secret_file::write(&public, &format!("{}\n", key.public()))?;
    }
    Ok(())
}

fn secret_key_file(ring: &RingDirectory, stage: Author) -> PathBuf {
    ring.join(KEYS).join(format!("{stage}.key"))
}

fn secret_key(ring: &RingDirectory, stage: Author) -> anyhow::Result<SigningKey> {
    let path = secret_key_file(ring, stage);
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let text = Zeroizing::new(text);
    SigningKey::from_hex(text.trim())
        .with_context(|| format!("{} is not a key: 64 hex digits are expected", path.display()))
}

/// Reads a file with a public key.
///
/// # Errors
/// When it can't be read or is not one.
pub(super) fn read_public_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    text.trim()
        .parse()
        .with_context(|| format!("error in {}", path.display()))
}

/// Signs the ledger of one stage, again and again.
#[derive(Debug)]
pub(crate) struct Notary {
    signer: Signer,
    file: File,
}

impl Notary {
    /// Reads the ledger from its first record, and holds it against its checkpoints.
    ///
    /// # Errors
    /// When somebody else signs it at the moment, a file can't be read, or the ledger is not what was signed.
    pub(crate) fn open(ring: &RingDirectory, stage: Author) -> anyhow::Result<Notary> {
        let path = file(&ring.join("audit"), stage);
        if let Some(folder) = path.parent() {
            secret_file::directory(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("can't open {}", path.display()))?;
        // Two that sign would make two histories.
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| anyhow::anyhow!("{} is being signed already, by `postern up`", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .with_context(|| format!("can't read {}", path.display()))?;
        // A write that a crash cut in the middle was never a checkpoint.
        let whole = text.rfind('\n').map_or(0, |end| end.saturating_add(1));
        if whole < text.len() {
            file.set_len(u64::try_from(whole)?)?;
            text.truncate(whole);
        }
        let signer = Signer::open(&ring.ledger(stage), stage, &text, secret_key(ring, stage)?)
            .map_err(|findings| anyhow::anyhow!(told(&findings)))?;
        Ok(Notary { signer, file })
    }

    /// Signs what is new, and gives the number of new checkpoints.
    ///
    /// # Errors
    /// When the ledger is damaged, or the checkpoints can't be written.
    pub(crate) fn sign(&mut self, now_ms: u64) -> anyhow::Result<usize> {
        self.sign_pruned(now_ms, 0)
    }

    /// The last record that is signed; 0 for none.
    pub(crate) fn covered(&self) -> u64 {
        self.signer.covered()
    }

    /// The last record that was let go; 0 for none.
    pub(crate) fn pruned(&self) -> u64 {
        self.signer.pruned()
    }

    /// The same as [`Notary::sign`], and signs that the records up to this one are to go. They may go when it returns.
    ///
    /// # Errors
    /// As for [`Notary::sign`].
    pub(crate) fn sign_pruned(&mut self, now_ms: u64, pruned: u64) -> anyhow::Result<usize> {
        let lines = self
            .signer
            .sign_pruned(now_ms, pruned)
            .map_err(|finding| anyhow::anyhow!(told(&[finding])))?;
        if !lines.is_empty() {
            let text = lines.join("\n") + "\n";
            io::Write::write_all(&mut self.file, text.as_bytes())?;
            self.file.sync_data()?;
        }
        Ok(lines.len())
    }
}

fn told(findings: &[WitnessFinding]) -> String {
    let first = findings.first().map(ToString::to_string).unwrap_or_default();
    match findings.len().saturating_sub(1) {
        0 => first,
        more => format!("{first}, and {more} more; see `postern audit verify`"),
    }
}
