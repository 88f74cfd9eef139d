//! A hijacked Frontend: its key, its place on the bus, and the sessions that signed in through it.

use crate::credentials;
use crate::impostor::{self, Make};
use crate::scene::{Scene, Tap, framed, header, query, sealed};
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_e2e::raw::Raw;
use postern_envelope::{Opener, Sealer};
use postern_scram::client::{Binding, Client};
use postern_types::ring::{Answer, Definition, DefinitionKind, Request, RequestBody, SignIn, SignInAnswer};
use postern_types::{InstanceId, Link, SessionId, Slot, Stage};
use std::time::Duration;

/// How long a statement of an attack may take to show up in the database.
const SETTLED: Duration = Duration::from_millis(60);

/// What the hijacker holds.
struct Hijacker<'a> {
    scene: &'a Scene,
    out: Tap,
    back: Tap,
    answers: Opener,
    sealer: Sealer,
    frontend_run: InstanceId,
    backend_run: InstanceId,
    /// A client of the same ring whose answer shows that what came before it has been dealt with.
    fence: Raw,
}

/// A session that signed in through the hijacked Frontend.
struct Live {
    id: SessionId,
    sequence: u64,
    exchange: u64,
    ticket: Vec<u8>,
    user: &'static str,
}

impl Live {
    fn body(&self) -> RequestBody {
        RequestBody::Exchange {
            ticket: self.ticket.clone(),
            definitions: Vec::new(),
            trace: None,
        }
    }
}

fn request(body: RequestBody) -> Request {
    Request {
        frontend: slot("frontend-0"),
        backend: slot("backend-0"),
        body,
    }
}

fn slot(name: &str) -> Slot {
    name.parse().unwrap()
}

/// The same nonce every time, so that one challenge can be answered in many ways.
fn scram() -> Client {
    Client::new(Binding::None, "abcdefghijklmnopqrstuvwx").unwrap()
}

fn insert(n: u32) -> Vec<u8> {
    query(&format!("INSERT INTO shop.target VALUES ({n})"))
}

