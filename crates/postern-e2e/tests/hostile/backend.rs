//! A hijacked Backend: its key, its place on the bus. The real one is held still while the hijacker answers for it.

use crate::credentials;
use crate::impostor::{self, Make};
use crate::scene::{LOOT, Scene, Tap, header, now_ms, query, sealed, text_of, told};
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_cli::part::Part;
use postern_e2e::raw::{Message, Raw};
use postern_envelope::{Header, Sealer};
use postern_inspect::steps_digest;
use postern_types::ring::{Clean, CleanBody, Dirty, DirtyBody, Opened};
use postern_types::{AnswerState, Expect, InstanceId, Link, Phase, Refusal, SessionId, SqlState, Stage};
use rustix::process::Signal;

const LINK: Link = Link::BackendToResponseValidator;
const PART: Part = Part::Stage(Stage::Backend);

/// One message of the server.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

pub(crate) fn description(columns: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for name in columns {
        body.extend_from_slice(name.as_bytes());
        // No table, no column, text of any length in text format.
        body.extend_from_slice(&[
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0,
        ]);
    }
    message(b'T', &body)
}

pub(crate) fn row(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    message(b'D', &body)
}

pub(crate) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

pub(crate) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// A whole answer of one row.
pub(crate) fn whole(word: &str) -> Vec<u8> {
    [
        description(&["word"]),
        row(&[word]),
        complete("SELECT 1"),
        ready(),
    ]
    .concat()
}

