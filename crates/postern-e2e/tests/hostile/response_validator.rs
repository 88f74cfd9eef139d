//! A hijacked Response Validator: its key, its place on the bus. The real one is held still meanwhile.

use crate::answer::{row, whole};
use crate::credentials;
use crate::impostor::{self, Make};
use crate::scene::{LOOT, Scene, Tap, header, query, sealed, text_of, told};
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_cli::part::Part;
use postern_e2e::raw::{Message, Raw};
use postern_envelope::Header;
use postern_inspect::digest;
use postern_types::ring::{Answer, Dirty, DirtyBody, Opened, Request, RequestBody};
use postern_types::{AnswerState, InstanceId, Link, Phase, Refusal, SessionId, SqlState, Stage};
use rustix::process::Signal;
use std::time::Duration;

const LINK: Link = Link::ResponseValidatorToFrontend;
const PART: Part = Part::Stage(Stage::ResponseValidator);

struct Hijacker<'a> {
    scene: &'a Scene,
    parts: Tap,
    out: Tap,
}

fn after() -> AnswerState {
    AnswerState {
        step: 1,
        phase: Phase::Done,
        rows: 1,
        ..AnswerState::default()
    }
}

fn part(last: bool) -> Answer {
    Answer::Part {
        before: Some(digest(&AnswerState::default())),
        after: digest(&after()),
        parsed: 0,
        sent_bytes: 10,
        copy_in: false,
        last,
        hang_up: false,
    }
}

impl Hijacker<'_> {
    /// A client that has asked, and the header of the Backend's answer, which is held up.
    async fn asked(&mut self) -> (Raw, Header) {
        self.scene.ring.signal(PART, Signal::CONT);
        let mut client = self.scene.client("reader").await;
        self.scene.ring.signal(PART, Signal::STOP);
        self.parts.forget().await;
        client.send(&query("SELECT 'a' AS word")).await.unwrap();
        let header = self
            .parts
            .next(|heard| match heard.decode::<Dirty>()? {
                (
                    Dirty {
                        body: DirtyBody::Part { .. },
                        ..
                    },
                    _,
                ) => Some(heard.header),
                _ => None,
            })
            .await;
        (client, header)
    }
}

fn loot(messages: &[Message]) -> bool {
    text_of(messages).contains(LOOT)
}

#[tokio::test]
async fn response_validator() {
    let scene = Scene::new().await;
    let mut table = Table::new("Response Validator");
    let mut hijacker = Hijacker {
        parts: scene.tap(Hop::DirtyResp).await,
        out: scene.tap(Hop::CleanResp).await,
        scene: &scene,
    };
    envelopes(&mut table, &mut hijacker).await;
    answers(&mut table, &mut hijacker).await;
    signing_in(&mut table, &mut hijacker).await;
    elsewhere(&mut table, &mut hijacker).await;
    // The genuine one, when it goes on, writes records of the answers that it should have passed on.
    let (mut client, asked) = hijacker.asked().await;
    let head = header(asked.session, asked.sequence, asked.exchange);
    let envelope = sealed(&mut scene.sealer(LINK), &head, &part(true), &whole(LOOT));
    scene.tap(Hop::CleanResp).await.send(&envelope).await;
    told(&mut client).await;
    scene.is_shown(&mut table, Stage::ResponseValidator);
    scene.ring.signal(PART, Signal::CONT);
    credentials::tried(&scene, &mut table, Stage::ResponseValidator).await;
    scene.still_serves().await;
    table.finish(45);
}

async fn envelopes(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let scene = hijacker.scene;
    let mut tap = scene.tap(Hop::CleanResp).await;
    let (mut client, asked) = hijacker.asked().await;
    let mut genuine = async |_: &mut Tap, make: &mut Make| {
        let head = Header {
            deadline_ms: make.deadline_ms,
            ..header(asked.session, asked.sequence, asked.exchange)
        };
        sealed(&mut make.sealer, &head, &part(true), &whole(LOOT))
    };
    let mut effect = async |_: &mut Tap| {
        let waited = tokio::time::timeout(Duration::from_millis(40), client.next()).await;
        waited.is_ok()
    };
    impostor::try_all(scene, table, &mut tap, LINK, &mut genuine, &mut effect).await;
    let envelope = genuine(&mut tap, &mut Make::new(scene.sealer(LINK))).await;
    tap.send(&envelope).await;
    let worked = loot(&told(&mut client).await);
    table.note(
        "bytes of its own making, where an answer is due",
        Fate::Residual,
        worked,
        "",
    );
}

