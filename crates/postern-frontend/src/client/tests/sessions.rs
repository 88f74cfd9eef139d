//! Sign-in and what comes after it.

use super::gate::{Gate, SCRAM, Setup, start, test};
use crate::config::LimitsConfig;
use crate::session::Outgoing;
use bytes::Bytes;
use postern_envelope::Header;
use postern_types::ring::{Answer, COPY_IN_WINDOW, Opened, RequestBody, SignInAnswer};
use postern_types::{AnswerState, InstanceId, Refusal, SqlState, body};
use postern_wire::{put_copy_data, put_query, put_sasl_initial};

#[test]
fn a_client_signs_in_asks_and_is_answered_once() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client.send(|out| put_query(out, "SELECT 1").unwrap()).await;
        let request = gate.ring.next().await;
        assert!(matches!(&request.body, RequestBody::Exchange { ticket, .. } if ticket == b"ticket"));
        assert_eq!(request.sequence, 3);
        let answer = gate.ring.complete(&request, 3);
        // The same envelope again, as a bus may deliver it.
        gate.ring.deliver(answer);
        assert_eq!(client.answer().await, "CZ");
        client.send(|out| put_query(out, "SELECT 1").unwrap()).await;
        let request = gate.ring.next().await;
        gate.ring.complete(&request, 4);
        assert_eq!(client.answer().await, "CZ");
        drop(client);
        let close = gate.ring.next().await;
        assert!(matches!(close.body, RequestBody::Close { .. }));
        assert!(postern_ledger::verify(gate.ledger.path()).is_ok());
    });
}

#[test]
fn a_refused_sign_in_and_a_failed_session_are_told() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client.send(start).await;
        client.message().await.unwrap();
        client
            .send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        let request = gate.ring.next().await;
        let refusal = Refusal::fatal(SqlState::INVALID_PASSWORD, "no");
        gate.ring
            .sign_in_answer(&request, &SignInAnswer::Refused(refusal), None);
        assert_eq!(client.error().await.as_deref(), Some("28P01"));
        assert_eq!(client.message().await, None);
        assert!(gate.frontend.seats().is_empty());
    });
}

#[test]
fn a_sign_in_answer_sealed_by_the_wrong_stage_or_for_another_session_is_worth_nothing() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client.send(start).await;
        client.message().await.unwrap();
        client
            .send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        let request = gate.ring.next().await;
        let other = Outgoing {
            session: postern_types::SessionId([9; 16]),
            body: RequestBody::Heartbeat,
            payload: Bytes::new(),
            backend: request.backend.clone(),
            ..request
        };
        let accepted = SignInAnswer::Accepted {
            message: Vec::new(),
            ticket: Vec::new(),
        };
        let mut body_bytes = Vec::new();
        body::encode(&accepted, &[], &mut body_bytes).unwrap();
        let header = |session| Header {
            session,
            sequence: request.sequence,
            exchange: 0,
            part: 0,
            deadline_ms: Header::NO_DEADLINE,
        };
        let mut forged = Vec::new();
        gate.ring
            .answers
            .seal(&header(request.session), &body_bytes, &mut forged)
            .unwrap();
        let mut foreign = Vec::new();
        gate.ring
            .sign_in
            .seal(&header(other.session), &body_bytes, &mut foreign)
            .unwrap();
        for answer in [forged, foreign] {
            let opened = Some(Opened::Ready(Vec::new()));
            gate.ring.answer(
                &request,
                request.sequence,
                &Answer::SignIn { answer, opened },
                b"",
            );
        }
        let refusal = Refusal::fatal(SqlState::INVALID_PASSWORD, "no");
        gate.ring
            .sign_in_answer(&request, &SignInAnswer::Refused(refusal), None);
        assert_eq!(client.error().await.as_deref(), Some("28P01"));
    });
}

#[test]
fn only_the_right_key_cancels() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client
            .send(|out| put_query(out, "SELECT pg_sleep(9)").unwrap())
            .await;
        let request = gate.ring.next().await;
        let (id, key) = client.key.clone().unwrap();
        assert_eq!(key.len(), 4);
        let mut wrong = key.clone();
        wrong[0] ^= 1;
        for key in [wrong, key] {
            let mut canceller = gate.connect().await;
            canceller
                .send(|out| postern_wire::put_cancel(out, id, &key).unwrap())
                .await;
            assert_eq!(canceller.byte().await, None);
        }
        let cancel = gate.ring.next().await;
        assert!(matches!(cancel.body, RequestBody::Cancel { .. }));
        assert_eq!(cancel.exchange, request.exchange);
        gate.ring.complete(&request, 3);
        assert_eq!(client.answer().await, "CZ");
        assert!(gate.ring.requests.is_empty());
    });
}

