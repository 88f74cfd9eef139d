//! Writing messages to PostgreSQL. Text with a NUL in it is refused: on the wire it would end early and the
//! rest of it would be read as something else. A message that can't be written leaves `out` as it was.

use crate::encode::{EncodeError, message, put_counted, put_str, put_value};
use crate::frontend::Target;
use crate::tag::frontend_tag as tag;

/// Appends Query.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_query(out: &mut Vec<u8>, sql: &str) -> Result<(), EncodeError> {
    message(out, Some(tag::QUERY), |out| put_str(out, sql))
}

/// Appends Parse.
///
/// # Errors
/// `Nul`; `TooLong`, also for more than 65,535 types.
pub fn put_parse(
    out: &mut Vec<u8>,
    name: &str,
    sql: &str,
    types: impl IntoIterator<Item = u32>,
) -> Result<(), EncodeError> {
    message(out, Some(tag::PARSE), |out| {
        put_str(out, name)?;
        put_str(out, sql)?;
        put_counted(out, types, |out, oid| {
            out.extend_from_slice(&oid.to_be_bytes());
            Ok(())
        })
    })
}

/// Appends Bind. `tail` holds formats, values and result formats, as decoding gave it.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_bind(out: &mut Vec<u8>, portal: &str, statement: &str, tail: &[u8]) -> Result<(), EncodeError> {
    message(out, Some(tag::BIND), |out| {
        put_str(out, portal)?;
        put_str(out, statement)?;
        out.extend_from_slice(tail);
        Ok(())
    })
}

/// The tail of a Bind from its parameters, each as (is binary, value) where `None` is NULL, and the formats of its
/// result with their count in front.
///
/// # Errors
/// `TooLong`, also for more than 65,535 parameters.
pub fn bind_tail(values: &[(bool, Option<&[u8]>)], result_formats: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut tail = Vec::new();
    put_counted(&mut tail, values.iter(), |out, (binary, _)| {
        out.extend_from_slice(&u16::from(*binary).to_be_bytes());
        Ok(())
    })?;
    put_counted(&mut tail, values.iter(), |out, (_, value)| put_value(out, *value))?;
    tail.extend_from_slice(result_formats);
    Ok(tail)
}

/// Appends Describe.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_describe(out: &mut Vec<u8>, target: Target, name: &str) -> Result<(), EncodeError> {
    message(out, Some(tag::DESCRIBE), |out| put_target(out, target, name))
}

/// Appends Close.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_close(out: &mut Vec<u8>, target: Target, name: &str) -> Result<(), EncodeError> {
    message(out, Some(tag::CLOSE), |out| put_target(out, target, name))
}

fn put_target(out: &mut Vec<u8>, target: Target, name: &str) -> Result<(), EncodeError> {
    out.push(target.byte());
    put_str(out, name)
}

/// Appends Execute; `max_rows` 0 is no limit.
///
/// # Errors
/// `Nul`; `TooLong`, also for a row limit above 2^31 - 1.
pub fn put_execute(out: &mut Vec<u8>, portal: &str, max_rows: u32) -> Result<(), EncodeError> {
    let max_rows = i32::try_from(max_rows).map_err(|_| EncodeError::TooLong)?;
    message(out, Some(tag::EXECUTE), |out| {
        put_str(out, portal)?;
        out.extend_from_slice(&max_rows.to_be_bytes());
        Ok(())
    })
}

/// Appends a message without a body.
fn put_bare(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

/// Appends Flush.
pub fn put_flush(out: &mut Vec<u8>) {
    put_bare(out, tag::FLUSH);
}

/// Appends Sync.
pub fn put_sync(out: &mut Vec<u8>) {
    put_bare(out, tag::SYNC);
}

/// Appends CopyDone; the same bytes in both directions.
pub fn put_copy_done(out: &mut Vec<u8>) {
    put_bare(out, tag::COPY_DONE);
}

/// Appends Terminate.
pub fn put_terminate(out: &mut Vec<u8>) {
    put_bare(out, tag::TERMINATE);
}

/// Appends CopyData; the same bytes in both directions.
///
/// # Errors
/// `TooLong`.
pub fn put_copy_data(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    message(out, Some(tag::COPY_DATA), |out| {
        out.extend_from_slice(data);
        Ok(())
    })
}

/// Appends CopyFail.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_copy_fail(out: &mut Vec<u8>, reason: &str) -> Result<(), EncodeError> {
    message(out, Some(tag::COPY_FAIL), |out| put_str(out, reason))
}

/// Appends StartupMessage of protocol 3.`minor`, with `user` and `database` among the parameters.
///
/// # Errors
/// `Nul`, also for a parameter without a name; `TooLong`.
pub fn put_startup(out: &mut Vec<u8>, minor: u16, parameters: &[(&str, &str)]) -> Result<(), EncodeError> {
    message(out, None, |out| {
        out.extend_from_slice(&3u16.to_be_bytes());
        out.extend_from_slice(&minor.to_be_bytes());
        for (name, value) in parameters {
            // An empty name is the terminator of the list.
            if name.is_empty() {
                return Err(EncodeError::Nul);
            }
            put_str(out, name)?;
            put_str(out, value)?;
        }
        out.push(0);
        Ok(())
    })
}

/// Appends SSLRequest.
pub fn put_ssl_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&8u32.to_be_bytes());
    out.extend_from_slice(&crate::startup::SSL_REQUEST.to_be_bytes());
}

/// Appends CancelRequest.
///
/// # Errors
/// `TooLong` for a key that is not 4 to 256 bytes.
pub fn put_cancel(out: &mut Vec<u8>, process_id: u32, key: &[u8]) -> Result<(), EncodeError> {
    if !crate::startup::CANCEL_KEY.contains(&key.len()) {
        return Err(EncodeError::TooLong);
    }
    message(out, None, |out| {
        out.extend_from_slice(&crate::startup::CANCEL_REQUEST.to_be_bytes());
        out.extend_from_slice(&process_id.to_be_bytes());
        out.extend_from_slice(key);
        Ok(())
    })
}

/// Appends PasswordMessage.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_password(out: &mut Vec<u8>, password: &str) -> Result<(), EncodeError> {
    message(out, Some(tag::PASSWORD), |out| put_str(out, password))
}

/// Appends SASLInitialResponse.
///
/// # Errors
/// `Nul`, `TooLong`.
pub fn put_sasl_initial(out: &mut Vec<u8>, mechanism: &str, data: &[u8]) -> Result<(), EncodeError> {
    message(out, Some(tag::PASSWORD), |out| {
        put_str(out, mechanism)?;
        put_value(out, Some(data))
    })
}

/// Appends SASLResponse.
///
/// # Errors
/// `TooLong`.
pub fn put_sasl_response(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    message(out, Some(tag::PASSWORD), |out| {
        out.extend_from_slice(data);
        Ok(())
    })
}