/// Answers that belong to nothing that was asked, or not now.
async fn answers(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let bound = Fate::Stopped("P5");
    type Build = Box<dyn Fn(&Header) -> Vec<(Header, Answer, Vec<u8>)>>;
    let one = |build: fn(&Header) -> (Header, Answer, Vec<u8>)| -> Build {
        Box::new(move |asked| vec![build(asked)])
    };
    let here = |asked: &Header| header(asked.session, asked.sequence, asked.exchange);
    let chained = |before: Option<[u8; 16]>| -> Answer {
        match part(true) {
            Answer::Part {
                after,
                parsed,
                sent_bytes,
                copy_in,
                last,
                hang_up,
                ..
            } => Answer::Part {
                before,
                after,
                parsed,
                sent_bytes,
                copy_in,
                last,
                hang_up,
            },
            other => other,
        }
    };
    let cases: Vec<(&str, Fate, Build)> = vec![
        (
            "an answer to an exchange that was not asked",
            bound,
            one(|h| {
                (
                    header(h.session, h.sequence, h.exchange + 1),
                    part(true),
                    whole(LOOT),
                )
            }),
        ),
        (
            "an answer to no exchange",
            bound,
            one(|h| (header(h.session, h.sequence, 0), part(true), whole(LOOT))),
        ),
        (
            "an answer to a session that is not there",
            bound,
            one(|h| {
                (
                    header(SessionId([9; 16]), h.sequence, h.exchange),
                    part(true),
                    whole(LOOT),
                )
            }),
        ),
        (
            "an answer to no session",
            bound,
            one(|h| {
                (
                    header(SessionId::NONE, h.sequence, h.exchange),
                    part(true),
                    whole(LOOT),
                )
            }),
        ),
        (
            "a part before its turn",
            bound,
            one(|h| {
                (
                    header(h.session, h.sequence + 1, h.exchange),
                    part(true),
                    whole(LOOT),
                )
            }),
        ),
        (
            "a part far ahead of its turn",
            bound,
            one(|h| {
                (
                    header(h.session, h.sequence + 1_000_000, h.exchange),
                    part(true),
                    whole(LOOT),
                )
            }),
        ),
        (
            "a part under a number of the sign-in",
            bound,
            one(|h| (header(h.session, 2, h.exchange), part(true), whole(LOOT))),
        ),
        (
            "a part under no number",
            bound,
            one(|h| (header(h.session, 0, h.exchange), part(true), whole(LOOT))),
        ),
        (
            "a part that follows on another state",
            bound,
            Box::new(move |h| vec![(here(h), chained(Some(digest(&after()))), whole(LOOT))]),
        ),
        (
            "a part that follows on a made-up state",
            bound,
            Box::new(move |h| vec![(here(h), chained(Some([7; 16])), whole(LOOT))]),
        ),
        (
            "a second answer under the same number",
            bound,
            Box::new(move |h| {
                vec![
                    (here(h), part(true), whole("a")),
                    (here(h), part(true), whole(LOOT)),
                ]
            }),
        ),
        (
            "a second answer after the end",
            bound,
            Box::new(move |h| {
                vec![
                    (here(h), part(true), whole("a")),
                    (
                        header(h.session, h.sequence + 1, h.exchange),
                        part(true),
                        whole(LOOT),
                    ),
                ]
            }),
        ),
        (
            "a second part that does not follow on the first",
            bound,
            Box::new(move |h| {
                vec![
                    (here(h), part(false), row(&["a"])),
                    (
                        header(h.session, h.sequence + 1, h.exchange),
                        part(true),
                        whole(LOOT),
                    ),
                ]
            }),
        ),
        (
            "a sign-in answer in a session that is signed in",
            bound,
            Box::new(move |h| {
                vec![
                    (
                        here(h),
                        Answer::SignIn {
                            answer: Vec::new(),
                            opened: Some(Opened::Ready(Vec::new())),
                        },
                        Vec::new(),
                    ),
                    (
                        header(h.session, h.sequence + 1, h.exchange),
                        part(true),
                        whole(LOOT),
                    ),
                ]
            }),
        ),
        (
            "a heartbeat in a session",
            bound,
            Box::new(move |h| {
                vec![(
                    here(h),
                    Answer::Heartbeat {
                        backend: "backend-9".parse().unwrap(),
                        instance: InstanceId([3; 16]),
                    },
                    whole(LOOT),
                )]
            }),
        ),
        (
            "a grant with a payload",
            bound,
            Box::new(move |h| vec![(here(h), Answer::Grant { bytes: u64::MAX }, whole(LOOT))]),
        ),
    ];
    for (name, fate, build) in cases {
        let (mut client, asked) = hijacker.asked().await;
        let mut sealer = hijacker.scene.sealer(LINK);
        for (header, answer, payload) in build(&asked) {
            let envelope = sealed(&mut sealer, &header, &answer, &payload);
            hijacker.out.send(&envelope).await;
        }
        let mut seen = told(&mut client).await;
        seen.extend(told(&mut client).await);
        table.note(name, fate, loot(&seen), "");
    }
    let (mut client, asked) = hijacker.asked().await;
    let gone = Answer::Lost(Refusal::fatal(SqlState::ADMIN_SHUTDOWN, "gone".to_owned()));
    let envelope = sealed(&mut hijacker.scene.sealer(LINK), &here(&asked), &gone, b"");
    hijacker.out.send(&envelope).await;
    let ended = told(&mut client).await.iter().any(|m| m.tag == b'E');
    table.note("end a session", Fate::Residual, ended, "");
}

