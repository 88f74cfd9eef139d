//! What the server side stores of a password.

use crate::ScramError;
use crate::crypto::{self, Key};
use std::fmt;
use std::str::FromStr;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// PBKDF2 rounds of PostgreSQL's `scram_iterations` by default; mock verifiers have it too.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// Longest salt of a verifier in bytes; PostgreSQL makes 16.
const MAX_SALT: usize = 255;

/// A SCRAM-SHA-256 verifier, as PostgreSQL keeps it in `pg_authid.rolpassword`. Who has it can't sign in with
/// it, but can pose as the server and try out passwords, so it is a secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    keys: Keys,
    /// Those of the password before, which is good as well.
    previous: Option<Keys>,
    /// False for a mock, which no proof can satisfy.
    genuine: bool,
}

/// What is kept of one password.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Keys {
    stored: Key,
    server: Key,
}

/// What a proof came to.
pub(crate) struct Judgement {
    /// It is that of a password of the verifier.
    pub(crate) accepted: Choice,
    /// It is that of the previous one.
    pub(crate) previous: bool,
    /// What shows the client that this server knows the password.
    pub(crate) signature: Key,
}

impl Verifier {
    /// Makes a verifier of a password. Costs `iterations` rounds of PBKDF2.
    ///
    /// # Errors
    /// `Iterations` when the count is 0 or above [`crate::MAX_ITERATIONS`]; `Malformed` when the salt is empty or
    /// longer than 255 bytes.
    pub fn from_password(password: &str, salt: &[u8], iterations: u32) -> Result<Self, ScramError> {
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(ScramError::Malformed("the salt has an impossible length"));
        }
        let salted = crypto::salted_password(password, salt, iterations)?;
        let client_key = zeroize::Zeroizing::new(crypto::hmac(&salted, &[b"Client Key"]));
        Ok(Verifier {
            iterations,
            salt: salt.to_vec(),
            keys: Keys {
                stored: crypto::hash(client_key.as_slice()),
                server: crypto::hmac(&salted, &[b"Server Key"]),
            },
            previous: None,
            genuine: true,
        })
    }

    /// The verifier of another password with this one's salt and rounds, so that both can be accepted for a time.
    ///
    /// # Errors
    /// As [`Verifier::from_password`].
    pub fn again(&self, password: &str) -> Result<Self, ScramError> {
        Self::from_password(password, &self.salt, self.iterations)
    }

    /// A verifier that accepts the password of `previous` too. The server's first message names one salt and one
    /// number of rounds, before the client has shown which of the two passwords it has: both must have the same.
    ///
    /// # Errors
    /// When they have not.
    pub fn with_previous(mut self, previous: &Verifier) -> Result<Self, OtherSalt> {
        if self.salt != previous.salt || self.iterations != previous.iterations {
            return Err(OtherSalt);
        }
        self.previous = Some(previous.keys.clone());
        Ok(self)
    }

    /// The verifier to use for `user`: the known one, or a mock that looks the same from outside. A mock depends on
    /// nothing but `secret` and the name, so that an unknown user has the same salt at every try, and it is
    /// computed in both cases, so that both take the same time.
    pub fn known_or_mock(known: Option<&Verifier>, secret: &[u8], user: &str) -> Verifier {
        let mock = Self::mock(secret, user);
        match known {
            Some(known) => known.clone(),
            None => mock,
        }
    }

    /// A verifier for a user who does not exist. No proof satisfies it.
    fn mock(secret: &[u8], user: &str) -> Verifier {
        let secret = zeroize::Zeroizing::new(crypto::hash(secret));
        let derive = |label: &[u8]| crypto::hmac(&secret, &[label, &[0], user.as_bytes()]);
        let salt = derive(b"mock salt");
        Verifier {
            iterations: DEFAULT_ITERATIONS,
            salt: salt.get(..16).unwrap_or_default().to_vec(),
            keys: Keys {
                stored: derive(b"mock stored key"),
                server: derive(b"mock server key"),
            },
            previous: None,
            genuine: false,
        }
    }

    /// Turns it into a mock with its keys unchanged.
    #[cfg(test)]
    pub(crate) fn make_mock(&mut self) {
        self.genuine = false;
    }

    /// PBKDF2 rounds.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt.
    pub(crate) fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether it is that of this password. Costs as much as making one; for tools that look for weak passwords.
    pub fn is_of(&self, password: &str) -> bool {
        let same = |made: Verifier| bool::from(made.keys.stored.ct_eq(&self.keys.stored));
        self.genuine && Self::from_password(password, &self.salt, self.iterations).is_ok_and(same)
    }

    /// Whether `proof` is that of a password for this exchange. The same work is done for a mock, and whether there is
    /// a previous password or not.
    pub(crate) fn judge(&self, auth_message: &[&[u8]], proof: &Key) -> Judgement {
        let current = self.keys.judge(auth_message, proof);
        let previous = self.previous.as_ref().unwrap_or(&self.keys);
        let previous = previous.judge(auth_message, proof);
        let by_previous = bool::from(!current.0 & previous.0);
        Judgement {
            accepted: (current.0 | previous.0) & Choice::from(u8::from(self.genuine)),
            previous: by_previous,
            signature: if by_previous { previous.1 } else { current.1 },
        }
    }
}

impl Keys {
    /// Whether the proof is that of this password, in constant time, and this password's signature.
    fn judge(&self, auth_message: &[&[u8]], proof: &Key) -> (Choice, Key) {
        let signature = crypto::hmac(&self.stored, auth_message);
        let client_key = crypto::xor(&signature, proof);
        let matches = crypto::hash(client_key.as_slice()).ct_eq(&self.stored);
        (matches, crypto::hmac(&self.server, auth_message))
    }
}

// Holds a secret.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(hidden)")
    }
}

/// Two verifiers have different salts or rounds, so that a server can't accept either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the previous verifier has another salt or another number of rounds")]
pub struct OtherSalt;

/// PostgreSQL's own format, of the current password: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            crypto::to_base64(&self.salt),
            crypto::to_base64(&self.keys.stored),
            crypto::to_base64(&self.keys.server)
        )
    }
}

/// Text that is not a SCRAM-SHA-256 verifier, such as an MD5 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
pub struct InvalidVerifier;

impl FromStr for Verifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidVerifier> {
        parse(text).ok_or(InvalidVerifier)
    }
}

impl Verifier {
    /// Parses PostgreSQL's own format, as found in `pg_authid.rolpassword`.
    ///
    /// # Errors
    /// `InvalidVerifier`.
    pub fn parse(text: &str) -> Result<Self, InvalidVerifier> {
        text.parse()
    }
}

fn parse(text: &str) -> Option<Verifier> {
    let rest = text.strip_prefix("SCRAM-SHA-256$")?;
    let (parameters, keys) = rest.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    // PostgreSQL's own ceiling; nothing here computes that many rounds.
    let iterations = decimal(iterations).filter(|n| (1..=i32::MAX.unsigned_abs()).contains(n))?;
    if salt.len() > MAX_SALT.saturating_mul(2) {
        return None;
    }
    let salt = crypto::from_base64(salt).filter(|s| (1..=MAX_SALT).contains(&s.len()))?;
    Some(Verifier {
        iterations,
        salt,
        keys: Keys {
            stored: crypto::key_from_base64(stored_key)?,
            server: crypto::key_from_base64(server_key)?,
        },
        previous: None,
        genuine: true,
    })
}

/// A decimal number of digits only; the standard parser would take a plus sign.
pub(crate) fn decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
