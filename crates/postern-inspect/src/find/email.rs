//! E-mail addresses (the plain form of RFC 5321: no comments, no quoted local part).

use super::{byte, byte_before, run};

/// Longest local part and longest label of a domain, in bytes.
const PART_BYTES: usize = 64;
/// Most labels of a domain.
const LABELS: usize = 8;

/// The address around the `@` at `at`.
pub(super) fn around(value: &[u8], at: usize) -> Option<(usize, usize)> {
    let before = value.get(..at)?;
    let local = before
        .iter()
        .rev()
        .take(PART_BYTES)
        .take_while(|b| is_local(**b))
        .count();
    let mut start = at.checked_sub(local)?;
    while byte(value, start) == b'.' {
        start = start.checked_add(1)?;
    }
    if start >= at || byte_before(value, at) == b'.' {
        return None;
    }
    let mut end = at.checked_add(1)?;
    let mut labels = 0;
    let mut last = 0;
    while labels < LABELS {
        let length = run(value, end, PART_BYTES, is_domain);
        if length == 0 {
            break;
        }
        labels += 1;
        last = length;
        end = end.checked_add(length)?;
        if byte(value, end) != b'.' || run(value, end.checked_add(1)?, 1, is_domain) == 0 {
            break;
        }
        end = end.checked_add(1)?;
    }
    // A name with a dot whose last label has two letters or more: no version, no decorator, no Twitter handle.
    let top = value.get(end.checked_sub(last)?..end)?;
    let letters = top.iter().all(|b| !b.is_ascii_digit());
    (labels >= 2 && last >= 2 && letters).then_some((start, end))
}

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-' | b'~' | b'#') || b >= 0x80
}

fn is_domain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b >= 0x80
}
