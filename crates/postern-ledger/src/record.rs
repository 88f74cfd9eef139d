//! What a record may say. Every field is of a type that can't hold a row, a parameter, a statement text or a
//! secret; names are cut to [`NAME_BYTES`]. The exceptions a policy has to ask for: [`Record::pattern`], a statement
//! without its literals, and [`Record::values`], parameters and columns that it names.

use postern_types::{InstanceId, KeptValue, SessionId, SqlState, TraceParent};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::time::Duration;

/// Longest part of a name that is recorded, in bytes. PostgreSQL's own names have at most 63.
pub(crate) const NAME_BYTES: usize = 128;
/// Longest statement without its literals that is recorded, in bytes.
pub const PATTERN_BYTES: usize = 8 * 1024;
/// Most roles or objects of a record.
pub(crate) const LISTED: usize = 16;
/// Most values of one record.
pub const VALUES: usize = 16;
/// Longest part of a value that is recorded in clear, in bytes.
pub(crate) const VALUE_BYTES: usize = 256;
/// Most statements of one exchange whose digests are recorded; `Details::statements` has the true count.
pub(crate) const RESOURCES: usize = 64;

/// What happened. The same names in all four ledgers, so that they can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// One step of signing in was decided (Query Validator) or carried.
    SignIn,
    /// A session began.
    SessionOpen,
    /// A session ended.
    SessionClose,
    /// An exchange is about to be handed on (all stages, exactly one record each; a validator that is
    /// handed the same exchange again may repeat it, the Backend never does). The Frontend writes it before
    /// publishing, the Backend before running, the Response Validator before the first part of the answer.
    Exchange,
    /// The totals of an exchange whose answer had several parts (Backend, Response Validator).
    ExchangeEnd,
    /// The last part of the answer was written to the client (Frontend).
    ExchangeAnswered,
    /// The exchange will never be answered in full, and the client was told so if it was still there
    /// (Frontend).
    ExchangeLost,
    /// Values of an exchange that the policy asks for: of parameters (Query Validator), of columns of rows (Response
    /// Validator). They are in [`Record::values`], [`VALUES`] in a record.
    ExchangeValues,
    /// The client asked for a running exchange to be cancelled.
    ExchangeCancel,
    /// The stage started; `Details::instance` is its run. Written by [`crate::Ledger::open`].
    StageStart,
    /// The stage stopped cleanly. Written by [`crate::Ledger::close`].
    StageStop,
    /// Something in an answer that somebody should know of: a detector or a honey token that raises alerts, a role
    /// that is not held to its tenant, rows left out. `Details::reason` says what, `Details::messages` how often.
    AnswerAlert,
    /// An envelope or a batch was refused; `Details::reason` says why.
    EnvelopeRefused,
    /// A policy was loaded; the resource is its digest.
    PolicyLoaded,
    /// A changed policy has mistakes and was not taken; the one from before still holds. The resource is the
    /// digest of what was not taken.
    PolicyRefused,
    /// A statement as a role in learn or shadow mode ran it, without its literals.
    StatementLearned,
    /// Link keys were taken while the stage runs; `Details::epoch` is sealed with from now on.
    KeysTurned,
    /// A changed key file has mistakes and was not taken; `Details::epoch` is still sealed with.
    KeysRefused,
    /// Another certificate for clients was taken while the stage runs; the resource is its SHA-256 (Frontend, Query
    /// Validator).
    CertificateTaken,
    /// A changed certificate or key can't be used and was not taken; the one from before still holds.
    CertificateRefused,
    /// The users file was taken, at start or while the stage runs; the resource is its SHA-256 (Query Validator).
    UsersTaken,
    /// A changed users file has mistakes and was not taken; the users from before still hold.
    UsersRefused,
    /// A torn last line was cut off at start; `Details::bytes` of it. Written by [`crate::Ledger::open`].
    LedgerRecovered,
    /// Somebody ran a command that changes the ring (`action`, with what it was about in `objects`); written before it is
    /// done, and once more if it failed (operator).
    AdminCommand,
    /// So many records (`Details::messages`) were dropped here because the disk was full. Written by
    /// [`crate::Ledger::commit`].
    LedgerGap,
}

