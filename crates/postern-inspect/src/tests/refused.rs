//! Answers that must be refused, each for its own reason.

use super::message::Message::{self, Described, Error, Notice, Plain, Row, Status};
use super::message::{COPY_IN, COPY_OUT, ROWS, SILENT, contract, encode, execute, framed};
use crate::{Violation, check_part, check_unsolicited};
use postern_types::{AnswerState, Contract, Expect};

fn refusal(contract: &Contract, payload: &[u8]) -> Option<Violation> {
    check_part(contract, &AnswerState::default(), payload, &mut Vec::new()).err()
}

fn out_of_turn(tag: u8, step: u32) -> Violation {
    Violation::OutOfTurn { tag, step }
}

#[test]
fn illegal_sequences_are_refused() {
    let select = vec![Expect::Query(vec![ROWS])];
    let insert = vec![Expect::Query(vec![SILENT])];
    let parse = vec![Expect::Parse, Expect::Sync];
    let columns = Violation::Columns {
        expected: 2,
        found: 1,
    };
    let never = |tag| Violation::NeverAllowed { tag };
    let table: Vec<(&str, Vec<Expect>, Vec<Message>, Violation)> = vec![
        (
            "CopyData out of turn",
            select.clone(),
            vec![Described(1), Plain(b'd')],
            out_of_turn(b'd', 0),
        ),
        (
            "CopyData at once",
            vec![Expect::Query(vec![COPY_OUT])],
            vec![Plain(b'd')],
            out_of_turn(b'd', 0),
        ),
        (
            "CopyOut for COPY IN",
            vec![Expect::Query(vec![COPY_IN])],
            vec![Plain(b'H')],
            out_of_turn(b'H', 0),
        ),
        (
            "CopyIn for SELECT",
            select.clone(),
            vec![Plain(b'G')],
            out_of_turn(b'G', 0),
        ),
        (
            "CopyIn for Execute",
            vec![execute(ROWS, 0, false)],
            vec![Plain(b'G')],
            out_of_turn(b'G', 0),
        ),
        (
            "COPY OUT completes without CopyDone",
            vec![Expect::Query(vec![COPY_OUT])],
            vec![Plain(b'H'), Plain(b'C')],
            out_of_turn(b'C', 0),
        ),
        (
            "COPY completes unbegun",
            vec![Expect::Query(vec![COPY_IN])],
            vec![Plain(b'C')],
            out_of_turn(b'C', 0),
        ),
        (
            "two RowDescriptions",
            select.clone(),
            vec![Described(1), Described(1)],
            out_of_turn(b'T', 0),
        ),
        (
            "rows of an INSERT",
            insert.clone(),
            vec![Described(1)],
            out_of_turn(b'T', 0),
        ),
        (
            "rows before a description",
            select.clone(),
            vec![Row(1)],
            out_of_turn(b'D', 0),
        ),
        (
            "rows after CommandComplete",
            select.clone(),
            vec![Described(1), Plain(b'C'), Row(1)],
            out_of_turn(b'D', 0),
        ),
        (
            "rows after an error",
            select.clone(),
            vec![Described(1), Error, Row(1)],
            out_of_turn(b'D', 0),
        ),
        (
            "two errors",
            select.clone(),
            vec![Error, Error],
            out_of_turn(b'E', 0),
        ),
        (
            "ReadyForQuery early",
            select.clone(),
            vec![Described(1), Plain(b'Z')],
            out_of_turn(b'Z', 0),
        ),
        (
            "ReadyForQuery at once",
            parse.clone(),
            vec![Plain(b'Z')],
            out_of_turn(b'Z', 0),
        ),
        (
            "ReadyForQuery twice",
            insert.clone(),
            vec![Plain(b'C'), Plain(b'Z'), Plain(b'Z')],
            Violation::AfterEnd { tag: b'Z' },
        ),
        (
            "notice after the end",
            insert.clone(),
            vec![Plain(b'C'), Plain(b'Z'), Notice],
            Violation::AfterEnd { tag: b'N' },
        ),
        (
            "one statement too many",
            insert.clone(),
            vec![Plain(b'C'), Plain(b'C')],
            out_of_turn(b'C', 0),
        ),
        (
            "one ParseComplete too many",
            parse.clone(),
            vec![Plain(b'1'), Plain(b'1')],
            out_of_turn(b'1', 1),
        ),
        (
            "BindComplete for Parse",
            parse.clone(),
            vec![Plain(b'2')],
            out_of_turn(b'2', 0),
        ),
        (
            "ParseComplete in a Query",
            select.clone(),
            vec![Plain(b'1')],
            out_of_turn(b'1', 0),
        ),
        (
            "empty answer to a statement",
            select.clone(),
            vec![Plain(b'I')],
            out_of_turn(b'I', 0),
        ),
        (
            "row of an empty query",
            vec![Expect::Query(vec![])],
            vec![Described(1)],
            out_of_turn(b'T', 0),
        ),
        ("AuthenticationOk", select.clone(), vec![Plain(b'R')], never(b'R')),
        ("BackendKeyData", select.clone(), vec![Plain(b'K')], never(b'K')),
        (
            "CopyBoth",
            vec![Expect::Query(vec![COPY_OUT])],
            vec![Plain(b'W')],
            never(b'W'),
        ),
        (
            "FunctionCallResponse",
            select.clone(),
            vec![Plain(b'V')],
            never(b'V'),
        ),
        (
            "NegotiateProtocolVersion",
            select.clone(),
            vec![Plain(b'v')],
            never(b'v'),
        ),
        ("unknown message", select.clone(), vec![Plain(b'q')], never(b'q')),
        (
            "notification",
            select.clone(),
            vec![Plain(b'A')],
            Violation::Notification,
        ),
        (
            "columns of a row",
            select.clone(),
            vec![Described(2), Row(1)],
            columns,
        ),
        (
            "columns of a described portal",
            vec![Expect::DescribePortal, execute(ROWS, 0, true)],
            vec![Described(2), Row(1)],
            columns,
        ),
        (
            "columns change between rows",
            vec![execute(ROWS, 0, false)],
            vec![Row(2), Row(1)],
            columns,
        ),
        (
            "columns after a portal is resumed",
            vec![
                Expect::DescribePortal,
                execute(ROWS, 1, true),
                execute(ROWS, 0, true),
                Expect::Sync,
            ],
            vec![Described(2), Row(2), Plain(b's'), Row(1)],
            columns,
        ),
        (
            "row limit of Execute",
            vec![execute(ROWS, 1, false)],
            vec![Row(1), Row(1)],
            Violation::ExecuteLimit { limit: 1 },
        ),
        (
            "suspended too early",
            vec![execute(ROWS, 2, false)],
            vec![Row(1), Plain(b's')],
            Violation::ExecuteLimit { limit: 2 },
        ),
        (
            "suspended without a limit",
            vec![execute(ROWS, 0, false)],
            vec![Row(1), Plain(b's')],
            out_of_turn(b's', 0),
        ),
        (
            "rows of a silent Execute",
            vec![execute(SILENT, 0, false)],
            vec![Row(1)],
            out_of_turn(b'D', 0),
        ),
        (
            "description in Execute",
            vec![execute(ROWS, 0, false)],
            vec![Described(1)],
            out_of_turn(b'T', 0),
        ),
        (
            "columns without parameters",
            vec![Expect::DescribeStatement],
            vec![Described(1)],
            out_of_turn(b'T', 0),
        ),
        (
            "parameters of a portal",
            vec![Expect::DescribePortal],
            vec![Plain(b't')],
            out_of_turn(b't', 0),
        ),
        (
            "answer to a Flush",
            vec![Expect::Flush],
            vec![Plain(b'Z')],
            Violation::AfterEnd { tag: b'Z' },
        ),
    ];
    for (name, steps, messages, expected) in table {
        assert_eq!(
            refusal(&contract(steps), &encode(&messages)),
            Some(expected),
            "{name}"
        );
    }
}

