//! Parts of answers that go on.

use super::*;

#[test]
fn an_answer_passes_unchanged_and_is_recorded() {
    let mut ring = ring();
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract(ROWS));
    let payload = [description(), row(), row(), end()].concat();
    let mut envelope = ring.part(&header, sealed, &AnswerState::default(), &payload);
    let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
    assert_eq!(stepped.frontend, frontend());
    let found = ring.open(&stepped);
    assert_eq!(
        found.header, header,
        "session, sequence, exchange, part and deadline are the same"
    );
    assert_eq!(found.payload, payload);
    let Answer::Part {
        before,
        parsed: 0,
        copy_in: false,
        last: true,
        hang_up: false,
        ..
    } = found.answer
    else {
        panic!("{:?}", found.answer)
    };
    assert_eq!(before, Some(digest(&AnswerState::default())));

    let note = stepped.note.unwrap();
    let record = note.record();
    assert_eq!(
        (record.event, record.level, record.result),
        (Event::Exchange, Level::Info, Outcome::Allowed)
    );
    assert_eq!((record.session, record.exchange), (Some(SESSION), Some(9)));
    assert_eq!((record.actor, record.tenant), (Some("app"), Some("acme")));
    assert_eq!((record.details.rows, record.details.parts), (Some(2), Some(1)));
    assert!(!format!("{record:?}").contains("secret"));
}

#[test]
fn parts_form_a_chain_with_records_at_both_ends() {
    let mut ring = ring();
    let parts = [description(), row(), [row(), end()].concat()];
    let mut state = AnswerState::default();
    let mut events = Vec::new();
    let mut previous = digest(&AnswerState::default());
    for (at, payload) in parts.iter().enumerate() {
        let header = header(9, u32::try_from(at).unwrap());
        let sealed = ring.contract(&header, &contract(ROWS));
        let mut envelope = ring.part(&header, sealed, &state, payload);
        let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
        let Answer::Part {
            before, after, last, ..
        } = ring.open(&stepped).answer
        else {
            panic!()
        };
        assert_eq!(before, Some(previous));
        assert_eq!(last, at == 2);
        previous = after;
        events.push(
            stepped
                .note
                .map(|note| (note.record().event, note.record().details.rows)),
        );
        // The Backend's side of the same state machine.
        postern_inspect::check_part(&contract(ROWS), &state, payload, &mut Vec::new())
            .map(|checked| state = checked.state_after)
            .unwrap();
        assert_eq!(digest(&state), after);
    }
    assert_eq!(
        events,
        [
            Some((Event::Exchange, None)),
            None,
            Some((Event::ExchangeEnd, Some(2)))
        ]
    );
}

#[test]
fn the_same_part_twice_gives_the_same_answer_twice() {
    let mut ring = ring();
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract(ROWS));
    let envelope = ring.part(
        &header,
        sealed,
        &AnswerState::default(),
        &[description(), end()].concat(),
    );
    let first = ring.validator.step(NOW, &mut envelope.clone()).unwrap();
    let second = ring.validator.step(NOW, &mut envelope.clone()).unwrap();
    let (first, second) = (ring.open(&first), ring.open(&second));
    assert_eq!(
        (first.header, first.answer, first.payload),
        (second.header, second.answer, second.payload)
    );
}

#[test]
fn errors_are_told_as_the_contract_says_and_recorded_by_code() {
    let mut ring = ring();
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract(ROWS));
    let error = message(
        b'E',
        b"SERROR\0VERROR\0C23505\0Mduplicate\0DKey (id)=(secret)\0\0",
    );
    let payload = [error, message(b'Z', b"E")].concat();
    let mut envelope = ring.part(&header, sealed, &AnswerState::default(), &payload);
    let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
    let text = ring.open(&stepped).payload.escape_ascii().to_string();
    assert!(
        text.contains("C23505") && text.contains("Mduplicate") && !text.contains("secret"),
        "{text}"
    );
    let note = stepped.note.unwrap();
    let record = note.record();
    assert_eq!(record.result, Outcome::Failed);
    assert_eq!(record.details.sqlstate, SqlState::parse("23505"));
}

#[test]
fn copy_in_is_announced() {
    let mut ring = ring();
    let header = header(9, 0);
    let contract = ring.contract(&header, &contract(COPY_IN));
    let body = DirtyBody::Part {
        contract,
        state: AnswerState::default(),
        unsolicited: false,
        steps: None,
        since_us: 0,
    };
    let found = ring.pass(&header, body, &message(b'G', b"\0\0\x01\0\0")).unwrap();
    assert!(matches!(
        found.answer,
        Answer::Part {
            copy_in: true,
            last: false,
            hang_up: false,
            ..
        }
    ));
}

#[test]
fn an_exchange_that_the_database_skips_is_answered_with_nothing() {
    let mut ring = ring();
    let header = header(9, 0);
    let mut contract = contract(ROWS);
    contract.steps = vec![Expect::Parse, Expect::Flush];
    let contract = ring.contract(&header, &contract);
    let body = DirtyBody::Part {
        contract,
        state: SKIPPING,
        unsolicited: false,
        steps: None,
        since_us: 0,
    };
    let found = ring.pass(&header, body, b"").unwrap();
    let Answer::Part {
        before,
        after,
        last: true,
        hang_up: false,
        ..
    } = found.answer
    else {
        panic!()
    };
    assert_eq!((before, after), (Some(digest(&SKIPPING)), digest(&SKIPPING)));
}

#[test]
fn only_what_the_contract_allows_comes_unsolicited() {
    let mut ring = ring();
    let here = header(9, 0);
    let notification = message(b'A', b"\0\0\0\x01c\0secret\0");
    let mut listening = contract(ROWS);
    listening.notifications = true;
    let unsolicited = |contract| DirtyBody::Part {
        contract,
        state: AnswerState::default(),
        unsolicited: true,
        steps: None,
        since_us: 0,
    };

    let sealed = ring.contract(&here, &listening);
    let found = ring.pass(&here, unsolicited(sealed), &notification).unwrap();
    assert!(matches!(
        found.answer,
        Answer::Part {
            before: None,
            last: false,
            hang_up: false,
            ..
        }
    ));
    assert_eq!(found.payload, notification);

    let sealed = ring.contract(&here, &contract(ROWS));
    let envelope = ring.sealed(&here, unsolicited(sealed), &notification);
    ring.assert_stopped(envelope, "42501", "answer-notification");
    let sealed = ring.contract(&here, &listening);
    let envelope = ring.sealed(&here, unsolicited(sealed), &[description(), row()].concat());
    ring.assert_stopped(envelope, "XX000", "answer-message-never-allowed");
    let sealed = ring.contract(&header(8, 0), &listening);
    let envelope = ring.sealed(&here, unsolicited(sealed), &notification);
    ring.assert_stopped(envelope, "XX000", "contract-of-another-exchange");
}