impl<'a> Hijacker<'a> {
    async fn new(scene: &'a Scene) -> Hijacker<'a> {
        let mut back = scene.tap(Hop::CleanResp).await;
        let mut out = scene.tap(Hop::DirtyQuery).await;
        let backend_run = back
            .next(|heard| match heard.decode()? {
                (Answer::Heartbeat { instance, .. }, _) => Some(instance),
                _ => None,
            })
            .await;
        // The run that the Backend knows: another one would end the sessions of all others.
        let frontend_run = out.next(|heard| Some(heard.sender)).await;
        let link = Link::FrontendToQueryValidator;
        Hijacker {
            out,
            back,
            answers: scene.opener(Link::QueryValidatorToFrontend),
            sealer: scene.sealer_with(link.sender(), link, 1, InstanceId::random().unwrap()),
            frontend_run,
            backend_run,
            fence: scene.client("owner").await,
            scene,
        }
    }

    /// The Query Validator opens sessions for the run that sealed the request.
    fn sign_in_sealer(&self) -> Sealer {
        let link = Link::FrontendToQueryValidator;
        self.scene.sealer_with(link.sender(), link, 1, self.frontend_run)
    }

    async fn step(
        &mut self,
        sealer: &mut Sealer,
        (id, sequence): (SessionId, u64),
        (user, message): (&str, Vec<u8>),
        state: Option<Vec<u8>>,
    ) -> SignInAnswer {
        let sign_in = SignIn {
            backend_instance: self.backend_run,
            user: user.to_owned(),
            database: "demo".to_owned(),
            parameters: Vec::new(),
            client: "127.0.0.1:1".to_owned(),
            tls: false,
            mechanism: "SCRAM-SHA-256".to_owned(),
            message,
            state,
            window: 1 << 20,
        };
        let head = request(RequestBody::SignIn(sign_in));
        let envelope = sealed(sealer, &header(id, sequence, 0), &head, b"");
        self.out.send(&envelope).await;
        let mut blob = self
            .back
            .next(|heard| match heard.decode()? {
                (Answer::SignIn { answer, .. }, _) if heard.header.session == id => Some(answer),
                _ => None,
            })
            .await;
        let opened = self.answers.open(&mut blob, crate::scene::now_ms()).unwrap();
        postern_types::body::decode(opened.body).unwrap().0
    }

    /// Signs a user in, as the Frontend does for a client of its.
    async fn sign_in(&mut self, user: &'static str) -> Live {
        let id = SessionId::random().unwrap();
        let mut sealer = self.sign_in_sealer();
        let client = scram();
        let first = (user, client.first_message());
        let SignInAnswer::Continue { message, state } = self.step(&mut sealer, (id, 1), first, None).await
        else {
            panic!("no challenge");
        };
        let (response, _) = client.respond(&message, user).unwrap();
        let SignInAnswer::Accepted { ticket, .. } = self
            .step(&mut sealer, (id, 2), (user, response), Some(state))
            .await
        else {
            panic!("not signed in");
        };
        Live {
            id,
            sequence: 3,
            exchange: 1,
            ticket,
            user,
        }
    }

    /// Sends an exchange of a session as it has to be, and counts on.
    async fn ask(&mut self, live: &mut Live, payload: &[u8]) {
        let header = header(live.id, live.sequence, live.exchange);
        let envelope = sealed(&mut self.sealer, &header, &request(live.body()), payload);
        self.out.send(&envelope).await;
        live.sequence += 1;
        live.exchange += 1;
    }

    /// Whether an attack has written anything; waits until it has been dealt with.
    async fn has_written(&mut self) -> bool {
        self.fence.query("SELECT 1").await.unwrap();
        tokio::time::sleep(SETTLED).await;
        let written = self.scene.written() > 0;
        if written {
            self.scene
                .ring
                .database_sql("DELETE FROM shop.target WHERE n >= 1000")
                .unwrap();
        }
        written
    }

    /// Whether an answer to this session had something of the vault in it.
    async fn has_loot(&mut self) -> bool {
        self.fence.query("SELECT 1").await.unwrap();
        let loot = |heard: &crate::scene::Heard| {
            let text = String::from_utf8_lossy(&heard.body);
            text.contains(crate::scene::LOOT).then_some(())
        };
        self.back.within(SETTLED, loot).await.is_some()
    }
}

#[tokio::test]
async fn frontend() {
    let scene = Scene::new().await;
    let mut table = Table::new("Frontend");
    let mut hijacker = Hijacker::new(&scene).await;
    let mut live = hijacker.sign_in("owner").await;

    envelopes(&scene, &mut table, &mut hijacker, &live).await;

    hijacker.ask(&mut live, &insert(1000)).await;
    let worked = hijacker.has_written().await;
    table.note(
        "a statement in a session that signed in through it",
        Fate::Residual,
        worked,
        "",
    );

    order(&mut table, &mut hijacker, &mut live).await;
    tickets(&mut table, &mut hijacker).await;
    statements(&mut table, &mut hijacker).await;
    signing_in(&mut table, &mut hijacker).await;
    others(&scene, &mut table, &mut hijacker).await;
    scene.is_shown(&mut table, Stage::Frontend);
    credentials::tried(&scene, &mut table, Stage::Frontend).await;
    scene.still_serves().await;
    table.finish(45);
}

async fn envelopes(scene: &Scene, table: &mut Table, hijacker: &mut Hijacker<'_>, live: &Live) {
    let mut fence = scene.client("owner").await;
    let mut tap = scene.tap(Hop::DirtyQuery).await;
    let body = request(live.body());
    let head = header(live.id, live.sequence, live.exchange);
    let mut genuine = async |_: &mut Tap, make: &mut Make| {
        let head = postern_envelope::Header {
            deadline_ms: make.deadline_ms,
            ..head
        };
        sealed(&mut make.sealer, &head, &body, &insert(1000))
    };
    let mut effect = async |_: &mut Tap| {
        fence.query("SELECT 1").await.unwrap();
        tokio::time::sleep(SETTLED).await;
        scene.written() > 0
    };
    let link = Link::FrontendToQueryValidator;
    impostor::try_all(scene, table, &mut tap, link, &mut genuine, &mut effect).await;
    hijacker.out.forget().await;
}

/// Repeats, gaps and numbers used twice.
async fn order(table: &mut Table, hijacker: &mut Hijacker<'_>, live: &mut Live) {
    let at_most_once = Fate::Stopped("P6");
    let head = header(live.id, live.sequence, live.exchange);
    let body = request(live.body());
    let harmless = sealed(&mut hijacker.sealer, &head, &body, &query("SELECT 1"));
    hijacker.out.send(&harmless).await;
    hijacker.fence.query("SELECT 1").await.unwrap();
    let second = sealed(&mut hijacker.sealer, &head, &body, &insert(1001));
    hijacker.out.send(&second).await;
    let worked = hijacker.has_written().await;
    table.note(
        "another statement under a number that was used",
        at_most_once,
        worked,
        "",
    );
    live.sequence += 1;
    live.exchange += 1;

    let ahead = header(live.id, live.sequence + 5, live.exchange);
    let envelope = sealed(&mut hijacker.sealer, &ahead, &body, &insert(1002));
    hijacker.out.send(&envelope).await;
    let worked = hijacker.has_written().await;
    table.note("a number before its turn", at_most_once, worked, "");

    // A real client's statement, overheard, and handed on over and over.
    let mut client = hijacker.scene.client("owner").await;
    hijacker.out.forget().await;
    client.query("INSERT INTO shop.target VALUES (7)").await.unwrap();
    let heard = hijacker
        .out
        .next(|heard| match heard.decode()? {
            (
                Request {
                    body: RequestBody::Exchange { .. },
                    ..
                },
                _,
            ) => Some(heard.raw.clone()),
            _ => None,
        })
        .await;
    for (name, ends) in [
        ("a client's request once more", false),
        ("… after its session has ended", true),
    ] {
        if ends {
            let mut bye = Vec::new();
            postern_wire::put_terminate(&mut bye);
            client.send(&bye).await.unwrap();
            client.until_closed().await.unwrap();
        }
        for _ in 0..5 {
            hijacker.out.send(&heard).await;
        }
        let mut two = postern_envelope::Batch::new();
        two.push(&heard).unwrap();
        two.push(&heard).unwrap();
        hijacker.out.publish(&two.take()).await;
        hijacker.has_written().await;
        let sevens = hijacker
            .scene
            .ring
            .database_sql("SELECT count(*) FROM shop.target WHERE n = 7")
            .unwrap();
        table.note(name, at_most_once, sevens.trim() != "1", "");
    }
}

/// Tickets that are stolen, changed, cut, made up or void.
async fn tickets(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let bound = Fate::Stopped("P5, P10");
    let mut ended = hijacker.sign_in("owner").await;
    let close = request(RequestBody::Close {
        ticket: ended.ticket.clone(),
    });
    let envelope = sealed(
        &mut hijacker.sealer,
        &header(ended.id, ended.sequence, 0),
        &close,
        b"",
    );
    hijacker.out.send(&envelope).await;
    ended.sequence += 1;
    hijacker.fence.query("SELECT 1").await.unwrap();
    hijacker.ask(&mut ended, &insert(1010)).await;
    let worked = hijacker.has_written().await;
    table.note(
        "the ticket of a session that has ended, in that session",
        bound,
        worked,
        "",
    );

    let own = hijacker.sign_in("reader").await;
    let owner = hijacker.sign_in("owner").await;
    assert_eq!((own.user, owner.user), ("reader", "owner"));
    let mut state = Vec::new();
    let mut own_seal = hijacker.scene.sealer_with(
        Link::FrontendToQueryValidator.sender(),
        Link::QueryValidatorToItself,
        1,
        InstanceId::random().unwrap(),
    );
    own_seal
        .seal(&header(own.id, 1, 0), b"made up", &mut state)
        .unwrap();
    let changed = |at: usize| {
        let mut ticket = owner.ticket.clone();
        ticket[at] ^= 1;
        ticket
    };
    let last = owner.ticket.len() - 1;
    let cases: Vec<(&str, SessionId, Vec<u8>)> = vec![
        ("another session's ticket", own.id, owner.ticket.clone()),
        (
            "a ticket in a session that never was",
            SessionId::random().unwrap(),
            owner.ticket.clone(),
        ),
        (
            "a ticket with one bit of its header changed",
            owner.id,
            changed(12),
        ),
        (
            "a ticket with one bit of its session changed",
            owner.id,
            changed(40),
        ),
        ("a ticket with one bit of its body changed", owner.id, changed(90)),
        (
            "a ticket with one bit of its tag changed",
            owner.id,
            changed(last),
        ),
        ("a ticket that is cut", owner.id, owner.ticket[..last].to_vec()),
        ("no ticket", owner.id, Vec::new()),
        ("a ticket of its own making", own.id, state),
    ];
    for (name, id, ticket) in cases {
        let live = Live {
            id,
            ticket,
            sequence: 3,
            exchange: 1,
            user: "",
        };
        let envelope = sealed(
            &mut hijacker.sealer,
            &header(id, 3, 1),
            &request(live.body()),
            &insert(1011),
        );
        hijacker.out.send(&envelope).await;
        let worked = hijacker.has_written().await;
        table.note(name, bound, worked, "");
    }
    let fresh = hijacker.sign_in("owner").await;
    for (name, frontend, backend) in [
        ("a ticket for another Frontend's slot", "frontend-9", "backend-0"),
        ("a ticket for another Backend's slot", "frontend-0", "backend-9"),
    ] {
        let head = Request {
            frontend: slot(frontend),
            backend: slot(backend),
            body: fresh.body(),
        };
        let envelope = sealed(
            &mut hijacker.sealer,
            &header(fresh.id, 3, 1),
            &head,
            &insert(1012),
        );
        hijacker.out.send(&envelope).await;
        let worked = hijacker.has_written().await;
        table.note(name, bound, worked, "");
    }
}

/// What policy refuses to the user, and what is no exchange.
async fn statements(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let judged = Fate::Stopped("P3");
    let extended = |name: &str, sql: Option<&str>| {
        let mut out = Vec::new();
        if let Some(sql) = sql {
            postern_wire::put_parse(&mut out, name, sql, []).unwrap();
        }
        postern_wire::put_bind(&mut out, "", name, &[0; 6]).unwrap();
        postern_wire::put_execute(&mut out, "", 0).unwrap();
        postern_wire::put_sync(&mut out);
        out
    };
    let lie = |name: &str, sql: &str| Definition {
        kind: DefinitionKind::Statement,
        name: name.to_owned(),
        sql: sql.to_owned(),
        parameter_types: Vec::new(),
    };
    let loot = "SELECT word FROM vault.secrets";
    let cases: Vec<(&str, Vec<Definition>, Vec<u8>)> = vec![
        ("a statement that policy refuses", vec![], query(loot)),
        (
            "… behind one that it allows",
            vec![],
            query(&format!("SELECT 1; {loot}")),
        ),
        ("… by Parse", vec![], extended("", Some(loot))),
        (
            "… as the text of an old statement",
            vec![lie("s", loot)],
            extended("s", None),
        ),
        (
            "… beside a harmless text of that name",
            vec![lie("s", "SELECT 1"), lie("s", loot)],
            extended("s", None),
        ),
        (
            "… in a Parse under the name of a harmless text",
            vec![lie("s", "SELECT 1")],
            extended("s", Some(loot)),
        ),
        ("a statement whose text is not told", vec![], extended("s", None)),
        (
            "two simple queries at once",
            vec![],
            [query("SELECT 1"), query(loot)].concat(),
        ),
        ("a message that is cut", vec![], query(loot)[..20].to_vec()),
        (
            "a length beyond the message",
            vec![],
            b"Q\x7f\xff\xff\xffSELECT 1".to_vec(),
        ),
        (
            "FunctionCall",
            vec![],
            b"F\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0".to_vec(),
        ),
        (
            "messages of the server",
            vec![],
            b"C\0\0\0\x0dSELECT 1\0".to_vec(),
        ),
        (
            "5,000 parentheses",
            vec![],
            query(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000))),
        ),
        (
            "a text of 3 MB",
            vec![],
            query(&format!(
                "SELECT '{}', word FROM vault.secrets",
                "x".repeat(3_000_000)
            )),
        ),
    ];
    for (name, definitions, payload) in cases {
        let live = hijacker.sign_in("reader").await;
        let body = RequestBody::Exchange {
            ticket: live.ticket.clone(),
            definitions,
            trace: None,
        };
        let envelope = sealed(
            &mut hijacker.sealer,
            &header(live.id, 3, 1),
            &request(body),
            &payload,
        );
        hijacker.back.forget().await;
        hijacker.out.send(&envelope).await;
        let worked = hijacker.has_loot().await;
        table.note(name, judged, worked, "");
    }
    let live = hijacker.sign_in("owner").await;
    let body = RequestBody::CopyData {
        ticket: live.ticket.clone(),
    };
    let envelope = sealed(
        &mut hijacker.sealer,
        &header(live.id, 3, 1),
        &request(body),
        &insert(1020),
    );
    hijacker.out.send(&envelope).await;
    let worked = hijacker.has_written().await;
    table.note("a statement where data of a COPY belongs", judged, worked, "");
}

