//! The few primitives of RFC 5802, section 3, over SHA-256.

use crate::{MAX_ITERATIONS, ScramError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// A SHA-256 output.
pub(crate) type Key = [u8; 32];

/// Bytes of one SHA-256 block, to which HMAC pads a shorter key with zeros.
const BLOCK: usize = 64;

pub(crate) fn hash(data: &[u8]) -> Key {
    Sha256::digest(data).into()
}

/// HMAC-SHA-256 over the concatenation of `parts`.
pub(crate) fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let mut block = Zeroizing::new([0; BLOCK]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn xor(a: &Key, b: &Key) -> Zeroizing<Key> {
    let mut out = Zeroizing::new(*a);
    for (to, from) in out.iter_mut().zip(b) {
        *to ^= from;
    }
    out
}

/// `SaltedPassword` of RFC 5802. Refuses counts that would keep the process busy.
pub(crate) fn salted_password(
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<Zeroizing<Key>, ScramError> {
    if !(1..=MAX_ITERATIONS).contains(&iterations) {
        return Err(ScramError::Iterations);
    }
    let password = normalize(password);
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, salted.as_mut_slice());
    Ok(salted)
}

/// A password prepared by SASLprep (RFC 4013), or as it is where that is not possible: so does PostgreSQL.
fn normalize(password: &str) -> Zeroizing<String> {
    let prepared = match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => Cow::Borrowed(password),
    };
    Zeroizing::new(prepared.into_owned())
}

pub(crate) fn to_base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Decodes canonical base64 with padding.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Decodes canonical base64 of exactly 32 bytes.
pub(crate) fn key_from_base64(text: &str) -> Option<Key> {
    // Checked first, so that a long text is not decoded at all.
    if text.len() != 44 {
        return None;
    }
    let decoded = Zeroizing::new(from_base64(text)?);
    decoded.as_slice().try_into().ok()
}

fn random<const N: usize>() -> Result<[u8; N], ScramError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ScramError::Randomness)?;
    Ok(bytes)
}

/// A fresh nonce: 18 random bytes in base64, as PostgreSQL and libpq make it.
///
/// # Errors
/// `Randomness`.
pub fn fresh_nonce() -> Result<String, ScramError> {
    Ok(to_base64(&random::<18>()?))
}

/// A fresh salt of 16 bytes, as PostgreSQL makes it.
///
/// # Errors
/// `Randomness`.
pub fn fresh_salt() -> Result<[u8; 16], ScramError> {
    random()
}
