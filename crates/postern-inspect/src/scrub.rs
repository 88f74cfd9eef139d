//! How much of errors, notices and settings a client is told.

use postern_types::{ErrorDetail, SqlState};
use postern_wire::{BackendMessage, Fields, Severity, put_error, put_notice};

/// What becomes of a message.
pub(crate) enum Scrubbed {
    /// It goes on as it is.
    Keep,
    /// This goes on in its place; empty is nothing.
    Replace(Vec<u8>),
}

/// Decides on one message of an answer.
pub(crate) fn scrub(detail: ErrorDetail, message: &BackendMessage<'_>) -> Scrubbed {
    match message {
        BackendMessage::ErrorResponse(fields) if detail != ErrorDetail::Full => {
            let mut out = Vec::new();
            let fatal = matches!(fields.severity(), Some("FATAL" | "PANIC"));
            let severity = if fatal { Severity::Fatal } else { Severity::Error };
            let code = code_of(fields);
            let text = text_of(detail, fields, code);
            put_error(&mut out, severity, code, text, position_of(detail, fields));
            Scrubbed::Replace(out)
        }
        // A notice without its text is of no use to anybody.
        BackendMessage::NoticeResponse(_) if detail == ErrorDetail::CodeOnly => Scrubbed::Replace(Vec::new()),
        BackendMessage::NoticeResponse(fields) if detail == ErrorDetail::CodeAndMessage => {
            let mut out = Vec::new();
            let warning = fields.severity() == Some("WARNING");
            let severity = if warning {
                Severity::Warning
            } else {
                Severity::Notice
            };
            put_notice(
                &mut out,
                severity,
                code_of(fields),
                fields.message().unwrap_or_default(),
            );
            Scrubbed::Replace(out)
        }
        _ => Scrubbed::Keep,
    }
}

/// The SQLSTATE of an error or notice; that of an internal error where it has none.
pub(crate) fn code_of(fields: &Fields<'_>) -> SqlState {
    fields.sqlstate().unwrap_or(SqlState::INTERNAL_ERROR)
}

fn text_of<'a>(detail: ErrorDetail, fields: &Fields<'a>, code: SqlState) -> &'a str {
    match detail {
        ErrorDetail::CodeOnly => own_text(code),
        ErrorDetail::Full | ErrorDetail::CodeAndMessage => fields.message().unwrap_or_default(),
    }
}

/// Where the fault is in the statement. The client wrote the statement, so this tells it nothing new, but
/// with `CodeOnly` it could tell how far an expression came.
fn position_of(detail: ErrorDetail, fields: &Fields<'_>) -> Option<u32> {
    match detail {
        ErrorDetail::CodeOnly => None,
        ErrorDetail::Full | ErrorDetail::CodeAndMessage => fields.get(b'P')?.parse().ok(),
    }
}

/// A sentence for a SQLSTATE, by its class (manual, appendix "Error Codes"), that says nothing about data.
fn own_text(code: SqlState) -> &'static str {
    match code.as_str() {
        "23502" => "a value that is required is missing",
        "23503" => "a foreign key is violated",
        "23505" => "a value that must be unique exists already",
        "23514" => "a check constraint is violated",
        "25P02" => "the transaction is aborted; commands are ignored until it ends",
        "40001" => "the transaction could not be serialized; try it again",
        "40P01" => "the transaction met a deadlock; try it again",
        "42501" => "permission denied",
        "42601" => "syntax error",
        "42703" => "no such column",
        "42P01" => "no such table",
        "57014" => "the statement was cancelled or ran out of time",
        code => match code.as_bytes().first_chunk::<2>() {
            Some(b"08") => "the connection to the database failed",
            Some(b"22") => "a value is not valid",
            Some(b"23") => "a constraint is violated",
            Some(b"25") => "the transaction is not in the right state for this",
            Some(b"26") => "no such prepared statement",
            Some(b"28") => "sign-in was refused",
            Some(b"34") => "no such cursor or portal",
            Some(b"40") => "the transaction was rolled back; try it again",
            Some(b"42") => "the statement can't be run as written",
            Some(b"53") => "the database is short of resources; try again later",
            Some(b"54") => "the statement exceeds a limit of the database",
            Some(b"55") => "an object is in use or not in the right state",
            Some(b"57") => "the database stopped the statement",
            _ => "the database reported an error",
        },
    }
}
