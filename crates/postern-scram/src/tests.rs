//! RFC 7677's vector, both ends against each other, and what must be refused.

use crate::client::{Binding, Client, Final};
use crate::{MAX_MESSAGE_BYTES, Mechanism, ScramError, Verifier, server};
use postern_types::SqlState;
use proptest::prelude::*;

/// RFC 7677, section 3: password "pencil".
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &[u8] =
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

const END_POINT: &[u8] = &[9; 32];

fn pencil() -> Verifier {
    let salt = crate::crypto::from_base64(SALT).unwrap();
    Verifier::from_password("pencil", &salt, 4096).unwrap()
}

/// A verifier that costs next to nothing.
fn quick(password: &str) -> Verifier {
    Verifier::from_password(password, b"salt and pepper.", 2).unwrap()
}

fn client(binding: Binding<'_>) -> Client {
    Client::new(binding, CLIENT_NONCE).unwrap()
}

/// A whole exchange; the error is that of whoever broke it off.
fn sign_in(
    binding: Binding<'_>,
    end_points: &[&[u8]],
    verifier: &Verifier,
    password: &str,
) -> Result<(), ScramError> {
    let client = client(binding);
    let (server_first, state) = server::first(
        client.mechanism(),
        &client.first_message(),
        end_points,
        SERVER_NONCE,
        verifier,
    )?;
    let (client_final, wait) = client.respond(&server_first, password)?;
    let server_final = server::finish(&state, &client_final, verifier)?;
    wait.verify(&server_final.message)
}

#[test]
fn the_server_follows_rfc_7677() {
    let verifier = pencil();
    let (server_first, state) =
        server::first(Mechanism::Plain, CLIENT_FIRST, &[], SERVER_NONCE, &verifier).unwrap();
    assert_eq!(server_first, SERVER_FIRST);
    assert_eq!(
        server::finish(&state, CLIENT_FINAL, &verifier).unwrap().message,
        SERVER_FINAL
    );
}

#[test]
fn the_verifier_is_written_as_postgresql_writes_it() {
    let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(pencil().to_string(), text);
    let parsed = Verifier::parse(text).unwrap();
    assert_eq!(parsed.to_string(), text);
    assert_eq!(sign_in(Binding::None, &[], &parsed, "pencil"), Ok(()));
}

#[test]
fn right_and_wrong_passwords() {
    let verifier = quick("pencil");
    assert_eq!(sign_in(Binding::None, &[], &verifier, "pencil"), Ok(()));
    for wrong in ["Pencil", "", "pencil "] {
        assert_eq!(
            sign_in(Binding::None, &[], &verifier, wrong),
            Err(ScramError::WrongPassword),
            "{wrong:?}"
        );
    }
}

#[test]
fn passwords_are_prepared_and_otherwise_taken_as_they_are() {
    // A soft hyphen maps to nothing, a Roman numeral to its letters.
    assert_eq!(
        sign_in(Binding::None, &[], &quick("I\u{ad}X"), "\u{2168}"),
        Ok(())
    );
    // A control character is prohibited, so PostgreSQL and we use the password unprepared.
    assert_eq!(sign_in(Binding::None, &[], &quick("a\u{7}"), "a\u{7}"), Ok(()));
    assert_eq!(
        sign_in(Binding::None, &[], &quick("a\u{7}\u{2168}"), "a\u{7}IX"),
        Err(ScramError::WrongPassword)
    );
}

#[test]
fn channel_binding_is_agreed_or_refused() {
    let verifier = quick("pencil");
    let tls = &[END_POINT][..];
    assert_eq!(
        sign_in(Binding::EndPoint(END_POINT), tls, &verifier, "pencil"),
        Ok(())
    );
    assert_eq!(sign_in(Binding::None, tls, &verifier, "pencil"), Ok(()));
    assert_eq!(sign_in(Binding::NotOffered, &[], &verifier, "pencil"), Ok(()));
    let refused = |binding, end_points| {
        matches!(
            sign_in(binding, end_points, &verifier, "pencil"),
            Err(ScramError::ChannelBinding(_))
        )
    };
    // -PLUS taken away on the way; another certificate in between; -PLUS without TLS.
    assert!(refused(Binding::NotOffered, tls));
    assert!(refused(Binding::EndPoint(&[8; 32]), tls));
    assert!(refused(Binding::EndPoint(END_POINT), &[]));
}

