//! A Query Validator with the three other stages' ends of its links.

use crate::{EndPoints, Keys, Settings, User, Users, Validator};
use postern_envelope::Batch;
use postern_envelope::{Generation, Header, Keyring, Opener, Sealer, SecretKey, batch};
use postern_inspect::MaskKey;
use postern_ledger::{Event, Outcome};
use postern_policy::Policy;
use postern_scram::Verifier;
use postern_scram::client::{Binding, Client};
use postern_sql::SqlLimits;
use postern_types::ring::{
    Clean, CleanBody, Definition, DefinitionKind, OpenSession, Request, RequestBody, SignIn, SignInAnswer,
    Verdict,
};
use postern_types::{Contract, InstanceId, KeptValue, Link, Refusal, SessionId, Slot, Stage, body};
use postern_wire::{Target, put_bind, put_describe, put_execute, put_parse, put_query, put_sync};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const NOW: u64 = 1_000_000;
pub(super) const LIFETIME: u64 = 60_000;
pub(super) const SESSION: SessionId = SessionId([5; 16]);
pub(super) const FRONTEND_RUN: InstanceId = InstanceId([1; 16]);
pub(super) const BACKEND_RUN: InstanceId = InstanceId([3; 16]);
pub(super) const END_POINT: [u8; 32] = [9; 32];

const POLICY: &str = "
version: 1
roles:
  app: {mode: enforce, database_role: app, search_path: shop, statements: [select, insert, transaction], schemas: [shop], limits: {max_rows: 10}}
  owner: {mode: open, database_role: owner}
";

/// What a record said, as far as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) event: Event,
    pub(super) actor: Option<String>,
    pub(super) result: Outcome,
    pub(super) action: Option<&'static str>,
    pub(super) reason: Option<&'static str>,
    pub(super) sqlstate: Option<String>,
    pub(super) digests: usize,
    pub(super) reference: Option<u64>,
    pub(super) rule: Option<String>,
    pub(super) policy: Option<u64>,
    pub(super) would: Option<Outcome>,
    pub(super) pattern: Option<String>,
    pub(super) values: Vec<KeptValue>,
}

/// What arrived at the Backend.
pub(super) struct Arrived {
    pub(super) header: Header,
    pub(super) clean: Clean,
    pub(super) payload: Vec<u8>,
}

pub(super) struct Kit {
    pub(super) validator: Validator,
    pub(super) frontend: Sealer,
    backend: Opener,
    contracts: Opener,
    answers: Opener,
    pub(super) now: u64,
    pub(super) session: SessionId,
    pub(super) sequence: u64,
    pub(super) records: Vec<Noted>,
    pub(super) from: Slot,
    pub(super) to: Slot,
}

fn secret(n: u8) -> SecretKey {
    // Any 32 bytes are a secret.
    SecretKey::parse(&format!(
        "{}=",
        ["A", "B", "C", "D"][usize::from(n)].repeat(42) + "A"
    ))
    .unwrap()
}

pub(super) fn keyring(stage: Stage, n: u8) -> Keyring {
    let peers: BTreeMap<Stage, _> = Stage::ALL
        .into_iter()
        .zip(0u8..)
        .map(|(s, i)| (s, secret(i).public()))
        .collect();
    let own = Stage::ALL.into_iter().position(|s| s == stage).unwrap();
    let own = Generation {
        epoch: 1,
        secret: secret(u8::try_from(own).unwrap()),
        peers,
    };
    Keyring::new(stage, InstanceId([n; 16]), own)
}

pub(super) fn user(password: &str, roles: &[&str]) -> User {
    User {
        verifier: Verifier::from_password(password, b"0123456789abcdef", 4096).unwrap(),
        graced: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        tenant: Some("acme".to_owned()),
    }
}

pub(super) fn users() -> Users {
    let line = |name: &str, user: &User| {
        format!(
            "[users.{name}]\nverifier = \"{}\"\nroles = {:?}\ntenant = \"acme\"\n",
            user.verifier, user.roles
        )
    };
    let text = [
        line("ann", &user("pencil", &["app"])),
        line("olga", &user("pencil", &["owner"])),
        line("nobody", &user("pencil", &["gone"])),
    ]
    .concat();
    Users::parse(Path::new("users.toml"), &text).unwrap()
}

pub(super) fn record_key() -> MaskKey {
    MaskKey::new(&[8; 16]).unwrap()
}

pub(super) fn settings() -> Settings {
    Settings {
        mock_secret: vec![7; 32],
        end_points: EndPoints::of(Some(END_POINT.to_vec())),
        ticket_lifetime_ms: LIFETIME,
        lockout: crate::LockoutConfig::default(),
        nonce: || Ok("servernonce".to_owned()),
        record_key: Some(record_key()),
        sql: SqlLimits::default(),
        wire: postern_wire::Limits::default(),
    }
}

