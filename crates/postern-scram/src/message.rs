//! The grammar of SCRAM messages (RFC 5802, section 7).

use crate::ScramError;

/// Longest SCRAM message in bytes, in either direction. Real ones have fewer than 300.
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// Longest nonce of one side in bytes; libpq's has 24.
const MAX_NONCE: usize = 512;

/// The name of the one channel binding PostgreSQL knows (RFC 5929).
pub(crate) const END_POINT: &str = "tls-server-end-point";

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    Plain,
    /// SCRAM-SHA-256-PLUS: bound to the TLS connection.
    Plus,
}

impl Mechanism {
    /// The mechanism of this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "SCRAM-SHA-256" => Some(Mechanism::Plain),
            "SCRAM-SHA-256-PLUS" => Some(Mechanism::Plus),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "SCRAM-SHA-256",
            Mechanism::Plus => "SCRAM-SHA-256-PLUS",
        }
    }
}

/// A message as text, if it is short enough to be looked at. NUL has no place in any of them.
pub(crate) fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(ScramError::TooLong);
    }
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("it is not UTF-8"))?;
    if text.contains('\0') {
        return Err(ScramError::Malformed("it has a NUL in it"));
    }
    Ok(text)
}

/// The attributes of a message, read in order.
pub(crate) struct Attributes<'a> {
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Attributes { rest: Some(text) }
    }

    /// The next attribute, as (its letter, its value).
    pub(crate) fn next(&mut self) -> Result<Option<(char, &'a str)>, ScramError> {
        let Some(rest) = self.rest else { return Ok(None) };
        let (attribute, rest) = match rest.split_once(',') {
            Some((attribute, rest)) => (attribute, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        let malformed = ScramError::Malformed("an attribute is not a letter, an equals sign and a value");
        let (name, value) = attribute.split_once('=').ok_or(malformed)?;
        let mut letters = name.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_alphabetic() => Ok(Some((letter, value))),
            _ => Err(malformed),
        }
    }

    /// The next attribute, which must be this one.
    pub(crate) fn expect(&mut self, letter: char) -> Result<&'a str, ScramError> {
        match self.next()? {
            Some((found, value)) if found == letter => Ok(value),
            // A mandatory extension is never understood here.
            Some(('m', _)) => Err(ScramError::Unsupported("a mandatory SCRAM extension")),
            _ => Err(ScramError::Malformed("an attribute is missing or out of order")),
        }
    }

    /// Only optional extensions may follow; they are ignored, as RFC 5802 says.
    pub(crate) fn skip_extensions(&mut self) -> Result<(), ScramError> {
        while let Some((letter, _)) = self.next()? {
            if letter == 'm' {
                return Err(ScramError::Unsupported("a mandatory SCRAM extension"));
            }
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(crate) fn finish(&self) -> Result<(), ScramError> {
        match self.rest {
            None => Ok(()),
            Some(_) => Err(ScramError::Malformed("there is more than expected at its end")),
        }
    }
}

/// A nonce: printable ASCII without a comma, not empty, not too long.
pub(crate) fn check_nonce(nonce: &str) -> Result<&str, ScramError> {
    // The comma can't be in it: attributes end there.
    if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ScramError::Malformed("the nonce is not possible"));
    }
    Ok(nonce)
}
