//! Syslog (RFC 5424): what a record looks like there, and how it gets there.
//!
//! The message is the record's line as it is in the ledger, so that what is collected can be held against the ledger
//! byte for byte. What is searched for most is in the header and in one element of structured data.

mod transport;

pub use transport::Framing;
pub(crate) use transport::{Syslog, Transport};

use crate::feed::Entry;
use crate::record::Fields;
use std::io::Write as _;

/// The number that RFC 5612 leaves to whoever has none of their own.
const SD_ID: &str = "postern@32473";
/// Longest HOSTNAME and MSGID.
const HOST_BYTES: usize = 255;
const MSGID_BYTES: usize = 32;

/// What is the same for all messages of a sink.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// 0 to 23; RFC 5424, section 6.2.1.
    facility: u8,
    /// Name of the machine, as a header field.
    host: String,
}

impl Header {
    /// For a facility of 0 to 23 and a machine of this name.
    pub(crate) fn new(facility: u8, host: &str) -> Header {
        Header {
            facility: facility.min(23),
            host: token(host, HOST_BYTES),
        }
    }

    /// Appends the message of a record.
    pub(crate) fn write(&self, entry: &Entry, out: &mut Vec<u8>) {
        let line = String::from_utf8_lossy(&entry.line);
        let fields = Fields::of_entry(entry.what, &line);
        let priority = u16::from(self.facility) * 8 + severity(&fields.level);
        let time = token(&fields.time, MSGID_BYTES);
        let event = token(&fields.event, MSGID_BYTES);
        let (host, stage) = (&self.host, entry.stage);
        // Writing to a Vec can't fail.
        let _ = write!(
            out,
            "<{priority}>1 {time} {host} postern-{stage} - {event} [{SD_ID}"
        );
        put("number", &fields.number.to_string(), out);
        put("level", &fields.level, out);
        put("result", &fields.result, out);
        for (name, value) in [
            ("session", &fields.session),
            ("actor", &fields.actor),
            ("tenant", &fields.tenant),
            ("action", &fields.action),
            ("reason", &fields.details.reason),
            ("reference", &fields.details.reference),
        ] {
            if let Some(value) = value {
                put(name, value, out);
            }
        }
        if let Some(exchange) = fields.exchange {
            put("exchange", &exchange.to_string(), out);
        }
        if let Some(trace) = fields.trace_id() {
            put("trace", &trace.to_string(), out);
        }
        out.extend_from_slice(b"] ");
        out.extend_from_slice(&entry.line);
    }
}

/// RFC 5424, section 6.2.1: informational, warning, alert.
fn severity(level: &str) -> u16 {
    match level {
        "info" => 6,
        "warn" => 4,
        _ => 1,
    }
}

/// A header field: printable ASCII without spaces, or `-` for nothing.
fn token(text: &str, longest: usize) -> String {
    let field: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(longest)
        .collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

/// Appends a parameter of structured data (RFC 5424, section 6.3.3).
fn put(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [" ", name, "=\""] {
        out.extend_from_slice(part.as_bytes());
    }
    // Nearly all are like this.
    if value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b']'))
    {
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
        return;
    }
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | ']') {
            out.push(b'\\');
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
