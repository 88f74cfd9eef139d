//! What goes into the ledger.

use crate::exchange::{Asker, Learned};
use postern_envelope::Header;
use postern_ledger::{Details, Event, Level, Outcome, Record, StatementDigest};
use postern_types::{SessionId, Ticket};
use std::net::{IpAddr, SocketAddr};

/// Takes the records of a step; they must be on disk before its outputs go out (P8).
pub type Recorder<'a> = &'a mut dyn FnMut(&Record<'_>);

/// Address of the client, without its port; the Frontend writes it either way.
pub(crate) fn address(client: &str) -> Option<IpAddr> {
    let with_port = || client.parse::<SocketAddr>().ok().map(|address| address.ip());
    client.parse().ok().or_else(with_port)
}

/// What the client calls itself, among the parameters of its start-up message.
pub(crate) fn service(parameters: &[(String, String)]) -> Option<&str> {
    let own = parameters.iter().find(|(name, _)| name == "application_name");
    own.map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// The session of a header, unless it is that of heartbeats.
pub(crate) fn session(header: &Header) -> Option<SessionId> {
    (header.session != SessionId::NONE).then_some(header.session)
}

/// A batch or an envelope that is dropped.
pub(crate) fn dropped(reason: &'static str) -> Record<'static> {
    Record {
        level: Level::Alert,
        result: Outcome::Refused,
        details: Details {
            reason: Some(reason),
            ..Details::default()
        },
        ..Record::new(Event::EnvelopeRefused)
    }
}

/// An exchange with what is known of it before it is judged.
pub(crate) fn exchange<'a>(header: &Header, ticket: &'a Ticket, bytes: usize) -> Record<'a> {
    Record {
        session: session(header),
        exchange: Some(header.exchange),
        actor: Some(&ticket.user),
        tenant: ticket.tenant.as_deref(),
        details: Details {
            bytes: u64::try_from(bytes).ok(),
            client: address(&ticket.client),
            ..Details::default()
        },
        ..Record::new(Event::Exchange)
    }
}

/// A number by which an operator finds the record of a refusal: a digest of session and exchange, so that it is
/// the same when the exchange is delivered again.
pub(crate) fn reference(header: &Header) -> u32 {
    let StatementDigest([a, b, c, d, ..]) =
        StatementDigest::of(&format!("{} {}", header.session, header.exchange));
    u32::from_be_bytes([a, b, c, d])
}

/// The statements of one text, for learning.
pub(crate) fn learned(entry: &Record<'_>, asker: &Asker<'_>, learned: &Learned, record: Recorder<'_>) {
    let judged = &learned.judged;
    let would = if learned.misbound {
        Some(Outcome::Refused)
    } else {
        judged.would
    };
    for pattern in &judged.patterns {
        record(&Record {
            event: Event::StatementLearned,
            action: Some(judged.action),
            resource: std::slice::from_ref(&judged.digest),
            result: if judged.outcome.is_ok() {
                Outcome::Allowed
            } else {
                Outcome::Refused
            },
            roles: asker.roles,
            pattern: Some(pattern),
            rule: judged.denial.as_ref().map(|denial| denial.rule.as_str()),
            details: Details {
                would,
                policy: entry.details.policy,
                ..Details::default()
            },
            ..*entry
        });
    }
}
