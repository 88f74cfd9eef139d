//! Values as they are recorded: one form for one value, whatever its format was on the wire.
//!
//! A value is told by its text, as PostgreSQL writes it. Binary values of types that are not known here have no such
//! text; they are told by their bytes and the OID of their type, which is 0 where nobody has said it.

use crate::kind::Kind;
use crate::mask::MaskKey;
use crate::record::decimal;
use postern_types::{Keep, KeptForm};
use std::borrow::Cow;

/// OIDs of `pg_type.dat`.
const BOOL: u32 = 16;
const OID: u32 = 26;
/// Nobody has said the type.
const UNSAID: u32 = 0;

/// What is recorded of a value of this type. `None` when it is to be hashed and there is no key.
pub fn kept(
    keep: Keep,
    key: Option<&MaskKey>,
    type_oid: u32,
    binary: bool,
    value: Option<&[u8]>,
) -> Option<KeptForm> {
    let Some(value) = value else {
        return Some(KeptForm::Null);
    };
    let text = text_of(type_oid, binary, value);
    Some(match (keep, text) {
        (Keep::Hash, Some(text)) => KeptForm::Hash(key?.hash(text.as_bytes())),
        (Keep::Hash, None) => KeptForm::Hash(key?.hash(&told_by_bytes(type_oid, value))),
        (Keep::Clear, Some(text)) => KeptForm::Clear(text.into_owned()),
        (Keep::Clear, None) => KeptForm::Clear(hex(value)),
    })
}

/// The hashes under which a value may have been recorded: that of its text, and those of its binary forms where the type
/// was not said.
pub fn hashes(key: &MaskKey, text: &str) -> Vec<[u8; 16]> {
    let unsaid = binary_forms(text).into_iter();
    let unsaid = unsaid.map(|bytes| key.hash(&told_by_bytes(UNSAID, &bytes)));
    std::iter::once(key.hash(text.as_bytes())).chain(unsaid).collect()
}

/// The texts under which a value may have been recorded in clear, likewise.
pub fn clear_texts(text: &str) -> Vec<String> {
    let unsaid = binary_forms(text).into_iter().map(|bytes| hex(&bytes));
    std::iter::once(text.to_owned()).chain(unsaid).collect()
}

/// A value as drivers send it in binary: a text, a whole number, a UUID.
fn binary_forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec()];
    if let Ok(number) = text.parse::<i64>() {
        forms.push(number.to_be_bytes().to_vec());
        forms.extend(i32::try_from(number).map(|number| number.to_be_bytes().to_vec()));
        forms.extend(i16::try_from(number).map(|number| number.to_be_bytes().to_vec()));
    }
    forms.extend(uuid_from(text.as_bytes()).map(|uuid| uuid.to_be_bytes().to_vec()));
    forms
}

/// The one text of a value; `None` where there is none.
fn text_of(type_oid: u32, binary: bool, value: &[u8]) -> Option<Cow<'_, str>> {
    let kind = Kind::of(type_oid);
    if binary {
        return match kind {
            Kind::Text | Kind::Json => utf8(value),
            Kind::Padded => utf8(value).map(trimmed),
            Kind::Jsonb => utf8(value.split_first()?.1),
            Kind::Integer if value.len() == 2 => {
                Some(i16::from_be_bytes(*value.first_chunk()?).to_string().into())
            }
            Kind::Integer | Kind::Numeric => decimal(kind, value).map(Cow::Owned),
            Kind::Uuid => Some(uuid_text(u128::from_be_bytes(value.try_into().ok()?)).into()),
            Kind::Fixed if type_oid == BOOL => Some(if value == [0] { "f" } else { "t" }.into()),
            Kind::Fixed if type_oid == OID => {
                Some(u32::from_be_bytes(value.try_into().ok()?).to_string().into())
            }
            Kind::Fixed | Kind::Float | Kind::Date | Kind::Timestamp | Kind::Bytes | Kind::Other => None,
        };
    }
    let text = utf8(value)?;
    Some(match kind {
        Kind::Integer => match text.trim().parse::<i64>() {
            Ok(number) => number.to_string().into(),
            Err(_) => text,
        },
        Kind::Uuid => match uuid_from(value) {
            Some(uuid) => uuid_text(uuid).into(),
            None => text,
        },
        Kind::Padded => trimmed(text),
        Kind::Fixed if type_oid == BOOL => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => "t".into(),
            "f" | "false" | "n" | "no" | "off" | "0" => "f".into(),
            _ => text,
        },
        _ => text,
    })
}

fn utf8(value: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(value).ok().map(Cow::Borrowed)
}

/// `character(n)` is filled up with spaces, which mean nothing.
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(' ')),
        Cow::Owned(text) => Cow::Owned(text.trim_end_matches(' ').to_owned()),
    }
}

