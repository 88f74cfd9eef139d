//! One step of the Query Validator: envelopes in, envelopes and records out. No I/O; time and randomness
//! are given.

use crate::exchange::{self, Asker, Decision};
use crate::lockout::Lockout;
use crate::pace::Pace;
use crate::record::{self, Recorder};
use crate::setup::{Keys, Settings, SetupError};
use crate::ticket::{self, NotOurs, Purpose};
use crate::users::Users;
use crate::verdicts::Verdicts;
use postern_envelope::{Batch, Header, Opened, SealError, batch};
use postern_ledger::{Details, Event, Level, Outcome, Record};
use postern_policy::{Policy, Rights, Who};
use postern_types::ring::{Clean, CleanBody, Definition, Request, RequestBody, SignIn, SignInAnswer};
use postern_types::{Contract, Refusal, SessionId, Slot, SqlState, Ticket, TraceParent, body};
use postern_wire::{FrontendMessage, frontend_messages};
use std::collections::BTreeMap;

/// A message for one Backend is closed when it is this large, in bytes.
const OUTPUT_BYTES: usize = 1024 * 1024;

/// A message for one Backend: a batch of envelopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Which Backend it is for.
    pub backend: Slot,
    /// The batch.
    pub payload: Vec<u8>,
}

/// The Query Validator without its connections.
pub struct Validator {
    pub(crate) keys: Keys,
    pub(crate) policy: Policy,
    pub(crate) users: Users,
    pub(crate) settings: Settings,
    pub(crate) lockout: Lockout,
    pace: Pace,
    verdicts: Verdicts,
    open: BTreeMap<Slot, Batch>,
    closed: Vec<Output>,
}

