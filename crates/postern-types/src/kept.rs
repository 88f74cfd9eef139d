//! Values that a policy asks to be recorded, and how (P9: no others are).

use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How a value is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// As a keyed hash, by which somebody who has the key and the value finds it again.
    Hash,
    /// As it is.
    Clear,
}

/// A word is no way to record a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchKeep(String);

impl fmt::Display for NoSuchKeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "values are recorded as `hash` or `clear`, not as `{}`", self.0)
    }
}

impl std::error::Error for NoSuchKeep {}

impl FromStr for Keep {
    type Err = NoSuchKeep;

    fn from_str(word: &str) -> Result<Keep, NoSuchKeep> {
        match word {
            "hash" => Ok(Keep::Hash),
            "clear" => Ok(Keep::Clear),
            other => Err(NoSuchKeep(other.to_owned())),
        }
    }
}

/// A value that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptValue {
    /// Of what: a parameter such as `$1`, or a column such as `shop.customers.id`.
    pub of: Arc<str>,
    /// What is recorded of it.
    pub form: KeptForm,
}

/// What is recorded of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptForm {
    /// It is NULL.
    Null,
    /// Its keyed hash.
    Hash([u8; 16]),
    /// The value.
    Clear(String),
}
