//! Putting one message together: a tag, a length that is filled in at the end, and fields.

/// A message that can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Text with a NUL in it, which would end early on the wire.
    #[error("text for a message has a NUL in it")]
    Nul,
    /// A list or a message longer than its length field can say.
    #[error("a message is too long to be written")]
    TooLong,
}

/// Appends one message to `out`. When `body` or the length fails, `out` is left as it was.
pub(crate) fn message(
    out: &mut Vec<u8>,
    tag: Option<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let before = out.len();
    out.extend(tag);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let written = body(out).and_then(|()| fill_length(out, start));
    if written.is_err() {
        out.truncate(before);
    }
    written
}

fn fill_length(out: &mut [u8], start: usize) -> Result<(), EncodeError> {
    let message = out.get_mut(start..).unwrap_or_default();
    let length = i32::try_from(message.len()).map_err(|_| EncodeError::TooLong)?;
    let field = message.first_chunk_mut::<4>().ok_or(EncodeError::TooLong)?;
    *field = length.to_be_bytes();
    Ok(())
}

/// Appends text and its terminator.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    if text.as_bytes().contains(&0) {
        return Err(EncodeError::Nul);
    }
    out.extend_from_slice(text.as_bytes());
    out.push(0);
    Ok(())
}

/// Appends a value with its length before it; `None` is NULL.
pub(crate) fn put_value(out: &mut Vec<u8>, value: Option<&[u8]>) -> Result<(), EncodeError> {
    match value {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(value) => {
            let length = i32::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Appends a 16-bit count and the items.
pub(crate) fn put_counted<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    let mut count: u16 = 0;
    for item in items {
        count = count.checked_add(1).ok_or(EncodeError::TooLong)?;
        put(out, item)?;
    }
    let field = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<2>);
    *field.ok_or(EncodeError::TooLong)? = count.to_be_bytes();
    Ok(())
}