impl Kit {
    pub(super) fn new() -> Kit {
        let keys = Keys::new(&keyring(Stage::QueryValidator, 2)).unwrap();
        let policy = Policy::parse(POLICY).unwrap();
        Kit {
            validator: Validator::new(keys, policy, users(), settings()).unwrap(),
            frontend: keyring(Stage::Frontend, 1)
                .sealer(Link::FrontendToQueryValidator)
                .unwrap(),
            backend: keyring(Stage::Backend, 3)
                .opener(Link::QueryValidatorToBackend)
                .unwrap(),
            contracts: keyring(Stage::ResponseValidator, 4)
                .opener(Link::QueryValidatorToResponseValidator)
                .unwrap(),
            answers: keyring(Stage::Frontend, 1)
                .opener(Link::QueryValidatorToFrontend)
                .unwrap(),
            now: NOW,
            session: SESSION,
            sequence: 0,
            records: Vec::new(),
            from: "frontend-0".parse().unwrap(),
            to: "backend-0".parse().unwrap(),
        }
    }

    pub(super) fn header(&mut self) -> Header {
        self.sequence += 1;
        Header {
            session: self.session,
            sequence: self.sequence,
            exchange: self.sequence,
            part: 0,
            deadline_ms: self.now + 5_000,
        }
    }

    /// Gives one message of the bus to the validator, and opens what comes out as the Backend would.
    pub(super) fn raw(&mut self, message: &mut [u8]) -> Vec<Arrived> {
        let records = &mut self.records;
        self.validator.step(message, self.now, &mut |record| {
            records.push(Noted {
                event: record.event,
                actor: record.actor.map(str::to_owned),
                result: record.result,
                action: record.action,
                reason: record.details.reason,
                sqlstate: record.details.sqlstate.map(|code| code.to_string()),
                digests: record.resource.len(),
                reference: record.details.reference,
                rule: record.rule.map(str::to_owned),
                policy: record.details.policy,
                would: record.details.would,
                pattern: record.pattern.map(str::to_owned),
                values: record.values.to_vec(),
            });
        });
        let mut arrived = Vec::new();
        for mut output in self.validator.take_outputs() {
            assert_eq!(output.backend, self.to);
            for envelope in batch::split(&mut output.payload).unwrap() {
                let opened = self.backend.open(envelope, self.now).unwrap();
                let (clean, payload): (Clean, &[u8]) = body::decode(opened.body).unwrap();
                arrived.push(Arrived {
                    header: opened.header,
                    clean,
                    payload: payload.to_vec(),
                });
            }
        }
        arrived
    }

    pub(super) fn ask_under(&mut self, header: &Header, body: RequestBody, payload: &[u8]) -> Vec<Arrived> {
        let request = Request {
            frontend: self.from.clone(),
            backend: self.to.clone(),
            body,
        };
        let mut batch = Batch::new();
        let frontend = &mut self.frontend;
        batch
            .push_with(|out| frontend.seal_body(header, &request, &[payload], out))
            .unwrap();
        self.raw(&mut batch.take())
    }

    /// Asks, and expects exactly one thing to come of it under the same header.
    pub(super) fn ask(&mut self, body: RequestBody, payload: &[u8]) -> (CleanBody, Vec<u8>) {
        let header = self.header();
        let mut arrived = self.ask_under(&header, body, payload);
        assert_eq!(arrived.len(), 1);
        let one = arrived.remove(0);
        assert_eq!(one.header, header);
        assert_eq!(one.clean.frontend, self.from);
        (one.clean.body, one.payload)
    }

    pub(super) fn request(&self, user: &str, message: Vec<u8>, state: Option<Vec<u8>>) -> SignIn {
        SignIn {
            backend_instance: BACKEND_RUN,
            user: user.to_owned(),
            database: "demo".to_owned(),
            parameters: vec![("application_name".to_owned(), "t".to_owned())],
            client: "192.0.2.1:5555".to_owned(),
            tls: false,
            mechanism: "SCRAM-SHA-256".to_owned(),
            message,
            state,
            window: 77,
        }
    }

    /// One step of signing in.
    pub(super) fn step(&mut self, sign_in: SignIn) -> (SignInAnswer, Option<OpenSession>) {
        let header = self.header();
        let mut arrived = self.ask_under(&header, RequestBody::SignIn(sign_in), &[]);
        let CleanBody::SignIn { mut answer, open } = arrived.remove(0).clean.body else {
            panic!("not a sign-in answer");
        };
        let opened = self.answers.open(&mut answer, self.now).unwrap();
        assert_eq!(opened.header, header);
        let (answer, _) = body::decode(opened.body).unwrap();
        (answer, open)
    }

