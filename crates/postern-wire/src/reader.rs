//! A checked cursor over one message, and the cutting of a stream into frames.

use crate::WireError;
use std::fmt;

/// One whole message, still undecoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type of the message.
    pub tag: u8,
    /// What follows the length field.
    pub body: &'a [u8],
    /// The whole message: tag, length and body.
    pub raw: &'a [u8],
}

// The body may hold parameters, rows or a password, so only its size is shown.
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", char::from(self.tag), self.body.len())
    }
}

/// Bytes before the body: tag and length.
const HEADER: usize = 5;

/// Cuts the first message off `buf`. `limit_of` gives the kind and the highest length field of a tag, and
/// is asked as soon as the header is there. `None` when more bytes are needed.
pub(crate) fn frame(
    buf: &[u8],
    limit_of: impl FnOnce(u8) -> Result<(&'static str, u32), WireError>,
) -> Result<Option<Frame<'_>>, WireError> {
    let Some((&tag, rest)) = buf.split_first() else {
        return Ok(None);
    };
    // An unknown tag is refused before its length is believed.
    let (message, limit) = limit_of(tag)?;
    let Some(length) = rest.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    check_length(message, length, 4, limit)?;
    let total = usize::try_from(length)
        .ok()
        .and_then(|n| n.checked_add(1))
        .ok_or(WireError::Length { length })?;
    let Some(raw) = buf.get(..total) else {
        return Ok(None);
    };
    let body = raw.get(HEADER..).unwrap_or_default();
    Ok(Some(Frame { tag, body, raw }))
}

/// Checks a length field against its bounds, both inclusive.
pub(crate) fn check_length(
    message: &'static str,
    length: u32,
    least: u32,
    limit: u32,
) -> Result<(), WireError> {
    if length < least || i32::try_from(length).is_err() {
        return Err(WireError::Length { length });
    }
    if length > limit {
        return Err(WireError::TooLong {
            message,
            length,
            limit,
        });
    }
    Ok(())
}

/// Reads the fields of one message's body in order. Every read is checked; `finish` refuses leftovers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'static str, body: &'a [u8]) -> Self {
        Reader { rest: body, message }
    }

    pub(crate) fn malformed(&self, reason: &'static str) -> WireError {
        let message = self.message;
        WireError::Malformed { message, reason }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.malformed("a field runs past the end"))?;
        self.rest = rest;
        Ok(head)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.malformed("a field runs past the end"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.chunk().map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        self.chunk().map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        self.chunk().map(i32::from_be_bytes)
    }

    /// Text up to and without its terminating NUL, as bytes.
    pub(crate) fn cstr_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let end = self
            .rest
            .iter()
            .position(|&b| b == 0)
            .ok_or_else(|| self.malformed("a string has no terminator"))?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// Text up to and without its terminating NUL.
    pub(crate) fn cstr(&mut self) -> Result<&'a str, WireError> {
        let message = self.message;
        let bytes = self.cstr_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| WireError::Encoding { message })
    }

    /// A value with its length before it; a length of -1 is NULL.
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| self.malformed("a value has a negative length"))?;
                self.take(length).map(Some)
            }
        }
    }

    /// A format code: 0 is text, 1 is binary.
    pub(crate) fn format(&mut self) -> Result<u16, WireError> {
        match self.u16()? {
            code @ (0 | 1) => Ok(code),
            _ => Err(self.malformed("a format code is neither text nor binary")),
        }
    }

    /// A count of format codes followed by them; returns the count.
    pub(crate) fn formats(&mut self) -> Result<u16, WireError> {
        let count = self.u16()?;
        for _ in 0..count {
            self.format()?;
        }
        Ok(count)
    }

    /// The message must end here.
    pub(crate) fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("bytes are left over at its end"))
        }
    }
}
