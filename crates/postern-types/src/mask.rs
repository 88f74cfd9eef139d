//! How values are hidden, and how a policy writes it down.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How a value is hidden. Where a mask makes no sense for the type of a column, the value becomes NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mask {
    /// Only the last four characters stay, of values of eight or more.
    Last4,
    /// The first character and the domain of an e-mail address stay.
    Email,
    /// A keyed hash: the same value gives the same hash, in this ring only.
    Hash,
    /// NULL.
    Null,
    /// Always this text.
    Constant(String),
    /// Only so many characters stay at the beginning and at the end.
    Partial {
        /// Characters that stay at the beginning.
        first: u16,
        /// Characters that stay at the end.
        last: u16,
    },
    /// Numbers and dates are rounded down.
    Round(Rounding),
}

/// To what a number or a date is rounded down (numbers towards zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// A multiple of this; 0 makes the value NULL.
    Number(u64),
    /// The hour of a time stamp.
    Hour,
    /// The day.
    Day,
    /// The first day of the month.
    Month,
    /// The first day of the year.
    Year,
}

/// A mask that is written in a way nobody understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such mask; write last4, email, hash, null, constant:TEXT, partial:FIRST:LAST (as partial:1:2), \
     round:NUMBER, or round:hour, round:day, round:month, round:year"
)]
pub struct NoSuchMask;

impl FromStr for Mask {
    type Err = NoSuchMask;

    fn from_str(text: &str) -> Result<Mask, NoSuchMask> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        Ok(match (name, rest) {
            ("last4", None) => Mask::Last4,
            ("email", None) => Mask::Email,
            ("hash", None) => Mask::Hash,
            ("null", None) => Mask::Null,
            ("constant", Some(constant)) if !constant.contains('\0') => Mask::Constant(constant.to_owned()),
            ("partial", Some(rest)) => {
                let (first, last) = rest.split_once(':').ok_or(NoSuchMask)?;
                Mask::Partial {
                    first: first.parse().map_err(|_| NoSuchMask)?,
                    last: last.parse().map_err(|_| NoSuchMask)?,
                }
            }
            ("round", Some(to)) => Mask::Round(match to {
                "hour" => Rounding::Hour,
                "day" => Rounding::Day,
                "month" => Rounding::Month,
                "year" => Rounding::Year,
                number => match number.parse() {
                    Ok(number @ 1..) => Rounding::Number(number),
                    _ => return Err(NoSuchMask),
                },
            }),
            _ => return Err(NoSuchMask),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_as_they_are_written() {
        let table = [
            ("last4", Mask::Last4),
            ("email", Mask::Email),
            ("hash", Mask::Hash),
            ("null", Mask::Null),
            ("constant:", Mask::Constant(String::new())),
            ("constant:a:b", Mask::Constant("a:b".into())),
            ("partial:1:20", Mask::Partial { first: 1, last: 20 }),
            ("round:1000", Mask::Round(Rounding::Number(1000))),
            ("round:month", Mask::Round(Rounding::Month)),
        ];
        for (text, mask) in table {
            assert_eq!(text.parse(), Ok(mask), "{text}");
        }
        for wrong in [
            "",
            "last5",
            "last4:",
            "hash:x",
            "constant",
            "constant:\0",
            "partial",
            "partial:1",
            "partial:-1:2",
            "partial:1:2:3",
            "round",
            "round:",
            "round:0",
            "round:week",
            "Null",
        ] {
            assert_eq!(wrong.parse::<Mask>(), Err(NoSuchMask), "{wrong}");
        }
    }
}
