//! One envelope at a time, with real seals.

use crate::{Limits, Refused, Relay, Stepped, Validator};
use bytes::Bytes;
use postern_bus::relay::Step;
use postern_envelope::{
    Batch, Epochs, Header, Keyring, OpenError, Opener, PublicKey, Sealer, SecretKey, batch,
};
use postern_inspect::{AnswerState, Contract, Expect, Phase, SKIPPING, StatementShape, digest};
use postern_ledger::{Event, Ledger, Level, Outcome};
use postern_types::ring::{Answer, Dirty, DirtyBody, Opened, Standing};
use postern_types::{
    CopyDirection, ErrorDetail, InstanceId, Link, Refusal, SessionId, Slot, SqlState, Stage, body,
};
use std::collections::BTreeMap;

const NOW: u64 = 1_800_000_000_000;
const SESSION: SessionId = SessionId([7; 16]);
const BACKEND: InstanceId = InstanceId([2; 16]);
const ROWS: StatementShape = StatementShape {
    rows: true,
    copy: None,
};
const COPY_IN: StatementShape = StatementShape {
    rows: false,
    copy: Some(CopyDirection::In),
};

/// The ends of the links around the Response Validator.
struct Ring {
    validator: Validator,
    backend: Sealer,
    query_validator: Sealer,
    frontend: Opener,
}

fn keyring(stage: Stage, secrets: &BTreeMap<Stage, SecretKey>, instance: InstanceId) -> Keyring {
    let peers: BTreeMap<Stage, PublicKey> = secrets
        .iter()
        .map(|(stage, secret)| (*stage, secret.public()))
        .collect();
    let own = SecretKey::parse(secrets[&stage].to_base64().as_str()).unwrap();
    Keyring::new(
        stage,
        instance,
        own,
        peers,
        Epochs {
            current: 1,
            previous: None,
        },
    )
}

fn ring_with(limits: Limits) -> Ring {
    let secrets: BTreeMap<Stage, SecretKey> = Stage::ALL
        .into_iter()
        .map(|stage| (stage, SecretKey::generate().unwrap()))
        .collect();
    let keys = |stage, id| keyring(stage, &secrets, InstanceId([id; 16]));
    Ring {
        validator: Validator::new(&keys(Stage::ResponseValidator, 3), limits).unwrap(),
        backend: keys(Stage::Backend, 2)
            .sealer(Link::BackendToResponseValidator)
            .unwrap(),
        query_validator: keys(Stage::QueryValidator, 1)
            .sealer(Link::QueryValidatorToResponseValidator)
            .unwrap(),
        frontend: keys(Stage::Frontend, 4)
            .opener(Link::ResponseValidatorToFrontend)
            .unwrap(),
    }
}

fn ring() -> Ring {
    ring_with(Limits::default())
}

fn header(exchange: u64, part: u32) -> Header {
    Header {
        session: SESSION,
        sequence: 40 + u64::from(part),
        exchange,
        part,
        deadline_ms: NOW + 30_000,
    }
}

fn contract(shape: StatementShape) -> Contract {
    Contract {
        user: "app".into(),
        tenant: Some("acme".into()),
        steps: vec![Expect::Query(vec![shape])],
        max_rows: None,
        max_bytes: None,
        error_detail: ErrorDetail::CodeAndMessage,
        notifications: false,
    }
}

fn frontend() -> Slot {
    "frontend-0".parse().unwrap()
}

/// What the Frontend finds in an envelope.
struct Found {
    header: Header,
    answer: Answer,
    payload: Vec<u8>,
}

impl Ring {
    fn contract(&mut self, header: &Header, contract: &Contract) -> Vec<u8> {
        let mut out = Vec::new();
        let header = Header {
            deadline_ms: Header::NO_DEADLINE,
            ..*header
        };
        self.query_validator
            .seal_body(&header, contract, &[], &mut out)
            .unwrap();
        out
    }

    fn sealed(&mut self, header: &Header, body: DirtyBody, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let dirty = Dirty {
            frontend: frontend(),
            body,
        };
        self.backend
            .seal_body(header, &dirty, &[payload], &mut out)
            .unwrap();
        out
    }

    fn part(&mut self, header: &Header, contract: Vec<u8>, state: &AnswerState, payload: &[u8]) -> Vec<u8> {
        let body = DirtyBody::Part {
            contract,
            state: state.clone(),
            unsolicited: false,
        };
        self.sealed(header, body, payload)
    }

