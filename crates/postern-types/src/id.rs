//! Identifiers: sessions, process instances and slots.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Identifies one client connection for its whole life. 128 random bits, made by the Frontend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// The session of messages that belong to no client: heartbeats.
    pub const NONE: SessionId = SessionId([0; 16]);

    /// A fresh random identifier.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(SessionId(bytes))
    }
}

/// Identifies one run of one stage process. Random at every start, so that a restarted process is never
/// taken for the one before it; also the salt of its envelope sub-key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(pub [u8; 16]);

impl InstanceId {
    /// A fresh random identifier.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(InstanceId(bytes))
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! hex_identifier {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }
    };
}

hex_identifier!(SessionId);
hex_identifier!(InstanceId);

/// The configured name of one Frontend or Backend, such as `frontend-0`. It is a NATS subject token, so
/// only `a-z`, `0-9` and `-` are allowed, at most 32 of them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(String);

/// A slot name with a character outside `a-z`, `0-9`, `-`, or empty, or longer than 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a slot name is 1 to 32 of a-z, 0-9 and -")]
pub struct InvalidSlot;

impl Slot {
    /// The name as a NATS subject token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slot {
    type Error = InvalidSlot;

    fn try_from(name: String) -> Result<Self, InvalidSlot> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(legal) {
            return Err(InvalidSlot);
        }
        Ok(Slot(name))
    }
}

impl FromStr for Slot {
    type Err = InvalidSlot;

    fn from_str(name: &str) -> Result<Self, InvalidSlot> {
        Slot::try_from(name.to_owned())
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> String {
        slot.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
