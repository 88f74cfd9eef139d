//! A batch: the envelopes that share one message of the bus.
//!
//! Layout: for each envelope its length as a big-endian `u32`, then the envelope; at least one envelope, and
//! nothing after the last. A batch carries no authentication of its own: each envelope stands alone, and
//! the bus may drop, repeat or regroup them at will.

use crate::header::OVERHEAD;
use crate::seal::SealError;

const PREFIX_BYTES: usize = 4;

/// A batch that is not a row of whole envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a batch of envelopes")]
pub struct MalformedBatch;

/// Collects envelopes for one message.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    envelopes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds the envelope that `seal` appends to the buffer it is given, without copying it:
    /// `batch.push_with(|out| sealer.seal_body(&header, &head, &[payload], out))`.
    ///
    /// # Errors
    /// The error of `seal`, or `TooLarge` when the envelope is longer than `u32::MAX`. The batch is then
    /// as it was before.
    pub fn push_with(
        &mut self,
        seal: impl FnOnce(&mut Vec<u8>) -> Result<(), SealError>,
    ) -> Result<(), SealError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        let result = seal(&mut self.bytes).and_then(|()| self.fill_prefix(start));
        match result {
            Ok(()) => self.envelopes = self.envelopes.saturating_add(1),
            Err(_) => self.bytes.truncate(start),
        }
        result
    }

    /// Adds a copy of an envelope that is sealed already.
    ///
    /// # Errors
    /// `TooLarge` when it is longer than `u32::MAX`.
    pub fn push(&mut self, envelope: &[u8]) -> Result<(), SealError> {
        self.push_with(|out| {
            out.extend_from_slice(envelope);
            Ok(())
        })
    }

    fn fill_prefix(&mut self, start: usize) -> Result<(), SealError> {
        let added = self.bytes.get_mut(start..).ok_or(SealError::TooLarge)?;
        let (prefix, envelope) = added
            .split_first_chunk_mut::<PREFIX_BYTES>()
            .ok_or(SealError::TooLarge)?;
        let length = u32::try_from(envelope.len()).map_err(|_| SealError::TooLarge)?;
        *prefix = length.to_be_bytes();
        Ok(())
    }

    /// Bytes of the batch so far, prefixes included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Number of envelopes added.
    pub fn envelopes(&self) -> usize {
        self.envelopes
    }

    /// The batch as one message, leaving an empty one behind.
    pub fn take(&mut self) -> Vec<u8> {
        self.envelopes = 0;
        std::mem::take(&mut self.bytes)
    }
}

/// Splits a message into its envelopes, each ready for [`crate::Opener::open`]. All of the message is checked
/// before any of it is given out.
///
/// # Errors
/// `MalformedBatch` when it is empty, a length does not fit, an envelope is shorter than any envelope can
/// be, or bytes are left over.
pub fn split(message: &mut [u8]) -> Result<Vec<&mut [u8]>, MalformedBatch> {
    let mut envelopes = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (prefix, after) = rest
            .split_first_chunk_mut::<PREFIX_BYTES>()
            .ok_or(MalformedBatch)?;
        let length = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| MalformedBatch)?;
        if length < OVERHEAD {
            return Err(MalformedBatch);
        }
        let (envelope, after) = after.split_at_mut_checked(length).ok_or(MalformedBatch)?;
        envelopes.push(envelope);
        rest = after;
    }
    if envelopes.is_empty() {
        return Err(MalformedBatch);
    }
    Ok(envelopes)
}
