//! The fields of a record that collectors want to see apart from its line.

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
}

impl<'a> Fields<'a> {
    /// Those of a line; all empty when it is no JSON object.
    pub fn of(line: &'a [u8]) -> Fields<'a> {
        serde_json::from_slice(line).unwrap_or_default()
    }
}
