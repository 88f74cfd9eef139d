//! SCRAM messages, verifiers, and certificates.

use postern_scram::client::{Binding, Client};
use postern_scram::{Mechanism, Verifier, end_point, server};
use std::sync::LazyLock;

const NONCE: &str = "serverNONCE";
const END_POINT: &[u8] = &[9; 32];

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::from_password("pencil", b"salt and pepper.", 1).expect("a verifier"));

/// The first byte chooses who gets the rest.
pub fn scram(data: &[u8]) {
    let Some((kind, message)) = data.split_first() else {
        return;
    };
    match kind % 6 {
        0 => first(Mechanism::Plain, &[], message),
        1 => first(Mechanism::Plus, &[END_POINT, &[1; 32]], message),
        2 => last(message),
        3 => client(message),
        4 => verifier(message),
        _ => {
            let _ = end_point::digest(message);
        }
    }
}

fn first(mechanism: Mechanism, end_points: &[&[u8]], message: &[u8]) {
    if let Ok((_, state)) = server::first(mechanism, message, end_points, NONCE, &VERIFIER) {
        assert!(server::finish(&state, message, &VERIFIER).is_err());
    }
}

fn last(message: &[u8]) {
    let opening = b"n,,n=,r=clientNONCE";
    let (_, state) =
        server::first(Mechanism::Plain, opening, &[], NONCE, &VERIFIER).expect("a good opening");
    assert!(
        server::finish(&state, message, &VERIFIER).is_err(),
        "signed in without the password"
    );
}

fn client(message: &[u8]) {
    let begin = || Client::new(Binding::EndPoint(END_POINT), "clientNONCE").expect("a good nonce");
    // The rounds asked for are computed, so what would only take long is left out.
    let rounds = message
        .split(|b| *b == b'i')
        .any(|rest| rest.len() > 4 && rest[1..4].iter().all(u8::is_ascii_digit));
    if !rounds {
        let _ = begin().respond(message, "pencil");
    }
    let challenge = format!("r=clientNONCE{NONCE},s=c2FsdA==,i=1");
    let (_, wait) = begin()
        .respond(challenge.as_bytes(), "pencil")
        .expect("a good challenge");
    assert!(wait.verify(message).is_err(), "took a stranger for its server");
}

fn verifier(message: &[u8]) {
    let Ok(text) = std::str::from_utf8(message) else {
        return;
    };
    if let Ok(verifier) = Verifier::parse(text) {
        let written = verifier.to_string();
        let again = Verifier::parse(&written).expect("what was written can be read");
        assert_eq!(again.to_string(), written);
    }
}
