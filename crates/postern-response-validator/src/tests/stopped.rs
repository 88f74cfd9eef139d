//! Answers that are stopped.

use super::*;

#[test]
fn a_contract_that_is_not_genuine_stops_the_answer() {
    let payload = [description(), row(), end()].concat();
    let start = AnswerState::default();
    let here = header(9, 0);
    let mut ring = ring();

    let mut stranger = super::ring();
    let forged = stranger.contract(&here, &contract(ROWS));
    let envelope = ring.part(&here, forged, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-forged");

    let mut bent = ring.contract(&here, &contract(ROWS));
    *bent.last_mut().unwrap() ^= 1;
    let envelope = ring.part(&here, bent, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-forged");

    let envelope = ring.part(&here, Vec::new(), &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-forged");

    let other_exchange = ring.contract(&header(8, 0), &contract(ROWS));
    let envelope = ring.part(&here, other_exchange, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-of-another-exchange");

    let elsewhere = Header {
        session: SessionId([8; 16]),
        ..here
    };
    let other_session = ring.contract(&elsewhere, &contract(ROWS));
    let envelope = ring.part(&here, other_session, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-of-another-exchange");

    let mut not_a_contract = Vec::new();
    ring.query_validator
        .seal_body(&here, &7u8, &[], &mut not_a_contract)
        .unwrap();
    let envelope = ring.part(&here, not_a_contract, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-malformed");

    let mut with_a_tail = Vec::new();
    ring.query_validator
        .seal_body(&here, &contract(ROWS), &[b"x"], &mut with_a_tail)
        .unwrap();
    let envelope = ring.part(&here, with_a_tail, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-malformed");

    let mut old = Vec::new();
    let past = Header {
        deadline_ms: NOW - 1,
        ..here
    };
    ring.query_validator
        .seal_body(&past, &contract(ROWS), &[], &mut old)
        .unwrap();
    let envelope = ring.part(&here, old, &start, &payload);
    ring.assert_stopped(envelope, "XX000", "contract-expired");
}

#[test]
fn an_answer_that_breaks_its_contract_is_stopped() {
    let mut ring = ring();
    let here = header(9, 0);
    let two_rows = [description(), row(), row(), end()].concat();
    let mut start = |payload: &[u8], change: fn(&mut Contract), code: &str, reason: &str| {
        let mut contract = contract(ROWS);
        change(&mut contract);
        let contract = ring.contract(&here, &contract);
        let envelope = ring.part(&here, contract, &AnswerState::default(), payload);
        ring.assert_stopped(envelope, code, reason);
    };
    start(&two_rows, |c| c.max_rows = Some(1), "42501", "answer-row-cap");
    start(&two_rows, |c| c.max_bytes = Some(33), "42501", "answer-byte-cap");
    start(
        &two_rows,
        |c| c.steps = vec![Expect::Sync],
        "XX000",
        "answer-out-of-turn",
    );
    start(&row(), |_| (), "XX000", "answer-out-of-turn");
    start(&two_rows[..two_rows.len() - 1], |_| (), "XX000", "answer-cut");
    start(
        &message(b'R', b"\0\0\0\0"),
        |_| (),
        "XX000",
        "answer-message-never-allowed",
    );
    start(
        &message(b'A', b"\0\0\0\x01c\0secret\0"),
        |_| (),
        "42501",
        "answer-notification",
    );
    start(
        &message(b'S', b"client_encoding\0SJIS\0"),
        |_| (),
        "XX000",
        "answer-pinned-setting",
    );
}

#[test]
fn own_caps_hold_against_any_contract() {
    let mut ring = ring_with(Limits {
        max_rows: Some(1),
        max_bytes: None,
    });
    let here = header(9, 0);
    let payload = [description(), row(), row(), end()].concat();
    for allowed in [None, Some(1000)] {
        let mut contract = contract(ROWS);
        contract.max_rows = allowed;
        let contract = ring.contract(&here, &contract);
        let envelope = ring.part(&here, contract, &AnswerState::default(), &payload);
        ring.assert_stopped(envelope, "42501", "answer-row-cap");
    }
}

#[test]
fn a_claimed_state_is_checked_against_the_contract() {
    let mut ring = ring();
    let here = header(9, 3);
    let sealed = ring.contract(&here, &contract(ROWS));
    let beyond = AnswerState {
        step: 7,
        ..AnswerState::default()
    };
    let envelope = ring.part(&here, sealed.clone(), &beyond, &row());
    ring.assert_stopped(envelope, "XX000", "answer-after-end");
    let mut capped = contract(ROWS);
    capped.max_rows = Some(10);
    let sealed = ring.contract(&here, &capped);
    let full = AnswerState {
        phase: Phase::Rows,
        columns: 1,
        rows: 10,
        ..AnswerState::default()
    };
    let envelope = ring.part(&here, sealed, &full, &row());
    ring.assert_stopped(envelope, "42501", "answer-row-cap");
}