impl Event {
    /// All events.
    pub const ALL: [Event; 25] = [
        Event::SignIn,
        Event::SessionOpen,
        Event::SessionClose,
        Event::Exchange,
        Event::ExchangeEnd,
        Event::ExchangeAnswered,
        Event::ExchangeLost,
        Event::ExchangeValues,
        Event::ExchangeCancel,
        Event::StageStart,
        Event::StageStop,
        Event::AnswerAlert,
        Event::EnvelopeRefused,
        Event::PolicyLoaded,
        Event::PolicyRefused,
        Event::StatementLearned,
        Event::KeysTurned,
        Event::KeysRefused,
        Event::CertificateTaken,
        Event::CertificateRefused,
        Event::UsersTaken,
        Event::UsersRefused,
        Event::AdminCommand,
        Event::LedgerRecovered,
        Event::LedgerGap,
    ];

    /// The name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Event::SignIn => "signin",
            Event::SessionOpen => "session.open",
            Event::SessionClose => "session.close",
            Event::Exchange => "exchange",
            Event::ExchangeEnd => "exchange.end",
            Event::ExchangeAnswered => "exchange.answered",
            Event::ExchangeLost => "exchange.lost",
            Event::ExchangeValues => "exchange.values",
            Event::ExchangeCancel => "exchange.cancel",
            Event::StageStart => "stage.start",
            Event::StageStop => "stage.stop",
            Event::AnswerAlert => "answer.alert",
            Event::EnvelopeRefused => "envelope.refused",
            Event::PolicyLoaded => "policy.loaded",
            Event::PolicyRefused => "policy.refused",
            Event::StatementLearned => "statement.learned",
            Event::KeysTurned => "keys.turned",
            Event::KeysRefused => "keys.refused",
            Event::CertificateTaken => "certificate.taken",
            Event::CertificateRefused => "certificate.refused",
            Event::UsersTaken => "users.taken",
            Event::UsersRefused => "users.refused",
            Event::AdminCommand => "admin.command",
            Event::LedgerRecovered => "ledger.recovered",
            Event::LedgerGap => "ledger.gap",
        }
    }

    /// The event of this name.
    pub fn from_name(name: &str) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// How much a record matters to a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    #[default]
    Info,
    /// Refused, or worth a look.
    Warn,
    /// An invariant is broken or somebody is attacking.
    Alert,
}

impl Level {
    /// The name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Alert => "alert",
        }
    }
}

/// How it ended, as far as this stage can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Let through.
    #[default]
    Allowed,
    /// Refused by this stage. A Frontend that refuses an exchange does not publish it.
    Refused,
    /// Let through, and failed further on.
    Failed,
}

impl Outcome {
    /// The name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Allowed => "allowed",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// Identity of a statement: the SHA-256 of its text. The text itself is never recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatementDigest(pub [u8; 32]);

impl StatementDigest {
    /// The digest of this text.
    pub fn of(text: &str) -> StatementDigest {
        StatementDigest::of_bytes(text.as_bytes())
    }

    /// The digest of what is no statement: a certificate, a file.
    pub fn of_bytes(bytes: &[u8]) -> StatementDigest {
        StatementDigest(Sha256::digest(bytes).into())
    }
}

/// Numbers and names that go with a record. `None` is left out of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// SQLSTATE that the client was given.
    pub sqlstate: Option<SqlState>,
    /// Why, as a fixed name from the code.
    pub reason: Option<&'static str>,
    /// Number quoted to the client, by which an operator finds the record.
    pub reference: Option<u64>,
    /// Rows of the answer.
    pub rows: Option<u64>,
    /// Bytes of the payload.
    pub bytes: Option<u64>,
    /// PostgreSQL messages of the payload.
    pub messages: Option<u64>,
    /// SQL statements of the exchange.
    pub statements: Option<u64>,
    /// Parts of the answer.
    pub parts: Option<u64>,
    /// Time taken, in microseconds: since the stage took up the exchange, or, where it is answered, since the client's
    /// request was read.
    pub duration_us: Option<u64>,
    /// Time from when the Backend wrote down that it runs the exchange until it sent this part of the answer, in
    /// microseconds, as the Backend says.
    pub backend_us: Option<u64>,
    /// A run of a stage: the own one at `stage.start`, the sender's otherwise.
    pub instance: Option<InstanceId>,
    /// Address of the client.
    pub client: Option<IpAddr>,
    /// The version of the policy that decided: the first eight bytes of its digest. Where the Response Validator takes
    /// rules, of `responses.yaml` alone.
    pub policy: Option<u64>,
    /// Number of a key epoch.
    pub epoch: Option<u32>,
    /// What enforcing the policy would have done, where it is not enforced.
    pub would: Option<Outcome>,
}

