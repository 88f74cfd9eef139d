//! What becomes of one envelope.

use crate::config::Limits;
use crate::note::Note;
use postern_envelope::{
    Header, Keyring, KeyringError, OpenError, Opened as OpenedEnvelope, Opener, SealError, Sealer,
};
use postern_inspect::{
    AnswerState, Contract, Expect, Inspector, Phase, SKIPPING, Violation, check_setting, digest, steps_digest,
};
use postern_ledger::{Event, Level};
use postern_types::ring::{Answer, Dirty, DirtyBody, Opened};
use postern_types::{InstanceId, Link, Refusal, SessionId, Slot, SqlState, StateDigest, body};
use postern_wire::put_refusal;

/// Longest message of a refusal that a Backend may have passed on, in bytes.
const REFUSAL_BYTES: usize = 512;
/// How long rules that were replaced hold for exchanges that were planned for them, in milliseconds. The Query Validator
/// takes changed rules within two seconds; the rest is for answers under way.
pub(crate) const GRACE_MS: u64 = 60_000;

/// Opens, checks and seals.
#[derive(Debug)]
pub struct Validator {
    answers: Opener,
    contracts: Opener,
    sealer: Sealer,
    limits: Limits,
    inspector: Inspector,
    /// The rules from before, and until when they hold for exchanges that were planned for them, in milliseconds.
    before: Option<(Inspector, u64)>,
}

/// An envelope that goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not open.
    Closed(OpenError),
    /// It opens, and what is inside is not what a Backend sends.
    Nonsense,
    /// What was made of it can't be sealed.
    Unsealed(SealError),
}

impl Refused {
    /// A fixed name for records.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Closed(error) => error.name(),
            Refused::Nonsense => "body-malformed",
            Refused::Unsealed(_) => "not-sealed",
        }
    }

    /// How much it matters: what is late happens, what is forged does not.
    pub fn level(self) -> Level {
        match self {
            Refused::Closed(OpenError::Expired { .. }) => Level::Warn,
            Refused::Closed(_) | Refused::Nonsense | Refused::Unsealed(_) => Level::Alert,
        }
    }
}

/// An answer that is ready to be sealed.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Whom it is for.
    pub frontend: Slot,
    /// Session, sequence, exchange and part, those of the Backend's envelope.
    pub header: Header,
    /// What the Frontend is told.
    pub answer: Answer,
    /// What is to be recorded before it is handed on.
    pub note: Option<Note>,
    /// What else is to be recorded: what somebody should know of, and values.
    pub more: Vec<Note>,
    payload: Payload<'a>,
}

#[derive(Debug)]
enum Payload<'a> {
    /// The messages as the Backend sent them.
    Same(&'a [u8]),
    /// Other messages in their place.
    Rewritten(Vec<u8>),
}

impl Judged<'_> {
    /// PostgreSQL messages for the client.
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Same(bytes) => bytes,
            Payload::Rewritten(bytes) => bytes,
        }
    }
}

/// What [`Validator::step`] made of an envelope.
#[derive(Clone, Debug)]
pub struct Stepped {
    /// Whom it is for.
    pub frontend: Slot,
    /// The sealed answer.
    pub envelope: Vec<u8>,
    /// What is to be recorded before it is handed on.
    pub note: Option<Note>,
    /// What else is to be recorded: what somebody should know of, and values.
    pub more: Vec<Note>,
}

impl Validator {
    /// A validator with the keys of this run, that holds every answer to these limits and rules.
    ///
    /// # Errors
    /// When a peer's key is missing or unusable.
    pub fn new(keys: &Keyring, limits: Limits, inspector: Inspector) -> Result<Validator, KeyringError> {
        Ok(Validator {
            answers: keys.opener(Link::BackendToResponseValidator)?,
            contracts: keys.opener(Link::QueryValidatorToResponseValidator)?,
            sealer: keys.sealer(Link::ResponseValidatorToFrontend)?,
            limits,
            inspector,
            before: None,
        })
    }

