//! What is found, and what is not. The numbers are test numbers that issuers and standards publish.

use super::*;
use crate::rules::{CustomPattern, Honey};
use proptest::prelude::*;

fn all() -> Finder {
    let rules = Rules {
        detectors: Detector::ALL.into_iter().map(|d| (d, Action::Mask)).collect(),
        custom: vec![CustomPattern {
            name: "badge".into(),
            pattern: "B-[0-9]{4}".into(),
            action: Action::Mask,
        }],
        honey: vec![Honey {
            name: "decoy".into(),
            value: "DECOY-47".into(),
            refuse: false,
        }],
        ..Rules::default()
    };
    Finder::new(&rules).unwrap().unwrap()
}

/// What is found, with the text it is found in.
fn found(value: &str) -> Vec<(What, String)> {
    let finder = all();
    let mut out = Vec::new();
    finder.find(finder.hints(value.as_bytes()), value.as_bytes(), &mut out);
    let text = |f: &Finding| String::from_utf8_lossy(&value.as_bytes()[f.start..f.end]).into_owned();
    out.iter().map(|(f, _)| (f.what, text(f))).collect()
}

fn assert_found(detector: Detector, values: &[&str]) {
    for value in values {
        for (before, after) in [
            ("", ""),
            ("x: ", "."),
            ("{\"a\":\"", "\"}"),
            ("(", ",z)"),
            ("é ", "\n"),
        ] {
            let text = format!("{before}{value}{after}");
            let expected = vec![(What::Detector(detector), (*value).to_owned())];
            assert_eq!(found(&text), expected, "{text}");
        }
    }
}

fn assert_nothing(values: &[&str]) {
    for value in values {
        assert_eq!(found(value), [], "{value}");
    }
}

#[test]
fn card_numbers_are_found_by_issuer_length_and_check_digit() {
    assert_found(
        Detector::Card,
        &[
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "6200000000000005",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "3056 930902 5904",
        ],
    );
    assert_nothing(&[
        "4111111111111112",
        "411111111111111",
        "41111111111111111111111",
        "1111111111111117",
        "0000000000000000",
        "4111 1111-1111 1111",
        "a4111111111111111",
        "4111111111111111a",
        "2024-01-01 12:34:56.123456",
        "3.4111111111111111",
    ]);
}

#[test]
fn bank_account_numbers_are_found_by_country_length_and_check_digits() {
    assert_found(
        Detector::Iban,
        &[
            "DE89370400440532013000",
            "GB29NWBK60161331926819",
            "FR1420041010050500013M02606",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "DE89 3704 0044 0532 0130 00",
            "gb29nwbk60161331926819",
        ],
    );
    assert_nothing(&[
        "DE89370400440532013001",
        "DE8937040044053201300",
        "XX89370400440532013000",
        "AB12",
    ]);
}

#[test]
fn addresses_are_found() {
    assert_found(
        Detector::Email,
        &["ann@example.com", "a.b+c@mail.example.co.uk", "müller@exämple.de"],
    );
    assert_nothing(&[
        "@example.com",
        "ann@example",
        "ann@",
        "a @ b",
        "v1@2.0",
        "ann.@x.com",
        "user@host.1",
    ]);
}

#[test]
fn telephone_numbers_are_found() {
    assert_found(
        Detector::Phone,
        &[
            "+49 30 901820",
            "+14155552671",
            "+44 (0)20 7946 0958",
            "415-555-2671",
            "415.555.2671",
        ],
    );
    assert_eq!(
        found("tel (415) 555-2671"),
        [(What::Detector(Detector::Phone), "(415) 555-2671".into())]
    );
    assert_nothing(&[
        "+1",
        "1+23456789",
        "+0123456789",
        "+12345678901234567",
        "115-555-2671",
        "415-155-2671",
    ]);
}

#[test]
fn national_numbers_are_found_by_form_and_check_digit() {
    assert_found(
        Detector::NationalId,
        &[
            "219-09-9999",
            "AB123456C",
            "255081416802538",
            "2 55 08 14 168 025 38",
            "12345678Z",
            "12345678-Z",
            "X1234567L",
            "RSSMRA85T10A562S",
            "111.444.777-35",
        ],
    );
    assert_nothing(&[
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "219-00-9999",
        "219-09-0000",
        "AB123456E",
        "255081416802539",
        "12345678A",
        "X1234567A",
        "RSSMRA85T10A562T",
        "111.444.777-36",
        "111.111.111-11",
    ]);
}

