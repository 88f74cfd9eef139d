//! Writing messages to a client.
//!
//! What goes to a client must always be writable, so these functions can't fail where the content is text
//! of our own: a NUL in it is left out, and it is cut after 65,536 characters. Only rows can be too long.

use crate::backend::TransactionStatus;
use crate::encode::{EncodeError, message, put_counted, put_str, put_value};
use crate::rows::Field;
use crate::tag::backend_tag as tag;
use postern_types::{Refusal, SqlState};

/// Severity of an error or notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// A warning.
    Warning,
    /// A notice.
    Notice,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }
}

/// Longest text of one field in characters.
const MAX_TEXT: usize = 64 * 1024;

/// Appends text and its terminator, cut and without NUL, so that it always fits its field.
fn put_safe(out: &mut Vec<u8>, text: &str) {
    // Counted in characters, so that no character is cut in two.
    let text = text.chars().take(MAX_TEXT).filter(|c| *c != '\0');
    let mut utf8 = [0; 4];
    text.for_each(|c| out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes()));
    out.push(0);
}

/// Appends a message whose parts are all bounded. If it were too long all the same nothing would be written.
fn put_bounded(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let written = message(out, Some(tag), |out| {
        body(out);
        Ok(())
    });
    debug_assert!(written.is_ok(), "a bounded message fits");
}

/// Appends ErrorResponse. `position` is that of the fault in the statement, in characters from 1.
pub fn put_error(out: &mut Vec<u8>, severity: Severity, code: SqlState, text: &str, position: Option<u32>) {
    put_fields(out, tag::ERROR_RESPONSE, severity, code, text, position);
}

/// Appends the ErrorResponse of a refusal.
pub fn put_refusal(out: &mut Vec<u8>, refusal: &Refusal) {
    let severity = if refusal.fatal {
        Severity::Fatal
    } else {
        Severity::Error
    };
    put_error(out, severity, refusal.code, &refusal.message, refusal.position);
}

/// Appends NoticeResponse.
pub fn put_notice(out: &mut Vec<u8>, severity: Severity, code: SqlState, text: &str) {
    put_fields(out, tag::NOTICE_RESPONSE, severity, code, text, None);
}

fn put_fields(
    out: &mut Vec<u8>,
    tag: u8,
    severity: Severity,
    code: SqlState,
    text: &str,
    position: Option<u32>,
) {
    put_bounded(out, tag, |out| {
        let mut field = |name: u8, text: &str| {
            out.push(name);
            put_safe(out, text);
        };
        field(b'S', severity.as_str());
        field(b'V', severity.as_str());
        field(b'C', code.as_str());
        field(b'M', text);
        if let Some(position) = position {
            field(b'P', &position.to_string());
        }
        out.push(0);
    });
}

/// Appends ReadyForQuery.
pub fn put_ready(out: &mut Vec<u8>, status: TransactionStatus) {
    out.extend_from_slice(&[tag::READY_FOR_QUERY, 0, 0, 0, 5, status.byte()]);
}

/// Appends a message without a body.
fn put_bare(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

/// Appends ParseComplete.
pub fn put_parse_complete(out: &mut Vec<u8>) {
    put_bare(out, tag::PARSE_COMPLETE);
}

/// Appends BindComplete.
pub fn put_bind_complete(out: &mut Vec<u8>) {
    put_bare(out, tag::BIND_COMPLETE);
}

/// Appends CloseComplete.
pub fn put_close_complete(out: &mut Vec<u8>) {
    put_bare(out, tag::CLOSE_COMPLETE);
}

/// Appends NoData.
pub fn put_no_data(out: &mut Vec<u8>) {
    put_bare(out, tag::NO_DATA);
}

/// Appends PortalSuspended.
pub fn put_portal_suspended(out: &mut Vec<u8>) {
    put_bare(out, tag::PORTAL_SUSPENDED);
}

/// Appends EmptyQueryResponse.
pub fn put_empty_query_response(out: &mut Vec<u8>) {
    put_bare(out, tag::EMPTY_QUERY_RESPONSE);
}

/// Appends CommandComplete with this command tag.
pub fn put_command_complete(out: &mut Vec<u8>, command: &str) {
    put_bounded(out, tag::COMMAND_COMPLETE, |out| put_safe(out, command));
}

/// Appends ParameterStatus.
pub fn put_parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    put_bounded(out, tag::PARAMETER_STATUS, |out| {
        put_safe(out, name);
        put_safe(out, value);
    });
}

/// Appends NotificationResponse.
pub fn put_notification(out: &mut Vec<u8>, process_id: u32, channel: &str, payload: &str) {
    put_bounded(out, tag::NOTIFICATION_RESPONSE, |out| {
        out.extend_from_slice(&process_id.to_be_bytes());
        put_safe(out, channel);
        put_safe(out, payload);
    });
}

