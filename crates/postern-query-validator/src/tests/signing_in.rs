use super::kit::*;
use postern_ledger::{Event, Outcome};
use postern_scram::client::{Binding, Client};
use postern_types::SessionId;
use postern_types::ring::{OpenSession, SignInAnswer};

#[track_caller]
fn refusal(answer: SignInAnswer) -> (String, String) {
    match answer {
        SignInAnswer::Refused(refusal) => {
            assert!(refusal.fatal);
            (refusal.code.to_string(), refusal.message)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_right_password_opens_a_session() {
    let mut kit = Kit::new();
    let (answer, open) = kit.sign_in_with("ann", "pencil", Binding::None, |_| {});
    assert!(matches!(answer, SignInAnswer::Accepted { .. }));
    assert_eq!(
        open,
        Some(OpenSession {
            backend_instance: BACKEND_RUN,
            frontend_instance: FRONTEND_RUN,
            user: "ann".to_owned(),
            database: "demo".to_owned(),
            database_role: "app".to_owned(),
            tenant: Some("acme".to_owned()),
            settings: vec![
                ("search_path".to_owned(), "shop".to_owned()),
                ("application_name".to_owned(), "t".to_owned())
            ],
            window: 77,
        })
    );
    let events: Vec<_> = kit
        .records
        .iter()
        .map(|r| (r.event, r.result, r.action))
        .collect();
    assert_eq!(
        events,
        [
            (Event::SignIn, Outcome::Allowed, Some("challenge")),
            (Event::SignIn, Outcome::Allowed, Some("accept"))
        ]
    );
}

#[test]
fn channel_binding_holds_for_the_configured_certificate_only() {
    let mut kit = Kit::new();
    let under_tls = |s: &mut postern_types::ring::SignIn| s.tls = true;
    let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::EndPoint(&END_POINT), under_tls);
    assert!(matches!(answer, SignInAnswer::Accepted { .. }));
    // Somebody else's certificate: the client talks to another end than the Frontend says.
    let (answer, open) = kit.sign_in_with("ann", "pencil", Binding::EndPoint(&[8; 32]), under_tls);
    assert_eq!((refusal(answer).0.as_str(), open), ("28000", None));
    // -PLUS without TLS.
    let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::EndPoint(&END_POINT), |_| {});
    assert_eq!(refusal(answer).0, "28000");
    // The client says it was not offered -PLUS, but it was: a downgrade.
    let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::NotOffered, under_tls);
    assert_eq!(refusal(answer).0, "28000");
    let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::NotOffered, |_| {});
    assert!(matches!(answer, SignInAnswer::Accepted { .. }));
}

