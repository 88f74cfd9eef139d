//! Hiding one value.
//!
//! What comes out is always a legal value of the column's type in its format. Where a mask has none for a type
//! (the last four characters of a date), the value becomes NULL: less is shown, never more.

mod date;
mod number;
mod text;

use crate::kind::Kind;
use hmac::{Hmac, KeyInit, Mac};
use postern_types::{Mask, Rounding};
use sha2::Sha256;
use std::fmt;

/// Fewest bytes of a key for hashes.
const KEY_BYTES: usize = 16;

/// A key for hashes: of the mask `hash`, or of values that are recorded. Without it nobody can try values out against the
/// hashes.
#[derive(Clone)]
pub struct MaskKey(Hmac<Sha256>);

/// A key that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key for hashes has at least {KEY_BYTES} bytes")]
pub struct ShortKey;

impl MaskKey {
    /// A key of at least 16 bytes.
    ///
    /// # Errors
    /// [`ShortKey`].
    pub fn new(key: &[u8]) -> Result<MaskKey, ShortKey> {
        if key.len() < KEY_BYTES {
            return Err(ShortKey);
        }
        Hmac::new_from_slice(key).map(MaskKey).map_err(|_| ShortKey)
    }

    /// First 16 bytes of HMAC-SHA-256.
    pub(crate) fn hash(&self, value: &[u8]) -> [u8; 16] {
        let mut mac = self.0.clone();
        mac.update(value);
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(hash) {
            *to = from;
        }
        first
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(…)")
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Its type.
    pub(crate) kind: Kind,
    /// OID of its type.
    pub(crate) type_oid: u32,
    /// In binary format.
    pub(crate) binary: bool,
}

/// The masked form of a value; `None` is NULL.
pub(crate) fn apply(mask: &Mask, form: Form, value: &[u8], key: Option<&MaskKey>) -> Option<Vec<u8>> {
    match mask {
        Mask::Null => None,
        Mask::Constant(constant) => self::constant(constant, form),
        Mask::Hash => hash(form, value, key?),
        Mask::Last4 | Mask::Email | Mask::Partial { .. } => {
            // Cut text is still text; cut JSON, numbers and arrays are nothing.
            if !form.kind.is_text() {
                return None;
            }
            let value = std::str::from_utf8(value).ok()?;
            let value = if form.kind == Kind::Padded {
                value.trim_end_matches(' ')
            } else {
                value
            };
            Some(match mask {
                Mask::Email => text::email(value),
                Mask::Partial { first, last } => {
                    text::partial(value, usize::from(*first), usize::from(*last))
                }
                _ => text::last4(value),
            })
        }
        Mask::Round(Rounding::Number(step)) => number::round(form, value, *step),
        Mask::Round(Rounding::Hour) => date::truncate(form, value, date::Unit::Hour),
        Mask::Round(Rounding::Day) => date::truncate(form, value, date::Unit::Day),
        Mask::Round(Rounding::Month) => date::truncate(form, value, date::Unit::Month),
        Mask::Round(Rounding::Year) => date::truncate(form, value, date::Unit::Year),
    }
}

fn hash(form: Form, value: &[u8], key: &MaskKey) -> Option<Vec<u8>> {
    let hex = |hash: [u8; 16]| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
    match form.kind {
        Kind::Text | Kind::Padded => Some(hex(key.hash(value.trim_ascii_end())).into_bytes()),
        // The two formats of one value have one hash.
        Kind::Uuid if form.binary => Some(key.hash(value).to_vec()),
        Kind::Uuid => {
            let text: String = std::str::from_utf8(value)
                .ok()?
                .chars()
                .filter(|c| *c != '-')
                .collect();
            let number = u128::from_str_radix(&text, 16).ok()?;
            let hex = hex(key.hash(&number.to_be_bytes()));
            let mut out = String::with_capacity(36);
            for (at, digit) in hex.chars().enumerate() {
                if matches!(at, 8 | 12 | 16 | 20) {
                    out.push('-');
                }
                out.push(digit);
            }
            Some(out.into_bytes())
        }
        _ => None,
    }
}

fn constant(constant: &str, form: Form) -> Option<Vec<u8>> {
    match form.kind {
        kind if kind.is_text() => Some(constant.as_bytes().to_vec()),
        Kind::Integer | Kind::Float | Kind::Numeric => number::constant(form, constant),
        // Whoever writes a constant for another type has to know its text form; only there can it be right.
        _ if !form.binary => Some(constant.as_bytes().to_vec()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "../tests/masks.rs"]
mod tests;
