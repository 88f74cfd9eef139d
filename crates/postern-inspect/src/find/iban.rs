//! International bank account numbers (ISO 13616).

use super::digits::ends;
use super::{byte, byte_before};

/// Length of the number by country, from the registry of SWIFT.
const LENGTHS: [(&[u8; 2], usize); 83] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TN", 24),
    (b"TR", 26),
    (b"VA", 22),
];

/// The number whose check digits begin at `at`: the country is right before them.
pub(super) fn around(value: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(2)?;
    let country = [
        byte(value, start).to_ascii_uppercase(),
        byte(value, start.checked_add(1)?).to_ascii_uppercase(),
    ];
    let length = LENGTHS.iter().find(|(known, _)| **known == country)?.1;
    if byte_before(value, start).is_ascii_alphanumeric() {
        return None;
    }
    // Spaces may stand between groups, one at a time.
    let (mut end, mut count, mut spaced) = (start, 0, false);
    while count < length {
        let b = byte(value, end);
        if b.is_ascii_alphanumeric() {
            count += 1;
            spaced = false;
        } else if b == b' ' && !spaced {
            spaced = true;
        } else {
            return None;
        }
        end = end.checked_add(1)?;
    }
    (ends(value, end) && remainder(value, start, end)? == 1).then_some((start, end))
}

/// ISO 7064, MOD 97-10: the first four characters go to the end, letters count from 10 for A.
fn remainder(value: &[u8], start: usize, end: usize) -> Option<u32> {
    let characters = || {
        value
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .filter(|b| **b != b' ')
    };
    let turned = characters().skip(4).chain(characters().take(4));
    let mut rest = 0u32;
    for b in turned {
        rest = match b {
            b'0'..=b'9' => rest * 10 + u32::from(b - b'0'),
            _ => rest * 100 + u32::from(b.to_ascii_uppercase().checked_sub(b'A')?) + 10,
        } % 97;
    }
    Some(rest)
}