#[test]
fn while_the_certificate_changes_either_is_good() {
    let verifier = quick("pencil");
    let (old, new, neither) = ([1; 32], [2; 32], [3; 32]);
    let sign_in = |seen| sign_in(Binding::EndPoint(seen), &[&new, &old], &verifier, "pencil");
    assert_eq!(sign_in(&old), Ok(()));
    assert_eq!(sign_in(&new), Ok(()));
    assert!(matches!(sign_in(&neither), Err(ScramError::ChannelBinding(_))));
    assert!(matches!(sign_in(&[]), Err(ScramError::ChannelBinding(_))));
}

#[test]
fn the_flag_and_the_mechanism_must_agree() {
    let verifier = quick("pencil");
    let first = |mechanism, message: &[u8]| {
        server::first(mechanism, message, &[END_POINT], SERVER_NONCE, &verifier).map(|_| ())
    };
    for flag in ["n", "y"] {
        let message = format!("{flag},,n=,r=abc");
        assert!(matches!(
            first(Mechanism::Plus, message.as_bytes()),
            Err(ScramError::ChannelBinding(_))
        ));
    }
    let end_point = b"p=tls-server-end-point,,n=,r=abc";
    assert!(matches!(
        first(Mechanism::Plain, end_point),
        Err(ScramError::ChannelBinding(_))
    ));
    assert!(matches!(
        first(Mechanism::Plus, b"p=tls-unique,,n=,r=abc"),
        Err(ScramError::Unsupported(_))
    ));
    assert!(matches!(
        first(Mechanism::Plain, b"q,,n=,r=abc"),
        Err(ScramError::Malformed(_))
    ));
    // A binding that the client's last message takes back.
    let (_, state) =
        server::first(Mechanism::Plus, end_point, &[END_POINT], SERVER_NONCE, &verifier).unwrap();
    let last = format!("c=biws,r=abc{SERVER_NONCE},p={}", "A".repeat(43) + "=");
    assert!(matches!(
        server::finish(&state, last.as_bytes(), &verifier),
        Err(ScramError::ChannelBinding(_))
    ));
}

#[test]
fn a_client_first_message_that_is_not_one_is_refused() {
    let verifier = quick("pencil");
    let long_nonce = format!("n,,n=,r={}", "x".repeat(513));
    let long = [b"n,,n=,r=a,x=".to_vec(), vec![b'y'; MAX_MESSAGE_BYTES]].concat();
    for (message, expected) in [
        (&b""[..], SqlState::PROTOCOL_VIOLATION),
        (b"n", SqlState::PROTOCOL_VIOLATION),
        (b"n,,", SqlState::PROTOCOL_VIOLATION),
        (b"n,,n=", SqlState::PROTOCOL_VIOLATION),
        (b"n,,n=,r=", SqlState::PROTOCOL_VIOLATION),
        (b"n,,r=abc,n=", SqlState::PROTOCOL_VIOLATION),
        (b"n,,n=,r=a\x80", SqlState::PROTOCOL_VIOLATION),
        (b"n,,n=,r=a b", SqlState::PROTOCOL_VIOLATION),
        (b"n,,n=,r=abc\0", SqlState::PROTOCOL_VIOLATION),
        (b"n,,n=,r=abc,", SqlState::PROTOCOL_VIOLATION),
        (b"n,a=admin,n=,r=abc", SqlState::FEATURE_NOT_SUPPORTED),
        (b"n,,m=x,n=,r=abc", SqlState::FEATURE_NOT_SUPPORTED),
        (b"n,,n=,r=abc,m=x", SqlState::FEATURE_NOT_SUPPORTED),
        (long_nonce.as_bytes(), SqlState::PROTOCOL_VIOLATION),
        (&long, SqlState::PROTOCOL_VIOLATION),
    ] {
        let error = server::first(Mechanism::Plain, message, &[], SERVER_NONCE, &verifier).unwrap_err();
        assert_eq!(error.sqlstate(), expected, "{}", String::from_utf8_lossy(message));
    }
    assert!(
        server::first(
            Mechanism::Plain,
            b"n,,n=x,r=abc,e=1",
            &[],
            SERVER_NONCE,
            &verifier
        )
        .is_ok()
    );
}

