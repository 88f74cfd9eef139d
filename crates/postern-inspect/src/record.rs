//! Values that have parts: rows in a column, and numbers in binary.

use crate::kind::Kind;
use crate::tenant::{Foreign, Tenant};

/// Most digits to the base 10,000 of a numeric that is written out.
const NUMERIC_DIGITS: u16 = 8;

/// Judges the field at `place` (from 0) of a row in a column (manual, "Composite Type Input and Output Syntax",
/// and `record_send`).
pub(crate) fn check_field(
    tenant: &Tenant<'_>,
    binary: bool,
    value: &[u8],
    place: usize,
) -> Result<(), Foreign> {
    if binary {
        let (kind, field) = binary_field(value, place).ok_or(Foreign)?;
        return tenant.check(kind, true, field);
    }
    let field = text_field(value, place).ok_or(Foreign)?;
    tenant.check(Kind::Text, false, field.as_deref())
}

/// Type and value of a field of a binary row.
fn binary_field(value: &[u8], place: usize) -> Option<(Kind, Option<&[u8]>)> {
    let (_, mut rest) = value.split_first_chunk::<4>()?;
    let mut at = 0;
    loop {
        let (oid, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let (field, after) = match i32::from_be_bytes(*length) {
            -1 => (None, after),
            length => {
                let (field, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                (Some(field), after)
            }
        };
        if at == place {
            return Some((Kind::of(u32::from_be_bytes(*oid)), field));
        }
        rest = after;
        at += 1;
    }
}

/// A field of a row in text: `(1,acme,"a ""b"" \\",)`; an empty one is NULL.
fn text_field(value: &[u8], place: usize) -> Option<Option<Vec<u8>>> {
    let inner = value.strip_prefix(b"(")?.strip_suffix(b")")?;
    let (mut at, mut quoted, mut was_quoted) = (0, false, false);
    let mut field = Vec::new();
    let mut bytes = inner.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        match b {
            b'"' if quoted && bytes.peek() == Some(&b'"') => {
                bytes.next();
                field.push(b'"');
            }
            b'"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            b'\\' => field.push(bytes.next()?),
            b',' if !quoted => {
                if at == place {
                    break;
                }
                at += 1;
                field.clear();
                was_quoted = false;
            }
            b => field.push(b),
        }
    }
    (at == place && !quoted).then(|| (was_quoted || !field.is_empty()).then_some(field))
}

/// A whole number in binary as decimal digits; `None` for one that is not whole, or too long to be of interest.
pub(crate) fn decimal(kind: Kind, value: &[u8]) -> Option<String> {
    match (kind, value.len()) {
        (Kind::Integer, 8) => Some(i64::from_be_bytes(*value.first_chunk()?).to_string()),
        (Kind::Integer, 4) => Some(i32::from_be_bytes(*value.first_chunk()?).to_string()),
        (Kind::Numeric, _) => numeric(value),
        _ => None,
    }
}

/// `numeric_send`: number of digits, weight of the first, sign, scale, digits to the base 10,000.
fn numeric(value: &[u8]) -> Option<String> {
    let (head, digits) = value.split_first_chunk::<8>()?;
    let [count_high, count_low, weight_high, weight_low, ..] = *head;
    let count = u16::from_be_bytes([count_high, count_low]);
    let weight = u16::from_be_bytes([weight_high, weight_low]);
    let (digits, left) = digits.as_chunks::<2>();
    if weight >= NUMERIC_DIGITS
        || count > weight.saturating_add(1)
        || usize::from(count) != digits.len()
        || !left.is_empty()
    {
        return None;
    }
    let mut digits = digits
        .iter()
        .map(|digit| u16::from_be_bytes(*digit))
        .chain(std::iter::repeat(0));
    let mut out = digits.next()?.to_string();
    for digit in digits.take(usize::from(weight)) {
        out.push_str(&format!("{digit:04}"));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str, place: usize) -> Option<Option<String>> {
        text_field(value.as_bytes(), place).map(|field| field.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn fields_of_rows_in_text_are_found() {
        let row = r#"(1,acme,,"","a ""b"", \\c",last)"#;
        let expected = [
            Some("1"),
            Some("acme"),
            None,
            Some(""),
            Some(r#"a "b", \c"#),
            Some("last"),
        ];
        for (place, field) in expected.into_iter().enumerate() {
            assert_eq!(text(row, place), Some(field.map(str::to_owned)), "{place}");
        }
        assert_eq!(text(row, 6), None);
        for broken in ["", "(", "1,2", r#"("a)"#, "(a\\)"] {
            assert_eq!(text(broken, 0), None, "{broken}");
        }
        assert_eq!(text("()", 0), Some(None));
    }

    #[test]
    fn fields_of_binary_rows_are_found_and_lies_are_not_believed() {
        let mut row = 2u32.to_be_bytes().to_vec();
        row.extend_from_slice(&[0, 0, 0, 23, 0, 0, 0, 4, 0, 0, 0, 7]);
        row.extend_from_slice(&[0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            binary_field(&row, 0),
            Some((Kind::Integer, Some(&[0, 0, 0, 7][..])))
        );
        assert_eq!(binary_field(&row, 1), Some((Kind::Text, None)));
        assert_eq!(binary_field(&row, 2), None);
        for cut in 0..16 {
            assert_eq!(binary_field(&row[..cut], 1), None);
        }
        let lying = [&2u32.to_be_bytes()[..], &[0, 0, 0, 25, 0x7f, 0xff, 0xff, 0xff]].concat();
        assert_eq!(binary_field(&lying, 0), None);
    }

    #[test]
    fn whole_numbers_are_written_out() {
        let numeric = |digits: &[u16], weight: u16| {
            let mut value = Vec::new();
            for part in [digits.len() as u16, weight, 0, 0].iter().chain(digits) {
                value.extend_from_slice(&part.to_be_bytes());
            }
            decimal(Kind::Numeric, &value)
        };
        assert_eq!(
            numeric(&[4111, 1111, 1111, 1111], 3).as_deref(),
            Some("4111111111111111")
        );
        assert_eq!(numeric(&[5], 1).as_deref(), Some("50000"));
        assert_eq!(numeric(&[5, 7], 0), None, "a fraction");
        assert_eq!(numeric(&[5], 0x7fff), None);
        assert_eq!(decimal(Kind::Numeric, b"\0\x01"), None);
        assert_eq!(decimal(Kind::Integer, &7i64.to_be_bytes()).as_deref(), Some("7"));
    }
}