/// A UUID in any of the spellings that PostgreSQL takes, but braces and odd hyphens.
fn uuid_from(text: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(text).ok()?;
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let plain = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

fn uuid_text(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in digits.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// What stands for a binary value without a text. It begins with a byte that no text of PostgreSQL has.
fn told_by_bytes(type_oid: u32, value: &[u8]) -> Vec<u8> {
    [&[0], type_oid.to_be_bytes().as_slice(), value].concat()
}

/// As PostgreSQL writes bytea.
fn hex(value: &[u8]) -> String {
    let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> MaskKey {
        MaskKey::new(&[7; 16]).unwrap()
    }

    fn clear(type_oid: u32, binary: bool, value: &[u8]) -> String {
        match kept(Keep::Clear, None, type_oid, binary, Some(value)) {
            Some(KeptForm::Clear(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_two_formats_of_a_value_are_one() {
        const UUID: &str = "6f1ed002-ab5c-45f0-8b71-1c2d3e4f5a6b";
        let uuid = uuid_from(UUID.as_bytes()).unwrap().to_be_bytes();
        let cases: [(u32, &[u8], &str, &str); 10] = [
            (21, &7i16.to_be_bytes(), "7", "7"),
            (23, &4711i32.to_be_bytes(), " +4711", "4711"),
            (20, &(-5i64).to_be_bytes(), "-5", "-5"),
            (25, b"ann", "ann", "ann"),
            (1042, b"de  ", "de", "de"),
            (3802, b"\x01{\"a\": 1}", "{\"a\": 1}", "{\"a\": 1}"),
            (2950, &uuid, "6F1ED002AB5C45F08B711C2D3E4F5A6B", UUID),
            (16, &[1], "true", "t"),
            (26, &16384u32.to_be_bytes(), "16384", "16384"),
            (1700, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 5], "5", "5"),
        ];
        for (oid, binary, text, told) in cases {
            assert_eq!(clear(oid, true, binary), told, "{oid} in binary");
            assert_eq!(clear(oid, false, text.as_bytes()), told, "{oid} in text");
        }
    }

    #[test]
    fn what_has_no_text_is_told_by_its_bytes() {
        assert_eq!(clear(701, true, &[1, 2]), "\\x0102");
        assert_eq!(clear(23, true, &[1, 2, 3]), "\\x010203");
        let hash = |oid| kept(Keep::Hash, Some(&key()), oid, true, Some(&[1, 2, 3, 4]));
        assert_ne!(hash(700), hash(1082), "of another type");
        assert_eq!(
            kept(Keep::Hash, Some(&key()), 23, false, None),
            Some(KeptForm::Null)
        );
        assert_eq!(
            kept(Keep::Hash, None, 23, false, Some(b"7")),
            None,
            "without a key"
        );
    }

    #[test]
    fn a_value_is_found_however_it_was_sent() {
        let key = key();
        let recorded =
            |oid, binary, value: &[u8]| match kept(Keep::Hash, Some(&key), oid, binary, Some(value)) {
                Some(KeptForm::Hash(hash)) => hash,
                other => panic!("{other:?}"),
            };
        let wanted = hashes(&key, "4711");
        for hash in [
            recorded(23, false, b"4711"),
            recorded(0, false, b"4711"),
            recorded(25, true, b"4711"),
            recorded(20, true, &4711i64.to_be_bytes()),
            recorded(0, true, &4711i64.to_be_bytes()),
            recorded(0, true, &4711i32.to_be_bytes()),
            recorded(0, true, &4711i16.to_be_bytes()),
            recorded(0, true, b"4711"),
        ] {
            assert!(wanted.contains(&hash));
        }
        assert!(!wanted.contains(&recorded(0, true, &4712i32.to_be_bytes())));
        let other = MaskKey::new(&[8; 16]).unwrap();
        assert!(!hashes(&other, "4711").contains(&recorded(23, false, b"4711")));
        const UUID: &str = "6f1ed002-ab5c-45f0-8b71-1c2d3e4f5a6b";
        let uuid = uuid_from(UUID.as_bytes()).unwrap().to_be_bytes();
        assert!(hashes(&key, UUID).contains(&recorded(0, true, &uuid)));
        for (oid, binary, value) in [
            (23, false, &b"4711"[..]),
            (0, true, b"4711"),
            (0, true, &4711i32.to_be_bytes()),
        ] {
            assert!(clear_texts("4711").contains(&clear(oid, binary, value)));
        }
    }

    proptest! {
        #[test]
        fn any_value_has_a_form(oid in prop::sample::select(vec![0, 16, 17, 20, 21, 23, 25, 26, 114, 701, 1042, 1082, 1114,
            1700, 2950, 3802, 99_999]), binary: bool, value in prop::collection::vec(any::<u8>(), 0..40)) {
            let key = key();
            prop_assert!(kept(Keep::Hash, Some(&key), oid, binary, Some(&value)).is_some());
            prop_assert!(kept(Keep::Clear, None, oid, binary, Some(&value)).is_some());
        }

        #[test]
        fn any_number_is_found(number: i64) {
            let key = key();
            let text = number.to_string();
            let sent = kept(Keep::Hash, Some(&key), 20, true, Some(&number.to_be_bytes()));
            let first = hashes(&key, &text).first().copied().map(KeptForm::Hash);
            prop_assert_eq!(sent, first);
        }
    }
}
