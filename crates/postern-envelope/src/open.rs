//! Opening: total on any bytes, in place.

use crate::derive::nonce;
use crate::header::{ASSOCIATED_BYTES, FullHeader, HEADER_BYTES, Header, HeaderError, TAG_BYTES};
use crate::keyring::{KeyringError, Keys, OpeningKey};
use lru::LruCache;
use postern_types::{InstanceId, Link, Stage};
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
    #[error(
        "past its deadline by {:.1} s: it was held up on its way, or the clock of the {sender} is behind this machine's",
        seconds(*.ago_ms)
    )]
    Expired {
        /// Who sealed it.
        sender: Stage,
        /// How long the deadline is past, in milliseconds.
        ago_ms: u64,
    },
    /// Genuine, but made to be good for longer than any stage makes one. Whoever kept a copy could hand it on when
    /// nobody remembers the first any more.
    #[error(
        "its deadline is {:.1} s away, more than any is: the clock of the {sender} is ahead of this machine's",
        seconds(*.ahead_ms)
    )]
    Early {
        /// Who sealed it.
        sender: Stage,
        /// How far away the deadline is, in milliseconds.
        ahead_ms: u64,
    },
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
            OpenError::Expired { .. } => "expired",
            OpenError::Early { .. } => "early",
        }
    }
}

/// No stage makes an envelope for another that is good for longer than a minute; the rest is for clocks that differ. Who
/// remembers what has ended, to refuse a copy of it, must do so for at least as long.
pub const MOST_AHEAD_MS: u64 = 240_000;

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
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
        self.in_time(full.header.deadline_ms, now_ms)?;
        Ok(Opened {
            header: full.header,
            sender: full.sender,
            counter: full.counter,
            body,
        })
    }

    /// Whether a genuine envelope with this deadline is good now.
    fn in_time(&self, deadline_ms: u64, now_ms: u64) -> Result<(), OpenError> {
        let sender = self.link.sender();
        if let Some(ago_ms) = now_ms.checked_sub(deadline_ms).filter(|ago| *ago > 0) {
            return Err(OpenError::Expired { sender, ago_ms });
        }
        let ahead_ms = deadline_ms.saturating_sub(now_ms);
        // What a stage seals for itself may be a ticket, which lasts as long as a session may.
        let is_bounded = sender != self.link.receiver() && deadline_ms != Header::NO_DEADLINE;
        if is_bounded && ahead_ms > MOST_AHEAD_MS {
            return Err(OpenError::Early { sender, ahead_ms });
        }
        Ok(())
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
