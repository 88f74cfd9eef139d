//! Checkpoints: what a ledger held at some moment, signed.
//!
//! ```text
//! {"stage":"backend","time":"…Z","segment":1,"records":7,"root":"<64 hex>","hash":"<64 hex>","prev":"<64 hex>","signature":"<128 hex>"}
//! ```
//!
//! `segment` is the number of the first record of a file, `records` how many of its records are covered,
//! `root` the Merkle root over their lines (RFC 6962, a leaf is a line without its end), `hash` the hash of the
//! last of them. `prev` is the SHA-256 of that ledger's checkpoint before, signature included; zeros for the first.
//! With `"pruned":N` before `prev`, the records up to `N` are removed for their age from then on.
//! The signature is Ed25519 over [`CONTEXT`] and the line's bytes up to and without `,"signature":`. There is one
//! way to write a checkpoint; what is written in another is refused.

use crate::line;
use crate::merkle::Hash;
use jiff::Timestamp;
use postern_types::Author;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Goes before what is signed, so that the signature means nothing anywhere else.
const CONTEXT: &[u8] = b"postern ledger checkpoint 1\n";
/// Longest line of a checkpoint, in bytes; they have less than 600.
const LONGEST_LINE: usize = 1024;

/// The key that signs checkpoints: a secret.
#[derive(Clone)]
pub struct SigningKey(Arc<Ed25519KeyPair>);

impl SigningKey {
    /// The key of this seed; `None` is never seen with a seed of 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Option<SigningKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(SigningKey(Arc::new(pair)))
    }

    /// The key of a seed that is written as 64 hex digits in lower case; `None` when it is not.
    pub fn from_hex(seed: &str) -> Option<SigningKey> {
        let seed = Zeroizing::new(from_hex(seed)?);
        SigningKey::from_seed(&seed)
    }

    /// What an auditor needs to check its signatures.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        let key = self.0.public_key().as_ref();
        bytes.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        PublicKey(bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public: {})", self.public())
    }
}

/// The public half of a [`SigningKey`]; written as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// A text is not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: 64 hex digits in lower case are expected")]
pub struct NotAKey;

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<PublicKey, NotAKey> {
        from_hex(text).map(PublicKey).ok_or(NotAKey)
    }
}

/// What a ledger held at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose ledger.
    pub stage: Author,
    /// When it was signed, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Number of the first record of the file that it covers.
    pub segment: u64,
    /// How many records of the file it covers, from the first.
    pub records: u64,
    /// Merkle root over them.
    pub root: [u8; 32],
    /// Hash of the last of them, and so, by the chain, of everything before.
    pub hash: [u8; 32],
    /// With this checkpoint, the records up to this one are removed for their age; 0 for none.
    pub pruned: u64,
    /// Digest of the ledger's checkpoint before this one.
    pub prev: [u8; 32],
}

impl Checkpoint {
    /// Number of the last record that it covers.
    pub fn last_record(&self) -> u64 {
        self.segment.saturating_add(self.records).saturating_sub(1)
    }

    /// When it was signed, as in its line.
    pub fn time(&self) -> String {
        let mut time = Vec::new();
        line::put_time(self.time_ms, &mut time);
        String::from_utf8_lossy(&time).into_owned()
    }

    /// Its line, without an end, signed with `key`.
    pub fn sign(&self, key: &SigningKey) -> String {
        let body = self.body();
        let signature = key.0.sign(&signed_bytes(&body));
        self.line(&body, signature.as_ref())
    }

    fn body(&self) -> String {
        let pruned = match self.pruned {
            0 => String::new(),
            through => format!(r#","pruned":{through}"#),
        };
        format!(
            r#"{{"stage":"{}","time":"{}","segment":{},"records":{},"root":"{}","hash":"{}"{pruned},"prev":"{}""#,
            self.stage.name(),
            self.time(),
            self.segment,
            self.records,
            to_hex(&self.root),
            to_hex(&self.hash),
            to_hex(&self.prev),
        )
    }

    fn line(&self, body: &str, signature: &[u8]) -> String {
        format!(r#"{body},"signature":"{}"}}"#, to_hex(signature))
    }

    /// Reads a line (without its end) and checks its signature.
    ///
    /// # Errors
    /// When it is not a checkpoint, or not signed with the key.
    pub fn read(text: &str, key: &PublicKey) -> Result<Checkpoint, CheckpointError> {
        let (checkpoint, signature) = parse(text).ok_or(CheckpointError::Malformed)?;
        UnparsedPublicKey::new(&ED25519, key.0)
            .verify(&signed_bytes(&checkpoint.body()), &signature)
            .map_err(|_| CheckpointError::Signature)?;
        Ok(checkpoint)
    }
}

/// Why a line is not taken as a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not in the form of one.
    #[error("not a checkpoint: the line was changed or cut")]
    Malformed,
    /// It was changed, or signed with another key.
    #[error("the signature is wrong: it was changed, or signed with another key")]
    Signature,
    /// It does not name the checkpoint before it.
    #[error("it does not follow the checkpoint before it: one was removed, re-ordered or replaced")]
    Previous,
    /// It lets records go that no checkpoint before it covers to the end of a file.
    #[error("it lets records go that were not signed before")]
    Pruned,
    /// It covers less than the one before it.
    #[error("it goes back behind the checkpoint before it")]
    Backwards,
}

/// What names a checkpoint in the one after it.
pub(crate) fn digest(line: &str) -> Hash {
    Sha256::digest(line.as_bytes()).into()
}

fn signed_bytes(body: &str) -> Vec<u8> {
    [CONTEXT, body.as_bytes()].concat()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    stage: Author,
    time: &'a str,
    segment: u64,
    records: u64,
    root: &'a str,
    hash: &'a str,
    #[serde(default)]
    pruned: u64,
    prev: &'a str,
    signature: &'a str,
}

fn parse(text: &str) -> Option<(Checkpoint, [u8; 64])> {
    if text.len() > LONGEST_LINE {
        return None;
    }
    let line: Line<'_> = serde_json::from_str(text).ok()?;
    let time: Timestamp = line.time.parse().ok()?;
    let checkpoint = Checkpoint {
        stage: line.stage,
        time_ms: u64::try_from(time.as_millisecond()).ok()?,
        segment: line.segment,
        records: line.records,
        root: from_hex(line.root)?,
        hash: from_hex(line.hash)?,
        pruned: line.pruned,
        prev: from_hex(line.prev)?,
    };
    let signature: [u8; 64] = from_hex(line.signature)?;
    let covers = checkpoint.segment > 0 && checkpoint.records > 0;
    let canonical = checkpoint.line(&checkpoint.body(), &signature) == text;
    (covers && canonical).then_some((checkpoint, signature))
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len().saturating_mul(2));
    line::hex(bytes, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Lower-case hex of exactly `N` bytes.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}