#[test]
fn row_and_byte_caps_hold_over_all_parts() {
    let mut capped = contract(vec![Expect::Query(vec![ROWS, COPY_OUT])]);
    let payload = encode(&[
        Described(1),
        Row(1),
        Row(1),
        Plain(b'C'),
        Plain(b'H'),
        Plain(b'd'),
    ]);
    capped.max_rows = Some(3);
    let checked = check_part(&capped, &AnswerState::default(), &payload, &mut Vec::new()).unwrap();
    // Two rows of 5 + 2 + 4 + 3 bytes, one line of 5 + 7.
    assert_eq!((checked.rows, checked.bytes), (3, 40));
    let next = encode(&[Plain(b'd')]);
    let over = check_part(&capped, &checked.state_after, &next, &mut Vec::new());
    assert_eq!(over, Err(Violation::Rows { limit: 3 }));

    capped.max_rows = None;
    capped.max_bytes = Some(40);
    assert!(check_part(&capped, &AnswerState::default(), &payload, &mut Vec::new()).is_ok());
    let over = check_part(&capped, &checked.state_after, &next, &mut Vec::new());
    assert_eq!(over, Err(Violation::Bytes { limit: 40 }));
}

#[test]
fn a_cut_or_lying_length_is_refused() {
    let allowed = contract(vec![Expect::Query(vec![SILENT])]);
    let whole = encode(&[Plain(b'C'), Plain(b'Z')]);
    assert_eq!(refusal(&allowed, &whole), None);
    for cut in 1..whole.len() {
        let found = refusal(&allowed, &whole[..cut]);
        let between = encode(&[Plain(b'C')]).len();
        assert_eq!(found, (cut != between).then_some(Violation::Cut), "cut at {cut}");
    }
    assert_eq!(
        refusal(&allowed, b"C\0\0\0\x03"),
        Some(Violation::Malformed { tag: b'C' })
    );
    assert_eq!(refusal(&allowed, b"C\xff\xff\xff\xff"), Some(Violation::Cut));
}

