//! Telephone numbers.

use super::digits::groups;
use super::{byte, byte_before};

/// Most bytes of a number with its separators.
const LONGEST: usize = 32;

/// The end of the number in international form (E.164) whose `+` is at `at`: 8 to 15 digits, of which the first is
/// not 0.
pub(super) fn international(value: &[u8], at: usize) -> Option<usize> {
    if byte_before(value, at).is_ascii_alphanumeric() {
        return None;
    }
    let first = at.checked_add(1)?;
    if !matches!(byte(value, first), b'1'..=b'9') {
        return None;
    }
    let (mut digits, mut end, mut spaced) = (0, first, 0);
    for (place, b) in value.get(first..)?.iter().take(LONGEST).enumerate() {
        match b {
            b'0'..=b'9' => {
                digits += 1;
                spaced = 0;
                end = first.checked_add(place)?.checked_add(1)?;
            }
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' if spaced < 2 => spaced += 1,
            _ => break,
        }
    }
    let stands_alone = !byte(value, end).is_ascii_alphanumeric();
    ((8..=15).contains(&digits) && stands_alone).then_some(end)
}

/// The number in North American form whose first digits are at `at`: `555-123-4567`, `(555) 123-4567`.
pub(super) fn north_american(value: &[u8], at: usize, digits: usize) -> Option<(usize, usize)> {
    if digits != 3 || !matches!(byte(value, at), b'2'..=b'9') {
        return None;
    }
    let after = at.checked_add(3)?;
    if byte_before(value, at) == b'(' && byte(value, after) == b')' {
        let mut next = after.checked_add(1)?;
        if byte(value, next) == b' ' {
            next = next.checked_add(1)?;
        }
        let end = [b'-', b'.', b' ']
            .iter()
            .find_map(|sep| groups(value, next, &[3, 4], *sep))?;
        return Some((at.checked_sub(1)?, end));
    }
    let separator = byte(value, after);
    if !matches!(separator, b'-' | b'.') || !matches!(byte(value, after.checked_add(1)?), b'2'..=b'9') {
        return None;
    }
    Some((at, groups(value, at, &[3, 3, 4], separator)?))
}