    fn open(&mut self, stepped: &Stepped) -> Found {
        let mut envelope = stepped.envelope.clone();
        let opened = self.frontend.open(&mut envelope, NOW).unwrap();
        let (answer, payload) = body::decode(opened.body).unwrap();
        Found {
            header: opened.header,
            answer,
            payload: payload.to_vec(),
        }
    }

    fn pass(&mut self, header: &Header, body: DirtyBody, payload: &[u8]) -> Result<Found, Refused> {
        let mut envelope = self.sealed(header, body, payload);
        let stepped = self.validator.step(NOW, &mut envelope)?;
        Ok(self.open(&stepped))
    }

    /// Steps a part and checks that it was stopped without telling anything.
    fn assert_stopped(&mut self, mut envelope: Vec<u8>, code: &str, reason: &str) {
        let stepped = self.validator.step(NOW, &mut envelope).unwrap();
        let found = self.open(&stepped);
        let Answer::Part {
            last,
            hang_up,
            copy_in,
            ..
        } = found.answer
        else {
            panic!("{reason}: {:?}", found.answer)
        };
        assert!(last && hang_up && !copy_in, "{reason}");
        let text = found.payload.escape_ascii().to_string();
        assert!(
            text.starts_with("E") && text.contains(&format!("VFATAL\\x00C{code}")),
            "{reason}: {text}"
        );
        assert!(!text.contains("secret"), "{reason}: {text}");
        let note = stepped.note.unwrap();
        let record = note.record(NOW);
        assert_eq!(
            (record.level, record.result),
            (Level::Alert, Outcome::Refused),
            "{reason}"
        );
        assert_eq!(record.details.reason, Some(reason));
        let reference = record.details.reference.unwrap();
        assert!(
            text.contains(&format!("(reference {reference})")),
            "{reason}: {text}"
        );
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn description() -> Vec<u8> {
    message(
        b'T',
        b"\0\x01name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
    )
}

fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x06secret")
}

fn end() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

#[test]
fn an_answer_passes_unchanged_and_is_recorded() {
    let mut ring = ring();
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract(ROWS));
    let payload = [description(), row(), row(), end()].concat();
    let mut envelope = ring.part(&header, sealed, &AnswerState::default(), &payload);
    let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
    assert_eq!(stepped.frontend, frontend());
    let found = ring.open(&stepped);
    assert_eq!(
        found.header, header,
        "session, sequence, exchange, part and deadline are the same"
    );
    assert_eq!(found.payload, payload);
    let Answer::Part {
        before,
        parsed: 0,
        copy_in: false,
        last: true,
        hang_up: false,
        ..
    } = found.answer
    else {
        panic!("{:?}", found.answer)
    };
    assert_eq!(before, Some(digest(&AnswerState::default())));

    let note = stepped.note.unwrap();
    let record = note.record(NOW);
    assert_eq!(
        (record.event, record.level, record.result),
        (Event::Exchange, Level::Info, Outcome::Allowed)
    );
    assert_eq!((record.session, record.exchange), (Some(SESSION), Some(9)));
    assert_eq!((record.actor, record.tenant), (Some("app"), Some("acme")));
    assert_eq!((record.details.rows, record.details.parts), (Some(2), Some(1)));
    assert!(!format!("{record:?}").contains("secret"));
}

#[test]
fn parts_form_a_chain_with_records_at_both_ends() {
    let mut ring = ring();
    let parts = [description(), row(), [row(), end()].concat()];
    let mut state = AnswerState::default();
    let mut events = Vec::new();
    let mut previous = digest(&AnswerState::default());
    for (at, payload) in parts.iter().enumerate() {
        let header = header(9, u32::try_from(at).unwrap());
        let sealed = ring.contract(&header, &contract(ROWS));
        let mut envelope = ring.part(&header, sealed, &state, payload);
        let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
        let Answer::Part {
            before, after, last, ..
        } = ring.open(&stepped).answer
        else {
            panic!()
        };
        assert_eq!(before, Some(previous));
        assert_eq!(last, at == 2);
        previous = after;
        events.push(
            stepped
                .note
                .map(|note| (note.record(NOW).event, note.record(NOW).details.rows)),
        );
        // The Backend's side of the same state machine.
        postern_inspect::check_part(&contract(ROWS), &state, payload, &mut Vec::new())
            .map(|checked| state = checked.state_after)
            .unwrap();
        assert_eq!(digest(&state), after);
    }
    assert_eq!(
        events,
        [
            Some((Event::Exchange, None)),
            None,
            Some((Event::ExchangeEnd, Some(2)))
        ]
    );
}