    /// Puts other rules in force. For [`GRACE_MS`] those from before hold for the exchanges that were planned for them;
    /// the Query Validator's word decides which, so one that lies gains no more than this time.
    pub fn set_inspector(&mut self, inspector: Inspector, now_ms: u64) {
        let before = std::mem::replace(&mut self.inspector, inspector);
        if before.rules().version != self.inspector.rules().version {
            self.before = Some((before, now_ms.saturating_add(GRACE_MS)));
        }
    }

    /// The rules for an exchange that was planned for this version of them.
    pub(crate) fn inspector_for(&self, version: u64, now_ms: u64) -> &Inspector {
        match &self.before {
            Some((before, until))
                if before.rules().version == version
                    && self.inspector.rules().version != version
                    && now_ms < *until =>
            {
                before
            }
            _ => &self.inspector,
        }
    }

    /// One envelope of a Backend in, one envelope for a Frontend out.
    ///
    /// # Errors
    /// When the envelope goes no further.
    pub fn step(&mut self, now_ms: u64, envelope: &mut [u8]) -> Result<Stepped, Refused> {
        let judged = self.judge(now_ms, envelope)?;
        let mut sealed = Vec::new();
        self.seal(&judged, &mut sealed).map_err(Refused::Unsealed)?;
        Ok(Stepped {
            frontend: judged.frontend,
            envelope: sealed,
            note: judged.note,
            more: judged.more,
        })
    }

    /// Appends the sealed answer to `out`.
    ///
    /// # Errors
    /// When it can't be sealed; `out` is then unchanged.
    pub fn seal(&mut self, judged: &Judged<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.sealer
            .seal_body(&judged.header, &judged.answer, &[judged.payload()], out)
    }

    /// Opens an envelope of a Backend and decides what the Frontend gets.
    ///
    /// # Errors
    /// When the envelope goes no further.
    pub fn judge<'a>(&mut self, now_ms: u64, envelope: &'a mut [u8]) -> Result<Judged<'a>, Refused> {
        let opened = self.answers.open(envelope, now_ms).map_err(Refused::Closed)?;
        let OpenedEnvelope {
            header, sender, body, ..
        } = opened;
        let (dirty, payload): (Dirty, &[u8]) = body::decode(body).map_err(|_| Refused::Nonsense)?;
        let Dirty { frontend, body } = dirty;
        let part = match body {
            DirtyBody::Part {
                contract,
                state,
                unsolicited,
                steps,
                since_us,
            } if header.session != SessionId::NONE => Part {
                now_ms,
                header,
                contract,
                state,
                unsolicited,
                steps,
                since_us,
                payload,
            },
            body => {
                let (answer, note) = carry(&header, sender, body, payload)?;
                let payload = Payload::Same(&[]);
                return Ok(Judged {
                    frontend,
                    header,
                    answer,
                    note,
                    more: Vec::new(),
                    payload,
                });
            }
        };
        let Outcome {
            answer,
            payload,
            note,
            more,
        } = self.check(part);
        Ok(Judged {
            frontend,
            header,
            answer,
            note,
            more,
            payload,
        })
    }

    fn check<'a>(&mut self, mut part: Part<'a>) -> Outcome<'a> {
        let contract = match self.open_contract(&mut part) {
            Ok(contract) => contract,
            Err(reason) => return part.stop(SqlState::INTERNAL_ERROR, reason, None),
        };
        let inspector = self.inspector_for(contract.rules, part.now_ms);
        let checked = if part.unsolicited {
            part.unsolicited(inspector, &contract)
        } else if part.goes_by(&contract) {
            part.solicited(inspector, &contract)
        } else {
            return part.stop(SqlState::INTERNAL_ERROR, "answer-other-steps", Some(&contract));
        };
        checked.unwrap_or_else(|violation| {
            let code = if violation.is_policy() {
                SqlState::INSUFFICIENT_PRIVILEGE
            } else {
                SqlState::INTERNAL_ERROR
            };
            part.stop(code, violation.name(), Some(&contract))
        })
    }

    /// The contract of the part, with this stage's own caps on it. It must be one that the Query Validator made
    /// for this very exchange of this session (P5).
    fn open_contract(&mut self, part: &mut Part<'_>) -> Result<Contract, &'static str> {
        let opened = self.contracts.open(&mut part.contract, part.now_ms);
        let opened = opened.map_err(|error| match error {
            OpenError::Expired { .. } => "contract-expired",
            _ => "contract-forged",
        })?;
        if !opened.header.same_exchange(&part.header) {
            return Err("contract-of-another-exchange");
        }
        match body::decode::<Contract>(opened.body) {
            Ok((mut contract, [])) => {
                self.limits.tighten(&mut contract);
                Ok(contract)
            }
            _ => Err("contract-malformed"),
        }
    }
}