/// Signing in as somebody who is not signing in.
async fn signing_in(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let decided = Fate::Stopped("P10");
    let id = SessionId::random().unwrap();
    let mut sealer = hijacker.sign_in_sealer();
    let first = ("owner", scram().first_message());
    let SignInAnswer::Continue { message, state } = hijacker.step(&mut sealer, (id, 1), first, None).await
    else {
        panic!("no challenge");
    };
    let (wrong, _) = scram().respond(&message, "not the password").unwrap();
    let (right_for_reader, _) = scram().respond(&message, "reader").unwrap();
    let other = SessionId::random().unwrap();
    let mut changed = state.clone();
    *changed.last_mut().unwrap() ^= 1;
    let (right, _) = scram().respond(&message, "owner").unwrap();
    type Case<'a> = (&'a str, SessionId, &'a str, Vec<u8>, Option<Vec<u8>>);
    let cases: Vec<Case<'_>> = vec![
        ("a wrong proof", id, "owner", wrong, Some(state.clone())),
        (
            "another user's proof",
            id,
            "owner",
            right_for_reader,
            Some(state.clone()),
        ),
        (
            "a right proof under another name",
            id,
            "reader",
            right.clone(),
            Some(state.clone()),
        ),
        (
            "a right proof in another session",
            other,
            "owner",
            right.clone(),
            Some(state.clone()),
        ),
        (
            "a right proof with a changed state",
            id,
            "owner",
            right.clone(),
            Some(changed),
        ),
        ("a right proof without a state", id, "owner", right.clone(), None),
        ("an empty message", id, "owner", Vec::new(), Some(state)),
    ];
    for (name, id, user, message, state) in cases {
        let said = hijacker.step(&mut sealer, (id, 2), (user, message), state).await;
        let worked = matches!(said, SignInAnswer::Accepted { .. });
        table.note(format!("sign-in: {name}"), decided, worked, "");
    }
}