#[test]
fn the_same_part_twice_gives_the_same_answer_twice() {
    let mut ring = ring();
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract(ROWS));
    let envelope = ring.part(
        &header,
        sealed,
        &AnswerState::default(),
        &[description(), end()].concat(),
    );
    let first = ring.validator.step(NOW, &mut envelope.clone()).unwrap();
    let second = ring.validator.step(NOW, &mut envelope.clone()).unwrap();
    let (first, second) = (ring.open(&first), ring.open(&second));
    assert_eq!(
        (first.header, first.answer, first.payload),
        (second.header, second.answer, second.payload)
    );
}

#[test]
fn errors_are_told_as_the_contract_says_and_recorded_by_code() {
    let mut ring = ring();
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract(ROWS));
    let error = message(
        b'E',
        b"SERROR\0VERROR\0C23505\0Mduplicate\0DKey (id)=(secret)\0\0",
    );
    let payload = [error, message(b'Z', b"E")].concat();
    let mut envelope = ring.part(&header, sealed, &AnswerState::default(), &payload);
    let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
    let text = ring.open(&stepped).payload.escape_ascii().to_string();
    assert!(
        text.contains("C23505") && text.contains("Mduplicate") && !text.contains("secret"),
        "{text}"
    );
    let note = stepped.note.unwrap();
    let record = note.record(NOW);
    assert_eq!(record.result, Outcome::Failed);
    assert_eq!(record.details.sqlstate, SqlState::parse("23505"));
}

#[test]
fn copy_in_is_announced() {
    let mut ring = ring();
    let header = header(9, 0);
    let contract = ring.contract(&header, &contract(COPY_IN));
    let body = DirtyBody::Part {
        contract,
        state: AnswerState::default(),
        unsolicited: false,
    };
    let found = ring.pass(&header, body, &message(b'G', b"\0\0\x01\0\0")).unwrap();
    assert!(matches!(
        found.answer,
        Answer::Part {
            copy_in: true,
            last: false,
            hang_up: false,
            ..
        }
    ));
}

#[test]
fn an_exchange_that_the_database_skips_is_answered_with_nothing() {
    let mut ring = ring();
    let header = header(9, 0);
    let mut contract = contract(ROWS);
    contract.steps = vec![Expect::Parse, Expect::Flush];
    let contract = ring.contract(&header, &contract);
    let body = DirtyBody::Part {
        contract,
        state: SKIPPING,
        unsolicited: false,
    };
    let found = ring.pass(&header, body, b"").unwrap();
    let Answer::Part {
        before,
        after,
        last: true,
        hang_up: false,
        ..
    } = found.answer
    else {
        panic!()
    };
    assert_eq!((before, after), (Some(digest(&SKIPPING)), digest(&SKIPPING)));
}