#[test]
fn private_keys_are_found_to_their_end() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\nAAKC\n-----END RSA PRIVATE KEY-----";
    let escaped = pem.replace('\n', "\\n");
    assert_found(
        Detector::PrivateKey,
        &[
            pem,
            &escaped,
            "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",
        ],
    );
    let cut = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb";
    assert_eq!(found(cut), [(What::Detector(Detector::PrivateKey), cut.into())]);
    let putty = "PuTTY-User-Key-File-3: ssh-ed25519\nx";
    assert_eq!(
        found(putty),
        [(What::Detector(Detector::PrivateKey), putty.into())]
    );
    assert_nothing(&[
        "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----",
        "-----BEGIN ",
    ]);
}

#[test]
fn tokens_are_found() {
    let filler = |count: usize| "a1B2c3D4e5".chars().cycle().take(count).collect::<String>();
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    assert_found(Detector::Jwt, &[jwt]);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
    assert_eq!(
        found(unsigned),
        [(What::Detector(Detector::Jwt), unsigned.into())]
    );
    let tokens = [
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        format!("AIza{}", filler(35)),
        format!("ghp_{}", filler(36)),
        format!("github_pat_{}", filler(50)),
        format!("xoxb-{}", filler(20)),
        format!("sk_live_{}", filler(24)),
        format!("npm_{}", filler(36)),
    ];
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    assert_found(Detector::CloudToken, &tokens);
    assert_nothing(&[
        "AKIASHORT",
        "xAKIAIOSFODNN7EXAMPLE",
        "eyJhbGci",
        "aeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
    ]);
}

#[test]
fn own_expressions_and_honey_tokens_are_found() {
    assert_eq!(found("badge B-1234."), [(What::Custom, "B-1234".into())]);
    assert_eq!(found("xxDECOY-47yy"), [(What::Honey, "DECOY-47".into())]);
}

#[test]
fn expressions_that_are_too_large_or_match_nothing_are_refused() {
    assert!(
        custom_expression("a{1000}{1000}")
            .unwrap_err()
            .contains("too large")
    );
    assert!(custom_expression("x*").unwrap_err().contains("matches nothing"));
    assert!(
        custom_expression("(")
            .unwrap_err()
            .starts_with("not a regular expression")
    );
    assert!(custom_expression("(?-u:\\xff)").is_err(), "half a character");
}

#[test]
fn bad_text_is_read_in_linear_time() {
    // Each of these makes a search that starts anew at every hit take minutes.
    let many = 1_000_000;
    for piece in [
        "-----BEGIN PRIVATE KEY-----\"",
        "eyJ",
        "eyJa.eyJ",
        "@",
        "a@",
        "a@a.",
        "1",
        "1-",
        "+1",
        "AKIA",
        "DE12",
        "4111 ",
        "(415) ",
    ] {
        let value = piece.repeat(many / piece.len());
        let _ = found(&value);
    }
}

proptest! {
    #[test]
    fn findings_are_inside_the_value_and_never_panic(
        value in prop::collection::vec(prop_oneof![
            prop::sample::select(vec!["4111111111111111", "@", "a@b.co", "+49", "DE89", "eyJ", "-----BEGIN ", "PRIVATE KEY",
                "-----", "-----END ", "AKIA", ".", "-", " ", "\"", "(415) ", "219-09-", "DECOY-47", "B-1234"])
                .prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..5),
        ], 0..20)
    ) {
        let value = value.concat();
        let finder = all();
        let mut out = Vec::new();
        finder.find(finder.hints(&value), &value, &mut out);
        for (finding, _) in out {
            prop_assert!(finding.start < finding.end && finding.end <= value.len());
        }
    }

    #[test]
    fn a_card_with_another_last_digit_is_none(card in "4[0-9]{14}", last in 0u8..10) {
        let right: Vec<u8> = (0..10).filter(|d| !found(&format!("{card}{d}")).is_empty()).collect();
        prop_assert_eq!(right.len(), 1);
        let shown = found(&format!("{card}{last}"));
        prop_assert_eq!(shown.is_empty(), right[0] != last);
    }

    #[test]
    fn what_is_harmless_at_a_glance_has_nothing_in_it(
        value in "([0-9]{1,20}|[0-9]{8}[A-Z]|[a-z@+.-]{0,10}|[0-9]{3}-[0-9]{2}-[0-9]{4}|4111111111111111| ){0,4}"
    ) {
        let finder = Finder {
            custom: Vec::new(),
            ..all()
        };
        let mut out = Vec::new();
        finder.find(Hints::default(), value.as_bytes(), &mut out);
        if finder.finds_nothing_in(value.as_bytes()) {
            prop_assert!(out.is_empty(), "{}", value);
        }
    }
}
