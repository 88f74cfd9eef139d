//! A hijacked Backend: its key, its place on the bus. The real one is held still while the hijacker answers for it.

mod answers;
mod hijacker;

use crate::answer::whole;
use crate::credentials;
use crate::impostor::{self, Make};
use crate::scene::{LOOT, Scene, Tap, header, now_ms, query, sealed, text_of, told};
use crate::table::{Fate, Table};
use hijacker::{Hijacker, Made, Order};
use postern_cli::hop::Hop;
use postern_cli::part::Part;
use postern_e2e::raw::{Message, Raw};
use postern_envelope::Header;
use postern_types::ring::{Clean, CleanBody, DirtyBody, Opened};
use postern_types::{InstanceId, Link, Refusal, SessionId, SqlState, Stage};
use rustix::process::Signal;

const LINK: Link = Link::BackendToResponseValidator;
const PART: Part = Part::Stage(Stage::Backend);

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
    answers::answers(&mut table, &mut hijacker).await;
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