/// A part of an answer as the Backend sent it.
struct Part<'a> {
    now_ms: u64,
    header: Header,
    contract: Vec<u8>,
    state: AnswerState,
    unsolicited: bool,
    steps: Option<StateDigest>,
    since_us: u64,
    payload: &'a [u8],
}

/// What becomes of a part.
struct Outcome<'a> {
    answer: Answer,
    payload: Payload<'a>,
    note: Option<Note>,
    more: Vec<Note>,
}

impl<'a> Part<'a> {
    /// The part begins an answer, by its number or by its state. Both are the Backend's word; a Backend that
    /// lies about one of them gets a record more, not less.
    fn is_first(&self) -> bool {
        self.header.part == 0 || self.state == AnswerState::default() || self.state == SKIPPING
    }

    /// The Backend has run the exchange by the steps of the contract. It is asked where rows are judged by the
    /// description of a portal: the Backend has seen which portal was described, and the Query Validator alone could
    /// say another one.
    fn goes_by(&self, contract: &Contract) -> bool {
        contract.steps.first() != Some(&Expect::Columns) || self.steps == Some(steps_digest(&contract.steps))
    }

    fn sent_bytes(&self) -> u64 {
        u64::try_from(self.payload.len()).unwrap_or(u64::MAX)
    }

    fn solicited(&self, inspector: &Inspector, contract: &Contract) -> Result<Outcome<'a>, Violation> {
        let mut out = Vec::new();
        let checked = inspector.check_part(contract, &self.state, self.payload, &mut out)?;
        let note = Note::of_part(&self.header, contract, &checked, self.is_first());
        let note = note.map(|note| note.after(self.since_us));
        let mut more = Note::alerts(&self.header, contract, &checked);
        more.append(&mut Note::values(&self.header, contract, &checked));
        let answer = Answer::Part {
            before: Some(digest(&self.state)),
            after: digest(&checked.state_after),
            parsed: checked.parsed,
            sent_bytes: self.sent_bytes(),
            copy_in: checked.copy_in,
            last: checked.last,
            hang_up: checked.hang_up,
        };
        Ok(Outcome {
            answer,
            payload: self.pick(checked.rewritten, out),
            note,
            more,
        })
    }

    fn unsolicited(&self, inspector: &Inspector, contract: &Contract) -> Result<Outcome<'a>, Violation> {
        let mut out = Vec::new();
        let rewritten = inspector.check_unsolicited(contract, self.payload, &mut out)?;
        let answer = Answer::Part {
            before: None,
            after: digest(&AnswerState::default()),
            parsed: 0,
            sent_bytes: self.sent_bytes(),
            copy_in: false,
            last: false,
            hang_up: false,
        };
        Ok(Outcome {
            answer,
            payload: self.pick(rewritten, out),
            note: None,
            more: Vec::new(),
        })
    }

    fn pick(&self, rewritten: bool, out: Vec<u8>) -> Payload<'a> {
        if rewritten {
            Payload::Rewritten(out)
        } else {
            Payload::Same(self.payload)
        }
    }

    /// Ends the answer and the session with an error that tells nothing but a number to ask for.
    fn stop(&self, code: SqlState, reason: &'static str, contract: Option<&Contract>) -> Outcome<'a> {
        let reference = reference(&self.header);
        let sentence = if code == SqlState::INSUFFICIENT_PRIVILEGE {
            "the answer is more than the policy allows"
        } else {
            "the answer could not be verified"
        };
        let text = format!("{sentence}; the session was ended (reference {reference:016x})");
        let mut error = Vec::new();
        put_refusal(&mut error, &Refusal::fatal(code, text));
        let note = Note::stopped(&self.header, self.is_first(), code, reason, reference);
        let note = match contract {
            Some(contract) => note.by(contract),
            None => note,
        };
        let ended = AnswerState {
            phase: Phase::Done,
            ..AnswerState::default()
        };
        let answer = Answer::Part {
            before: (!self.unsolicited).then(|| digest(&self.state)),
            after: digest(&ended),
            parsed: 0,
            sent_bytes: self.sent_bytes(),
            copy_in: false,
            last: true,
            hang_up: true,
        };
        Outcome {
            answer,
            payload: Payload::Rewritten(error),
            note: Some(note),
            more: Vec::new(),
        }
    }
}

