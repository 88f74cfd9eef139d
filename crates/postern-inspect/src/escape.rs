//! JSON's ways of writing a character (RFC 8259, section 7).

use memchr::memmem;

/// Whether a character of the first 256 may be written as an escape in `value`.
pub(crate) fn may_be_in(value: &[u8]) -> bool {
    memmem::find(value, b"\\u00").is_some()
}

/// A copy of `value` in which escapes for printable ASCII characters are the characters, at whatever depth of
/// strings in strings: how many backslashes stand before the last one does not matter. For searching only; what
/// comes out need not be JSON any more.
pub(crate) fn plain(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut done = 0;
    for at in memmem::find_iter(value, b"\\u00") {
        let Some(b) = value.get(at.saturating_add(4)..).and_then(hex_byte) else {
            continue;
        };
        if at < done || !(0x20..0x7f).contains(&b) {
            continue;
        }
        let before = value.get(done..at).unwrap_or_default();
        let end = before
            .iter()
            .rposition(|b| *b != b'\\')
            .map_or(0, |last| last.saturating_add(1));
        out.extend_from_slice(before.get(..end).unwrap_or_default());
        out.push(b);
        done = at.saturating_add(6);
    }
    out.extend_from_slice(value.get(done..).unwrap_or_default());
    out
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    u8::try_from(hex(*high)? * 16 + hex(*low)?).ok()
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// Whether the JSON string whose characters begin `text`, after its opening quote, is `expected`.
pub(crate) fn string_is(text: &[u8], expected: &str) -> bool {
    let mut rest = text;
    let mut utf8 = [0; 4];
    for c in expected.chars() {
        let Some((found, after)) = next_char(rest) else {
            return false;
        };
        let matches = match found {
            Found::Raw(b) => {
                // The further bytes of the character are compared as they are.
                let encoded = c.encode_utf8(&mut utf8).as_bytes();
                let whole = encoded.first() == Some(&b) && rest.starts_with(encoded);
                if whole {
                    rest = rest.get(encoded.len()..).unwrap_or_default();
                    continue;
                }
                false
            }
            Found::Escaped(escaped) => escaped == c,
        };
        if !matches {
            return false;
        }
        rest = after;
    }
    rest.first() == Some(&b'"')
}

enum Found {
    /// First byte of a character that is written as itself.
    Raw(u8),
    Escaped(char),
}

/// The next character of a JSON string. `None` at its end, and where it is malformed.
fn next_char(text: &[u8]) -> Option<(Found, &[u8])> {
    match text {
        [b'"', ..] | [] => None,
        [b'\\', b'u', rest @ ..] => {
            let (first, rest) = unit(rest)?;
            if !(0xd800..0xdc00).contains(&first) {
                return Some((Found::Escaped(char::from_u32(first)?), rest));
            }
            let [b'\\', b'u', rest @ ..] = rest else {
                return None;
            };
            let (second, rest) = unit(rest)?;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            let code = 0x10000 + ((first - 0xd800) << 10) + low;
            Some((Found::Escaped(char::from_u32(code)?), rest))
        }
        [b'\\', escape, rest @ ..] => {
            let c = match escape {
                b'"' | b'\\' | b'/' => char::from(*escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                _ => return None,
            };
            Some((Found::Escaped(c), rest))
        }
        [raw, rest @ ..] => Some((Found::Raw(*raw), rest)),
    }
}

/// A UTF-16 code unit of four hexadecimal digits.
fn unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |n, d| Some(n * 16 + hex(*d)?))?;
    Some((unit, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_ascii_become_the_characters() {
        let table: [(&[u8], &[u8]); 7] = [
            (br"tenant\u005fid", b"tenant_id"),
            (br"\u0074\u0065x", b"tex"),
            (br"a\\\\u005f", b"a_"),
            (br"\u00e9\u000a", br"\u00e9\u000a"),
            (br"\u005", br"\u005"),
            (br"\u00\u0041", br"\u00A"),
            (b"plain", b"plain"),
        ];
        for (value, expected) in table {
            assert_eq!(plain(value), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn every_escape_that_is_made_plain_is_seen_by_the_first_search() {
        for b in 0x20..0x7fu8 {
            let written = format!("\\u{b:04x}");
            assert_eq!(plain(written.as_bytes()), [b]);
            assert!(may_be_in(written.as_bytes()));
        }
    }

    #[test]
    fn strings_are_compared_by_what_they_mean() {
        for (text, expected) in [
            (r#"acme""#, "acme"),
            (r#"a\u0063me" "#, "acme"),
            (r#"m\u00fcller""#, "müller"),
            (r#"müller""#, "müller"),
            (r#"\ud83d\ude00\/\n""#, "😀/\n"),
            (r#"""#, ""),
        ] {
            assert!(string_is(text.as_bytes(), expected), "{text}");
        }
        for (text, expected) in [
            (r#"acme2""#, "acme"),
            (r#"acm""#, "acme"),
            ("acme", "acme"),
            (r#"acme\u0062""#, "acme"),
            (r#"\ud83d""#, "😀"),
            (r#"\x61""#, "a"),
            (r#"\u00g1""#, "a"),
        ] {
            assert!(!string_is(text.as_bytes(), expected), "{text}");
        }
    }
}
