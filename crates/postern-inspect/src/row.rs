//! The one message that comes by the million, read without decoding its values.

/// Number of columns of a DataRow body, if its column lengths add up to exactly its size
/// (PostgreSQL manual, "Message Formats", DataRow).
pub(crate) fn columns(body: &[u8]) -> Option<u16> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let count = u16::from_be_bytes(*count);
    if count > i16::MAX.unsigned_abs() {
        return None;
    }
    for _ in 0..count {
        let (length, values) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length);
        // All ones is NULL, which has no bytes.
        let length = if length == u32::MAX { 0 } else { length };
        rest = values.get(usize::try_from(length).ok()?..)?;
    }
    rest.is_empty().then_some(count)
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn lengths_must_add_up() {
        assert_eq!(columns(b"\0\0"), Some(0));
        assert_eq!(columns(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"), Some(2));
        for bad in [
            &b""[..],
            b"\0",
            b"\0\0x",
            b"\0\x01",
            b"\0\x01\0\0\0\x02a",
            b"\0\x01\0\0\0\x01ab",
            b"\0\x01\xff\xff\xff\xfe",
            b"\0\x01\x7f\xff\xff\xff",
            b"\xff\xff",
        ] {
            assert_eq!(columns(bad), None, "{bad:?}");
        }
    }
}
