//! The server's side. Two steps without memory between them: [`first`] answers the client's first message
//! and gives a [`ServerState`], [`finish`] takes it back and decides.

use crate::crypto;
use crate::message::{Attributes, END_POINT, Mechanism, check_nonce, text};
use crate::{ScramError, Verifier};
use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::{Choice, ConstantTimeEq as _};

/// What [`finish`] needs of the first step. It holds no secret, but whoever can change it can choose the
/// nonces, so it has to be sealed when others carry it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// The client's GS2 header, up to and with its second comma.
    gs2_header: String,
    /// The channel binding data of which the client's last message must name one; without -PLUS that is nothing.
    bindings: Vec<Vec<u8>>,
    /// The client's first message without its GS2 header.
    client_first_bare: String,
    /// Our first message.
    server_first: String,
    /// Client nonce and server nonce.
    nonce: String,
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerState(..)")
    }
}

/// Answers the client's first message.
///
/// `end_points` is the channel binding data of the connection, [`crate::end_point::digest`] of each certificate that
/// the server may have shown; none means that -PLUS was not offered. `nonce` is a [`crate::fresh_nonce`], `verifier` that of
/// [`Verifier::known_or_mock`]. The user name in the message is ignored, as in PostgreSQL: the one that counts
/// is that of the StartupMessage.
///
/// # Errors
/// `Malformed`, `TooLong`, `Unsupported`, `ChannelBinding`.
pub fn first(
    mechanism: Mechanism,
    client_first: &[u8],
    end_points: &[&[u8]],
    nonce: &str,
    verifier: &Verifier,
) -> Result<(Vec<u8>, ServerState), ScramError> {
    let message = text(client_first)?;
    let header = gs2_header(message)?;
    let bindings = binding_data(mechanism, header.flag, end_points)?;
    let mut attributes = Attributes::new(header.bare);
    attributes.expect('n')?;
    let client_nonce = check_nonce(attributes.expect('r')?)?;
    attributes.skip_extensions()?;

    let nonce = format!("{client_nonce}{}", check_nonce(nonce)?);
    let salt = crypto::to_base64(verifier.salt());
    let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations());
    let state = ServerState {
        gs2_header: header.whole.to_owned(),
        bindings: bindings.iter().map(|binding| binding.to_vec()).collect(),
        client_first_bare: header.bare.to_owned(),
        server_first: server_first.clone(),
        nonce,
    };
    Ok((server_first.into_bytes(), state))
}

/// The client has shown that it knows a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The server's last message.
    pub message: Vec<u8>,
    /// It was the previous password; see [`Verifier::with_previous`].
    pub previous: bool,
}

/// Checks the client's last message against the verifier that answered its first, and gives the server's
/// last message. All checks of what the client sent come before the proof, which is compared in constant time.
///
/// # Errors
/// `Malformed`, `TooLong`, `Unsupported`, `ChannelBinding`; `WrongPassword` also for a mock verifier.
pub fn finish(state: &ServerState, client_final: &[u8], verifier: &Verifier) -> Result<Accepted, ScramError> {
    let message = text(client_final)?;
    let (without_proof, proof) = message
        .rsplit_once(",p=")
        .ok_or(ScramError::Malformed("the proof is missing"))?;
    let proof = crypto::key_from_base64(proof).ok_or(ScramError::Malformed("the proof is not possible"))?;

    let mut attributes = Attributes::new(without_proof);
    let binding = crypto::from_base64(attributes.expect('c')?)
        .ok_or(ScramError::Malformed("the channel binding is not base64"))?;
    let nonce = attributes.expect('r')?;
    attributes.skip_extensions()?;

    let named = state.bindings.iter().fold(Choice::from(0), |named, expected| {
        named | binding.ct_eq(&[state.gs2_header.as_bytes(), expected].concat())
    });
    if !bool::from(named) {
        return Err(ScramError::ChannelBinding(
            "the two ends are not on the same connection",
        ));
    }
    if !bool::from(nonce.as_bytes().ct_eq(state.nonce.as_bytes())) {
        return Err(ScramError::Malformed("the nonce does not match"));
    }
    let auth_message: [&[u8]; 5] = [
        state.client_first_bare.as_bytes(),
        b",",
        state.server_first.as_bytes(),
        b",",
        without_proof.as_bytes(),
    ];
    // The signature is computed before the verdict, so that right and wrong cost the same.
    let judgement = verifier.judge(&auth_message, &proof);
    if !bool::from(judgement.accepted) {
        return Err(ScramError::WrongPassword);
    }
    Ok(Accepted {
        message: format!("v={}", crypto::to_base64(&judgement.signature)).into_bytes(),
        previous: judgement.previous,
    })
}

/// The client's first message, cut where its GS2 header ends.
struct Header<'a> {
    flag: &'a str,
    whole: &'a str,
    bare: &'a str,
}

fn gs2_header(message: &str) -> Result<Header<'_>, ScramError> {
    let malformed = ScramError::Malformed("the GS2 header is not complete");
    let (flag, rest) = message.split_once(',').ok_or(malformed)?;
    let (authorization, bare) = rest.split_once(',').ok_or(malformed)?;
    if !authorization.is_empty() {
        return Err(ScramError::Unsupported("an authorization identity"));
    }
    let whole = message.strip_suffix(bare).ok_or(malformed)?;
    Ok(Header { flag, whole, bare })
}

/// The channel binding data of which the client's last message must name one (RFC 5802, section 6).
fn binding_data<'a>(
    mechanism: Mechanism,
    flag: &str,
    end_points: &'a [&'a [u8]],
) -> Result<&'a [&'a [u8]], ScramError> {
    match (flag, mechanism, end_points) {
        ("n", Mechanism::Plain, _) | ("y", Mechanism::Plain, []) => Ok(&[&[]]),
        // The client thinks we do not offer -PLUS, but we do: someone in between took it away.
        ("y", Mechanism::Plain, _) => Err(ScramError::ChannelBinding(
            "the client was not shown the -PLUS mechanism",
        )),
        ("n" | "y", Mechanism::Plus, _) => Err(ScramError::ChannelBinding(
            "SCRAM-SHA-256-PLUS needs channel binding",
        )),
        (flag, mechanism, end_points) => match (flag.strip_prefix("p="), mechanism, end_points) {
            (Some(END_POINT), Mechanism::Plus, [_, ..]) => Ok(end_points),
            (Some(END_POINT), _, _) => Err(ScramError::ChannelBinding(
                "it was not offered for this connection",
            )),
            (Some(_), _, _) => Err(ScramError::Unsupported("this type of channel binding")),
            (None, _, _) => Err(ScramError::Malformed("the channel binding flag is unknown")),
        },
    }
}