/// Signing clients in without the Query Validator's word.
async fn signing_in(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let decided = Fate::Stopped("P10");
    hijacker.scene.ring.signal(PART, Signal::CONT);
    hijacker.parts.forget().await;
    let _signed_in = hijacker.scene.client("owner").await;
    let word = hijacker
        .parts
        .next(|heard| match heard.decode::<Dirty>()? {
            (
                Dirty {
                    body:
                        DirtyBody::SignIn {
                            answer,
                            opened: Some(_),
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
        Stage::ResponseValidator,
        Link::QueryValidatorToFrontend,
        1,
        InstanceId::random().unwrap(),
    );
    sealer
        .seal(&header(SessionId([1; 16]), 1, 0), b"made up", &mut own)
        .unwrap();
    for (name, answer) in [
        ("sign a client in with nobody's word", Vec::new()),
        ("sign a client in with its own word", own),
        ("sign a client in with the word on another session", word),
    ] {
        hijacker.scene.ring.signal(PART, Signal::STOP);
        hijacker.parts.forget().await;
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
            .parts
            .next(|heard| match heard.decode::<Dirty>()? {
                (
                    Dirty {
                        body: DirtyBody::SignIn { .. },
                        ..
                    },
                    _,
                ) => Some(heard.header),
                _ => None,
            })
            .await;
        let signed_in = Answer::SignIn {
            answer,
            opened: Some(Opened::Ready(Vec::new())),
        };
        let head = header(asked.session, asked.sequence, asked.exchange);
        let envelope = sealed(&mut hijacker.scene.sealer(LINK), &head, &signed_in, b"");
        hijacker.out.send(&envelope).await;
        let seen = told(&mut client).await;
        let in_now = seen
            .iter()
            .any(|m| m.tag == b'Z' || m.tag == b'K' || (m.tag == b'R' && m.body == [0; 4]));
        table.note(name, decided, in_now, "");
        hijacker.scene.ring.signal(PART, Signal::CONT);
    }
}

/// What its key is worth elsewhere in the ring.
async fn elsewhere(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let sealed_off = Fate::Stopped("P2, P3");
    let scene = hijacker.scene;
    let mut requests = scene.tap(Hop::DirtyQuery).await;
    let _live = scene.client("owner").await;
    let (id, ticket) = {
        let mut asking = scene.client("owner").await;
        requests.forget().await;
        asking.query("SELECT 1").await.unwrap();
        let found = requests
            .next(|heard| match heard.decode::<Request>()? {
                (
                    Request {
                        body: RequestBody::Exchange { ticket, .. },
                        ..
                    },
                    _,
                ) => Some((heard.header, ticket)),
                _ => None,
            })
            .await;
        std::mem::forget(asking);
        found
    };
    let next = header(id.session, id.sequence + 1, id.exchange + 1);
    let statement = query("INSERT INTO shop.target VALUES (1000)");
    let exchange = Request {
        frontend: "frontend-0".parse().unwrap(),
        backend: "backend-0".parse().unwrap(),
        body: RequestBody::Exchange {
            ticket,
            definitions: Vec::new(),
            trace: None,
        },
    };
    for (link, hop, what) in [
        (
            Link::FrontendToQueryValidator,
            Hop::DirtyQuery,
            "a statement, with a live session's ticket",
        ),
        (
            Link::QueryValidatorToBackend,
            Hop::CleanQuery,
            "a statement past the Query Validator",
        ),
        (
            Link::BackendToResponseValidator,
            Hop::DirtyResp,
            "an answer in the Backend's name",
        ),
    ] {
        let mut sealer = scene.sealer_with(Stage::ResponseValidator, link, 1, InstanceId::random().unwrap());
        let envelope = sealed(&mut sealer, &next, &exchange, &statement);
        scene.tap(hop).await.send(&envelope).await;
        tokio::time::sleep(Duration::from_millis(80)).await;
        table.note(what, sealed_off, scene.written() > 0, "");
    }
    // To show that the request was good but for its seal.
    let mut sealer = scene.sealer(Link::FrontendToQueryValidator);
    let envelope = sealed(&mut sealer, &next, &exchange, &statement);
    requests.send(&envelope).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(scene.written() > 0, "the request was not good");
}
