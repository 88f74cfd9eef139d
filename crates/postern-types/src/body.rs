//! The inside of an envelope: a typed head and a raw tail.
//!
//! Layout: `u32` big-endian length of the head, the head in postcard encoding, then the tail. The tail is
//! raw PostgreSQL protocol messages, kept out of the typed head so that bulk data is never re-encoded.

use serde::{Deserialize, Serialize};

/// A body that does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Shorter than its own length field says.
    #[error("body is shorter than its head")]
    Truncated,
    /// The head is not the expected type, or has bytes left over.
    #[error("head of the body does not decode")]
    Malformed,
}

/// Appends `head` and the concatenated `tail` to `out`, without an intermediate buffer.
///
/// # Errors
/// `BodyError::Malformed` when the head can't be encoded or is longer than `u32::MAX`; `out` is then as it
/// was before.
pub fn encode<H: Serialize>(head: &H, tail: &[&[u8]], out: &mut Vec<u8>) -> Result<(), BodyError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let encoded = postcard::serialize_with_flavor(head, Appender(out));
    if encoded.is_err() || fill_length(out, start).is_none() {
        out.truncate(start);
        return Err(BodyError::Malformed);
    }
    out.reserve(tail.iter().map(|t| t.len()).sum::<usize>());
    for piece in tail {
        out.extend_from_slice(piece);
    }
    Ok(())
}

const LENGTH_BYTES: usize = 4;

/// Writes the length of the head that was appended after `start` into the room left for it.
fn fill_length(out: &mut [u8], start: usize) -> Option<()> {
    let (length, head) = out.get_mut(start..)?.split_first_chunk_mut::<LENGTH_BYTES>()?;
    *length = u32::try_from(head.len()).ok()?.to_be_bytes();
    Some(())
}

/// Lets postcard append to a buffer that holds other bytes already.
struct Appender<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appender<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Splits a body into its head and tail.
///
/// # Errors
/// `Truncated` when the head is cut, `Malformed` when it is not an `H` exactly.
pub fn decode<'a, H: Deserialize<'a>>(body: &'a [u8]) -> Result<(H, &'a [u8]), BodyError> {
    let (length, rest) = body.split_first_chunk::<4>().ok_or(BodyError::Truncated)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BodyError::Truncated)?;
    let (head, tail) = rest.split_at_checked(length).ok_or(BodyError::Truncated)?;
    let (head, left) = postcard::take_from_bytes(head).map_err(|_| BodyError::Malformed)?;
    if !left.is_empty() {
        return Err(BodyError::Malformed);
    }
    Ok((head, tail))
}

/// The postcard encoding of a small value that travels without a tail.
///
/// # Errors
/// `BodyError::Malformed` when the value can't be encoded.
pub fn to_vec<H: Serialize>(head: &H) -> Result<Vec<u8>, BodyError> {
    postcard::to_allocvec(head).map_err(|_| BodyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_come_back() {
        let mut out = Vec::new();
        encode(&(7u32, "x"), &[b"ab", b"c"], &mut out).unwrap();
        let (head, tail): ((u32, &str), _) = decode(&out).unwrap();
        assert_eq!((head, tail), ((7, "x"), &b"abc"[..]));
    }

    #[test]
    fn encoding_appends_and_leaves_no_trace_of_a_failure() {
        struct Unencodable;
        impl Serialize for Unencodable {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // Writes something, then fails.
                let _ = serializer.serialize_u64(u64::MAX)?;
                Err(serde::ser::Error::custom("no"))
            }
        }
        let mut out = b"before".to_vec();
        assert_eq!(
            encode(&Unencodable, &[b"tail"], &mut out),
            Err(BodyError::Malformed)
        );
        assert_eq!(out, b"before");
        encode(&7u8, &[b"tail"], &mut out).unwrap();
        assert_eq!(out, b"before\0\0\0\x01\x07tail");
    }

    #[test]
    fn left_over_and_missing_bytes_are_refused() {
        let mut out = Vec::new();
        encode(&(7u32, "xyz"), &[], &mut out).unwrap();
        assert_eq!(decode::<u8>(&out), Err(BodyError::Malformed));
        for cut in 0..out.len() {
            assert!(decode::<(u32, &str)>(&out[..cut]).is_err());
        }
    }
}