/// Other sessions, from one that is its own.
async fn others(scene: &Scene, table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let own = hijacker.sign_in("reader").await;
    let ticket = || own.ticket.clone();
    let made_here = "frontend-0";
    let bound = Fate::Stopped("P5");
    let mut cases: Vec<(&str, RequestBody, &str, Fate)> = vec![
        // It has the session's ticket as well.
        (
            "end a session that it carries",
            RequestBody::Heartbeat,
            made_here,
            Fate::Residual,
        ),
    ];
    for (name, body) in [
        ("end another session", RequestBody::Close { ticket: ticket() }),
        (
            "cancel another session's statement",
            RequestBody::Cancel { ticket: ticket() },
        ),
        (
            "grant for another session",
            RequestBody::Grant {
                ticket: ticket(),
                bytes: u64::MAX,
            },
        ),
        ("probe another session", RequestBody::Probe { ticket: ticket() }),
        (
            "data for another session's COPY",
            RequestBody::CopyData { ticket: ticket() },
        ),
    ] {
        cases.push((name, body.clone(), made_here, bound));
        cases.push((name, body, "frontend-9", bound));
    }
    for (name, body, from, fate) in cases {
        let mut victim = scene.client("owner").await;
        hijacker.out.forget().await;
        victim
            .query("BEGIN; INSERT INTO shop.target VALUES (8)")
            .await
            .unwrap();
        let last = hijacker
            .out
            .next(|heard| {
                let (head, _) = heard.decode::<Request>()?;
                match head.body {
                    RequestBody::Exchange { ticket, .. } => Some((heard.header, ticket)),
                    _ => None,
                }
            })
            .await;
        let (last, its_ticket) = last;
        let body = match body {
            RequestBody::Heartbeat => RequestBody::Close { ticket: its_ticket },
            other => other,
        };
        let head = Request {
            frontend: slot(from),
            ..request(body)
        };
        let next = header(last.session, last.sequence + 1, last.exchange);
        let envelope = sealed(&mut hijacker.sealer, &next, &head, b"");
        hijacker.out.publish(&framed(&envelope)).await;
        hijacker.fence.query("SELECT 1").await.unwrap();
        let answer = victim.query("SELECT count(*) FROM shop.target WHERE n = 8").await;
        let lives = answer.is_ok_and(|answer| postern_e2e::raw::first_error(&answer).is_none());
        let by = match (fate, from) {
            (Fate::Residual, _) => "",
            (_, "frontend-0") => " with a ticket of its own",
            _ => " with a ticket of its own, in the name of another Frontend",
        };
        table.note(format!("{name}{by}"), fate, !lives, "");
    }
}
