//! One envelope at a time, with real seals.

mod carried;
mod parts;
mod round;
mod ruled;
mod stopped;

use crate::{Limits, Refused, Relay, Stepped, Validator};
use bytes::Bytes;
use postern_bus::relay::Step;
use postern_envelope::{
    Batch, Generation, Header, Keyring, OpenError, Opener, PublicKey, Sealer, SecretKey, batch,
};
use postern_inspect::{
    AnswerState, Contract, Expect, Inspector, Phase, SKIPPING, StatementShape, digest, steps_digest,
};
use postern_ledger::{Event, Ledger, Level, Outcome};
use postern_types::ring::{Answer, Dirty, DirtyBody, Opened, Standing};
use postern_types::{
    CopyDirection, ErrorDetail, InstanceId, Link, OverCap, Refusal, SessionId, Slot, SqlState, Stage,
    StateDigest, body,
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
    /// What the Backend says of the steps that it ran.
    steps: Option<StateDigest>,
}

fn keyring(stage: Stage, secrets: &BTreeMap<Stage, SecretKey>, instance: InstanceId) -> Keyring {
    let peers: BTreeMap<Stage, PublicKey> = secrets
        .iter()
        .map(|(stage, secret)| (*stage, secret.public()))
        .collect();
    let own = SecretKey::parse(secrets[&stage].to_base64().as_str()).unwrap();
    let own = Generation {
        epoch: 1,
        secret: own,
        peers,
    };
    Keyring::new(stage, instance, own)
}

fn ring_with(limits: Limits) -> Ring {
    ring_by(limits, Inspector::default())
}

fn ring_by(limits: Limits, inspector: Inspector) -> Ring {
    let secrets: BTreeMap<Stage, SecretKey> = Stage::ALL
        .into_iter()
        .map(|stage| (stage, SecretKey::generate().unwrap()))
        .collect();
    let keys = |stage, id| keyring(stage, &secrets, InstanceId([id; 16]));
    Ring {
        validator: Validator::new(&keys(Stage::ResponseValidator, 3), limits, inspector).unwrap(),
        backend: keys(Stage::Backend, 2)
            .sealer(Link::BackendToResponseValidator)
            .unwrap(),
        query_validator: keys(Stage::QueryValidator, 1)
            .sealer(Link::QueryValidatorToResponseValidator)
            .unwrap(),
        frontend: keys(Stage::Frontend, 4)
            .opener(Link::ResponseValidatorToFrontend)
            .unwrap(),
        steps: None,
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
        roles: Vec::new(),
        over: OverCap::Refuse,
        statements: Vec::new(),
        rules: 0,
        trace: None,
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
            steps: self.steps,
            since_us: 0,
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
        let record = note.record();
        assert_eq!(
            (record.level, record.result),
            (Level::Alert, Outcome::Refused),
            "{reason}"
        );
        assert_eq!(record.details.reason, Some(reason));
        let reference = record.details.reference.unwrap();
        assert!(
            text.contains(&format!("(reference {reference:016x})")),
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