/// An error or notice with these fields.
fn fields(tag: u8, fields: &[(u8, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (code, text) in fields {
        body.push(*code);
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    message(tag, &body)
}

/// What the Backend was told to run.
#[derive(Clone)]
struct Order {
    header: Header,
    contract: Vec<u8>,
    steps: Vec<Expect>,
    /// Number of the next answer to the session.
    next: u64,
}

impl Order {
    fn part(&self, payload: &[u8]) -> Made {
        let by_columns = self.steps.first() == Some(&Expect::Columns);
        Made {
            header: header(self.header.session, self.next, self.header.exchange),
            body: DirtyBody::Part {
                contract: self.contract.clone(),
                state: AnswerState::default(),
                unsolicited: false,
                steps: by_columns.then(|| steps_digest(&self.steps)),
            },
            payload: payload.to_vec(),
        }
    }
}

/// What the hijacker answers.
struct Made {
    header: Header,
    body: DirtyBody,
    payload: Vec<u8>,
}

impl Made {
    fn later(mut self, by: u64) -> Made {
        self.header.sequence += by;
        self
    }

    fn in_state(mut self, claimed: AnswerState) -> Made {
        if let DirtyBody::Part { state, .. } = &mut self.body {
            *state = claimed;
        }
        self
    }

    fn under(mut self, other: Vec<u8>) -> Made {
        if let DirtyBody::Part { contract, .. } = &mut self.body {
            *contract = other;
        }
        self
    }

    fn unasked(mut self) -> Made {
        if let DirtyBody::Part { unsolicited, .. } = &mut self.body {
            *unsolicited = true;
        }
        self
    }

    fn envelope(&self, sealer: &mut Sealer) -> Vec<u8> {
        let head = Dirty {
            frontend: "frontend-0".parse().unwrap(),
            body: self.body.clone(),
        };
        sealed(sealer, &self.header, &head, &self.payload)
    }
}

struct Hijacker<'a> {
    scene: &'a Scene,
    orders: Tap,
    out: Tap,
}

impl Hijacker<'_> {
    /// A client that has asked, and what the Backend, which is held still, was told of it.
    async fn asked(&mut self, user: &str, sql: &str) -> (Raw, Order) {
        self.scene.ring.signal(PART, Signal::CONT);
        let mut client = self.scene.client(user).await;
        self.scene.ring.signal(PART, Signal::STOP);
        self.orders.forget().await;
        client.send(&query(sql)).await.unwrap();
        let order = self.ordered().await;
        (client, order)
    }

    async fn ordered(&mut self) -> Order {
        self.orders
            .next(|heard| match heard.decode::<Clean>()? {
                (
                    Clean {
                        body: CleanBody::Run { contract, steps, .. },
                        ..
                    },
                    _,
                ) => Some(Order {
                    header: heard.header,
                    contract,
                    steps,
                    // Two answers while the session signed in.
                    next: 3,
                }),
                _ => None,
            })
            .await
    }
}

fn loot(messages: &[Message]) -> bool {
    text_of(messages).contains(LOOT)
}

fn has(tag: u8) -> impl Fn(&[Message]) -> bool {
    move |messages| messages.iter().any(|m| m.tag == tag)
}

#[tokio::test]
async fn backend() {
    let scene = Scene::new().await;
    let mut table = Table::new("Backend");
    let mut hijacker = Hijacker {
        orders: scene.tap(Hop::CleanQuery).await,
        out: scene.tap(Hop::DirtyResp).await,
        scene: &scene,
    };
    envelopes(&mut table, &mut hijacker).await;
    answers(&mut table, &mut hijacker).await;
    contracts(&mut table, &mut hijacker).await;
    signing_in(&mut table, &mut hijacker).await;
    requests(&mut table, &mut hijacker).await;
    scene.ring.signal(PART, Signal::CONT);
    scene.is_shown(&mut table, Stage::Backend);
    credentials::tried(&scene, &mut table, Stage::Backend).await;
    scene.still_serves().await;
    table.finish(55);
}

async fn envelopes(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let scene = hijacker.scene;
    let mut tap = scene.tap(Hop::DirtyResp).await;
    let (mut client, order) = hijacker.asked("reader", "SELECT 'a' AS word").await;
    let mut genuine = async |_: &mut Tap, make: &mut Make| {
        let mut made = order.part(&whole(LOOT));
        made.header.deadline_ms = make.deadline_ms;
        made.envelope(&mut make.sealer)
    };
    // Every one is for the same answer, which is still awaited after each that failed.
    let mut effect = async |_: &mut Tap| {
        let waited = tokio::time::timeout(std::time::Duration::from_millis(40), client.next()).await;
        waited.is_ok()
    };
    impostor::try_all(scene, table, &mut tap, LINK, &mut genuine, &mut effect).await;
    let envelope = genuine(&mut tap, &mut Make::new(scene.sealer(LINK))).await;
    tap.send(&envelope).await;
    let worked = loot(&told(&mut client).await);
    table.note(
        "a row of its own making, where a row is due",
        Fate::Residual,
        worked,
        "",
    );
}

/// Answers that are not legal for what was asked, and what the policy keeps back.
async fn answers(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let legal = Fate::Stopped("P5, P7");
    let policy = Fate::Stopped("P3");
    let rows = |n: u64, phase| AnswerState {
        phase,
        columns: 1,
        rows: n,
        step_rows: n,
        ..AnswerState::default()
    };
    let asked = "SELECT 'a' AS word";
    type Build = Box<dyn Fn(&Order) -> Vec<Made>>;
    let one = |build: fn(&Order) -> Made| -> Build { Box::new(move |order| vec![build(order)]) };
    let plain = |payload: Vec<u8>| -> Build { Box::new(move |order| vec![order.part(&payload)]) };
    let end = || [complete("SELECT 1"), ready()].concat();
    type Effect = Box<dyn Fn(&[Message]) -> bool>;
    let cases: Vec<(&str, Fate, Build, Effect)> = vec![
        (
            "a row before its description",
            legal,
            plain([row(&[LOOT]), end()].concat()),
            Box::new(loot),
        ),
        (
            "a row with more columns than described",
            legal,
            plain([description(&["a"]), row(&["b", LOOT]), end()].concat()),
            Box::new(loot),
        ),
        (
            "a row after the end",
            legal,
            plain([whole("a"), row(&[LOOT])].concat()),
            Box::new(loot),
        ),
        (
            "a second answer in the same part",
            legal,
            plain([whole("a"), whole(LOOT)].concat()),
            Box::new(loot),
        ),
        (
            "a second description",
            legal,
            plain([description(&["a"]), description(&[LOOT]), row(&["b"]), end()].concat()),
            Box::new(loot),
        ),
        (
            "two results for one statement",
            legal,
            plain(
                [
                    description(&["a"]),
                    row(&["b"]),
                    complete("SELECT 1"),
                    description(&["c"]),
                    row(&[LOOT]),
                    end(),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "AuthenticationCleartextPassword",
            legal,
            plain([message(b'R', &[0, 0, 0, 3]), whole("a")].concat()),
            Box::new(has(b'R')),
        ),
        (
            "AuthenticationOk",
            legal,
            plain([message(b'R', &[0, 0, 0, 0]), whole("a")].concat()),
            Box::new(has(b'R')),
        ),
        (
            "BackendKeyData",
            legal,
            plain([message(b'K', &[0, 0, 0, 1, 0, 0, 0, 1]), whole("a")].concat()),
            Box::new(has(b'K')),
        ),
        (
            "NegotiateProtocolVersion",
            legal,
            plain([message(b'v', &[0, 0, 0, 0, 0, 0, 0, 0]), whole("a")].concat()),
            Box::new(has(b'v')),
        ),
        (
            "FunctionCallResponse",
            legal,
            plain([message(b'V', &[255, 255, 255, 255]), whole("a")].concat()),
            Box::new(has(b'V')),
        ),
        (
            "CopyInResponse",
            legal,
            plain(message(b'G', &[0, 0, 0])),
            Box::new(has(b'G')),
        ),
        (
            "CopyOutResponse and data",
            legal,
            plain([message(b'H', &[0, 0, 0]), message(b'd', LOOT.as_bytes())].concat()),
            Box::new(loot),
        ),
        (
            "CopyBothResponse",
            legal,
            plain(message(b'W', &[0, 0, 0])),
            Box::new(has(b'W')),
        ),
        (
            "ParseComplete for a simple query",
            legal,
            plain([message(b'1', b""), whole("a")].concat()),
            Box::new(has(b'1')),
        ),
        (
            "ParameterDescription for a simple query",
            legal,
            plain([message(b't', &[0, 0]), whole("a")].concat()),
            Box::new(has(b't')),
        ),
        (
            "an unknown message",
            legal,
            plain([message(b'!', LOOT.as_bytes()), whole("a")].concat()),
            Box::new(loot),
        ),
        (
            "a message of the client's side",
            legal,
            plain([message(b'Q', LOOT.as_bytes()), whole("a")].concat()),
            Box::new(loot),
        ),
        (
            "a message that is cut",
            legal,
            plain(whole(LOOT)[..30].to_vec()),
            Box::new(loot),
        ),
        (
            "a length below four",
            legal,
            plain(b"D\0\0\0\x03".to_vec()),
            Box::new(has(b'D')),
        ),
        (
            "a value longer than its message",
            legal,
            plain(
                [
                    description(&["a"]),
                    message(b'D', b"\0\x01\x7f\xff\xff\xffswordfish"),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "a row description that is cut",
            legal,
            plain([message(b'T', b"\0\x01swordfish"), end()].concat()),
            Box::new(loot),
        ),
        (
            "another client encoding",
            legal,
            plain([message(b'S', b"client_encoding\0LATIN1\0"), whole("a")].concat()),
            Box::new(has(b'S')),
        ),
        (
            "a setting of its own making",
            legal,
            plain([message(b'S', b"swordfish\0swordfish\0"), whole("a")].concat()),
            Box::new(loot),
        ),
        (
            "a notification that nobody listens for",
            legal,
            plain([message(b'A', b"\0\0\0\x01c\0swordfish\0"), whole("a")].concat()),
            Box::new(loot),
        ),
        (
            "a notification outside of the answer",
            legal,
            one(|o| o.part(&message(b'A', b"\0\0\0\x01c\0swordfish\0")).unasked()),
            Box::new(loot),
        ),
        (
            "a row outside of the answer",
            legal,
            one(|o| o.part(&row(&[LOOT])).unasked()),
            Box::new(loot),
        ),
        (
            "rows over the cap",
            policy,
            plain(
                [
                    description(&["a"]),
                    row(&["1"]),
                    row(&["2"]),
                    row(&["3"]),
                    row(&[LOOT]),
                    end(),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "a value in the text of an error",
            policy,
            plain(
                [
                    fields(
                        b'E',
                        &[(b'S', "ERROR"), (b'C', "23505"), (b'M', LOOT), (b'D', LOOT)],
                    ),
                    ready(),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "a value in the fields of an error",
            policy,
            plain(
                [
                    fields(
                        b'E',
                        &[
                            (b'S', "ERROR"),
                            (b'C', "23505"),
                            (b'M', "x"),
                            (b't', LOOT),
                            (b'n', LOOT),
                            (b'W', LOOT),
                        ],
                    ),
                    ready(),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "a value in a notice",
            policy,
            plain(
                [
                    fields(b'N', &[(b'S', "NOTICE"), (b'C', "00000"), (b'M', LOOT)]),
                    whole("a"),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "another tenant's row",
            policy,
            plain([description(&["tenant_id", "word"]), row(&["2", LOOT]), end()].concat()),
            Box::new(loot),
        ),
        (
            "another tenant's row inside json",
            policy,
            plain(
                [
                    description(&["word"]),
                    row(&["{\"a\":[{\"tenant_id\":2,\"w\":\"swordfish\"}]}"]),
                    end(),
                ]
                .concat(),
            ),
            Box::new(loot),
        ),
        (
            "a state in which a row is due already",
            legal,
            Box::new(move |o| {
                vec![
                    o.part(&[row(&[LOOT]), end()].concat())
                        .in_state(rows(0, Phase::Rows)),
                ]
            }),
            Box::new(loot),
        ),
        (
            "a state in which rows were counted already",
            legal,
            Box::new(move |o| {
                vec![
                    o.part(&[row(&[LOOT]), end()].concat())
                        .in_state(rows(1, Phase::Rows)),
                ]
            }),
            Box::new(loot),
        ),
        (
            "a state behind the end",
            legal,
            one(|o| {
                o.part(&whole(LOOT)).in_state(AnswerState {
                    phase: Phase::Done,
                    ..AnswerState::default()
                })
            }),
            Box::new(loot),
        ),
        (
            "a state of a failed answer",
            legal,
            one(|o| {
                o.part(&ready()).in_state(AnswerState {
                    phase: Phase::Failed,
                    ..AnswerState::default()
                })
            }),
            Box::new(has(b'Z')),
        ),
        (
            "a later part before the first",
            legal,
            one(|o| o.part(&whole(LOOT)).later(1)),
            Box::new(loot),
        ),
        (
            "a part far ahead of its turn",
            legal,
            one(|o| o.part(&whole(LOOT)).later(1_000_000)),
            Box::new(loot),
        ),
        (
            "a number that was used while signing in",
            legal,
            one(|o| {
                let mut made = o.part(&whole(LOOT));
                made.header.sequence = 2;
                made
            }),
            Box::new(loot),
        ),
        (
            "a second answer under the number of the first",
            legal,
            Box::new(|o| vec![o.part(&whole("a")), o.part(&whole(LOOT))]),
            Box::new(loot),
        ),
        (
            "a second answer after the first",
            legal,
            Box::new(|o| vec![o.part(&whole("a")), o.part(&whole(LOOT)).later(1)]),
            Box::new(loot),
        ),
        (
            "the answer to an exchange that was not asked",
            legal,
            one(|o| {
                let mut made = o.part(&whole(LOOT));
                made.header.exchange += 1;
                made
            }),
            Box::new(loot),
        ),
        (
            "the answer of a session that is not there",
            legal,
            one(|o| {
                let mut made = o.part(&whole(LOOT));
                made.header.session = SessionId([9; 16]);
                made
            }),
            Box::new(loot),
        ),
    ];
    for (name, fate, build, effect) in cases {
        let (mut client, order) = hijacker.asked("reader", asked).await;
        let mut sealer = hijacker.scene.sealer(LINK);
        for made in build(&order) {
            let envelope = made.envelope(&mut sealer);
            hijacker.out.send(&envelope).await;
        }
        let mut seen = told(&mut client).await;
        seen.extend(told(&mut client).await);
        table.note(name, fate, effect(&seen), "");
    }
}

/// Contracts that belong to something else.
async fn contracts(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let bound = Fate::Stopped("P5");
    let asked = "SELECT 'a' AS word";
    // Another session asks the very same, and lets a larger answer through.
    let (mut other, others) = hijacker.asked("owner", asked).await;
    let mut own = Vec::new();
    let made_here = hijacker.scene.sealer_with(
        Stage::Backend,
        Link::QueryValidatorToResponseValidator,
        1,
        InstanceId::random().unwrap(),
    );
    let mut made_here = made_here;
    made_here.seal(&others.header, b"made up", &mut own).unwrap();
    let cut = |contract: &[u8]| contract[..contract.len() - 1].to_vec();
    let flipped = |contract: &[u8]| {
        let mut contract = contract.to_vec();
        let at = contract.len() - 20;
        contract[at] ^= 1;
        contract
    };
    type Swap<'a> = Box<dyn Fn(&Order) -> Vec<u8> + 'a>;
    let cases: Vec<(&str, Swap<'_>)> = vec![
        ("no contract", Box::new(|_| Vec::new())),
        ("a contract that is cut", Box::new(move |o| cut(&o.contract))),
        (
            "a contract with one bit changed",
            Box::new(move |o| flipped(&o.contract)),
        ),
        ("a contract of its own making", Box::new(|_| own.clone())),
        (
            "the contract of another session that asked the same",
            Box::new(|_| others.contract.clone()),
        ),
    ];
    let mut sealer = hijacker.scene.sealer(LINK);
    for (name, swap) in cases {
        hijacker.scene.ring.signal(PART, Signal::CONT);
        let (mut client, order) = hijacker.asked("reader", asked).await;
        let made = order.part(&whole(LOOT)).under(swap(&order));
        let envelope = made.envelope(&mut sealer);
        hijacker.out.send(&envelope).await;
        table.note(name, bound, loot(&told(&mut client).await), "");
    }
    let (mut client, order) = hijacker.asked("reader", asked).await;
    let mut made = others.part(&whole(LOOT));
    made.header.session = order.header.session;
    let envelope = made.envelope(&mut sealer);
    hijacker.out.send(&envelope).await;
    table.note(
        "another session's answer as a whole",
        bound,
        loot(&told(&mut client).await),
        "",
    );

    // The first statement's contract for the second one's answer.
    let (mut client, first) = hijacker.asked("reader", asked).await;
    hijacker.scene.ring.signal(PART, Signal::CONT);
    told(&mut client).await;
    hijacker.scene.ring.signal(PART, Signal::STOP);
    hijacker.orders.forget().await;
    client
        .send(&query("SELECT count(*) FROM cards WHERE tenant_id = 1"))
        .await
        .unwrap();
    let second = hijacker.ordered().await;
    let mut made = second.part(&whole(LOOT)).under(first.contract.clone());
    made.header.sequence = 4;
    let envelope = made.envelope(&mut sealer);
    hijacker.out.send(&envelope).await;
    table.note(
        "the contract of an earlier statement of the session",
        bound,
        loot(&told(&mut client).await),
        "",
    );
    let mut made = first.part(&whole(LOOT));
    made.header.sequence = 4;
    let envelope = made.envelope(&mut sealer);
    hijacker.out.send(&envelope).await;
    table.note(
        "the answer to an earlier statement",
        bound,
        loot(&told(&mut client).await),
        "",
    );
    told(&mut other).await;
}

/// Signing clients in without the Query Validator's word.
async fn signing_in(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let decided = Fate::Stopped("P10");
    // The word on a session that did sign in.
    hijacker.scene.ring.signal(PART, Signal::CONT);
    hijacker.orders.forget().await;
    let _signed_in = hijacker.scene.client("reader").await;
    let accepted = hijacker
        .orders
        .next(|heard| match heard.decode::<Clean>()? {
            (
                Clean {
                    body:
                        CleanBody::SignIn {
                            answer,
                            open: Some(_),
                        },
                    ..
                },
                _,
            ) => Some(answer),
            _ => None,
        })
        .await;
    let mut own = Vec::new();
    let mut sealer = hijacker.scene.sealer_with(
        Stage::Backend,
        Link::QueryValidatorToFrontend,
        1,
        InstanceId::random().unwrap(),
    );
    sealer
        .seal(&header(SessionId([1; 16]), 2, 0), b"made up", &mut own)
        .unwrap();
    for (name, answer) in [
        ("sign a client in with nobody's word", Vec::new()),
        ("sign a client in with its own word", own),
        ("sign a client in with the word on another session", accepted),
    ] {
        hijacker.orders.forget().await;
        hijacker.scene.ring.signal(PART, Signal::STOP);
        let mut client = Raw::connect(hijacker.scene.ring.port()).await.unwrap();
        let mut startup = Vec::new();
        postern_wire::put_startup(&mut startup, 0, &[("user", "owner"), ("database", "demo")]).unwrap();
        client.send(&startup).await.unwrap();
        client.message().await.unwrap();
        let scram = postern_scram::client::Client::new(
            postern_scram::client::Binding::None,
            "abcdefghijklmnopqrstuvwx",
        )
        .unwrap();
        let mut first = Vec::new();
        postern_wire::put_sasl_initial(&mut first, scram.mechanism().as_str(), &scram.first_message())
            .unwrap();
        client.send(&first).await.unwrap();
        let asked = hijacker
            .orders
            .next(|heard| match heard.decode::<Clean>()? {
                (
                    Clean {
                        body: CleanBody::SignIn { .. },
                        ..
                    },
                    _,
                ) => Some(heard.header),
                _ => None,
            })
            .await;
        let made = Made {
            header: header(asked.session, asked.sequence, asked.exchange),
            body: DirtyBody::SignIn {
                answer,
                opened: Some(Opened::Ready(Vec::new())),
            },
            payload: Vec::new(),
        };
        let envelope = made.envelope(&mut hijacker.scene.sealer(LINK));
        hijacker.out.send(&envelope).await;
        let seen = told(&mut client).await;
        let in_now = seen
            .iter()
            .any(|m| m.tag == b'Z' || m.tag == b'K' || (m.tag == b'R' && m.body == [0; 4]));
        table.note(name, decided, in_now, "");
        hijacker.scene.ring.signal(PART, Signal::CONT);
    }
}

/// What it can do to sessions that it serves, and to the Query Validator.
async fn requests(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let (mut client, order) = hijacker.asked("reader", "SELECT 'a' AS word").await;
    let gone = Refusal::fatal(SqlState::ADMIN_SHUTDOWN, "gone".to_owned());
    let made = Made {
        header: header(order.header.session, order.next, order.header.exchange),
        body: DirtyBody::Lost(gone),
        payload: Vec::new(),
    };
    let envelope = made.envelope(&mut hijacker.scene.sealer(LINK));
    hijacker.out.send(&envelope).await;
    let seen = told(&mut client).await;
    table.note(
        "end a session that it serves",
        Fate::Residual,
        has(b'E')(&seen),
        "",
    );
    hijacker.scene.ring.signal(PART, Signal::CONT);

    // Its key opens no way to the Query Validator's inlet, nor to the Frontend's.
    let mut requests = hijacker.scene.tap(Hop::DirtyQuery).await;
    let mut checked = hijacker.scene.tap(Hop::CleanResp).await;
    let live = hijacker.scene.client("owner").await;
    let id = requests
        .next(|heard| (heard.header.session != SessionId::NONE).then_some(heard.header.session))
        .await;
    let late = Header {
        deadline_ms: now_ms() + 30_000,
        ..header(id, 3, 1)
    };
    for (link, tap, what) in [
        (
            Link::FrontendToQueryValidator,
            &mut requests,
            "a statement of its own",
        ),
        (
            Link::ResponseValidatorToFrontend,
            &mut checked,
            "an answer past the Response Validator",
        ),
        (
            Link::BackendToQueryValidator,
            &mut hijacker.scene.tap(Hop::DirtyQuery).await,
            "the catalogue in place of a statement",
        ),
    ] {
        let mut sealer = hijacker
            .scene
            .sealer_with(Stage::Backend, link, 1, InstanceId::random().unwrap());
        let envelope = sealed(
            &mut sealer,
            &late,
            &(1u8, 2u8),
            &query("INSERT INTO shop.target VALUES (1000)"),
        );
        tap.send(&envelope).await;
        tokio::time::sleep(std::time::Duration::from_millis(80)).await;
        table.note(what, Fate::Stopped("P2, P3"), hijacker.scene.written() > 0, "");
    }
    drop(live);
}
