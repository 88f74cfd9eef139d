//! Everything but parts of answers.

use super::*;

#[test]
fn everything_else_is_carried_as_it_is() {
    let mut ring = ring();
    let beat = Header {
        session: SessionId::NONE,
        sequence: 0,
        ..header(0, 0)
    };
    let backend: Slot = "backend-0".parse().unwrap();
    let heartbeat = DirtyBody::Heartbeat {
        backend: backend.clone(),
        instance: BACKEND,
    };
    let found = ring.pass(&beat, heartbeat, b"").unwrap();
    assert_eq!(
        found.answer,
        Answer::Heartbeat {
            backend,
            instance: BACKEND
        }
    );

    let here = header(9, 0);
    assert_eq!(
        ring.pass(&here, DirtyBody::Grant { bytes: 5 }, b"")
            .unwrap()
            .answer,
        Answer::Grant { bytes: 5 }
    );
    let probed = DirtyBody::Probed {
        standing: Standing::Running,
        sent: 3,
        expected: 4,
    };
    let expected = Answer::Probed {
        standing: Standing::Running,
        sent: 3,
        expected: 4,
    };
    assert_eq!(ring.pass(&here, probed, b"").unwrap().answer, expected);

    let settings = |pairs: &[(&str, &str)]| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Opened::Ready(pairs.iter().map(own).collect())
    };
    let sign_in = |opened| DirtyBody::SignIn {
        answer: vec![1, 2],
        opened,
    };
    let opened = settings(&[
        ("TimeZone", "UTC"),
        ("secret.row", "x"),
        ("client_encoding", "UTF8"),
    ]);
    let found = ring.pass(&here, sign_in(Some(opened)), b"").unwrap();
    let told = settings(&[("TimeZone", "UTC"), ("client_encoding", "UTF8")]);
    assert_eq!(
        found.answer,
        Answer::SignIn {
            answer: vec![1, 2],
            opened: Some(told)
        }
    );
    let found = ring.pass(&here, sign_in(None), b"").unwrap();
    assert_eq!(
        found.answer,
        Answer::SignIn {
            answer: vec![1, 2],
            opened: None
        }
    );
    let unreadable = settings(&[("client_encoding", "SJIS")]);
    assert_eq!(
        ring.pass(&here, sign_in(Some(unreadable)), b"").err(),
        Some(Refused::Nonsense)
    );

    let long = Refusal::fatal(SqlState::ADMIN_SHUTDOWN, format!("gone\n{}", "é".repeat(4000)));
    for body in [DirtyBody::Lost(long.clone()), sign_in(Some(Opened::Failed(long)))] {
        let (Answer::Lost(refusal)
        | Answer::SignIn {
            opened: Some(Opened::Failed(refusal)),
            ..
        }) = ring.pass(&here, body, b"").unwrap().answer
        else {
            panic!()
        };
        assert_eq!(refusal.code, SqlState::ADMIN_SHUTDOWN);
        assert!(
            refusal.message.starts_with("goneé") && refusal.message.len() <= 512,
            "{refusal}"
        );
    }
}

#[test]
fn what_makes_no_sense_goes_no_further() {
    let mut ring = ring();
    let here = header(9, 0);
    let beat = Header {
        session: SessionId::NONE,
        ..here
    };
    let heartbeat = |instance| DirtyBody::Heartbeat {
        backend: "backend-0".parse().unwrap(),
        instance,
    };
    let part = DirtyBody::Part {
        contract: Vec::new(),
        state: AnswerState::default(),
        unsolicited: false,
        steps: None,
        since_us: 0,
    };
    let nonsense: Vec<(&str, Header, DirtyBody, &[u8])> = vec![
        (
            "a heartbeat of another run",
            beat,
            heartbeat(InstanceId([9; 16])),
            b"",
        ),
        ("a heartbeat in a session", here, heartbeat(BACKEND), b""),
        ("a heartbeat with a payload", beat, heartbeat(BACKEND), b"x"),
        (
            "a grant without a session",
            beat,
            DirtyBody::Grant { bytes: 1 },
            b"",
        ),
        (
            "a grant with a payload",
            here,
            DirtyBody::Grant { bytes: 1 },
            b"x",
        ),
        ("a part without a session", beat, part, b""),
    ];
    for (name, header, body, payload) in nonsense {
        assert_eq!(
            ring.pass(&header, body, payload).err(),
            Some(Refused::Nonsense),
            "{name}"
        );
    }
    let mut body_of_another_type = Vec::new();
    ring.backend
        .seal_body(&here, &(1u8, 99u8), &[], &mut body_of_another_type)
        .unwrap();
    let found = ring.validator.step(NOW, &mut body_of_another_type).err();
    assert_eq!(found, Some(Refused::Nonsense));
}

#[test]
fn an_envelope_that_does_not_open_goes_no_further() {
    let mut ring = ring();
    let here = header(9, 0);
    let good = ring.sealed(&here, DirtyBody::Grant { bytes: 1 }, b"");
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 1;
        assert!(
            matches!(ring.validator.step(NOW, &mut bent), Err(Refused::Closed(_))),
            "byte {at}"
        );
    }
    let late = ring.validator.step(here.deadline_ms + 1, &mut good.clone()).err();
    assert_eq!(
        late,
        Some(Refused::Closed(OpenError::Expired {
            sender: Stage::Backend,
            ago_ms: 1
        }))
    );
    let of_another_ring = super::ring().sealed(&here, DirtyBody::Grant { bytes: 1 }, b"");
    let forged = ring.validator.step(NOW, &mut of_another_ring.clone()).err();
    assert_eq!(forged, Some(Refused::Closed(OpenError::Forged)));
    // A contract is not an answer, though the same two stages hold its key.
    let mut contract = ring.contract(&here, &contract(ROWS));
    assert_eq!(
        ring.validator.step(NOW, &mut contract).err(),
        Some(Refused::Closed(OpenError::WrongLink))
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_backend_seals_is_survived(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        step in proptest::prelude::any::<u32>(),
        rows in proptest::prelude::any::<u64>(),
    ) {
        let mut ring = ring();
        let here = header(9, 0);
        let mut envelope = Vec::new();
        ring.backend.seal(&here, &bytes, &mut envelope).unwrap();
        let _ = ring.validator.step(NOW, &mut envelope);

        let sealed = ring.contract(&here, &contract(ROWS));
        let state = AnswerState { step, rows, phase: Phase::Rows, ..AnswerState::default() };
        let mut envelope = ring.part(&here, sealed, &state, &bytes);
        let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
        let found = ring.open(&stepped);
        // Bytes reach the client only where they are whole messages of this answer.
        let stopped = matches!(found.answer, Answer::Part { hang_up: true, .. });
        proptest::prop_assert!(stopped || found.payload == bytes);
    }
}