#[test]
fn a_client_final_message_that_is_not_one_is_refused() {
    let verifier = pencil();
    let (_, state) = server::first(Mechanism::Plain, CLIENT_FIRST, &[], SERVER_NONCE, &verifier).unwrap();
    let good = std::str::from_utf8(CLIENT_FINAL).unwrap();
    let refused = |message: &str| server::finish(&state, message.as_bytes(), &verifier).unwrap_err();
    assert!(matches!(refused(""), ScramError::Malformed(_)));
    assert!(matches!(
        refused(&good.replace("r=rO", "r=rP")),
        ScramError::Malformed(_)
    ));
    assert!(matches!(
        refused(&good.replace("c=biws", "c=biw")),
        ScramError::Malformed(_)
    ));
    assert!(matches!(
        refused(&good.replace("c=biws", "c=eSws")),
        ScramError::ChannelBinding(_)
    ));
    assert!(matches!(
        refused(&good.replace(",p=d", ",p=")),
        ScramError::Malformed(_)
    ));
    assert!(matches!(
        refused(&format!("{good},x=1")),
        ScramError::Malformed(_)
    ));
    assert!(matches!(
        refused(&good.replace(",p=", ",m=1,p=")),
        ScramError::Unsupported(_)
    ));
    assert_eq!(refused(&good.replace("p=dH", "p=eH")), ScramError::WrongPassword);
    assert_eq!(
        refused(&good.replace(",p=", ",x=1,p=")),
        ScramError::WrongPassword
    );
    let long = "A".repeat(100_000);
    assert_eq!(
        refused(&good.replace("p=d", &format!("p={long}"))),
        ScramError::TooLong
    );
}

#[test]
fn a_mock_looks_like_a_verifier_and_never_lets_in() {
    let known = pencil();
    let mock = |user| Verifier::known_or_mock(None, b"secret", user);
    let (a, b) = (mock("alice"), mock("alice"));
    assert_eq!(a.to_string(), b.to_string());
    assert_ne!(a.to_string(), mock("bob").to_string());
    assert_ne!(
        a.to_string(),
        Verifier::known_or_mock(None, b"other", "alice").to_string()
    );
    assert_eq!(a.to_string().len(), known.to_string().len());
    assert_eq!(
        Verifier::known_or_mock(Some(&known), b"secret", "alice").to_string(),
        known.to_string()
    );

    let first =
        |verifier| server::first(Mechanism::Plain, CLIENT_FIRST, &[], SERVER_NONCE, verifier).unwrap();
    let (shown, state) = first(&a);
    assert_eq!(shown.len(), SERVER_FIRST.len());
    let wrong = server::finish(&state, CLIENT_FINAL, &a).unwrap_err();
    assert_eq!(wrong, ScramError::WrongPassword);
    assert_eq!(wrong.refusal("alice").code, SqlState::INVALID_PASSWORD);
    // Not even with keys that fit.
    let mut with_keys = pencil();
    with_keys.make_mock();
    let (_, state) = first(&with_keys);
    assert_eq!(
        server::finish(&state, CLIENT_FINAL, &with_keys).unwrap_err(),
        ScramError::WrongPassword
    );
}

