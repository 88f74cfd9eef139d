//! The X25519 key pair of a stage, as text.
//!
//! Both halves are 32 bytes in standard base64 with padding, on one line. Whether the file that holds a
//! secret may be read by others is the caller's check.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use x25519_dalek::{SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// Text that is not a key: not base64, or not 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes in base64, on one line")]
pub struct KeyTextError;

/// The secret half of a stage's key pair. Wiped from memory when dropped; `Debug` hides it.
#[derive(Clone)]
pub struct SecretKey(StaticSecret);

impl SecretKey {
    /// A fresh key.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate() -> Result<SecretKey, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(SecretKey(StaticSecret::from(*bytes)))
    }

    /// The key in a secret file's text; white space around it is ignored.
    ///
    /// # Errors
    /// `KeyTextError` when it is not 32 bytes in base64. The error says nothing about the text.
    pub fn parse(text: &str) -> Result<SecretKey, KeyTextError> {
        let bytes = Zeroizing::new(decode(text)?);
        Ok(SecretKey(StaticSecret::from(*bytes)))
    }

    /// The text for a secret file, without a line end.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_bytes()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) fn agree(&self, peer: &PublicKey) -> SharedSecret {
        self.0.diffie_hellman(&x25519_dalek::PublicKey::from(peer.0))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(hidden)")
    }
}

/// The public half of a stage's key pair. In configuration it is a base64 string.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub(crate) [u8; 32]);

impl PublicKey {
    /// The key in this text; white space around it is ignored.
    ///
    /// # Errors
    /// `KeyTextError` when it is not 32 bytes in base64.
    pub fn parse(text: &str) -> Result<PublicKey, KeyTextError> {
        decode(text).map(PublicKey)
    }
}

impl FromStr for PublicKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<PublicKey, KeyTextError> {
        PublicKey::parse(text)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyTextError;

    fn try_from(text: String) -> Result<PublicKey, KeyTextError> {
        PublicKey::parse(&text)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn decode(text: &str) -> Result<[u8; 32], KeyTextError> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).map_err(|_| KeyTextError)?);
    bytes.as_slice().try_into().map_err(|_| KeyTextError)
}
