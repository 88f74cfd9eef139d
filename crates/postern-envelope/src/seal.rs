//! Sealing: one envelope appended to an output buffer, encrypted where it lies.

use crate::derive::nonce;
use crate::header::{ASSOCIATED_BYTES, FullHeader, HEADER_BYTES, Header, OVERHEAD};
use crate::keyring::{KeyringError, Keys};
use postern_types::{InstanceId, Link, body};
use ring::aead::{Aad, LessSafeKey};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Envelopes one instance may seal on one link before it must be restarted with a fresh key. At 50,000 a
/// second that is more than two years; it keeps the number of blocks under one key far below the bounds of
/// AES-GCM.
pub const MAX_COUNTER: u64 = 1 << 42;

/// Why nothing was sealed. The output buffer is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This instance has used up its nonces on this link; the process has to be restarted.
    #[error("this instance has sealed as many envelopes as its key allows")]
    Exhausted,
    /// The body's head does not encode.
    #[error("the head of the body does not encode")]
    Body,
    /// The envelope would be longer than a batch can hold (`u32::MAX` bytes).
    #[error("the body is too large for an envelope")]
    TooLarge,
    /// The keys were turned, and the new ones are of no use on this link.
    #[error("there is no key for this link any more")]
    NoKey,
}

/// Seals envelopes on one link. Made by [`crate::Keyring::sealer`].
pub struct Sealer {
    link: Link,
    instance: InstanceId,
    keys: Arc<Keys>,
    /// Version of the keys that `epoch` and `key` are of.
    version: u64,
    epoch: u32,
    key: LessSafeKey,
    counter: Arc<AtomicU64>,
    associated: Vec<u8>,
}

impl Sealer {
    pub(crate) fn new(
        link: Link,
        instance: InstanceId,
        keys: Arc<Keys>,
        counter: Arc<AtomicU64>,
    ) -> Result<Sealer, KeyringError> {
        // Before the keys themselves: a turn in between is then noticed at the next envelope.
        let version = keys.version();
        let (epoch, key) = keys.sealing(link)?;
        let key = key
            .seal_key(instance)
            .ok_or(KeyringError::WeakPeer(link.receiver()))?;
        Ok(Sealer {
            link,
            instance,
            keys,
            version,
            epoch,
            key,
            counter,
            associated: Vec::with_capacity(ASSOCIATED_BYTES),
        })
    }

    /// Takes the keys of today if they were turned.
    fn follow(&mut self) -> Result<(), SealError> {
        let version = self.keys.version();
        if version == self.version {
            return Ok(());
        }
        let (epoch, key) = self.keys.sealing(self.link).map_err(|_| SealError::NoKey)?;
        self.key = key.seal_key(self.instance).ok_or(SealError::NoKey)?;
        (self.epoch, self.version) = (epoch, version);
        Ok(())
    }

    /// The link it seals on.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Appends one envelope with this body to `out`.
    ///
    /// # Errors
    /// `Exhausted` or `TooLarge`; `out` is then unchanged.
    pub fn seal(&mut self, header: &Header, body: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        out.reserve(body.len().saturating_add(OVERHEAD));
        self.seal_with(header, out, |out| {
            out.extend_from_slice(body);
            Ok(())
        })
    }

    /// Appends one envelope to `out` whose body is `head` and the concatenated `tail` in the encoding of
    /// [`postern_types::body`], made in place without an intermediate buffer.
    ///
    /// # Errors
    /// `Exhausted`, `TooLarge`, or `Body` when the head does not encode; `out` is then unchanged.
    pub fn seal_body<H: Serialize>(
        &mut self,
        header: &Header,
        head: &H,
        tail: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        self.seal_with(header, out, |out| {
            body::encode(head, tail, out).map_err(|_| SealError::Body)
        })
    }

    fn seal_with(
        &mut self,
        header: &Header,
        out: &mut Vec<u8>,
        write_body: impl FnOnce(&mut Vec<u8>) -> Result<(), SealError>,
    ) -> Result<(), SealError> {
        self.follow()?;
        let start = out.len();
        let result = self.append(header, out, start, write_body);
        if result.is_err() {
            // A body in clear that did not get sealed must not go out with the buffer.
            out.truncate(start);
        }
        result
    }

    fn append(
        &mut self,
        header: &Header,
        out: &mut Vec<u8>,
        start: usize,
        write_body: impl FnOnce(&mut Vec<u8>) -> Result<(), SealError>,
    ) -> Result<(), SealError> {
        let counter = self.next_counter()?;
        let full = FullHeader::new(self.link, self.epoch, self.instance, counter, *header);
        full.associate(&mut self.associated);
        full.write(out);
        write_body(out)?;
        let body_start = start.checked_add(HEADER_BYTES).ok_or(SealError::TooLarge)?;
        let body = out.get_mut(body_start..).ok_or(SealError::TooLarge)?;
        if u32::try_from(body.len().saturating_add(OVERHEAD)).is_err() {
            return Err(SealError::TooLarge);
        }
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(counter), Aad::from(&self.associated), body)
            .map_err(|_| SealError::TooLarge)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// A counter no other envelope of this instance and link has. A failed seal uses one up, which is
    /// harmless; one is never given out twice.
    fn next_counter(&self) -> Result<u64, SealError> {
        self.counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < MAX_COUNTER).then(|| used.saturating_add(1))
            })
            .map_err(|_| SealError::Exhausted)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("link", &self.link)
            .field("epoch", &self.epoch)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}
