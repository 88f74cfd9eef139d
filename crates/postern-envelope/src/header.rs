//! The header in clear: its layout, its associated data and its decoder.

use postern_types::{InstanceId, Link, SessionId};

const MAGIC: [u8; 3] = *b"PEV";
const VERSION: u8 = 1;

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 77;
/// Bytes of the AES-GCM tag.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes an envelope is longer than its body.
pub const OVERHEAD: usize = HEADER_BYTES + TAG_BYTES;

/// Bytes of the associated data: the header and a length byte for each of its eleven fields.
pub(crate) const ASSOCIATED_BYTES: usize = HEADER_BYTES + 11;

/// What an envelope is about. All of it is authenticated, none of it is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session, or [`SessionId::NONE`] for heartbeats.
    pub session: SessionId,
    /// Number of the message in its direction of the session, from 1; 0 for what stands outside the order.
    pub sequence: u64,
    /// The exchange of the session, from 1; 0 for none.
    pub exchange: u64,
    /// The part of the answer, from 0.
    pub part: u32,
    /// Milliseconds since the Unix epoch after which the envelope is refused; [`Header::NO_DEADLINE`] never.
    pub deadline_ms: u64,
}

impl Header {
    /// A deadline that is never reached, for what carries its own expiry (a ticket) or lives as long as
    /// something else (a contract).
    pub const NO_DEADLINE: u64 = u64::MAX;

    /// Both headers are about the same exchange of the same session. A contract must be opened together
    /// with the answer it came with.
    pub fn same_exchange(&self, other: &Header) -> bool {
        self.session == other.session && self.exchange == other.exchange
    }
}

/// Everything the header says: the caller's part, and the sender's.
#[derive(Clone, Copy)]
pub(crate) struct FullHeader {
    pub(crate) link: u8,
    pub(crate) epoch: u32,
    pub(crate) sender: InstanceId,
    pub(crate) counter: u64,
    pub(crate) header: Header,
}

/// Why a header does not decode.
pub(crate) enum HeaderError {
    Malformed,
    Version,
}

impl FullHeader {
    pub(crate) fn new(
        link: Link,
        epoch: u32,
        sender: InstanceId,
        counter: u64,
        header: Header,
    ) -> FullHeader {
        FullHeader {
            link: link as u8,
            epoch,
            sender,
            counter,
            header,
        }
    }

    /// Hands every field's bytes to `put`, in the order of the layout.
    fn each_field(&self, mut put: impl FnMut(&[u8])) {
        put(&MAGIC);
        put(&[VERSION]);
        put(&[self.link]);
        put(&self.epoch.to_be_bytes());
        put(&self.sender.0);
        put(&self.counter.to_be_bytes());
        put(&self.header.session.0);
        put(&self.header.sequence.to_be_bytes());
        put(&self.header.exchange.to_be_bytes());
        put(&self.header.part.to_be_bytes());
        put(&self.header.deadline_ms.to_be_bytes());
    }

    /// Appends the header's [`HEADER_BYTES`] bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.each_field(|field| out.extend_from_slice(field));
    }

    /// Writes the associated data over `scratch`: each field after its length.
    pub(crate) fn associate(&self, scratch: &mut Vec<u8>) {
        scratch.clear();
        self.each_field(|field| {
            // Fields are at most 16 bytes long, so one byte is enough and the cast can't cut.
            scratch.push(field.len() as u8);
            scratch.extend_from_slice(field);
        });
    }

    /// Reads a header. The link is not judged here.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<FullHeader, HeaderError> {
        let mut rest = bytes.as_slice();
        if take::<3>(&mut rest)? != MAGIC {
            return Err(HeaderError::Malformed);
        }
        if take::<1>(&mut rest)? != [VERSION] {
            return Err(HeaderError::Version);
        }
        let [link] = take::<1>(&mut rest)?;
        Ok(FullHeader {
            link,
            epoch: u32::from_be_bytes(take(&mut rest)?),
            sender: InstanceId(take(&mut rest)?),
            counter: u64::from_be_bytes(take(&mut rest)?),
            header: Header {
                session: SessionId(take(&mut rest)?),
                sequence: u64::from_be_bytes(take(&mut rest)?),
                exchange: u64::from_be_bytes(take(&mut rest)?),
                part: u32::from_be_bytes(take(&mut rest)?),
                deadline_ms: u64::from_be_bytes(take(&mut rest)?),
            },
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HeaderError> {
    let (field, left) = rest.split_first_chunk::<N>().ok_or(HeaderError::Malformed)?;
    *rest = left;
    Ok(*field)
}