/// Why a request is dropped without an answer.
struct Dropped(&'static str);

/// Why a ticket does not let a request through.
enum Unfit {
    /// It does not prove that the request is about its session, so the session must feel nothing of it.
    NotItsOwn(&'static str),
    /// It is the session's own and holds no longer: the session is to end.
    Void(&'static str),
}

impl From<SealError> for Dropped {
    fn from(_: SealError) -> Self {
        Dropped("can't seal")
    }
}

impl Validator {
    /// Sets it up.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(
        keys: Keys,
        policy: Policy,
        users: Users,
        settings: Settings,
    ) -> Result<Validator, SetupError> {
        if settings.mock_secret.len() < 16 {
            return Err(SetupError::MockSecret);
        }
        Ok(Validator {
            lockout: Lockout::new(settings.lockout.checked()?),
            pace: Pace::new(),
            verdicts: Verdicts::new(settings.sql),
            keys,
            policy,
            users,
            settings,
            open: BTreeMap::new(),
            closed: Vec::new(),
        })
    }

    /// Takes another set of users from now on. Sessions of users that are gone, or whose roles or tenant are
    /// others now, end at their next request.
    pub fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// Takes another version of the policy from now on. Nothing that was decided under the one before is
    /// remembered.
    pub fn set_policy(&mut self, policy: Policy) {
        self.verdicts = Verdicts::new(self.settings.sql);
        self.policy = policy;
    }

    /// Sign-ins may be bound to another certificate from now on, and until `until_ms` to the one before.
    pub fn set_end_point(&mut self, end_point: Option<Vec<u8>>, until_ms: u64) {
        self.settings.end_points.turn(end_point, until_ms);
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Handles one message of the bus: a batch of envelopes. What comes of it is collected until
    /// [`Validator::take_outputs`].
    pub fn step(&mut self, message: &mut [u8], now_ms: u64, record: Recorder<'_>) {
        let Ok(envelopes) = batch::split(message) else {
            record(&record::dropped("batch"));
            return;
        };
        for envelope in envelopes {
            self.envelope(envelope, now_ms, record);
        }
    }

    /// The messages that came of the steps so far.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        for (backend, batch) in &mut self.open {
            if !batch.is_empty() {
                self.closed.push(Output {
                    backend: backend.clone(),
                    payload: batch.take(),
                });
            }
        }
        // Slots come from requests; don't remember one that is never used again.
        self.open.clear();
        std::mem::take(&mut self.closed)
    }

    fn envelope(&mut self, envelope: &mut [u8], now_ms: u64, record: Recorder<'_>) {
        let opened = match self.keys.inlet.open(envelope, now_ms) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "envelope refused");
                record(&record::dropped(error.name()));
                return;
            }
        };
        if let Err(Dropped(reason)) = self.request(&opened, now_ms, record) {
            tracing::warn!(reason, session = %opened.header.session, "request dropped");
            record(&Record {
                session: record::session(&opened.header),
                ..record::dropped(reason)
            });
        }
    }

    fn request(&mut self, opened: &Opened<'_>, now_ms: u64, record: Recorder<'_>) -> Result<(), Dropped> {
        let (request, payload): (Request, &[u8]) =
            body::decode(opened.body).map_err(|_| Dropped("malformed-body"))?;
        let heartbeat = request.body == RequestBody::Heartbeat;
        if heartbeat != (opened.header.session == SessionId::NONE) {
            return Err(Dropped("session-mismatch"));
        }
        let may_carry = matches!(
            request.body,
            RequestBody::Exchange { .. } | RequestBody::CopyData { .. }
        );
        if !may_carry && !payload.is_empty() {
            return Err(Dropped("unexpected-payload"));
        }
        match &request.body {
            RequestBody::Heartbeat => {
                let body = CleanBody::Heartbeat {
                    instance: opened.sender,
                };
                self.pass(opened, &request, body, &[])
            }
            RequestBody::SignIn(sign_in) => self.answer_sign_in(opened, &request, sign_in, now_ms, record),
            RequestBody::Exchange {
                ticket, definitions, ..
            } => match self.admit(opened, &request, ticket, now_ms) {
                Ok(ticket) => self.exchange(opened, &request, &ticket, definitions, payload, now_ms, record),
                Err(unfit) => self.void(opened, &request, unfit, record),
            },
            RequestBody::CopyData { ticket } => {
                self.with_ticket(opened, &request, ticket, now_ms, record, |v| {
                    if v.is_copy(payload) {
                        v.pass(opened, &request, CleanBody::CopyData, payload)
                    } else {
                        v.expel(opened, &request, broken_protocol())
                    }
                })
            }
            RequestBody::Grant { ticket, bytes } => {
                let body = CleanBody::Grant { bytes: *bytes };
                self.with_ticket(opened, &request, ticket, now_ms, record, |v| {
                    v.pass(opened, &request, body, &[])
                })
            }
            RequestBody::Cancel { ticket } => {
                self.with_ticket(opened, &request, ticket, now_ms, record, |v| {
                    v.pass(opened, &request, CleanBody::Cancel, &[])
                })
            }
            RequestBody::Probe { ticket } => {
                self.with_ticket(opened, &request, ticket, now_ms, record, |v| {
                    v.pass(opened, &request, CleanBody::Probe, &[])
                })
            }
            RequestBody::Close { ticket } => {
                self.with_ticket(opened, &request, ticket, now_ms, record, |v| {
                    v.pass(opened, &request, CleanBody::Close, &[])
                })
            }
        }
    }

    /// Goes on with `then` if the ticket holds, and ends the session if not.
    fn with_ticket(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        ticket: &[u8],
        now_ms: u64,
        record: Recorder<'_>,
        then: impl FnOnce(&mut Self) -> Result<(), Dropped>,
    ) -> Result<(), Dropped> {
        match self.admit(opened, request, ticket, now_ms) {
            Ok(_) => then(self),
            Err(unfit) => self.void(opened, request, unfit, record),
        }
    }

    /// Checks a ticket against the request it came with and against the users of today.
    fn admit(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        ticket: &[u8],
        now_ms: u64,
    ) -> Result<Ticket, Unfit> {
        let session = opened.header.session;
        let ticket: Ticket = ticket::open(
            &mut self.keys.own_opener,
            Purpose::Ticket,
            session,
            ticket,
            now_ms,
        )
        .map_err(|error| match error {
            NotOurs::Seal(error) => Unfit::NotItsOwn(error.name()),
            NotOurs::Session => Unfit::NotItsOwn("ticket-of-another-session"),
            NotOurs::Purpose => Unfit::NotItsOwn("not-a-ticket"),
        })?;
        if ticket.frontend != request.frontend {
            return Err(Unfit::NotItsOwn("ticket-of-another-frontend"));
        }
        if ticket.backend != request.backend {
            return Err(Unfit::NotItsOwn("ticket-of-another-backend"));
        }
        if ticket.expires_ms <= now_ms {
            return Err(Unfit::Void("ticket-expired"));
        }
        match self.users.get(&ticket.user) {
            None => Err(Unfit::Void("user-gone")),
            Some(user) if user.roles != ticket.roles || user.tenant != ticket.tenant => {
                Err(Unfit::Void("user-changed"))
            }
            Some(_) => Ok(ticket),
        }
    }

    /// Ends a session whose ticket holds no longer. What came without the session's own ticket is dropped.
    fn void(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        unfit: Unfit,
        record: Recorder<'_>,
    ) -> Result<(), Dropped> {
        let reason = match unfit {
            Unfit::NotItsOwn(reason) => return Err(Dropped(reason)),
            Unfit::Void(reason) => reason,
        };
        tracing::warn!(reason, session = %opened.header.session, "session ended: its ticket does not hold");
        record(&Record {
            level: Level::Warn,
            session: record::session(&opened.header),
            result: Outcome::Refused,
            details: Details {
                reason: Some(reason),
                ..Details::default()
            },
            ..Record::new(Event::SessionClose)
        });
        let refusal = Refusal::fatal(
            SqlState::INVALID_AUTHORIZATION,
            "the session is no longer valid; connect again",
        );
        self.expel(opened, request, refusal)
    }

    fn expel(&mut self, opened: &Opened<'_>, request: &Request, refusal: Refusal) -> Result<(), Dropped> {
        self.pass(opened, request, CleanBody::Expel(refusal), &[])
    }

    fn answer_sign_in(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        sign_in: &SignIn,
        now_ms: u64,
        record: Recorder<'_>,
    ) -> Result<(), Dropped> {
        let step = self.sign_in(opened, request, sign_in, now_ms);
        let refusal = match &step.answer {
            SignInAnswer::Refused(refusal) => Some(refusal),
            SignInAnswer::Continue { .. } | SignInAnswer::Accepted { .. } => None,
        };
        record(&Record {
            level: if refusal.is_some() {
                Level::Warn
            } else {
                Level::Info
            },
            session: record::session(&opened.header),
            actor: Some(&sign_in.user),
            tenant: step.open.as_ref().and_then(|open| open.tenant.as_deref()),
            roles: &step.roles,
            service: step
                .open
                .as_ref()
                .and_then(|_| record::service(&sign_in.parameters)),
            action: Some(match step.answer {
                SignInAnswer::Continue { .. } => "challenge",
                SignInAnswer::Accepted { .. } => "accept",
                SignInAnswer::Refused(_) => "refuse",
            }),
            result: if refusal.is_some() {
                Outcome::Refused
            } else {
                Outcome::Allowed
            },
            details: Details {
                sqlstate: refusal.map(|refusal| refusal.code),
                reason: step.reason,
                client: record::address(&sign_in.client),
                instance: Some(opened.sender),
                ..Details::default()
            },
            ..Record::new(Event::SignIn)
        });
        let mut answer = Vec::new();
        self.keys
            .answer
            .seal_body(&opened.header, &step.answer, &[], &mut answer)?;
        self.pass(
            opened,
            request,
            CleanBody::SignIn {
                answer,
                open: step.open,
            },
            &[],
        )
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "all of them are what an exchange is made of"
    )]
    fn exchange(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        ticket: &Ticket,
        definitions: &[Definition],
        payload: &[u8],
        now_ms: u64,
        record: Recorder<'_>,
    ) -> Result<(), Dropped> {
        // A clone shares its parts: this exchange is decided by one version, whatever comes meanwhile.
        let policy = self.policy.clone();
        let mut entry = record::exchange(&opened.header, ticket, payload.len());
        if let RequestBody::Exchange { trace, .. } = request.body {
            entry.trace = trace;
        }
        entry.details.policy = Some(policy.hash().short());
        // The policy has no such role any more.
        let Some(rights) = policy.rights(&ticket.roles) else {
            return self.void(opened, request, Unfit::Void("no-role"), record);
        };
        let limit = rights.limits().max_statements_per_s;
        let too_fast = limit.and_then(|limit| self.pace.refusal(&ticket.user, limit.get(), now_ms));
        let asker = Asker {
            too_fast: too_fast.as_ref(),
            roles: &ticket.roles,
            rights: &rights,
            who: Who {
                user: &ticket.user,
                tenant: ticket.tenant.as_deref(),
            },
            reference: record::reference(&opened.header),
            record_key: self.settings.record_key.as_ref(),
        };
        let decision = exchange::decide(
            &asker,
            &mut self.verdicts,
            &self.settings.wire,
            definitions,
            payload,
        );
        match decision {
            Ok(decision) => {
                if let Some(limit) = limit.filter(|_| too_fast.is_none()) {
                    self.pace
                        .charge(&ticket.user, limit.get(), decision.statements, now_ms);
                }
                record(&judged(entry, &decision, asker.reference));
                for values in entry.of_values(&decision.kept) {
                    record(&values);
                }
                for learned in &decision.learned {
                    record::learned(&entry, &asker, learned, record);
                }
                let contract = contract(ticket, &rights, &decision, entry.trace);
                self.run(opened, request, definitions, decision, &contract, payload)
            }
            Err(refusal) => {
                let details = Details {
                    sqlstate: Some(refusal.code),
                    reason: Some("not-an-exchange"),
                    ..entry.details
                };
                record(&Record {
                    level: Level::Warn,
                    result: Outcome::Refused,
                    details,
                    ..entry
                });
                self.expel(opened, request, refusal)
            }
        }
    }

    fn run(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        definitions: &[Definition],
        decision: Decision,
        contract: &Contract,
        payload: &[u8],
    ) -> Result<(), Dropped> {
        // A contract lives as long as its exchange runs, which has no bound here.
        let header = Header {
            deadline_ms: Header::NO_DEADLINE,
            ..opened.header
        };
        let mut sealed = Vec::new();
        self.keys
            .contract
            .seal_body(&header, contract, &[], &mut sealed)?;
        let body = CleanBody::Run {
            verdicts: decision.verdicts,
            definitions: decision.definitions.unwrap_or_else(|| definitions.to_vec()),
            steps: decision.steps,
            contract: sealed,
            trace: contract.trace,
        };
        let payload = decision.payload.as_deref().unwrap_or(payload);
        self.pass(opened, request, body, payload)
    }

    /// Seals to the Backend, under the header the request came with.
    fn pass(
        &mut self,
        opened: &Opened<'_>,
        request: &Request,
        body: CleanBody,
        payload: &[u8],
    ) -> Result<(), Dropped> {
        let clean = Clean {
            frontend: request.frontend.clone(),
            body,
        };
        let batch = self.open.entry(request.backend.clone()).or_default();
        let sealer = &mut self.keys.backend;
        batch.push_with(|out| sealer.seal_body(&opened.header, &clean, &[payload], out))?;
        if batch.len() >= OUTPUT_BYTES {
            self.closed.push(Output {
                backend: request.backend.clone(),
                payload: batch.take(),
            });
        }
        Ok(())
    }

    /// Only messages that may follow a CopyInResponse.
    fn is_copy(&self, payload: &[u8]) -> bool {
        frontend_messages(payload, &self.settings.wire).all(|message| {
            matches!(
                message,
                Ok((
                    FrontendMessage::CopyData(_)
                        | FrontendMessage::CopyDone
                        | FrontendMessage::CopyFail { .. }
                        | FrontendMessage::Sync
                        | FrontendMessage::Flush,
                    _
                ))
            )
        })
    }
}