/// A number by which an operator finds the record: the start of the session's identifier, and the exchange.
fn reference(header: &Header) -> u64 {
    let [a, b, c, d, ..] = header.session.0;
    (u64::from(u32::from_be_bytes([a, b, c, d])) << 16) | (header.exchange & 0xffff)
}

/// Everything but parts of answers goes on as it is, if it makes sense.
fn carry(
    header: &Header,
    sender: InstanceId,
    body: DirtyBody,
    payload: &[u8],
) -> Result<(Answer, Option<Note>), Refused> {
    let heartbeat = matches!(body, DirtyBody::Heartbeat { .. });
    if !payload.is_empty() || heartbeat != (header.session == SessionId::NONE) {
        return Err(Refused::Nonsense);
    }
    Ok(match body {
        DirtyBody::Heartbeat { backend, instance } => {
            // A Backend speaks for its own run only.
            if instance != sender {
                return Err(Refused::Nonsense);
            }
            (Answer::Heartbeat { backend, instance }, None)
        }
        DirtyBody::SignIn { answer, opened } => {
            let opened = opened.map(bounded_opening).transpose()?;
            let note = match &opened {
                None => Note::new(Event::SignIn, header),
                Some(Opened::Ready(_)) => Note::new(Event::SessionOpen, header),
                Some(Opened::Failed(refusal)) => {
                    Note::new(Event::SessionOpen, header).failed(Some(refusal.code))
                }
            };
            (Answer::SignIn { answer, opened }, Some(note))
        }
        DirtyBody::Grant { bytes } => (Answer::Grant { bytes }, None),
        DirtyBody::Probed {
            standing,
            sent,
            expected,
        } => (
            Answer::Probed {
                standing,
                sent,
                expected,
            },
            None,
        ),
        DirtyBody::Lost(refusal) => {
            let note = Note::new(Event::SessionClose, header).failed(Some(refusal.code));
            (Answer::Lost(bounded(refusal)), Some(note))
        }
        // A part without a session.
        DirtyBody::Part { .. } => return Err(Refused::Nonsense),
    })
}

/// The settings that a session opens with, as far as clients are told about them.
fn bounded_opening(opened: Opened) -> Result<Opened, Refused> {
    Ok(match opened {
        Opened::Ready(settings) => {
            let mut told = Vec::new();
            for (name, value) in settings {
                if check_setting(&name, &value).map_err(|_| Refused::Nonsense)? {
                    told.push((name, value));
                }
            }
            Opened::Ready(told)
        }
        Opened::Failed(refusal) => Opened::Failed(bounded(refusal)),
    })
}

/// A refusal with a message of bounded length, in one line.
fn bounded(mut refusal: Refusal) -> Refusal {
    let end = refusal.message.floor_char_boundary(REFUSAL_BYTES);
    refusal.message.truncate(end);
    refusal.message.retain(|c| !c.is_control());
    refusal
}
