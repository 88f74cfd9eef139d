//! The fields of a record that comparing needs, read back from its line.

use crate::record::{Event, Outcome};
use jiff::Timestamp;
use postern_types::{SessionId, Stage};
use serde::Deserialize;

/// What comparing needs of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) time_ms: i64,
    pub(crate) stage: Stage,
    /// `None` for an event of a newer version.
    pub(crate) event: Option<Event>,
    pub(crate) session: Option<SessionId>,
    pub(crate) exchange: Option<u64>,
    pub(crate) refused: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    number: u64,
    time: &'a str,
    stage: Stage,
    event: &'a str,
    session: Option<&'a str>,
    exchange: Option<u64>,
    result: &'a str,
}

/// The fields of a line, without its end; `None` when it is not a record.
pub(crate) fn entry(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let time: Timestamp = line.time.parse().ok()?;
    let session = match line.session {
        Some(text) => Some(session_id(text)?),
        None => None,
    };
    Some(Entry {
        number: line.number,
        time_ms: time.as_millisecond(),
        stage: line.stage,
        event: Event::from_name(line.event),
        session,
        exchange: line.exchange,
        refused: line.result == Outcome::Refused.name(),
    })
}

fn session_id(text: &str) -> Option<SessionId> {
    let value = u128::from_str_radix(text, 16).ok()?;
    let session = SessionId(value.to_be_bytes());
    (session.to_string() == text).then_some(session)
}