fn broken_protocol() -> Refusal {
    Refusal::fatal(
        SqlState::PROTOCOL_VIOLATION,
        "protocol violation: only COPY data may be sent here",
    )
}

fn judged<'a>(entry: Record<'a>, decision: &'a Decision, reference: u32) -> Record<'a> {
    let refusal = decision.refusal();
    let denial = decision.denial.as_deref();
    let against = refusal.is_some() || decision.would == Some(Outcome::Refused);
    Record {
        level: if refusal.is_some() {
            Level::Warn
        } else {
            Level::Info
        },
        action: decision.action,
        resource: &decision.digests,
        result: if refusal.is_some() {
            Outcome::Refused
        } else {
            Outcome::Allowed
        },
        named: decision.named.as_deref().map(|named| named.name.as_str()),
        rule: denial.map(|denial| denial.rule.as_str()),
        objects: denial.map_or(&[], |denial| denial.objects.as_slice()),
        details: Details {
            sqlstate: refusal.map(|refusal| refusal.code),
            reference: (denial.is_some() && against).then_some(u64::from(reference)),
            messages: u64::try_from(decision.verdicts.len()).ok(),
            statements: u64::try_from(decision.digests.len()).ok(),
            would: decision.would,
            ..entry.details
        },
        ..entry
    }
}

fn contract(
    ticket: &Ticket,
    rights: &Rights<'_>,
    decision: &Decision,
    trace: Option<TraceParent>,
) -> Contract {
    let limits = rights.limits();
    Contract {
        user: ticket.user.clone(),
        tenant: ticket.tenant.clone(),
        steps: decision.steps.clone(),
        max_rows: limits.max_rows,
        max_bytes: limits.max_bytes,
        error_detail: rights.error_detail(),
        notifications: rights.may_listen(),
        roles: ticket.roles.clone(),
        over: rights.answers().rules().over,
        statements: decision.rules.clone(),
        rules: rights.answers().rules().version,
        trace,
    }
}