#[test]
fn a_client_that_leaves_while_signing_in_leaves_no_session_behind() {
    test(async || {
        let limits = LimitsConfig {
            sign_in_timeout_ms: 300,
            ..LimitsConfig::default()
        };
        let mut gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let mut client = gate.connect().await;
        client.send(start).await;
        client.message().await.unwrap();
        client
            .send(|out| put_sasl_initial(out, SCRAM, b"first").unwrap())
            .await;
        let request = gate.ring.next().await;
        assert_eq!(client.error().await.as_deref(), Some("57014"));
        let accepted = SignInAnswer::Accepted {
            message: Vec::new(),
            ticket: b"ticket".to_vec(),
        };
        gate.ring
            .sign_in_answer(&request, &accepted, Some(Opened::Ready(Vec::new())));
        assert!(matches!(gate.ring.next().await.body, RequestBody::Close { .. }));
        assert!(gate.frontend.seats().is_empty());
    });
}

#[test]
fn a_new_run_of_the_backend_ends_the_sessions_of_the_old_one() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut idle = gate.signed_in().await;
        let mut busy = gate.signed_in().await;
        busy.send(|out| put_query(out, "UPDATE t SET a = 1").unwrap())
            .await;
        let request = gate.ring.next().await;
        let beat = Answer::Heartbeat {
            backend: "backend-0".parse().unwrap(),
            instance: InstanceId([6; 16]),
        };
        gate.ring.answer(&request, 0, &beat, b"");
        assert_eq!(idle.error().await.as_deref(), Some("08006"));
        assert_eq!(busy.error().await.as_deref(), Some("08007"));
        assert_eq!(busy.message().await, None);
    });
}

#[test]
fn a_slow_reader_gets_all_and_is_granted_more_only_as_it_reads() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client.send(|out| put_query(out, "SELECT 1").unwrap()).await;
        let request = gate.ring.next().await;
        let mut granted = gate.frontend.limits.answer_window_bytes;
        let mut row = b"D\0\0\xff\xff".to_vec();
        row.resize(65_536, 0);
        let rows = 400u64;
        let state = |rows| {
            postern_inspect::digest(&AnswerState {
                rows,
                ..AnswerState::default()
            })
        };
        let ring = async {
            let mut sent = 0u64;
            for number in 0..rows {
                while sent + row.len() as u64 > granted {
                    let grant = gate.ring.next().await;
                    let RequestBody::Grant { bytes, .. } = grant.body else {
                        panic!("{grant:?}")
                    };
                    granted = bytes;
                }
                sent += row.len() as u64;
                let part = Answer::Part {
                    before: Some(state(number)),
                    after: state(number + 1),
                    parsed: 0,
                    sent_bytes: row.len() as u64,
                    copy_in: false,
                    last: number + 1 == rows,
                    hang_up: false,
                };
                gate.ring.answer(&request, 3 + number, &part, &row);
            }
        };
        let reader = async {
            for _ in 0..rows {
                assert_eq!(client.message().await.unwrap().0, b'D');
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(ring, reader);
    });
}

#[test]
fn a_copy_that_used_up_its_credit_goes_on_with_the_next_grant() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.signed_in().await;
        client
            .send(|out| put_query(out, "COPY t FROM STDIN").unwrap())
            .await;
        let request = gate.ring.next().await;
        let part = Answer::Part {
            before: Some(postern_inspect::digest(&AnswerState::default())),
            after: postern_inspect::digest(&AnswerState {
                rows: 1,
                ..AnswerState::default()
            }),
            parsed: 0,
            sent_bytes: 8,
            copy_in: true,
            last: false,
            hang_up: false,
        };
        gate.ring.answer(&request, 3, &part, b"G\0\0\0\x07\0\0\0");
        assert_eq!(client.message().await.unwrap().0, b'G');
        const MESSAGES: u64 = 200;
        let data = vec![b'x'; 50_000];
        let length = data.len() as u64 + 5;
        let writer = async {
            for _ in 0..MESSAGES {
                client.send(|out| put_copy_data(out, &data).unwrap()).await;
            }
        };
        let ring = async {
            let (mut taken, mut granted, mut sequence) = (0u64, COPY_IN_WINDOW, 3u64);
            while taken < MESSAGES * length {
                let chunk = gate.ring.next().await;
                assert!(matches!(chunk.body, RequestBody::CopyData { .. }), "{chunk:?}");
                taken += chunk.payload.len() as u64;
                assert!(taken <= granted);
                if granted - taken >= length {
                    continue;
                }
                // Until the Frontend has read ahead as far as it does without credit.
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                granted = taken + COPY_IN_WINDOW;
                sequence += 1;
                let grant = Answer::Grant { bytes: granted };
                gate.ring.answer(&request, sequence, &grant, b"");
            }
        };
        tokio::join!(ring, writer);
    });
}
