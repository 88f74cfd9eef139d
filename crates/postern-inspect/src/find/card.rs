//! Payment card numbers (ISO/IEC 7812).

use super::digits::{digits_of, ends, groups};
use super::{byte, run};

/// How people write card numbers in groups.
const GROUPED: [&[usize]; 6] = [
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 3],
];

/// The end of the card number whose first run of digits is at `at`.
pub(super) fn from(value: &[u8], at: usize, digits: usize) -> Option<usize> {
    match digits {
        13..=19 => {
            let end = at.checked_add(digits)?;
            (ends(value, end) && is_card(value, at, end)).then_some(end)
        }
        4 => {
            let separator = byte(value, at.checked_add(4)?);
            if !matches!(separator, b' ' | b'-')
                || run(value, at.checked_add(5)?, 4, |b| b.is_ascii_digit()) < 4
            {
                return None;
            }
            // The longest form first, so that the end of a number is not taken for something else.
            GROUPED.iter().rev().find_map(|lengths| {
                let end = groups(value, at, lengths, separator)?;
                is_card(value, at, end).then_some(end)
            })
        }
        _ => None,
    }
}

fn is_card(value: &[u8], start: usize, end: usize) -> bool {
    let length = digits_of(value, start, end).count();
    let issuer = digits_of(value, start, end)
        .take(6)
        .fold(0u32, |n, d| n * 10 + u32::from(d));
    is_issuer(issuer, length) && luhn(digits_of(value, start, end))
}

/// Whether an issuer with these first six digits has numbers of this length.
fn is_issuer(first: u32, length: usize) -> bool {
    match first {
        // Visa.
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        // Mastercard.
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        // American Express.
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        // Discover, UnionPay, JCB, Mir, RuPay.
        601_100..=601_199 | 644_000..=659_999 | 620_000..=629_999 | 352_800..=358_999 | 220_000..=220_499 => {
            (16..=19).contains(&length)
        }
        508_500..=508_999 | 606_985..=608_499 | 817_200..=820_199 => length == 16,
        // Troy.
        979_200..=979_299 => length == 16,
        // Diners Club.
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            (14..=19).contains(&length)
        }
        // Maestro.
        500_000..=509_999 | 560_000..=589_999 | 630_000..=639_999 | 670_000..=679_999 => {
            (13..=19).contains(&length)
        }
        _ => false,
    }
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit);
            match place % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