#[test]
fn another_certificate_is_taken_and_the_one_before_is_good_for_a_while() {
    let mut kit = Kit::new();
    let next = [8; 32];
    let bound_to = |kit: &mut Kit, end_point: &[u8]| {
        let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::EndPoint(end_point), |s| s.tls = true);
        matches!(answer, SignInAnswer::Accepted { .. })
    };
    assert!(!bound_to(&mut kit, &next));
    kit.validator.set_end_point(Some(next.to_vec()), NOW + 1);
    assert!(bound_to(&mut kit, &next));
    assert!(bound_to(&mut kit, &END_POINT));
    // The grace is over.
    kit.validator.set_end_point(Some(vec![7; 32]), NOW);
    assert!(bound_to(&mut kit, &[7; 32]));
    assert!(!bound_to(&mut kit, &next));
    assert!(!bound_to(&mut kit, &END_POINT));
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    let mut kit = Kit::new();
    let mut challenge = |user: &str| {
        let client = Client::new(Binding::None, "clientnonce").unwrap();
        let request = kit.request(user, client.first_message(), None);
        match kit.step(request).0 {
            SignInAnswer::Continue { message, .. } => String::from_utf8(message).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let (known, unknown) = (challenge("ann"), challenge("mallory"));
    assert_eq!(known.len(), unknown.len());
    assert_eq!(
        known.rsplit(',').next(),
        unknown.rsplit(',').next(),
        "the same number of rounds"
    );
    assert_eq!(
        unknown,
        challenge("mallory"),
        "an unknown user has the same salt each time"
    );
    assert_ne!(unknown, challenge("mallet"));
    for user in ["ann", "mallory"] {
        let (answer, open) = kit.sign_in_with(user, "wrong", Binding::None, |_| {});
        let expected = format!("password authentication failed for user \"{user}\"");
        assert_eq!((refusal(answer), open), (("28P01".to_owned(), expected), None));
    }
    assert_eq!(kit.records.last().unwrap().result, Outcome::Refused);
    assert_eq!(kit.records.last().unwrap().sqlstate.as_deref(), Some("28P01"));
}

#[test]
fn a_stranger_learns_nothing_of_what_is_refused_after_the_password() {
    let mut kit = Kit::new();
    for (name, value) in [
        ("role", "postgres"),
        ("search_path", "evil"),
        ("session_replication_role", "replica"),
        ("client_encoding", "SJIS"),
        ("replication", "database"),
        ("standard_conforming_strings", "off"),
    ] {
        let change =
            |s: &mut postern_types::ring::SignIn| s.parameters = vec![(name.to_owned(), value.to_owned())];
        let (answer, open) = kit.sign_in_with("ann", "wrong", Binding::None, change);
        assert_eq!((refusal(answer).0.as_str(), open), ("28P01", None), "{name}");
        let (answer, open) = kit.sign_in_with("ann", "pencil", Binding::None, change);
        assert_eq!((refusal(answer).0.as_str(), open), ("22023", None), "{name}");
    }
    let (answer, _) = kit.sign_in_with("nobody", "wrong", Binding::None, |_| {});
    assert_eq!(refusal(answer).0, "28P01");
    let (answer, open) = kit.sign_in_with("nobody", "pencil", Binding::None, |_| {});
    assert_eq!(
        (refusal(answer).0.as_str(), open),
        ("28000", None),
        "a role that the policy does not have"
    );
}

#[test]
fn malformed_messages_are_refused() {
    let mut kit = Kit::new();
    for (mechanism, message) in [
        ("SCRAM-SHA-1", &b"n,,n=,r=abc"[..]),
        ("SCRAM-SHA-256", b""),
        ("SCRAM-SHA-256", b"n,,n="),
        ("SCRAM-SHA-256", b"n,a=root,n=,r=abc"),
        ("SCRAM-SHA-256", b"\xff\xfe"),
    ] {
        let mut request = kit.request("ann", message.to_vec(), None);
        request.mechanism = mechanism.to_owned();
        refusal(kit.step(request).0);
    }
}

#[test]
fn sign_in_state_holds_for_one_session_one_request_and_a_short_time() {
    let attempt = |tamper: &dyn Fn(&mut Kit, &mut postern_types::ring::SignIn)| {
        let mut kit = Kit::new();
        let client = Client::new(Binding::None, "clientnonce").unwrap();
        let first = kit.request("ann", client.first_message(), None);
        let SignInAnswer::Continue { message, state } = kit.step(first.clone()).0 else {
            panic!("refused");
        };
        let (last, _) = client.respond(&message, "pencil").unwrap();
        let mut second = postern_types::ring::SignIn {
            message: last,
            state: Some(state),
            ..first
        };
        tamper(&mut kit, &mut second);
        kit.step(second)
    };
    assert!(matches!(attempt(&|_, _| {}).0, SignInAnswer::Accepted { .. }));
    type Tamper = &'static dyn Fn(&mut Kit, &mut postern_types::ring::SignIn);
    let tampers: [Tamper; 11] = [
        &|kit, _| kit.session = SessionId([6; 16]),
        &|kit, _| kit.now += 30_001,
        &|kit, _| kit.from = "frontend-1".parse().unwrap(),
        &|_, s| s.user = "olga".to_owned(),
        &|_, s| s.database = "other".to_owned(),
        &|_, s| s.parameters.clear(),
        &|_, s| s.tls = true,
        &|_, s| s.client = "127.0.0.1:1".to_owned(),
        &|_, s| s.backend_instance = postern_types::InstanceId([8; 16]),
        &|_, s| s.state.as_mut().unwrap()[100] ^= 1,
        &|_, s| s.state = Some(Vec::new()),
    ];
    for (n, tamper) in tampers.iter().enumerate() {
        let (answer, open) = attempt(*tamper);
        assert_eq!(
            (refusal(answer).0.as_str(), open),
            ("28000", None),
            "tampering {n}"
        );
    }
}

#[test]
fn a_ticket_is_no_sign_in_state() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let request = kit.request(
        "ann",
        b"c=biws,r=clientnonceservernonce,p=AAAA".to_vec(),
        Some(ticket),
    );
    assert_eq!(refusal(kit.step(request).0).0, "28000");
    assert_eq!(kit.records.last().unwrap().reason, Some("not-sign-in-state"));
}

#[test]
fn who_guesses_is_locked_out_and_can_not_tell() {
    // Of a user that exists and of one that does not, the same is told at each step of the same course.
    let course = |user: &str| {
        let mut kit = Kit::new();
        let mut told: Vec<String> = (0..8)
            .map(|_| refusal(kit.sign_in_with(user, "wrong", Binding::None, |_| {}).0).1)
            .collect();
        // Right or wrong is the same now.
        told.push(refusal(kit.sign_in_with(user, "pencil", Binding::None, |_| {}).0).1);
        let reasons: Vec<_> = kit.records.iter().filter_map(|record| record.reason).collect();
        assert_eq!(reasons[..5], ["scram-final"; 5], "{user}");
        assert_eq!(reasons[5..], ["locked-out"; 4], "{user}");
        kit.now += 30_000;
        (told, kit)
    };
    let (of_ann, mut kit) = course("ann");
    let (of_nobody, _) = course("mallory");
    let same = |told: &String, name| *told == format!("password authentication failed for user \"{name}\"");
    assert!(of_ann.iter().all(|told| same(told, "ann")), "{of_ann:?}");
    assert!(
        of_nobody.iter().all(|told| same(told, "mallory")),
        "{of_nobody:?}"
    );
    let (answer, open) = kit.sign_in_with("ann", "pencil", Binding::None, |_| {});
    assert!(matches!(answer, SignInAnswer::Accepted { .. }) && open.is_some());
}

#[test]
fn a_user_is_not_locked_out_where_it_has_signed_in_before() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    assert!(!ticket.is_empty());
    let elsewhere = |s: &mut postern_types::ring::SignIn| s.client = "198.51.100.7".to_owned();
    for _ in 0..9 {
        kit.sign_in_with("ann", "wrong", Binding::None, elsewhere);
    }
    let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::None, elsewhere);
    assert_eq!(refusal(answer).0, "28P01");
    kit.ticket("ann");
}

#[test]
fn disturbed_sign_ins_are_no_guesses() {
    let mut kit = Kit::new();
    for _ in 0..9 {
        let (answer, _) = kit.sign_in_with("ann", "pencil", Binding::EndPoint(&END_POINT), |_| {});
        assert_eq!(refusal(answer).0, "28000");
    }
    kit.ticket("ann");
}
