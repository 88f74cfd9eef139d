//! Literals that may stand in the place of a slot, and what they are as parameters.
//!
//! PostgreSQL gives a constant its type from its spelling alone: a number is int4, int8 or numeric, TRUE is
//! boolean, and a string or NULL is of unknown type until its surroundings settle it (manual, "Constants").
//! A parameter that is declared with the very same type, or with none, goes through the same rules of type
//! resolution. So the statement with the constant and the statement with the parameter mean the same, save
//! where PostgreSQL asks whether something is a constant; those places are refused, see
//! [`allowed_under_cast`] and `pattern.rs`.

use crate::tree::Tree;
use std::fmt;

/// A literal of a statement, as a parameter. Its `Debug` does not show the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal {
    /// What it is.
    pub kind: LiteralKind,
    /// The parameter in text format; `None` is NULL.
    pub text: Option<String>,
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Literal({:?})", self.kind)
    }
}

/// The kinds of [`Literal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Boolean,
    /// A string of whatever type its place asks for.
    String,
    /// A whole number that fits into 32 bits.
    Integer,
    /// One that fits into 64 bits.
    BigInteger,
    /// Any other number.
    Numeric,
}

impl LiteralKind {
    /// OID of the type that PostgreSQL gives such a constant; 0 where its place decides.
    pub fn type_oid(self) -> u32 {
        match self {
            LiteralKind::Null | LiteralKind::String => 0,
            LiteralKind::Boolean => 16,
            LiteralKind::Integer => 23,
            LiteralKind::BigInteger => 20,
            LiteralKind::Numeric => 1700,
        }
    }
}

/// The literal that a node is. Bit strings, and numbers in a spelling that PostgreSQL knows only since
/// version 16, are none.
pub(super) fn of(node: &Tree) -> Option<Literal> {
    if node.kind() != "AConst" {
        return None;
    }
    let value = node.get("val");
    let (kind, text) = match value.kind() {
        "Integer" => (LiteralKind::Integer, value.number("ival").to_string()),
        "Float" => number(value.text("fval"))?,
        "Boolean" => (LiteralKind::Boolean, value.flag("boolval").to_string()),
        "String" => (LiteralKind::String, value.text("sval").to_owned()),
        "" if node.flag("isnull") => {
            return Some(Literal {
                kind: LiteralKind::Null,
                text: None,
            });
        }
        _ => return None,
    };
    Some(Literal {
        kind,
        text: Some(text),
    })
}

/// A number that is not a plain 32-bit one. The grammar folds a minus into it, which can bring -2147483648
/// back to 32 bits.
fn number(text: &str) -> Option<(LiteralKind, String)> {
    let decimal = text.bytes().any(|b| b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !decimal {
        return None;
    }
    let kind = match text.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => LiteralKind::Integer,
        Ok(_) => LiteralKind::BigInteger,
        Err(_) => LiteralKind::Numeric,
    };
    Some((kind, text.to_owned()))
}

/// Whether a literal under a cast is what a parameter under that cast is. It is not for a string that is
/// cast to `interval` with fields or a precision: PostgreSQL reads `'1'::interval day` as one day, and a
/// parameter `$1::interval day` as one second, cut down to whole days.
pub(super) fn allowed_under_cast(literal: &Literal, cast_to: &Tree) -> bool {
    let plain = cast_to.get("typmods").items().is_empty();
    let interval = cast_to.get("names").names().last() == Some(&"interval");
    plain || !interval || literal.kind != LiteralKind::String
}