/// One record. Made as `Record { session: Some(id), ..Record::new(Event::Exchange) }`.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Nanoseconds since the Unix epoch; the host's clock when it is appended if it is `None`.
    pub time_ns: Option<u64>,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub event: Event,
    /// In which session.
    pub session: Option<SessionId>,
    /// In which exchange of the session.
    pub exchange: Option<u64>,
    /// The trace that the client named; without one it is that of the session and exchange
    /// ([`TraceId::of_exchange`](postern_types::TraceId::of_exchange)).
    pub trace: Option<TraceParent>,
    /// Name of the user that signed in; of the operating system's user, where it is the operator's.
    pub actor: Option<&'a str>,
    /// The user's tenant.
    pub tenant: Option<&'a str>,
    /// What was attempted, as a fixed name from the code, such as `select`.
    pub action: Option<&'static str>,
    /// The statements it was attempted with; see [`StatementDigest`]. At most 64 are recorded.
    pub resource: &'a [StatementDigest],
    /// How it ended.
    pub result: Outcome,
    /// Numbers and names that go with it.
    pub details: Details,
    /// The named statement of the policy that it is, the first of several.
    pub named: Option<&'a str>,
    /// The rule of the policy that decided, such as `access.cedar:12`.
    pub rule: Option<&'a str>,
    /// What the rule was about: an action and an object of the catalogue each, such as
    /// `select shop.orders.total`. At most 16 are recorded.
    pub objects: &'a [String],
    /// What the client calls itself.
    pub service: Option<&'a str>,
    /// Roles of the actor.
    pub roles: &'a [String],
    /// A statement without its literals, as `postern-sql` makes it; longer ones than [`PATTERN_BYTES`], and
    /// those with control characters, are left out.
    pub pattern: Option<&'a str>,
    /// Values that the policy asks for. At most [`VALUES`] are recorded; see [`Record::of_values`].
    pub values: &'a [KeptValue],
}

impl<'a> Record<'a> {
    /// Records of all of these values, of the session, exchange and actor of this one.
    pub fn of_values(&self, values: &'a [KeptValue]) -> impl Iterator<Item = Record<'a>> {
        let head = Record {
            session: self.session,
            exchange: self.exchange,
            trace: self.trace,
            actor: self.actor,
            tenant: self.tenant,
            ..Record::new(Event::ExchangeValues)
        };
        values.chunks(VALUES).map(move |values| Record { values, ..head })
    }
}

impl Record<'_> {
    /// A record of this event at this time, in milliseconds since the Unix epoch.
    pub fn at(time_ms: u64, event: Event) -> Self {
        Record {
            time_ns: Some(time_ms.saturating_mul(1_000_000)),
            ..Record::new(event)
        }
    }

    /// The same, which tells how long the stage has been at it if it is about an exchange that is handed on.
    #[must_use]
    pub fn taking(mut self, time: Duration) -> Self {
        if self.event == Event::Exchange {
            self.details.duration_us = u64::try_from(time.as_micros()).ok();
        }
        self
    }

    /// A record of this event with nothing else said.
    pub fn new(event: Event) -> Self {
        Record {
            time_ns: None,
            level: Level::default(),
            event,
            session: None,
            exchange: None,
            trace: None,
            actor: None,
            tenant: None,
            action: None,
            resource: &[],
            result: Outcome::default(),
            details: Details::default(),
            named: None,
            rule: None,
            objects: &[],
            service: None,
            roles: &[],
            pattern: None,
            values: &[],
        }
    }
}