#[test]
fn verifiers_that_are_none_are_refused() {
    let good = pencil().to_string();
    assert!(Verifier::parse(&good).is_ok());
    for bad in [
        String::new(),
        "md5a8b8b8b8b8b8b8b8b8b8b8b8b8b8b8b8".to_owned(),
        "pencil".to_owned(),
        good.replace("SHA-256", "SHA-1"),
        good.replace("4096", "0"),
        good.replace("4096", "+4096"),
        good.replace("4096", "-1"),
        good.replace("4096", "2147483648"),
        good.replace("4096", "99999999999999999999"),
        good.replace(SALT, ""),
        good.replace(SALT, "!!!!"),
        good.replace(SALT, &"AAAA".repeat(1000)),
        good.replace("qY=:", "qY:"),
        format!("{good}="),
        format!("{good} "),
        format!("{good}$"),
    ] {
        assert!(Verifier::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn iteration_counts_are_bounded() {
    for iterations in [0, crate::MAX_ITERATIONS + 1, u32::MAX] {
        assert_eq!(
            Verifier::from_password("x", b"salt", iterations).unwrap_err(),
            ScramError::Iterations
        );
    }
    for iterations in [
        "0",
        "10000001",
        "4294967296",
        "-1",
        "+1",
        "",
        "1e3",
        "99999999999999",
    ] {
        let message = format!("r={CLIENT_NONCE}x,s={SALT},i={iterations}");
        let error = client(Binding::None)
            .respond(message.as_bytes(), "x")
            .unwrap_err();
        assert_eq!(error, ScramError::Iterations, "{iterations}");
    }
}

#[test]
fn a_server_that_cheats_is_refused() {
    let respond = |message: &str| client(Binding::None).respond(message.as_bytes(), "x").map(|_| ());
    let nonce = CLIENT_NONCE;
    assert_eq!(respond(&format!("r={nonce}x,s={SALT},i=1")), Ok(()));
    for message in [
        // Adds nothing to the nonce; another nonce; no or an endless salt; out of order.
        format!("r={nonce},s={SALT},i=1"),
        format!("r=other,s={SALT},i=1"),
        format!("r={nonce}x,s=,i=1"),
        format!("r={nonce}x,s={},i=1", "AAAA".repeat(400)),
        format!("s={SALT},r={nonce}x,i=1"),
        format!("r={nonce}x,s={SALT}"),
        format!("m=x,r={nonce}x,s={SALT},i=1"),
    ] {
        assert!(respond(&message).is_err(), "{message}");
    }
    assert_eq!(
        respond(&"r".repeat(MAX_MESSAGE_BYTES + 1)),
        Err(ScramError::TooLong)
    );

    let last = || -> Final { client(Binding::None).respond(SERVER_FIRST, "pencil").unwrap().1 };
    assert_eq!(
        last().verify(SERVER_FINAL),
        Err(ScramError::WrongServer),
        "the RFC's user name is not empty"
    );
    assert_eq!(last().verify(b"e=other-error"), Err(ScramError::RefusedByServer));
    assert!(matches!(last().verify(b"v=abc"), Err(ScramError::Malformed(_))));
    assert!(matches!(last().verify(b""), Err(ScramError::Malformed(_))));
    let trailing = [SERVER_FINAL, b",x=1"].concat();
    assert!(matches!(last().verify(&trailing), Err(ScramError::Malformed(_))));
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let (_, wait) = client(Binding::None).respond(SERVER_FIRST, "pencil").unwrap();
    let (_, state) = server::first(Mechanism::Plain, CLIENT_FIRST, &[], SERVER_NONCE, &pencil()).unwrap();
    let shown = format!("{:?} {wait:?} {state:?}", pencil());
    assert_eq!(shown, "Verifier(hidden) Final(hidden) ServerState(..)");
}

#[test]
fn fresh_values_differ() {
    assert_ne!(crate::fresh_nonce().unwrap(), crate::fresh_nonce().unwrap());
    assert_ne!(crate::fresh_salt().unwrap(), crate::fresh_salt().unwrap());
    assert!(Client::new(Binding::None, &crate::fresh_nonce().unwrap()).is_ok());
    assert!(Client::new(Binding::None, "a,b").is_err());
}

/// Text that looks like SCRAM more often than bytes do.
fn scram_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("n".to_owned()),
        Just("y".to_owned()),
        Just("p=tls-server-end-point".to_owned()),
        Just(",".to_owned()),
        Just("n=".to_owned()),
        Just("r=".to_owned()),
        Just("s=".to_owned()),
        Just("i=".to_owned()),
        Just("c=".to_owned()),
        Just(",p=".to_owned()),
        Just("v=".to_owned()),
        Just("e=".to_owned()),
        Just("biws".to_owned()),
        Just(CLIENT_NONCE.to_owned()),
        "[0-9]{1,6}",
        "[A-Za-z0-9+/=,]{0,24}",
        ".{0,4}",
    ];
    prop_oneof![
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..80),
    ]
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_signs_in(message in scram_like(), plus: bool) {
        let verifier = quick("pencil");
        let (mechanism, binding) = if plus { (Mechanism::Plus, Binding::EndPoint(END_POINT)) } else { (Mechanism::Plain, Binding::None) };
        let first = client(binding).first_message();
        let _ = server::first(mechanism, &message, &[END_POINT], SERVER_NONCE, &verifier);
        let (_, state) = server::first(mechanism, &first, &[END_POINT], SERVER_NONCE, &verifier).unwrap();
        prop_assert!(server::finish(&state, &message, &verifier).is_err());
        let (_, wait) = client(Binding::None).respond(SERVER_FIRST, "x").unwrap();
        prop_assert!(wait.verify(&message).is_err());
        let _ = Verifier::parse(&String::from_utf8_lossy(&message));
    }

    #[test]
    fn garbage_from_a_server_never_panics(message in scram_like()) {
        // Rounds are capped so that the test does not compute what it is told to.
        let text = String::from_utf8_lossy(&message);
        prop_assume!(!text.contains("i=") || text.split("i=").skip(1).all(|n| n.chars().take_while(char::is_ascii_digit).count() < 5));
        let _ = client(Binding::None).respond(&message, "x");
    }

    #[test]
    fn any_password_signs_in_and_another_does_not(password in ".{0,20}", other in ".{0,20}") {
        let verifier = quick(&password);
        prop_assert_eq!(sign_in(Binding::EndPoint(END_POINT), &[END_POINT], &verifier, &password), Ok(()));
        let same = quick(&other).to_string() == verifier.to_string();
        prop_assert_eq!(sign_in(Binding::None, &[], &verifier, &other).is_ok(), same);
    }
}

