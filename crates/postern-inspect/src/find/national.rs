//! National identity numbers: those with a form or a check digit that tells them from other numbers.

use super::digits::{digits_of, ends, groups};
use super::{byte, byte_before};

/// Check letters of Spain's DNI and NIE, by the remainder of 23.
const SPANISH: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// The number that begins with the run of `digits` digits at `at`.
pub(super) fn from(value: &[u8], at: usize, digits: usize) -> Option<(usize, usize)> {
    let end = match digits {
        3 => social_security(value, at).or_else(|| cpf(value, at))?,
        1 => nir_grouped(value, at)?,
        8 => dni(value, at)?,
        15 => nir(value, at)?,
        _ => return None,
    };
    Some((at, end))
}

/// The number with letters right before the run of `digits` digits at `at`.
pub(super) fn with_letters_before(value: &[u8], at: usize, digits: usize) -> Option<(usize, usize)> {
    match digits {
        7 => nie(value, at),
        6 => nino(value, at),
        2 => codice_fiscale(value, at),
        _ => None,
    }
}

/// United States: `123-45-6789`. Areas 000, 666 and 9xx, group 00 and serial 0000 were never given out.
fn social_security(value: &[u8], at: usize) -> Option<usize> {
    let end = groups(value, at, &[3, 2, 4], b'-')?;
    let number = digits_of(value, at, end).fold(0u32, |n, d| n * 10 + u32::from(d));
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    let given = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    given.then_some(end)
}

/// Brazil: `123.456.789-09`, with two check digits.
fn cpf(value: &[u8], at: usize) -> Option<usize> {
    let head = at.checked_add(11)?;
    if byte(value, at.checked_add(3)?) != b'.'
        || byte(value, at.checked_add(7)?) != b'.'
        || byte(value, head) != b'-'
    {
        return None;
    }
    let tail = head.checked_add(1)?;
    let end = groups(value, tail, &[2], b'-')?;
    let digits: Vec<u32> = digits_of(value, at, end).map(u32::from).collect();
    if digits.len() != 11 || digits.iter().all(|d| Some(d) == digits.first()) {
        return None;
    }
    let check = |count: usize| {
        let weights = (2..=count.saturating_add(1)).rev();
        let sum: usize = digits
            .iter()
            .zip(weights)
            .take(count)
            .map(|(d, w)| *d as usize * w)
            .sum();
        let rest = sum * 10 % 11;
        if rest == 10 { 0 } else { rest as u32 }
    };
    (digits.get(9) == Some(&check(9)) && digits.get(10) == Some(&check(10))).then_some(end)
}

/// France: 13 digits and a key of two, together a multiple of 97.
fn nir(value: &[u8], at: usize) -> Option<usize> {
    let end = at.checked_add(15)?;
    (ends(value, end) && nir_holds(value, at, end)).then_some(end)
}

/// The same as people write it: `1 84 12 76 451 089 46`.
fn nir_grouped(value: &[u8], at: usize) -> Option<usize> {
    let end = groups(value, at, &[1, 2, 2, 2, 3, 3, 2], b' ')?;
    nir_holds(value, at, end).then_some(end)
}

fn nir_holds(value: &[u8], start: usize, end: usize) -> bool {
    let number = digits_of(value, start, end).fold(0u64, |n, d| n * 10 + u64::from(d));
    let (body, key) = (number / 100, number % 100);
    let month = body / 10_000_000_000 % 100;
    let sex = body / 1_000_000_000_000;
    matches!(sex, 1 | 2) && matches!(month, 1..=12 | 20..=42 | 50..=99) && 97 - body % 97 == key
}

/// Spain, citizens: eight digits and a letter.
fn dni(value: &[u8], at: usize) -> Option<usize> {
    let number = digits_of(value, at, at.checked_add(8)?).fold(0u32, |n, d| n * 10 + u32::from(d));
    let mut letter = at.checked_add(8)?;
    if byte(value, letter) == b'-' {
        letter = letter.checked_add(1)?;
    }
    spanish_letter(value, letter, number)
}

/// Spain, foreigners: X, Y or Z, seven digits and a letter.
fn nie(value: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(1)?;
    let first = match byte(value, start) {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return None,
    };
    if byte_before(value, start).is_ascii_alphanumeric() {
        return None;
    }
    let letter = at.checked_add(7)?;
    let number = digits_of(value, at, letter).fold(first, |n: u32, d| n * 10 + u32::from(d));
    Some((start, spanish_letter(value, letter, number)?))
}

fn spanish_letter(value: &[u8], at: usize, number: u32) -> Option<usize> {
    let expected = SPANISH.get(usize::try_from(number % 23).ok()?)?;
    let end = at.checked_add(1)?;
    (byte(value, at) == *expected && ends(value, end)).then_some(end)
}

/// United Kingdom: two letters, six digits and one of A to D.
fn nino(value: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(2)?;
    let (first, second) = (byte(value, start), byte(value, start.checked_add(1)?));
    let letters = first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !b"DFIQUV".contains(&first)
        && !b"DFIQUVO".contains(&second)
        && ![*b"BG", *b"GB", *b"NK", *b"KN", *b"TN", *b"NT", *b"ZZ"].contains(&[first, second]);
    let end = at.checked_add(7)?;
    let suffix = matches!(byte(value, at.checked_add(6)?), b'A'..=b'D');
    let alone = !byte_before(value, start).is_ascii_alphanumeric() && ends(value, end);
    (letters && suffix && alone).then_some((start, end))
}

/// Italy: 16 letters and digits, the last of them a check letter.
fn codice_fiscale(value: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at.checked_sub(6)?;
    let end = start.checked_add(16)?;
    let code = value.get(start..end)?;
    let form = b"AAAAAA00A00A000A";
    let fits = code.iter().zip(form).all(|(b, f)| match f {
        b'A' => b.is_ascii_uppercase(),
        _ => b.is_ascii_digit(),
    });
    if !fits || byte_before(value, start).is_ascii_alphanumeric() || !ends(value, end) {
        return None;
    }
    // Characters at odd places (counted from 1) have values of their own.
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let mut sum = 0;
    for (place, b) in code.iter().take(15).enumerate() {
        let number = if b.is_ascii_digit() { b - b'0' } else { b - b'A' };
        sum += match place % 2 {
            0 => *ODD.get(usize::from(number))?,
            _ => u32::from(number),
        };
    }
    let check = code.last()?.checked_sub(b'A')?;
    (sum % 26 == u32::from(check)).then_some((start, end))
}
