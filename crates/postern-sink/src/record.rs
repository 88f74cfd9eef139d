//! The fields of a record that collectors want to see apart from its line.

use crate::feed::What;
use postern_types::{SessionId, TraceId};
use serde::Deserialize;
use std::borrow::Cow;

/// Read from a line. What is missing or is not as it should be is left out: the line itself goes with it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Fields<'a> {
    /// When it was written, RFC 3339 in UTC.
    #[serde(borrow, default)]
    pub time: Cow<'a, str>,
    /// `info`, `warn` or `alert`.
    #[serde(borrow, default)]
    pub level: Cow<'a, str>,
    /// What happened.
    #[serde(borrow, default)]
    pub event: Cow<'a, str>,
    /// How it ended.
    #[serde(borrow, default)]
    pub result: Cow<'a, str>,
    /// Its number in the ledger.
    #[serde(default)]
    pub number: u64,
    /// The session.
    #[serde(borrow, default)]
    pub session: Option<Cow<'a, str>>,
    /// The exchange.
    #[serde(default)]
    pub exchange: Option<u64>,
    /// The trace that the client named.
    #[serde(borrow, default)]
    pub trace: Option<Cow<'a, str>>,
    /// The client's span in it.
    #[serde(borrow, default)]
    pub parent: Option<Cow<'a, str>>,
    /// Whether the client records it, if it says so.
    #[serde(default)]
    pub sampled: Option<bool>,
    /// The named statement of the policy.
    #[serde(borrow, default)]
    pub named: Option<Cow<'a, str>>,
    /// The user.
    #[serde(borrow, default)]
    pub actor: Option<Cow<'a, str>>,
    /// The user's tenant.
    #[serde(borrow, default)]
    pub tenant: Option<Cow<'a, str>>,
    /// What was attempted.
    #[serde(borrow, default)]
    pub action: Option<Cow<'a, str>>,
    /// Its hash in the chain.
    #[serde(borrow, default)]
    pub hash: Cow<'a, str>,
    /// Numbers and names that go with it.
    #[serde(borrow, default)]
    pub details: Details<'a>,
}

/// Of the details, those that say who and why.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Details<'a> {
    /// Why.
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
    /// What the client was given.
    #[serde(borrow, default)]
    pub sqlstate: Option<Cow<'a, str>>,
    /// Address of the client.
    #[serde(borrow, default)]
    pub client: Option<Cow<'a, str>>,
    /// What the client was told to quote.
    #[serde(borrow, default)]
    pub reference: Option<Cow<'a, str>>,
    /// Rows of the answer.
    #[serde(default)]
    pub rows: Option<u64>,
    /// How long the stage was at it, in microseconds.
    #[serde(default)]
    pub duration_us: Option<u64>,
    /// How long the Backend was, in microseconds.
    #[serde(default)]
    pub backend_us: Option<u64>,
}

/// What is told of a checkpoint.
#[derive(Debug, Default, Deserialize)]
struct Signed<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(default)]
    segment: u64,
    #[serde(default)]
    records: u64,
}

impl<'a> Fields<'a> {
    /// Those of a line; all empty when it is no JSON object.
    pub fn of(line: &'a [u8]) -> Fields<'a> {
        // To look at the whole line once is cheaper than at each string in it.
        std::str::from_utf8(line).map_or_else(|_| Fields::default(), Fields::of_text)
    }

    /// Those of a line; all empty when it is no JSON object.
    pub fn of_text(line: &'a str) -> Fields<'a> {
        serde_json::from_str(line).unwrap_or_default()
    }

    /// Those of an entry. Of a checkpoint, the number is that of the last record that it covers.
    pub fn of_entry(what: What, line: &'a str) -> Fields<'a> {
        match what {
            What::Record => Fields::of_text(line),
            What::Checkpoint { .. } => {
                let signed: Signed<'a> = serde_json::from_str(line).unwrap_or_default();
                let after = signed.segment.saturating_add(signed.records);
                Fields {
                    time: signed.time,
                    level: Cow::Borrowed("info"),
                    event: Cow::Borrowed("checkpoint"),
                    result: Cow::Borrowed("signed"),
                    number: after.saturating_sub(1),
                    ..Fields::default()
                }
            }
        }
    }

    /// The session and exchange that it is about.
    pub fn exchange_of_session(&self) -> Option<(SessionId, u64)> {
        let session = TraceId::parse(self.session.as_deref()?)?;
        Some((SessionId(session.bytes()), self.exchange?))
    }

    /// The trace that it belongs to: that which the client named, or that of its session and exchange.
    pub fn trace_id(&self) -> Option<TraceId> {
        match &self.trace {
            Some(named) => TraceId::parse(named),
            None => {
                let (session, exchange) = self.exchange_of_session()?;
                Some(TraceId::of_exchange(session, exchange))
            }
        }
    }
}