#[test]
fn a_contract_that_is_not_genuine_stops_the_answer() {
    let payload = [description(), row(), end()].concat();
    let start = AnswerState::default();
    let here = header(9, 0);
    let mut ring = ring();

    let mut stranger = self::ring();
    let forged = stranger.contract(&here, &contract(ROWS));
    let envelope = ring.part(&here, forged, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-forged");

    let mut bent = ring.contract(&here, &contract(ROWS));
    *bent.last_mut().unwrap() ^= 1;
    let envelope = ring.part(&here, bent, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-forged");

    let envelope = ring.part(&here, Vec::new(), &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-forged");

    let other_exchange = ring.contract(&header(8, 0), &contract(ROWS));
    let envelope = ring.part(&here, other_exchange, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-of-another-exchange");

    let elsewhere = Header {
        session: SessionId([8; 16]),
        ..here
    };
    let other_session = ring.contract(&elsewhere, &contract(ROWS));
    let envelope = ring.part(&here, other_session, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-of-another-exchange");

    let mut not_a_contract = Vec::new();
    ring.query_validator
        .seal_body(&here, &7u8, &[], &mut not_a_contract)
        .unwrap();
    let envelope = ring.part(&here, not_a_contract, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-malformed");

    let mut with_a_tail = Vec::new();
    ring.query_validator
        .seal_body(&here, &contract(ROWS), &[b"x"], &mut with_a_tail)
        .unwrap();
    let envelope = ring.part(&here, with_a_tail, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-malformed");

    let mut old = Vec::new();
    let past = Header {
        deadline_ms: NOW - 1,
        ..here
    };
    ring.query_validator
        .seal_body(&past, &contract(ROWS), &[], &mut old)
        .unwrap();
    let envelope = ring.part(&here, old, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-expired");
}

#[test]
fn an_answer_that_breaks_its_contract_is_stopped() {
    let mut ring = ring();
    let here = header(9, 0);
    let two_rows = [description(), row(), row(), end()].concat();
    let mut start = |payload: &[u8], change: fn(&mut Contract), code: &str, reason: &str| {
        let mut contract = contract(ROWS);
        change(&mut contract);
        let contract = ring.contract(&here, &contract);
        let envelope = ring.part(&here, contract, &AnswerState::default(), payload);
        ring.assert_stopped(envelope, code, reason);
    };
    start(&two_rows, |c| c.max_rows = Some(1), "42501", "answer-row-cap");
    start(&two_rows, |c| c.max_bytes = Some(33), "42501", "answer-byte-cap");
    start(
        &two_rows,
        |c| c.steps = vec![Expect::Sync],
        "XX000",
        "answer-out-of-turn",
    );
    start(&row(), |_| (), "XX000", "answer-out-of-turn");
    start(&two_rows[..two_rows.len() - 1], |_| (), "XX000", "answer-cut");
    start(
        &message(b'R', b"\0\0\0\0"),
        |_| (),
        "XX000",
        "answer-message-never-allowed",
    );
    start(
        &message(b'A', b"\0\0\0\x01c\0secret\0"),
        |_| (),
        "42501",
        "answer-notification",
    );
    start(
        &message(b'S', b"client_encoding\0SJIS\0"),
        |_| (),
        "XX000",
        "answer-pinned-setting",
    );
}

#[test]
fn own_caps_hold_against_any_contract() {
    let mut ring = ring_with(Limits {
        max_rows: Some(1),
        max_bytes: None,
    });
    let here = header(9, 0);
    let payload = [description(), row(), row(), end()].concat();
    for allowed in [None, Some(1000)] {
        let mut contract = contract(ROWS);
        contract.max_rows = allowed;
        let contract = ring.contract(&here, &contract);
        let envelope = ring.part(&here, contract, &AnswerState::default(), &payload);
        ring.assert_stopped(envelope, "42501", "answer-row-cap");
    }
}

#[test]
fn a_claimed_state_is_checked_against_the_contract() {
    let mut ring = ring();
    let here = header(9, 3);
    let sealed = ring.contract(&here, &contract(ROWS));
    let beyond = AnswerState {
        step: 7,
        ..AnswerState::default()
    };
    let envelope = ring.part(&here, sealed.clone(), &beyond, &row());
    ring.assert_stopped(envelope, "XX000", "answer-after-end");
    let mut capped = contract(ROWS);
    capped.max_rows = Some(10);
    let sealed = ring.contract(&here, &capped);
    let full = AnswerState {
        phase: Phase::Rows,
        columns: 1,
        rows: 10,
        ..AnswerState::default()
    };
    let envelope = ring.part(&here, sealed, &full, &row());
    ring.assert_stopped(envelope, "42501", "answer-row-cap");
}

#[test]
fn only_what_the_contract_allows_comes_unsolicited() {
    let mut ring = ring();
    let here = header(9, 0);
    let notification = message(b'A', b"\0\0\0\x01c\0secret\0");
    let mut listening = contract(ROWS);
    listening.notifications = true;
    let unsolicited = |contract| DirtyBody::Part {
        contract,
        state: AnswerState::default(),
        unsolicited: true,
    };

    let sealed = ring.contract(&here, &listening);
    let found = ring.pass(&here, unsolicited(sealed), &notification).unwrap();
    assert!(matches!(
        found.answer,
        Answer::Part {
            before: None,
            last: false,
            hang_up: false,
            ..
        }
    ));
    assert_eq!(found.payload, notification);

    let sealed = ring.contract(&here, &contract(ROWS));
    let envelope = ring.sealed(&here, unsolicited(sealed), &notification);
    ring.assert_stopped(envelope, "42501", "answer-notification");
    let sealed = ring.contract(&here, &listening);
    let envelope = ring.sealed(&here, unsolicited(sealed), &[description(), row()].concat());
    ring.assert_stopped(envelope, "XX000", "answer-message-never-allowed");
    let sealed = ring.contract(&header(8, 0), &listening);
    let envelope = ring.sealed(&here, unsolicited(sealed), &notification);
    ring.assert_stopped(envelope, "XX000", "contract-of-another-exchange");
}

#[test]
fn everything_else_is_carried_as_it_is() {
    let mut ring = ring();
    let beat = Header {
        session: SessionId::NONE,
        sequence: 0,
        ..header(0, 0)
    };
    let backend: Slot = "backend-0".parse().unwrap();
    let heartbeat = DirtyBody::Heartbeat {
        backend: backend.clone(),
        instance: BACKEND,
    };
    let found = ring.pass(&beat, heartbeat, b"").unwrap();
    assert_eq!(
        found.answer,
        Answer::Heartbeat {
            backend,
            instance: BACKEND
        }
    );

    let here = header(9, 0);
    assert_eq!(
        ring.pass(&here, DirtyBody::Grant { bytes: 5 }, b"")
            .unwrap()
            .answer,
        Answer::Grant { bytes: 5 }
    );
    let probed = DirtyBody::Probed {
        standing: Standing::Running,
        sent: 3,
        expected: 4,
    };
    let expected = Answer::Probed {
        standing: Standing::Running,
        sent: 3,
        expected: 4,
    };
    assert_eq!(ring.pass(&here, probed, b"").unwrap().answer, expected);

    let settings = |pairs: &[(&str, &str)]| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Opened::Ready(pairs.iter().map(own).collect())
    };
    let sign_in = |opened| DirtyBody::SignIn {
        answer: vec![1, 2],
        opened,
    };
    let opened = settings(&[
        ("TimeZone", "UTC"),
        ("secret.row", "x"),
        ("client_encoding", "UTF8"),
    ]);
    let found = ring.pass(&here, sign_in(Some(opened)), b"").unwrap();
    let told = settings(&[("TimeZone", "UTC"), ("client_encoding", "UTF8")]);
    assert_eq!(
        found.answer,
        Answer::SignIn {
            answer: vec![1, 2],
            opened: Some(told)
        }
    );
    let found = ring.pass(&here, sign_in(None), b"").unwrap();
    assert_eq!(
        found.answer,
        Answer::SignIn {
            answer: vec![1, 2],
            opened: None
        }
    );
    let unreadable = settings(&[("client_encoding", "SJIS")]);
    assert_eq!(
        ring.pass(&here, sign_in(Some(unreadable)), b"").err(),
        Some(Refused::Nonsense)
    );

    let long = Refusal::fatal(SqlState::ADMIN_SHUTDOWN, format!("gone\n{}", "é".repeat(4000)));
    for body in [DirtyBody::Lost(long.clone()), sign_in(Some(Opened::Failed(long)))] {
        let (Answer::Lost(refusal)
        | Answer::SignIn {
            opened: Some(Opened::Failed(refusal)),
            ..
        }) = ring.pass(&here, body, b"").unwrap().answer
        else {
            panic!()
        };
        assert_eq!(refusal.code, SqlState::ADMIN_SHUTDOWN);
        assert!(
            refusal.message.starts_with("goneé") && refusal.message.len() <= 512,
            "{refusal}"
        );
    }
}

#[test]
fn what_makes_no_sense_goes_no_further() {
    let mut ring = ring();
    let here = header(9, 0);
    let beat = Header {
        session: SessionId::NONE,
        ..here
    };
    let heartbeat = |instance| DirtyBody::Heartbeat {
        backend: "backend-0".parse().unwrap(),
        instance,
    };
    let part = DirtyBody::Part {
        contract: Vec::new(),
        state: AnswerState::default(),
        unsolicited: false,
    };
    let nonsense: Vec<(&str, Header, DirtyBody, &[u8])> = vec![
        (
            "a heartbeat of another run",
            beat,
            heartbeat(InstanceId([9; 16])),
            b"",
        ),
        ("a heartbeat in a session", here, heartbeat(BACKEND), b""),
        ("a heartbeat with a payload", beat, heartbeat(BACKEND), b"x"),
        (
            "a grant without a session",
            beat,
            DirtyBody::Grant { bytes: 1 },
            b"",
        ),
        (
            "a grant with a payload",
            here,
            DirtyBody::Grant { bytes: 1 },
            b"x",
        ),
        ("a part without a session", beat, part, b""),
    ];
    for (name, header, body, payload) in nonsense {
        assert_eq!(
            ring.pass(&header, body, payload).err(),
            Some(Refused::Nonsense),
            "{name}"
        );
    }
    let mut body_of_another_type = Vec::new();
    ring.backend
        .seal_body(&here, &(1u8, 99u8), &[], &mut body_of_another_type)
        .unwrap();
    let found = ring.validator.step(NOW, &mut body_of_another_type).err();
    assert_eq!(found, Some(Refused::Nonsense));
}

#[test]
fn an_envelope_that_does_not_open_goes_no_further() {
    let mut ring = ring();
    let here = header(9, 0);
    let good = ring.sealed(&here, DirtyBody::Grant { bytes: 1 }, b"");
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 1;
        assert!(
            matches!(ring.validator.step(NOW, &mut bent), Err(Refused::Closed(_))),
            "byte {at}"
        );
    }
    let late = ring.validator.step(here.deadline_ms + 1, &mut good.clone()).err();
    assert_eq!(late, Some(Refused::Closed(OpenError::Expired)));
    let of_another_ring = self::ring().sealed(&here, DirtyBody::Grant { bytes: 1 }, b"");
    let forged = ring.validator.step(NOW, &mut of_another_ring.clone()).err();
    assert_eq!(forged, Some(Refused::Closed(OpenError::Forged)));
    // A contract is not an answer, though the same two stages hold its key.
    let mut contract = ring.contract(&here, &contract(ROWS));
    assert_eq!(
        ring.validator.step(NOW, &mut contract).err(),
        Some(Refused::Closed(OpenError::WrongLink))
    );
}

#[test]
fn a_round_makes_one_message_for_each_frontend_and_records_first() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(
        directory.path(),
        Stage::ResponseValidator,
        InstanceId([3; 16]),
        NOW,
    )
    .unwrap();
    let Ring {
        validator,
        mut backend,
        mut query_validator,
        mut frontend,
    } = ring();
    let mut relay = Relay::new(validator, ledger, "clean-resp".into(), || NOW);
    let mut seal = |slot: &str, exchange| {
        let here = header(exchange, 0);
        let mut sealed = Vec::new();
        query_validator
            .seal_body(&here, &contract(ROWS), &[], &mut sealed)
            .unwrap();
        let body = DirtyBody::Part {
            contract: sealed,
            state: AnswerState::default(),
            unsolicited: false,
        };
        let dirty = Dirty {
            frontend: slot.parse().unwrap(),
            body,
        };
        let payload = [description(), row(), end()].concat();
        let mut out = Vec::new();
        backend.seal_body(&here, &dirty, &[&payload], &mut out).unwrap();
        out
    };
    let mut batches = [Batch::new(), Batch::new()];
    batches[0].push(&seal("frontend-0", 1)).unwrap();
    batches[0].push(&seal("frontend-1", 2)).unwrap();
    batches[1].push(&seal("frontend-0", 3)).unwrap();
    batches[1].push(&[0; 200]).unwrap();
    let mut inputs: Vec<Bytes> = batches
        .iter_mut()
        .map(|batch| Bytes::from(batch.take()))
        .collect();
    inputs.push(Bytes::from_static(b"garbage"));
    let outputs = relay.step(inputs);
    relay.commit().unwrap();

    let mut exchanges = BTreeMap::new();
    for output in outputs {
        let mut payload = output.payload.to_vec();
        for envelope in batch::split(&mut payload).unwrap() {
            let opened = frontend.open(envelope, NOW).unwrap();
            exchanges
                .entry(output.subject.clone())
                .or_insert_with(Vec::new)
                .push(opened.header.exchange);
        }
    }
    let expected = [
        ("clean-resp.frontend-0".to_owned(), vec![1, 3]),
        ("clean-resp.frontend-1".to_owned(), vec![2]),
    ];
    assert_eq!(exchanges, BTreeMap::from(expected));

    let mut lines = String::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            lines += &std::fs::read_to_string(path).unwrap();
        }
    }
    assert_eq!(lines.matches("\"event\":\"exchange\"").count(), 3, "{lines}");
    assert_eq!(
        lines.matches("\"event\":\"envelope.refused\"").count(),
        2,
        "{lines}"
    );
    assert!(
        lines.contains("batch-malformed") && lines.contains("\"malformed\""),
        "{lines}"
    );
    assert!(!lines.contains("secret"));
    relay.close().unwrap();
}
