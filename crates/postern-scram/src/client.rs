//! The client's side: [`Client`] writes the first message, [`Client::respond`] the last one, and
//! [`Final::verify`] makes sure that the server knows the password too.

use crate::ScramError;
use crate::crypto::{self, Key};
use crate::message::{Attributes, END_POINT, Mechanism, check_nonce, text};
use crate::verifier::decimal;
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Longest salt a server may name, in bytes.
const MAX_SALT: usize = 1024;

/// Whether the exchange is bound to the TLS connection under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// Not bound: there is no TLS, or no channel binding is wanted.
    None,
    /// Not bound: it could be, but the server does not offer -PLUS.
    NotOffered,
    /// Bound to the server's certificate: [`crate::end_point::digest`] of it. Chooses SCRAM-SHA-256-PLUS.
    EndPoint(&'a [u8]),
}

/// A client that has yet to hear from its server.
pub struct Client {
    mechanism: Mechanism,
    gs2_header: String,
    binding: Vec<u8>,
    first_bare: String,
    nonce: String,
}

impl Client {
    /// Begins an exchange. `nonce` is a [`crate::fresh_nonce`]. The user name is left empty, as libpq leaves it:
    /// PostgreSQL takes that of the StartupMessage.
    ///
    /// # Errors
    /// `Malformed` for a nonce that is not printable ASCII without a comma.
    pub fn new(binding: Binding<'_>, nonce: &str) -> Result<Self, ScramError> {
        if nonce.contains(',') {
            return Err(ScramError::Malformed("the nonce is not possible"));
        }
        check_nonce(nonce)?;
        let (mechanism, gs2_header, binding) = match binding {
            Binding::None => (Mechanism::Plain, "n,,".to_owned(), &[][..]),
            Binding::NotOffered => (Mechanism::Plain, "y,,".to_owned(), &[][..]),
            Binding::EndPoint(data) => (Mechanism::Plus, format!("p={END_POINT},,"), data),
        };
        Ok(Client {
            mechanism,
            gs2_header,
            binding: binding.to_vec(),
            first_bare: format!("n=,r={nonce}"),
            nonce: nonce.to_owned(),
        })
    }

    /// The mechanism to name in SASLInitialResponse.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The client's first message.
    pub fn first_message(&self) -> Vec<u8> {
        format!("{}{}", self.gs2_header, self.first_bare).into_bytes()
    }

    /// Answers the server's first message. Costs as many rounds of PBKDF2 as the server asks for, up to
    /// [`crate::MAX_ITERATIONS`].
    ///
    /// # Errors
    /// `Malformed`, `TooLong`, `Unsupported`, `Iterations`.
    pub fn respond(self, server_first: &[u8], password: &str) -> Result<(Vec<u8>, Final), ScramError> {
        let server_first = text(server_first)?;
        let challenge = challenge(server_first, &self.nonce)?;
        let salted = crypto::salted_password(password, &challenge.salt, challenge.iterations)?;
        let client_key = Zeroizing::new(crypto::hmac(&salted, &[b"Client Key"]));
        let stored_key = Zeroizing::new(crypto::hash(client_key.as_slice()));
        let server_key = Zeroizing::new(crypto::hmac(&salted, &[b"Server Key"]));

        let binding = [self.gs2_header.as_bytes(), &self.binding].concat();
        let without_proof = format!("c={},r={}", crypto::to_base64(&binding), challenge.nonce);
        let auth_message: [&[u8]; 5] = [
            self.first_bare.as_bytes(),
            b",",
            server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        let proof = crypto::xor(&client_key, &crypto::hmac(&stored_key, &auth_message));
        let last = format!("{without_proof},p={}", crypto::to_base64(proof.as_slice()));
        let expected = crypto::hmac(&server_key, &auth_message);
        Ok((last.into_bytes(), Final { expected }))
    }
}

// The nonce is not secret, but nobody needs to see it either.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.mechanism.as_str())
    }
}

struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

fn challenge<'a>(server_first: &'a str, client_nonce: &str) -> Result<Challenge<'a>, ScramError> {
    let mut attributes = Attributes::new(server_first);
    let nonce = attributes.expect('r')?;
    // The server must add something of its own, or it could replay an old exchange.
    let added = nonce
        .strip_prefix(client_nonce)
        .ok_or(ScramError::Malformed("the nonce does not match"))?;
    check_nonce(added)?;
    let salt = crypto::from_base64(attributes.expect('s')?)
        .filter(|salt| (1..=MAX_SALT).contains(&salt.len()))
        .ok_or(ScramError::Malformed("the salt is not possible"))?;
    let iterations = decimal(attributes.expect('i')?).ok_or(ScramError::Iterations)?;
    attributes.skip_extensions()?;
    Ok(Challenge {
        nonce,
        salt,
        iterations,
    })
}

/// A client that waits for the server's last message.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Final {
    expected: Key,
}

impl Final {
    /// Checks the server's proof. Only after this the exchange is complete.
    ///
    /// # Errors
    /// `RefusedByServer`, `WrongServer`, `Malformed`, `TooLong`.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ScramError> {
        let mut attributes = Attributes::new(text(server_final)?);
        match attributes.next()? {
            Some(('e', _)) => Err(ScramError::RefusedByServer),
            Some(('v', signature)) => {
                attributes.finish()?;
                let signature = crypto::key_from_base64(signature)
                    .ok_or(ScramError::Malformed("the signature is not possible"))?;
                if bool::from(signature.ct_eq(&self.expected)) {
                    Ok(())
                } else {
                    Err(ScramError::WrongServer)
                }
            }
            _ => Err(ScramError::Malformed("an attribute is missing or out of order")),
        }
    }
}

// Holds a secret.
impl fmt::Debug for Final {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Final(hidden)")
    }
}
