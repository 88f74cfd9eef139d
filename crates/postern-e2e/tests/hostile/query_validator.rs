//! A hijacked Query Validator: its key, its place on the bus. The real one is held still meanwhile. It decides what may
//! run, so what is left to be stopped is what the other stages don't leave to its word.

use crate::answer::whole;
use crate::credentials;
use crate::impostor::{self, Make};
use crate::scene::{LOOT, Scene, Tap, header, query, sealed, text_of, told};
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_cli::part::Part;
use postern_e2e::raw::Raw;
use postern_envelope::Header;
use postern_types::ring::{
    Answer, Clean, CleanBody, Dirty, DirtyBody, Effects, OpenSession, Opened, Request, RequestBody, Verdict,
};
use postern_types::{
    ColumnRules, Contract, ErrorDetail, Expect, InstanceId, Link, OverCap, SessionId, Stage, StatementRules,
    StatementShape,
};
use rustix::process::Signal;
use std::time::Duration;

const LINK: Link = Link::QueryValidatorToBackend;
const PART: Part = Part::Stage(Stage::QueryValidator);

struct Hijacker<'a> {
    scene: &'a Scene,
    requests: Tap,
    out: Tap,
    back: Tap,
    frontend_run: InstanceId,
    backend_run: InstanceId,
}

fn clean(body: CleanBody) -> Clean {
    Clean {
        frontend: "frontend-0".parse().unwrap(),
        body,
    }
}

fn contract(steps: Vec<Expect>) -> Contract {
    Contract {
        user: "reader".to_owned(),
        tenant: Some("1".to_owned()),
        steps,
        max_rows: None,
        max_bytes: None,
        error_detail: ErrorDetail::Full,
        notifications: true,
        roles: vec!["reader".to_owned()],
        over: OverCap::Truncate,
        statements: vec![StatementRules {
            columns: ColumnRules::Plain,
            ..StatementRules::default()
        }],
        rules: 0,
        trace: None,
    }
}

/// One simple query of one statement that gives rows.
fn steps(by_columns: bool) -> Vec<Expect> {
    let one = Expect::Query(vec![StatementShape {
        rows: true,
        copy: None,
    }]);
    if by_columns {
        vec![Expect::Columns, one]
    } else {
        vec![one]
    }
}