#[test]
fn for_a_time_two_passwords_are_good_and_each_gets_its_own_signature() {
    let old = Verifier::from_password("pencil", b"0123456789abcdef", 4096).unwrap();
    let both = old.again("eraser").unwrap().with_previous(&old).unwrap();
    let by = |password: &str, verifier: &Verifier| {
        let client = client(Binding::None);
        let first = client.first_message();
        let (server_first, state) =
            server::first(client.mechanism(), &first, &[], SERVER_NONCE, verifier).unwrap();
        let (last, wait) = client.respond(&server_first, password)?;
        let accepted = server::finish(&state, &last, verifier)?;
        // The client would not go on with the other password's signature.
        wait.verify(&accepted.message)?;
        Ok(accepted.previous)
    };
    assert_eq!(by("eraser", &both), Ok(false));
    assert_eq!(by("pencil", &both), Ok(true));
    assert_eq!(by("ruler", &both), Err(ScramError::WrongPassword));
    let new = old.again("eraser").unwrap();
    assert_eq!(by("eraser", &new), Ok(false));
    assert_eq!(by("pencil", &new), Err(ScramError::WrongPassword));
    // A mock has the same shape and accepts neither.
    let mut mock = both.clone();
    mock.make_mock();
    assert_eq!(by("eraser", &mock), Err(ScramError::WrongPassword));
    assert_eq!(by("pencil", &mock), Err(ScramError::WrongPassword));
    // What is written is the new one alone.
    assert_eq!(both.to_string(), new.to_string());
    let other = Verifier::from_password("eraser", b"fedcba9876543210", 4096).unwrap();
    assert!(other.with_previous(&old).is_err());
    let other = Verifier::from_password("eraser", b"0123456789abcdef", 4097).unwrap();
    assert!(other.with_previous(&old).is_err());
}
