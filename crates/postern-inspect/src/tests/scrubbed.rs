//! What is left of errors, notices and settings.

use super::message::Message::{Described, Error, Fatal, Notice, Plain, Row, Status};
use super::message::{ROWS, contract, encode, framed};
use crate::{Violation, check_part, check_unsolicited};
use postern_types::{AnswerState, ErrorDetail, Expect, SqlState};
use postern_wire::{BackendMessage, backend_frames, decode_backend};

/// Type and body of each message.
fn split(payload: &[u8]) -> Vec<(u8, Vec<u8>)> {
    backend_frames(payload, u32::MAX)
        .map(|frame| frame.map(|f| (f.tag, f.body.to_vec())).unwrap())
        .collect()
}

fn scrubbed(detail: ErrorDetail, payload: &[u8]) -> Option<Vec<u8>> {
    let mut contract = contract(vec![Expect::Query(vec![ROWS])]);
    contract.error_detail = detail;
    let mut out = b"before".to_vec();
    let checked = check_part(&contract, &AnswerState::default(), payload, &mut out).unwrap();
    let out = out.strip_prefix(b"before").unwrap().to_vec();
    checked.rewritten.then_some(out)
}

fn fields(payload: &[u8], tag: u8) -> Vec<(u8, String)> {
    for frame in backend_frames(payload, u32::MAX) {
        let frame = frame.unwrap();
        if frame.tag != tag {
            continue;
        }
        match decode_backend(&frame).unwrap() {
            BackendMessage::ErrorResponse(fields) | BackendMessage::NoticeResponse(fields) => {
                return fields
                    .iter()
                    .map(|(code, text)| (code, text.to_owned()))
                    .collect();
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("no such message")
}

fn owned(fields: &[(u8, &str)]) -> Vec<(u8, String)> {
    fields
        .iter()
        .map(|(code, text)| (*code, (*text).to_owned()))
        .collect()
}

#[test]
fn nothing_is_changed_when_the_contract_allows_all() {
    assert_eq!(
        scrubbed(
            ErrorDetail::Full,
            &encode(&[Described(1), Notice, Row(1), Error, Plain(b'Z')])
        ),
        None
    );
}

#[test]
fn nothing_is_changed_when_there_is_nothing_to_tell() {
    let plain = encode(&[Described(1), Row(1), Status, Plain(b'C'), Plain(b'Z')]);
    assert_eq!(scrubbed(ErrorDetail::CodeOnly, &plain), None);
}

#[test]
fn details_go_and_code_message_and_position_stay() {
    let payload = encode(&[Described(1), Row(1), Error, Plain(b'Z')]);
    let out = scrubbed(ErrorDetail::CodeAndMessage, &payload).unwrap();
    let expected = owned(&[
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', "42P01"),
        (b'M', "no such table"),
        (b'P', "15"),
    ]);
    assert_eq!(fields(&out, b'E'), expected);
    let (before, after) = (split(&payload), split(&out));
    assert_eq!(before.len(), after.len());
    assert_eq!(
        (&before[..2], &before[3]),
        (&after[..2], &after[3]),
        "the rest goes on byte for byte"
    );
}

#[test]
fn a_code_comes_with_a_sentence_of_our_own() {
    for (detail, text) in [
        ("23505", "a value that must be unique exists already"),
        ("22P02", "a value is not valid"),
    ] {
        let mut payload = Vec::new();
        let body = format!("SFEHLER\0VERROR\0C{detail}\0MKey (id)=(7)\0DFailing row\0nsecret_key\0P3\0\0");
        framed(&mut payload, b'E', body.as_bytes());
        let out = scrubbed(ErrorDetail::CodeOnly, &payload).unwrap();
        let expected = owned(&[(b'S', "ERROR"), (b'V', "ERROR"), (b'C', detail), (b'M', text)]);
        assert_eq!(fields(&out, b'E'), expected);
    }
}

#[test]
fn a_fatal_error_stays_fatal_and_hangs_up() {
    let mut contract = contract(vec![Expect::Query(vec![ROWS])]);
    contract.error_detail = ErrorDetail::CodeOnly;
    let mut out = Vec::new();
    let checked = check_part(&contract, &AnswerState::default(), &encode(&[Fatal]), &mut out).unwrap();
    assert!(checked.hang_up && checked.last && checked.rewritten);
    assert_eq!(fields(&out, b'E')[1], (b'V', "FATAL".to_owned()));
}

#[test]
fn notices_are_told_as_much_as_errors() {
    let payload = encode(&[Notice, Error]);
    let out = scrubbed(ErrorDetail::CodeOnly, &payload).unwrap();
    assert!(
        split(&out).iter().all(|(tag, _)| *tag == b'E'),
        "a notice without its text is left out"
    );
    let out = scrubbed(ErrorDetail::CodeAndMessage, &payload).unwrap();
    assert_eq!(fields(&out, b'N')[3], (b'M', "hello".to_owned()));
}

#[test]
fn a_code_that_is_none_is_not_passed_on() {
    let mut payload = Vec::new();
    framed(&mut payload, b'E', b"SERROR\0VERROR\0Crow: 7\0Mx\0\0");
    let out = scrubbed(ErrorDetail::CodeOnly, &payload).unwrap();
    assert_eq!(fields(&out, b'E')[2], (b'C', "XX000".to_owned()));
}

#[test]
fn settings_that_postgresql_does_not_report_are_left_out() {
    let mut payload = encode(&[Status]);
    let known = payload.clone();
    framed(&mut payload, b'S', b"secret.row\0value\0");
    let mut out = Vec::new();
    assert_eq!(check_unsolicited(&contract(vec![]), &payload, &mut out), Ok(true));
    assert_eq!(out, known);
}

#[test]
fn scrubbing_can_not_blow_a_part_up() {
    let mut payload = Vec::new();
    for _ in 0..60_000 {
        framed(&mut payload, b'N', b"\0");
    }
    let mut contract = contract(vec![Expect::Query(vec![ROWS])]);
    contract.error_detail = ErrorDetail::CodeAndMessage;
    let checked = check_part(&contract, &AnswerState::default(), &payload, &mut Vec::new());
    assert_eq!(checked, Err(Violation::Grown));
    assert_eq!(
        check_unsolicited(&contract, &payload, &mut Vec::new()),
        Err(Violation::Grown)
    );
}

#[test]
fn the_first_error_is_named() {
    let contract = contract(vec![Expect::Query(vec![ROWS])]);
    let check =
        |payload: &[u8]| check_part(&contract, &AnswerState::default(), payload, &mut Vec::new()).unwrap();
    let failed = check(&encode(&[Notice, Error, Plain(b'Z')]));
    assert_eq!(failed.error, SqlState::parse("42P01"));
    assert_eq!(check(&encode(&[Notice, Plain(b'C'), Plain(b'Z')])).error, None);
}