    /// Both steps; `change` may tamper with either request.
    pub(super) fn sign_in_with(
        &mut self,
        user: &str,
        password: &str,
        binding: Binding<'_>,
        change: impl Fn(&mut SignIn),
    ) -> (SignInAnswer, Option<OpenSession>) {
        let client = Client::new(binding, "clientnonce").unwrap();
        let mut first = self.request(user, client.first_message(), None);
        first.mechanism = client.mechanism().as_str().to_owned();
        change(&mut first);
        let (answer, open) = self.step(first.clone());
        let SignInAnswer::Continue { message, state } = answer else {
            return (answer, open);
        };
        assert_eq!(open, None);
        let (last, proof) = client.respond(&message, password).unwrap();
        let (answer, open) = self.step(SignIn {
            message: last,
            state: Some(state),
            ..first
        });
        if let SignInAnswer::Accepted { message, .. } = &answer {
            proof.verify(message).unwrap();
        }
        (answer, open)
    }

    /// The ticket of a user.
    pub(super) fn ticket(&mut self, user: &str) -> Vec<u8> {
        match self.sign_in_with(user, "pencil", Binding::None, |_| {}).0 {
            SignInAnswer::Accepted { ticket, .. } => ticket,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn exchange(
        &mut self,
        ticket: &[u8],
        definitions: &[Definition],
        payload: &[u8],
    ) -> CleanBody {
        let body = RequestBody::Exchange {
            ticket: ticket.to_vec(),
            definitions: definitions.to_vec(),
            trace: None,
        };
        let (clean, passed) = self.ask(body, payload);
        match &clean {
            CleanBody::Run {
                definitions: passed_definitions,
                ..
            } => {
                assert_eq!(passed, payload, "the payload is passed on as it is");
                assert_eq!(passed_definitions, definitions);
            }
            _ => assert!(passed.is_empty(), "nothing of the payload is passed on"),
        }
        clean
    }

    /// The verdicts on an exchange: `None` for Allow, the SQLSTATE for Refuse.
    pub(super) fn codes(
        &mut self,
        ticket: &[u8],
        definitions: &[Definition],
        payload: &[u8],
    ) -> Vec<Option<String>> {
        self.verdicts(ticket, definitions, payload)
            .iter()
            .map(|verdict| match verdict {
                Verdict::Allow(_) => None,
                Verdict::Refuse(refusal) => {
                    assert!(!refusal.fatal);
                    Some(refusal.code.to_string())
                }
            })
            .collect()
    }

    pub(super) fn verdicts(
        &mut self,
        ticket: &[u8],
        definitions: &[Definition],
        payload: &[u8],
    ) -> Vec<Verdict> {
        match self.exchange(ticket, definitions, payload) {
            CleanBody::Run { verdicts, steps, .. } => {
                assert_eq!(verdicts.len(), steps.len());
                verdicts
            }
            other => panic!("{other:?}"),
        }
    }

    /// The verdict on one simple query.
    pub(super) fn query(&mut self, ticket: &[u8], sql: &str) -> Verdict {
        self.verdicts(ticket, &[], &query(sql)).remove(0)
    }

    #[track_caller]
    pub(super) fn refused(&mut self, ticket: &[u8], sql: &str) -> Refusal {
        match self.query(ticket, sql) {
            Verdict::Refuse(refusal) => refusal,
            Verdict::Allow(_) => panic!("allowed: {sql}"),
        }
    }

    pub(super) fn contract(&mut self, sealed: &[u8]) -> (Header, Contract) {
        let mut sealed = sealed.to_vec();
        let opened = self.contracts.open(&mut sealed, self.now).unwrap();
        let (contract, tail) = body::decode(opened.body).unwrap();
        assert!(tail.is_empty());
        (opened.header, contract)
    }
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_query(&mut out, sql).unwrap();
    out
}

/// A message of an extended exchange.
pub(super) enum M<'a> {
    Parse(&'a str, &'a str),
    Bind(&'a str, &'a str),
    DescribeStatement(&'a str),
    DescribePortal(&'a str),
    Execute(&'a str),
    CloseStatement(&'a str),
    Sync,
    Flush,
}

pub(super) fn payload(messages: &[M<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        match message {
            M::Parse(name, sql) => put_parse(&mut out, name, sql, []).unwrap(),
            // No formats, no values, no result formats.
            M::Bind(portal, statement) => put_bind(&mut out, portal, statement, &[0; 6]).unwrap(),
            M::DescribeStatement(name) => put_describe(&mut out, Target::Statement, name).unwrap(),
            M::DescribePortal(name) => put_describe(&mut out, Target::Portal, name).unwrap(),
            M::Execute(portal) => put_execute(&mut out, portal, 0).unwrap(),
            M::CloseStatement(name) => postern_wire::put_close(&mut out, Target::Statement, name).unwrap(),
            M::Sync => put_sync(&mut out),
            M::Flush => postern_wire::put_flush(&mut out),
        }
    }
    out
}

pub(super) fn definition(kind: DefinitionKind, name: &str, sql: &str) -> Definition {
    Definition {
        kind,
        name: name.to_owned(),
        sql: sql.to_owned(),
        parameter_types: Vec::new(),
    }
}
