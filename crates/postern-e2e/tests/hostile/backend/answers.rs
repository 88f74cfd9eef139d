//! Answers to a statement that a client did send.

use super::hijacker::{Hijacker, Made, Order};
use super::{LINK, has, loot};
use crate::answer::{complete, description, fields, message, ready, row, whole};
use crate::scene::{LOOT, told};
use crate::table::{Fate, Table};
use postern_e2e::raw::Message;
use postern_types::{AnswerState, Phase, SessionId};

/// Answers that are not legal for what was asked, and what the policy keeps back.
pub(super) async fn answers(table: &mut Table, hijacker: &mut Hijacker<'_>) {
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