/// Appends BackendKeyData. The key has 4 bytes in protocol 3.0, 4 to 256 in 3.2.
pub fn put_backend_key_data(out: &mut Vec<u8>, process_id: u32, key: &[u8]) {
    debug_assert!(
        crate::startup::CANCEL_KEY.contains(&key.len()),
        "a cancel key has 4 to 256 bytes"
    );
    put_bounded(out, tag::BACKEND_KEY_DATA, |out| {
        out.extend_from_slice(&process_id.to_be_bytes());
        out.extend_from_slice(key);
    });
}

/// Appends AuthenticationOk.
pub fn put_authentication_ok(out: &mut Vec<u8>) {
    put_authentication(out, 0, |_| ());
}

/// Appends AuthenticationSASL with these mechanisms, best first.
pub fn put_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    put_authentication(out, 10, |out| {
        for mechanism in mechanisms.iter().filter(|m| !m.is_empty()) {
            put_safe(out, mechanism);
        }
        out.push(0);
    });
}

/// Appends AuthenticationSASLContinue.
pub fn put_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    put_authentication(out, 11, |out| out.extend_from_slice(data));
}

/// Appends AuthenticationSASLFinal.
pub fn put_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    put_authentication(out, 12, |out| out.extend_from_slice(data));
}

fn put_authentication(out: &mut Vec<u8>, step: u32, body: impl FnOnce(&mut Vec<u8>)) {
    put_bounded(out, tag::AUTHENTICATION, |out| {
        out.extend_from_slice(&step.to_be_bytes());
        body(out);
    });
}

/// Appends NegotiateProtocolVersion: 3.`minor` is spoken, and these protocol options are not known.
pub fn put_negotiate_protocol_version(out: &mut Vec<u8>, minor: u16, unknown_options: &[String]) {
    put_bounded(out, tag::NEGOTIATE_PROTOCOL_VERSION, |out| {
        // PostgreSQL sends the whole version here, and clients compare it as such.
        out.extend_from_slice(&3u16.to_be_bytes());
        out.extend_from_slice(&minor.to_be_bytes());
        let count = u32::try_from(unknown_options.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for option in unknown_options {
            put_safe(out, option);
        }
    });
}

/// Appends RowDescription.
///
/// # Errors
/// `Nul` in a name; `TooLong`, also for more than 65,535 columns.
pub fn put_row_description<'f>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = Field<'f>>,
) -> Result<(), EncodeError> {
    message(out, Some(tag::ROW_DESCRIPTION), |out| {
        put_counted(out, fields, |out, field| {
            put_str(out, field.name)?;
            out.extend_from_slice(&field.table_oid.to_be_bytes());
            out.extend_from_slice(&field.column.to_be_bytes());
            out.extend_from_slice(&field.type_oid.to_be_bytes());
            out.extend_from_slice(&field.size.to_be_bytes());
            out.extend_from_slice(&field.modifier.to_be_bytes());
            out.extend_from_slice(&field.format.to_be_bytes());
            Ok(())
        })
    })
}

/// Appends DataRow; `None` is NULL.
///
/// # Errors
/// `TooLong`, also for more than 65,535 columns.
pub fn put_data_row<'v>(
    out: &mut Vec<u8>,
    columns: impl IntoIterator<Item = Option<&'v [u8]>>,
) -> Result<(), EncodeError> {
    message(out, Some(tag::DATA_ROW), |out| {
        put_counted(out, columns, put_value)
    })
}

/// Appends ParameterDescription.
///
/// # Errors
/// `TooLong` for more than 65,535 parameters.
pub fn put_parameter_description(
    out: &mut Vec<u8>,
    types: impl IntoIterator<Item = u32>,
) -> Result<(), EncodeError> {
    message(out, Some(tag::PARAMETER_DESCRIPTION), |out| {
        put_counted(out, types, |out, oid| {
            out.extend_from_slice(&oid.to_be_bytes());
            Ok(())
        })
    })
}

/// Appends CopyInResponse with the same format for all columns.
pub fn put_copy_in_response(out: &mut Vec<u8>, binary: bool, columns: u16) {
    put_copy_response(out, tag::COPY_IN_RESPONSE, binary, columns);
}

/// Appends CopyOutResponse with the same format for all columns.
pub fn put_copy_out_response(out: &mut Vec<u8>, binary: bool, columns: u16) {
    put_copy_response(out, tag::COPY_OUT_RESPONSE, binary, columns);
}

fn put_copy_response(out: &mut Vec<u8>, tag: u8, binary: bool, columns: u16) {
    put_bounded(out, tag, |out| {
        out.push(u8::from(binary));
        out.extend_from_slice(&columns.to_be_bytes());
        for _ in 0..columns {
            out.extend_from_slice(&u16::from(binary).to_be_bytes());
        }
    });
}
