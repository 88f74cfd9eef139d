//! Masks by type and format.

use super::*;
use proptest::prelude::*;

fn form(type_oid: u32, binary: bool) -> Form {
    Form {
        kind: Kind::of(type_oid),
        type_oid,
        binary,
    }
}

const TEXT: u32 = 25;
const INT2: u32 = 21;
const INT4: u32 = 23;
const INT8: u32 = 20;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const NUMERIC: u32 = 1700;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const UUID: u32 = 2950;
const JSON: u32 = 114;

fn masked(mask: &str, type_oid: u32, binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    let key = MaskKey::new(b"0123456789abcdef").unwrap();
    apply(&mask.parse().unwrap(), form(type_oid, binary), value, Some(&key))
}

fn text(mask: &str, type_oid: u32, value: &str) -> Option<String> {
    masked(mask, type_oid, false, value.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn text_is_masked_in_both_formats() {
    let table = [
        ("last4", "4111111111111111", "************1111"),
        ("last4", "1234567", "*******"),
        ("last4", "", ""),
        ("last4", "grün-weiß-ärgerlich", "***************lich"),
        ("email", "ann.lee@example.com", "a***@example.com"),
        ("email", "@example.com", "************"),
        ("email", "no address", "**********"),
        ("partial:1:2", "Müller", "M***er"),
        ("partial:3:3", "Müller", "******"),
        ("partial:0:0", "abc", "***"),
        ("constant:hidden", "abc", "hidden"),
    ];
    for (mask, value, expected) in table {
        for binary in [false, true] {
            let found = masked(mask, TEXT, binary, value.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{mask} of {value}");
        }
    }
    assert_eq!(masked("null", TEXT, false, b"x"), None);
    assert_eq!(
        text("last4", 1042, "4111111111111111    ").unwrap(),
        "************1111",
        "padding is not shown"
    );
    assert_eq!(masked("last4", TEXT, false, b"\xff\xff"), None, "no text at all");
    assert!(
        text("last4", TEXT, &"x".repeat(10_000)).unwrap().len() < 50,
        "the length is hidden"
    );
}

#[test]
fn masks_that_make_no_sense_for_a_type_become_null() {
    let types = [
        INT4, FLOAT8, NUMERIC, DATE, TIMESTAMP, JSON, 3802, 16, 17, 1009, 16_500,
    ];
    for type_oid in types {
        for mask in ["last4", "email", "partial:1:1", "hash"] {
            for binary in [false, true] {
                assert_eq!(
                    masked(mask, type_oid, binary, b"12345678"),
                    None,
                    "{mask} of {type_oid}"
                );
            }
        }
    }
    assert_eq!(masked("round:10", TEXT, false, b"1234"), None);
    assert_eq!(masked("round:month", INT4, false, b"1234"), None);
    assert_eq!(masked("constant:x", INT4, false, b"1"), None);
    assert_eq!(masked("constant:x", UUID, true, &[0; 16]), None);
}

#[test]
fn hashes_are_keyed_and_the_same_in_both_formats() {
    let hash = text("hash", TEXT, "ann").unwrap();
    assert_eq!(hash.len(), 32);
    assert_eq!(Some(hash.clone()), text("hash", 1042, "ann   "));
    assert_ne!(Some(hash.clone()), text("hash", TEXT, "anna"));
    let other = MaskKey::new(b"another key of sixteen").unwrap();
    assert_ne!(
        apply(&Mask::Hash, form(TEXT, false), b"ann", Some(&other)),
        Some(hash.into_bytes())
    );
    assert_eq!(apply(&Mask::Hash, form(TEXT, false), b"ann", None), None);
    let uuid = text("hash", UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").unwrap();
    let bytes = u128::from_str_radix("a0eebc999c0b4ef8bb6d6bb9bd380a11", 16)
        .unwrap()
        .to_be_bytes();
    let binary = masked("hash", UUID, true, &bytes).unwrap();
    let digits: String = binary.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(uuid.replace('-', ""), digits);
    assert_eq!((uuid.len(), uuid.find('-')), (36, Some(8)));
    assert!(MaskKey::new(b"short").is_err());
    assert_eq!(
        format!("{:?}", MaskKey::new(b"0123456789abcdef").unwrap()),
        "MaskKey(…)"
    );
}

#[test]
fn numbers_are_rounded_towards_zero() {
    for (type_oid, value, expected) in [
        (INT4, "12345", Some("12000")),
        (INT8, "-12345", Some("-12000")),
        (NUMERIC, "999.99", Some("0")),
        (
            NUMERIC,
            "123456789012345678901234567890.5",
            Some("123456789012345678901234567000"),
        ),
        (NUMERIC, "NaN", None),
        (FLOAT8, "12345.6", Some("12000")),
        (FLOAT8, "Infinity", None),
    ] {
        assert_eq!(
            text("round:1000", type_oid, value).as_deref(),
            expected,
            "{value}"
        );
    }
    assert_eq!(
        masked("round:100", INT2, true, &1234i16.to_be_bytes()),
        Some(1200i16.to_be_bytes().to_vec())
    );
    assert_eq!(
        masked("round:100", INT4, true, &(-1234i32).to_be_bytes()),
        Some((-1200i32).to_be_bytes().to_vec())
    );
    assert_eq!(
        masked("round:100", INT8, true, &i64::MAX.to_be_bytes()),
        Some(9_223_372_036_854_775_800i64.to_be_bytes().to_vec())
    );
    assert_eq!(
        masked("round:10", FLOAT8, true, &19.5f64.to_be_bytes()),
        Some(10f64.to_be_bytes().to_vec())
    );
    assert_eq!(
        masked("round:10", FLOAT4, true, &19.5f32.to_be_bytes()),
        Some(10f32.to_be_bytes().to_vec())
    );
    assert_eq!(masked("round:10", NUMERIC, true, &[0; 8]), None);
    assert_eq!(
        masked("constant:7", INT2, true, b"\0\0"),
        Some(7i16.to_be_bytes().to_vec())
    );
    assert_eq!(masked("constant:70000", INT2, true, b"\0\0"), None);
    assert_eq!(text("constant:7", NUMERIC, "1").as_deref(), Some("7"));
}

#[test]
fn dates_are_rounded_down() {
    for (mask, type_oid, value, expected) in [
        ("round:month", DATE, "2024-05-17", Some("2024-05-01")),
        ("round:year", DATE, "2024-05-17", Some("2024-01-01")),
        (
            "round:day",
            TIMESTAMP,
            "2024-05-17 12:34:56.789",
            Some("2024-05-17 00:00:00"),
        ),
        (
            "round:hour",
            TIMESTAMPTZ,
            "2024-05-17 12:34:56+02",
            Some("2024-05-17 12:00:00+02"),
        ),
        (
            "round:month",
            TIMESTAMPTZ,
            "2024-05-17 12:34:56-03:30",
            Some("2024-05-01 00:00:00-03:30"),
        ),
        ("round:month", DATE, "17/05/2024", None),
        ("round:month", DATE, "0044-03-15 BC", None),
        ("round:month", DATE, "infinity", None),
        ("round:month", TIMESTAMP, "2024-05-17", None),
    ] {
        assert_eq!(
            text(mask, type_oid, value).as_deref(),
            expected,
            "{mask} of {value}"
        );
    }
    // 2024-05-17 is 8,903 days after 2000-01-01; 2024-05-01 is 8,887, 2024-01-01 is 8,766.
    let date = |mask, days: i32| masked(mask, DATE, true, &days.to_be_bytes());
    assert_eq!(date("round:month", 8903), Some(8887i32.to_be_bytes().to_vec()));
    assert_eq!(date("round:year", 8903), Some(8766i32.to_be_bytes().to_vec()));
    assert_eq!(
        date("round:month", -1),
        Some((-31i32).to_be_bytes().to_vec()),
        "December 1999"
    );
    assert_eq!(date("round:month", i32::MAX), None);
    let hour = 3_600_000_000i64;
    let time = |mask, time: i64| masked(mask, TIMESTAMP, true, &time.to_be_bytes());
    assert_eq!(
        time("round:hour", 5 * hour + 1),
        Some((5 * hour).to_be_bytes().to_vec())
    );
    assert_eq!(time("round:day", -1), Some((-24 * hour).to_be_bytes().to_vec()));
    assert_eq!(time("round:day", i64::MAX), None);
}

proptest! {
    #[test]
    fn nothing_panics_and_text_stays_text(
        value in prop::collection::vec(any::<u8>(), 0..40),
        type_oid in prop::sample::select(vec![TEXT, INT2, INT4, INT8, FLOAT4, FLOAT8, NUMERIC, DATE, TIMESTAMP,
            TIMESTAMPTZ, UUID, JSON, 1042, 3802, 17, 16, 99_999]),
        binary in any::<bool>(),
        mask in prop::sample::select(vec!["last4", "email", "hash", "null", "constant:5", "partial:1:1", "round:7",
            "round:hour", "round:day", "round:month", "round:year"]),
    ) {
        let out = masked(mask, type_oid, binary, &value);
        if let Some(out) = out.filter(|_| type_oid == TEXT) {
            prop_assert!(std::str::from_utf8(&out).is_ok());
        }
    }

    #[test]
    fn fixed_widths_stay(number in any::<i64>(), mask in prop::sample::select(vec![
        "constant:5", "round:7", "round:hour", "round:day", "round:month", "round:year"])) {
        for (type_oid, bytes) in [
            (INT2, (number as i16).to_be_bytes().to_vec()), (INT4, (number as i32).to_be_bytes().to_vec()),
            (INT8, number.to_be_bytes().to_vec()), (DATE, (number as i32).to_be_bytes().to_vec()),
            (TIMESTAMP, number.to_be_bytes().to_vec()),
        ] {
            if let Some(out) = masked(mask, type_oid, true, &bytes) {
                prop_assert_eq!(out.len(), bytes.len());
            }
        }
    }
}
