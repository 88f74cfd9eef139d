//! One pass over a value that stops at digits, `@` and `+` only.

use super::{byte, byte_before, card, email, iban, national, phone, run};
use crate::rules::Detector;

/// What is to be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) card: bool,
    pub(super) iban: bool,
    pub(super) email: bool,
    pub(super) phone: bool,
    pub(super) national: bool,
}

impl Wanted {
    pub(super) fn any(self) -> bool {
        self != Wanted::default()
    }
}

fn stops(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'@' | b'+')
}

/// Bytes that are looked at in one go, without a branch for each.
const STRIDE: usize = 32;

/// Whether a stretch has none of them. Made so that the compiler can use SIMD.
pub(super) fn is_free_of_stops(value: &[u8]) -> bool {
    value
        .chunks(STRIDE)
        .all(|stride| !stride.iter().fold(false, |found, b| found | stops(*b)))
}

/// The first one from `at` on.
fn next_stop(value: &[u8], at: usize) -> Option<usize> {
    let mut start = at;
    for stride in value.get(at..)?.chunks(STRIDE) {
        if !is_free_of_stops(stride) {
            let ahead = stride.iter().position(|b| stops(*b))?;
            return Some(start.saturating_add(ahead));
        }
        start = start.saturating_add(stride.len());
    }
    None
}

/// Longest run of digits that is of interest by itself; a longer one is skipped as a whole.
const LONGEST_RUN: usize = 19;

/// Tells `found` where something begins and ends, and what it is.
pub(super) fn scan(value: &[u8], wanted: Wanted, found: &mut dyn FnMut(usize, usize, Detector)) {
    let mut at = 0;
    while let Some(stop) = next_stop(value, at) {
        at = stop;
        let length = match byte(value, at) {
            b'@' => {
                if wanted.email
                    && let Some((start, end)) = email::around(value, at)
                {
                    found(start, end, Detector::Email);
                    end.saturating_sub(at)
                } else {
                    1
                }
            }
            b'+' => {
                if wanted.phone
                    && let Some(end) = phone::international(value, at)
                {
                    found(at, end, Detector::Phone);
                    end.saturating_sub(at)
                } else {
                    1
                }
            }
            _ => {
                let digits = run(value, at, usize::MAX, |b| b.is_ascii_digit());
                if digits <= LONGEST_RUN || byte_before(value, at).is_ascii_alphabetic() {
                    number(value, at, digits, wanted, found).unwrap_or(digits)
                } else {
                    digits
                }
            }
        };
        at = at.saturating_add(length.max(1));
    }
}

/// What begins with the run of `digits` digits at `at`, or has it as its first ones. Gives how many bytes were
/// taken.
fn number(
    value: &[u8],
    at: usize,
    digits: usize,
    wanted: Wanted,
    found: &mut dyn FnMut(usize, usize, Detector),
) -> Option<usize> {
    let before = byte_before(value, at);
    let mut take = |start: usize, end: usize, detector| {
        found(start, end, detector);
        Some(end.saturating_sub(at))
    };
    if before.is_ascii_alphabetic() {
        if wanted.iban
            && let Some((start, end)) = iban::around(value, at)
        {
            return take(start, end, Detector::Iban);
        }
        if wanted.national
            && let Some((start, end)) = national::with_letters_before(value, at, digits)
        {
            return take(start, end, Detector::NationalId);
        }
        return None;
    }
    if wanted.iban
        && before == b' '
        && let Some((start, end)) = iban::around(value, at)
    {
        return take(start, end, Detector::Iban);
    }
    // A number has to stand by itself: not the fraction of another one.
    if before == b'.' && byte_before(value, at.saturating_sub(1)).is_ascii_digit() {
        return None;
    }
    if wanted.card
        && let Some(end) = card::from(value, at, digits)
    {
        return take(at, end, Detector::Card);
    }
    if wanted.national
        && let Some((start, end)) = national::from(value, at, digits)
    {
        return take(start, end, Detector::NationalId);
    }
    if wanted.phone
        && let Some((start, end)) = phone::north_american(value, at, digits)
    {
        return take(start, end, Detector::Phone);
    }
    None
}

/// The end of groups of so many digits with `separator` between them, of which the first begins at `at`. The
/// groups must not go on in further digits or letters.
pub(super) fn groups(value: &[u8], at: usize, lengths: &[usize], separator: u8) -> Option<usize> {
    let mut at = at;
    for (number, length) in lengths.iter().enumerate() {
        if number > 0 {
            if byte(value, at) != separator {
                return None;
            }
            at = at.checked_add(1)?;
        }
        if run(value, at, length.saturating_add(1), |b| b.is_ascii_digit()) != *length {
            return None;
        }
        at = at.checked_add(*length)?;
    }
    ends(value, at).then_some(at)
}

/// No letter and no digit at `at`.
pub(super) fn ends(value: &[u8], at: usize) -> bool {
    !byte(value, at).is_ascii_alphanumeric()
}

/// The digits between two places of a value, without what separates them.
pub(super) fn digits_of(value: &[u8], start: usize, end: usize) -> impl DoubleEndedIterator<Item = u8> + '_ {
    value
        .get(start..end)
        .unwrap_or_default()
        .iter()
        .filter(|b| b.is_ascii_digit())
        .map(|b| b.wrapping_sub(b'0'))
}