#[test]
fn malformed_bodies_are_refused() {
    let steps = |step| vec![step, Expect::Sync];
    let cases: Vec<(Vec<Expect>, u8, &[u8])> = vec![
        (steps(Expect::Parse), b'1', b"x"),
        (steps(Expect::Bind), b'2', b"x"),
        (steps(Expect::Close), b'3', b"x"),
        (steps(Expect::DescribePortal), b'n', b"x"),
        (steps(Expect::DescribePortal), b'T', b"\0\x01"),
        (steps(Expect::DescribePortal), b'T', b"\xff\xff"),
        (steps(Expect::DescribeStatement), b't', b"\0\x02\0\0\0\x17"),
        (steps(execute(ROWS, 0, false)), b'D', b"\0\x01\0\0\0\x09x"),
        (steps(execute(ROWS, 0, false)), b'C', b"SELECT 1"),
        (steps(execute(ROWS, 0, false)), b'C', b"SELECT 1\0x\0"),
        (steps(execute(SILENT, 0, false)), b'I', b"x"),
        (steps(execute(COPY_OUT, 0, false)), b'H', b"\0\0"),
        (steps(execute(COPY_IN, 0, false)), b'G', b"\x07\0\0"),
        (vec![Expect::Sync], b'Z', b""),
        (vec![Expect::Sync], b'Z', b"X"),
        (vec![Expect::Sync], b'Z', b"II"),
        (vec![Expect::Sync], b'E', b""),
        (vec![Expect::Sync], b'E', b"SERROR\0"),
        (vec![Expect::Sync], b'E', b"SERROR\0\0x"),
        (vec![Expect::Sync], b'N', b"SNOTICE"),
        (vec![Expect::Sync], b'S', b"TimeZone\0"),
        (vec![Expect::Sync], b'S', b"TimeZone\0UTC\0x"),
    ];
    for (steps, tag, body) in cases {
        let mut payload = Vec::new();
        framed(&mut payload, tag, body);
        let found = refusal(&contract(steps), &payload);
        assert_eq!(
            found,
            Some(Violation::Malformed { tag }),
            "{} {}",
            tag.escape_ascii(),
            body.escape_ascii()
        );
    }
}

#[test]
fn only_asides_come_unsolicited() {
    let mut allowed = contract(vec![]);
    let mut out = Vec::new();
    let aside = encode(&[Notice, Status]);
    assert_eq!(check_unsolicited(&allowed, &aside, &mut out), Ok(false));
    let notification = encode(&[Plain(b'A')]);
    assert_eq!(
        check_unsolicited(&allowed, &notification, &mut out),
        Err(Violation::Notification)
    );
    allowed.notifications = true;
    assert_eq!(check_unsolicited(&allowed, &notification, &mut out), Ok(false));
    for message in [Row(1), Error, Plain(b'Z'), Plain(b'R'), Plain(b'd')] {
        assert!(
            check_unsolicited(&allowed, &encode(&[Notice, message]), &mut out).is_err(),
            "{message:?}"
        );
    }
    assert_eq!(
        check_unsolicited(&allowed, &aside[..aside.len() - 1], &mut out),
        Err(Violation::Cut)
    );
}

#[test]
fn pinned_settings_are_checked() {
    let cases: [(&[u8], bool); 6] = [
        (b"client_encoding\0UTF8\0", true),
        (b"client_encoding\0SJIS\0", false),
        (b"standard_conforming_strings\0on\0", true),
        (b"standard_conforming_strings\0off\0", false),
        (b"TimeZone\0Europe/Berlin\0", true),
        (b"application_name\0psql\0", true),
    ];
    for (body, legal) in cases {
        let mut payload = Vec::new();
        framed(&mut payload, b'S', body);
        let found = check_unsolicited(&contract(vec![]), &payload, &mut Vec::new());
        let expected = if legal {
            Ok(false)
        } else {
            Err(Violation::PinnedSetting)
        };
        assert_eq!(found, expected, "{}", body.escape_ascii());
    }
}
