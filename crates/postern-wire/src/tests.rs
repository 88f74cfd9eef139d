//! Messages of both sides, from bytes and back, and what must be refused.

mod backend;
mod frontend;
mod startup;

use crate::Limits;
use postern_types::SqlState;

/// A message of a client or of PostgreSQL with this body.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// A header alone, with this length field.
fn header(tag: u8, length: u32) -> Vec<u8> {
    [&[tag], &length.to_be_bytes()[..]].concat()
}

fn limits() -> Limits {
    Limits::default()
}

/// The SQLSTATE of a result that must be an error.
fn refused<T: std::fmt::Debug>(result: Result<T, crate::WireError>) -> SqlState {
    result.unwrap_err().sqlstate()
}