impl<'a> Hijacker<'a> {
    async fn new(scene: &'a Scene) -> Hijacker<'a> {
        let mut back = scene.tap(Hop::DirtyResp).await;
        let mut requests = scene.tap(Hop::DirtyQuery).await;
        let backend_run = back
            .next(|heard| match heard.decode::<Dirty>()? {
                (
                    Dirty {
                        body: DirtyBody::Heartbeat { instance, .. },
                        ..
                    },
                    _,
                ) => Some(instance),
                _ => None,
            })
            .await;
        Hijacker {
            frontend_run: requests.next(|heard| Some(heard.sender)).await,
            backend_run,
            out: scene.tap(Hop::CleanQuery).await,
            requests,
            back,
            scene,
        }
    }

    /// A client that has asked, while the Query Validator is held still.
    async fn asked(&mut self) -> (Raw, Header) {
        self.scene.ring.signal(PART, Signal::CONT);
        let mut client = self.scene.client("reader").await;
        self.scene.ring.signal(PART, Signal::STOP);
        self.requests.forget().await;
        client.send(&query("SELECT 'a' AS word")).await.unwrap();
        let asked = self
            .requests
            .next(|heard| match heard.decode::<Request>()? {
                (
                    Request {
                        body: RequestBody::Exchange { .. },
                        ..
                    },
                    _,
                ) => Some(heard.header),
                _ => None,
            })
            .await;
        (client, asked)
    }

    fn run(&self, asked: &Header, contract: &Contract) -> Clean {
        let mut blob = Vec::new();
        let mut sealer = self.scene.sealer(Link::QueryValidatorToResponseValidator);
        let head = header(asked.session, asked.sequence, asked.exchange);
        sealer.seal_body(&head, contract, &[], &mut blob).unwrap();
        clean(CleanBody::Run {
            verdicts: vec![Verdict::Allow(Effects::default())],
            definitions: Vec::new(),
            steps: contract.steps.clone(),
            contract: blob,
            trace: None,
        })
    }
}

/// It is refused to the role `reader`, and to the login role's other roles nothing keeps it from running.
fn insert() -> Vec<u8> {
    query("INSERT INTO shop.target VALUES (1000) RETURNING n")
}

fn forget_written(scene: &Scene) -> bool {
    let written = scene.written() > 0;
    scene
        .ring
        .database_sql("DELETE FROM shop.target WHERE n >= 1000")
        .unwrap();
    written
}

#[tokio::test]
async fn query_validator() {
    let scene = Scene::new().await;
    let mut table = Table::new("Query Validator");
    let mut hijacker = Hijacker::new(&scene).await;
    envelopes(&mut table, &mut hijacker).await;
    orders(&mut table, &mut hijacker).await;
    sessions(&mut table, &mut hijacker).await;
    contracts(&mut table, &mut hijacker).await;
    elsewhere(&mut table, &mut hijacker).await;
    scene.ring.signal(PART, Signal::CONT);
    scene.is_shown(&mut table, Stage::QueryValidator);
    credentials::tried(&scene, &mut table, Stage::QueryValidator).await;
    scene.still_serves().await;
    table.finish(45);
}

async fn envelopes(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let scene = hijacker.scene;
    let mut tap = scene.tap(Hop::CleanQuery).await;
    let (_client, asked) = hijacker.asked().await;
    let run = hijacker.run(&asked, &contract(steps(false)));
    let mut genuine = async |_: &mut Tap, make: &mut Make| {
        let head = Header {
            deadline_ms: make.deadline_ms,
            ..header(asked.session, asked.sequence, asked.exchange)
        };
        sealed(&mut make.sealer, &head, &run, &insert())
    };
    let mut effect = async |_: &mut Tap| {
        tokio::time::sleep(Duration::from_millis(60)).await;
        scene.written() > 0
    };
    impostor::try_all(scene, table, &mut tap, LINK, &mut genuine, &mut effect).await;
    let envelope = genuine(&mut tap, &mut Make::new(scene.sealer(LINK))).await;
    tap.send(&envelope).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    table.note(
        "a statement that policy refuses",
        Fate::Residual,
        scene.written() == 1,
        "",
    );
    for _ in 0..5 {
        tap.send(&envelope).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    table.note(
        "the same envelope over again",
        Fate::Stopped("P6"),
        scene.written() > 1,
        "",
    );
    let again = genuine(&mut tap, &mut Make::new(scene.sealer(LINK))).await;
    tap.send(&again).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    table.note(
        "the same request sealed anew",
        Fate::Stopped("P6"),
        scene.written() > 1,
        "",
    );
    forget_written(scene);
}

/// Orders to the Backend that don't hang together.
async fn orders(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let understood = Fate::Stopped("P7");
    let message = crate::answer::message;
    type Change = fn(&mut CleanBody);
    let verdicts: Change = |body| {
        if let CleanBody::Run { verdicts, .. } = body {
            verdicts.clear();
        }
    };
    let more_verdicts: Change = |body| {
        if let CleanBody::Run { verdicts, .. } = body {
            verdicts.push(Verdict::Allow(Effects::default()));
        }
    };
    let no_steps: Change = |body| {
        if let CleanBody::Run { steps, .. } = body {
            steps.clear();
        }
    };
    let same: Change = |_| {};
    let copy: Change = |body| *body = CleanBody::CopyData;
    let cases: Vec<(&str, Change, u64, Vec<u8>)> = vec![
        ("a request without a verdict", verdicts, 0, insert()),
        ("more verdicts than requests", more_verdicts, 0, insert()),
        ("a statement whose answer is not expected", no_steps, 0, insert()),
        ("a statement where data of a COPY belongs", copy, 0, insert()),
        ("a request before its turn", same, 1, insert()),
        ("a request far ahead of its turn", same, 1_000_000, insert()),
        ("a message that is cut", same, 0, insert()[..20].to_vec()),
        (
            "a message behind the statement",
            same,
            0,
            [insert(), message(b'X', b"")].concat(),
        ),
        (
            "two statements under one verdict",
            same,
            0,
            [insert(), insert()].concat(),
        ),
        (
            "FunctionCall",
            same,
            0,
            message(b'F', &[0, 0, 0, 14, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "a password in place of a statement",
            same,
            0,
            message(b'p', b"x\0"),
        ),
        (
            "an unknown message in place of a statement",
            same,
            0,
            message(b'!', b"x"),
        ),
    ];
    for (name, change, ahead, payload) in cases {
        let (_client, asked) = hijacker.asked().await;
        let mut run = hijacker.run(&asked, &contract(steps(false)));
        change(&mut run.body);
        let head = header(asked.session, asked.sequence + ahead, asked.exchange);
        let envelope = sealed(&mut hijacker.scene.sealer(LINK), &head, &run, &payload);
        hijacker.out.send(&envelope).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        table.note(name, understood, forget_written(hijacker.scene), "");
        if ahead > 0 {
            // What waits for its turn gets it when the real one goes on: it was sealed by who decides.
            hijacker.scene.ring.signal(PART, Signal::CONT);
            tokio::time::sleep(Duration::from_millis(200)).await;
            forget_written(hijacker.scene);
        }
    }
    let (_client, asked) = hijacker.asked().await;
    let run = hijacker.run(&asked, &contract(steps(false)));
    let head = header(SessionId([8; 16]), 3, 1);
    let envelope = sealed(&mut hijacker.scene.sealer(LINK), &head, &run, &insert());
    hijacker.out.send(&envelope).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    table.note(
        "a statement in a session that was not opened",
        understood,
        forget_written(hijacker.scene),
        "",
    );
}

/// Sessions that must not be opened.
async fn sessions(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let database = Fate::Stopped("P7");
    let open = OpenSession {
        backend_instance: hijacker.backend_run,
        frontend_instance: hijacker.frontend_run,
        user: "reader".to_owned(),
        database: "demo".to_owned(),
        database_role: "app".to_owned(),
        tenant: None,
        settings: Vec::new(),
        window: 1 << 20,
    };
    let with = |name: &str, value: &str| OpenSession {
        settings: vec![(name.to_owned(), value.to_owned())],
        ..open.clone()
    };
    let cases: Vec<(&str, Fate, OpenSession)> = vec![
        (
            "open a session as a role that the login role may take on",
            Fate::Residual,
            OpenSession {
                database_role: "owner".to_owned(),
                ..open.clone()
            },
        ),
        (
            "open one as the superuser",
            database,
            OpenSession {
                database_role: "postgres".to_owned(),
                ..open.clone()
            },
        ),
        (
            "open one as a role that is not there",
            database,
            OpenSession {
                database_role: "nobody".to_owned(),
                ..open.clone()
            },
        ),
        (
            "open one as a role whose name is SQL",
            database,
            OpenSession {
                database_role: "app\"; SET ROLE \"postgres".to_owned(),
                ..open.clone()
            },
        ),
        (
            "open one in another database",
            database,
            OpenSession {
                database: "postgres".to_owned(),
                ..open.clone()
            },
        ),
        (
            "open one on another run of the Backend",
            database,
            OpenSession {
                backend_instance: InstanceId([7; 16]),
                ..open.clone()
            },
        ),
        (
            "set standard_conforming_strings = off",
            database,
            with("standard_conforming_strings", "off"),
        ),
        (
            "set another client_encoding",
            database,
            with("client_encoding", "SJIS"),
        ),
        (
            "set session_authorization",
            database,
            with("session_authorization", "postgres"),
        ),
        ("set role beside the role", database, with("role", "postgres")),
        (
            "set a setting that only a superuser may",
            database,
            with("log_statement", "all"),
        ),
        (
            "set a setting whose name is SQL",
            database,
            with("search_path = shop; SET ROLE postgres; SET x", "y"),
        ),
    ];
    hijacker.scene.ring.signal(PART, Signal::STOP);
    for (name, fate, open) in cases {
        let id = SessionId::random().unwrap();
        hijacker.back.forget().await;
        let body = clean(CleanBody::SignIn {
            answer: Vec::new(),
            open: Some(open),
        });
        let envelope = sealed(&mut hijacker.scene.sealer(LINK), &header(id, 2, 0), &body, b"");
        hijacker.out.send(&envelope).await;
        let opened = hijacker
            .back
            .within(Duration::from_secs(5), |heard| match heard.decode::<Dirty>()? {
                (
                    Dirty {
                        body: DirtyBody::SignIn { opened, .. },
                        ..
                    },
                    _,
                ) if heard.header.session == id => Some(opened),
                _ => None,
            })
            .await;
        // In transaction pooling what the database says to it comes with the first statement.
        let ready = matches!(opened, Some(Some(Opened::Ready(_))));
        let mut worked = false;
        let mut seen = if ready { "opened" } else { "not opened" }.to_owned();
        if ready {
            let first = Header {
                session: id,
                sequence: 3,
                exchange: 1,
                ..header(id, 3, 1)
            };
            let run = hijacker.run(&first, &contract(steps(false)));
            let envelope = sealed(&mut hijacker.scene.sealer(LINK), &first, &run, &insert());
            hijacker.out.send(&envelope).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
            worked = forget_written(hijacker.scene);
            seen.push_str(if worked {
                ", a statement ran"
            } else {
                ", no statement ran"
            });
        }
        table.note(name, fate, worked, seen);
    }
}

/// Contracts that would loosen the Response Validator's own rules.
async fn contracts(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let own_rules = Fate::Stopped("P3");
    let card = "4000000000000002";
    let loose = |by_columns: bool| contract(steps(by_columns));
    let cases: Vec<(&str, Contract, &str, &str)> = vec![
        (
            "no mask for a masked column",
            loose(true),
            "SELECT number FROM shop.cards WHERE id = 2",
            card,
        ),
        (
            "no look at the columns at all",
            loose(false),
            "SELECT number FROM shop.cards WHERE id = 2",
            card,
        ),
        (
            "another tenant's row",
            loose(true),
            "SELECT tenant_id, 'swordfish' AS w FROM shop.cards WHERE id = 2",
            LOOT,
        ),
        (
            "another tenant's row inside json",
            loose(true),
            "SELECT json_build_object('tenant_id', 2, 'w', 'swordfish')",
            LOOT,
        ),
    ];
    for (name, contract, sql, marker) in cases {
        let (mut client, asked) = hijacker.asked().await;
        let run = hijacker.run(&asked, &contract);
        let head = header(asked.session, asked.sequence, asked.exchange);
        let envelope = sealed(&mut hijacker.scene.sealer(LINK), &head, &run, &query(sql));
        hijacker.out.send(&envelope).await;
        let seen = text_of(&told(&mut client).await);
        table.note(
            format!("a contract with {name}"),
            own_rules,
            seen.contains(marker),
            "",
        );
    }
    // The control: a row that no rule is about comes through under such a contract.
    let (mut client, asked) = hijacker.asked().await;
    let run = hijacker.run(&asked, &loose(true));
    let head = header(asked.session, asked.sequence, asked.exchange);
    let envelope = sealed(
        &mut hijacker.scene.sealer(LINK),
        &head,
        &run,
        &query("SELECT 'swordfish' AS w"),
    );
    hijacker.out.send(&envelope).await;
    let seen = text_of(&told(&mut client).await);
    table.note(
        "a row that no rule is about",
        Fate::Residual,
        seen.contains(LOOT),
        "",
    );

    // A contract for another exchange.
    let (mut client, asked) = hijacker.asked().await;
    let elsewhere = Header {
        exchange: asked.exchange + 1,
        ..asked
    };
    let run = hijacker.run(&elsewhere, &loose(true));
    let envelope = sealed(
        &mut hijacker.scene.sealer(LINK),
        &head_of(&asked),
        &run,
        &query("SELECT 'swordfish' AS w"),
    );
    hijacker.out.send(&envelope).await;
    let seen = text_of(&told(&mut client).await);
    table.note(
        "a contract for another exchange",
        Fate::Stopped("P5"),
        seen.contains(LOOT),
        "",
    );
}

fn head_of(asked: &Header) -> Header {
    header(asked.session, asked.sequence, asked.exchange)
}

/// What its key is worth elsewhere in the ring.
async fn elsewhere(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let sealed_off = Fate::Stopped("P2, P3");
    let (mut client, asked) = hijacker.asked().await;
    let scene = hijacker.scene;
    let answer = Answer::Part {
        before: Some(postern_inspect::digest(&postern_types::AnswerState::default())),
        after: [1; 16],
        parsed: 0,
        sent_bytes: 10,
        copy_in: false,
        last: true,
        hang_up: false,
    };
    let mut sealer = scene.sealer_with(
        Stage::QueryValidator,
        Link::ResponseValidatorToFrontend,
        1,
        InstanceId::random().unwrap(),
    );
    let envelope = sealed(
        &mut sealer,
        &header(asked.session, 3, asked.exchange),
        &answer,
        &whole(LOOT),
    );
    scene.tap(Hop::CleanResp).await.send(&envelope).await;
    let seen = text_of(&told(&mut client).await);
    table.note(
        "an answer straight to the Frontend",
        sealed_off,
        seen.contains(LOOT),
        "",
    );

    let dirty = Dirty {
        frontend: "frontend-0".parse().unwrap(),
        body: DirtyBody::Lost(postern_types::Refusal::fatal(
            postern_types::SqlState::ADMIN_SHUTDOWN,
            LOOT.to_owned(),
        )),
    };
    let mut sealer = scene.sealer_with(
        Stage::QueryValidator,
        Link::BackendToResponseValidator,
        1,
        InstanceId::random().unwrap(),
    );
    let envelope = sealed(
        &mut sealer,
        &header(asked.session, 3, asked.exchange),
        &dirty,
        b"",
    );
    scene.tap(Hop::DirtyResp).await.send(&envelope).await;
    let seen = text_of(&told(&mut client).await);
    table.note(
        "an answer in the Backend's name",
        sealed_off,
        seen.contains(LOOT),
        "",
    );
}
