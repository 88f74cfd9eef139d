//! Opening: total on any bytes, in place.

use crate::derive::nonce;
use crate::header::{ASSOCIATED_BYTES, FullHeader, HEADER_BYTES, Header, HeaderError, TAG_BYTES};
use crate::keyring::{KeyringError, Keys, OpeningKey};
use lru::LruCache;
use postern_types::{InstanceId, Link};
use ring::aead::{Aad, LessSafeKey};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Seal keys of sender instances that are kept ready. Another instance costs one more derivation, no more.
const CACHED_SENDERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Why an envelope is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// Too short, or not an envelope at all.
    #[error("not an envelope")]
    Malformed,
    /// A format version this build does not know.
    #[error("unknown envelope version")]
    Version,
    /// Made for another link.
    #[error("envelope of another link")]
    WrongLink,
    /// A key epoch that is not accepted.
    #[error("key epoch not accepted")]
    Epoch,
    /// Not made by the other end of the link, or changed since.
    #[error("seal does not hold")]
    Forged,
    /// Genuine, but past its deadline.
    #[error("past its deadline")]
    Expired,
}

impl OpenError {
    /// A short name for records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            OpenError::Malformed => "malformed",
            OpenError::Version => "version",
            OpenError::WrongLink => "wrong-link",
            OpenError::Epoch => "epoch",
            OpenError::Forged => "forged",
            OpenError::Expired => "expired",
        }
    }
}

/// An envelope that was opened: its sender is the other end of the link, and nothing of it has changed.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    /// What it is about.
    pub header: Header,
    /// The run of the stage that sealed it.
    pub sender: InstanceId,
    /// Number of the envelope among all that this sender sealed on this link, from 0; not in any order with
    /// respect to a session. For [`crate::ReplayWindow`].
    pub counter: u64,
    /// The body in clear.
    pub body: &'a [u8],
}

/// Opens envelopes of one link. Made by [`crate::Keyring::opener`].
pub struct Opener {
    link: Link,
    keys: Arc<Keys>,
    /// Version of the keys that `epochs` and `senders` are of.
    version: u64,
    epochs: Vec<OpeningKey>,
    senders: LruCache<(u32, InstanceId), LessSafeKey>,
    associated: Vec<u8>,
}

impl Opener {
    pub(crate) fn new(link: Link, keys: Arc<Keys>) -> Result<Opener, KeyringError> {
        // Before the keys themselves: a turn in between is then noticed at the next envelope.
        let version = keys.version();
        Ok(Opener {
            link,
            epochs: keys.opening(link)?,
            keys,
            version,
            senders: LruCache::sparse(CACHED_SENDERS),
            associated: Vec::with_capacity(ASSOCIATED_BYTES),
        })
    }

    /// Takes the keys of today if they were turned. Without any, nothing opens.
    fn follow(&mut self) {
        let version = self.keys.version();
        if version != self.version {
            self.epochs = self.keys.opening(self.link).unwrap_or_default();
            self.senders.clear();
            self.version = version;
        }
    }

    /// The link it opens on.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Opens one envelope where it lies. After an error the bytes are of no further use.
    ///
    /// Opening the same envelope twice succeeds twice; whoever must not act twice asks a
    /// [`crate::ReplayWindow`] or the session's sequence.
    ///
    /// # Errors
    /// See [`OpenError`]. `Expired` is only said of a genuine envelope.
    pub fn open<'a>(&mut self, envelope: &'a mut [u8], now_ms: u64) -> Result<Opened<'a>, OpenError> {
        let (header, sealed) = envelope
            .split_first_chunk_mut::<HEADER_BYTES>()
            .ok_or(OpenError::Malformed)?;
        if sealed.len() < TAG_BYTES {
            return Err(OpenError::Malformed);
        }
        let full = FullHeader::read(header).map_err(|error| match error {
            HeaderError::Malformed => OpenError::Malformed,
            HeaderError::Version => OpenError::Version,
        })?;
        match Link::from_wire(full.link) {
            Some(link) if link == self.link => {}
            Some(_) => return Err(OpenError::WrongLink),
            None => return Err(OpenError::Malformed),
        }
        self.follow();
        let body = self.authenticate(&full, sealed, now_ms)?;
        if now_ms > full.header.deadline_ms {
            return Err(OpenError::Expired);
        }
        Ok(Opened {
            header: full.header,
            sender: full.sender,
            counter: full.counter,
            body,
        })
    }

    #[cfg(test)]
    pub(crate) fn cached_senders(&self) -> usize {
        self.senders.len()
    }

    fn authenticate<'a>(
        &mut self,
        full: &FullHeader,
        sealed: &'a mut [u8],
        now_ms: u64,
    ) -> Result<&'a [u8], OpenError> {
        let fits = |key: &&OpeningKey| key.epoch == full.epoch && now_ms <= key.until_ms;
        let opening = self.epochs.iter().find(fits).ok_or(OpenError::Epoch)?;
        full.associate(&mut self.associated);
        let sender = (full.epoch, full.sender);
        if let Some(key) = self.senders.get(&sender) {
            return decrypt(key, full.counter, &self.associated, sealed);
        }
        let key = opening.key.seal_key(full.sender).ok_or(OpenError::Forged)?;
        let body = decrypt(&key, full.counter, &self.associated, sealed)?;
        // Only now: an instance somebody made up never pushes a genuine one out of the cache.
        self.senders.put(sender, key);
        Ok(body)
    }
}

fn decrypt<'a>(
    key: &LessSafeKey,
    counter: u64,
    associated: &[u8],
    sealed: &'a mut [u8],
) -> Result<&'a [u8], OpenError> {
    key.open_in_place(nonce(counter), Aad::from(associated), sealed)
        .map(|body| &*body)
        .map_err(|_| OpenError::Forged)
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}
