use super::*;
use postern_types::Stage;
use proptest::prelude::*;

fn message(line: &str) -> String {
    let entry = Entry {
        stage: Stage::QueryValidator.into(),
        line: bytes::Bytes::copy_from_slice(line.as_bytes()),
        what: crate::feed::What::Record,
    };
    let mut out = Vec::new();
    Header::new(13, "shop-1").write(&entry, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_record_becomes_header_structured_data_and_its_line() {
    let line = r#"{"number":7,"time":"2026-11-23T10:00:00.123Z","stage":"query-validator","level":"warn","event":"exchange","session":"ab","exchange":3,"actor":"a\"]b","tenant":"7","action":"select","result":"refused","details":{"reason":"policy","reference":"0f"},"prev":"1","hash":"2"}"#;
    assert_eq!(
        message(line),
        format!(
            "<108>1 2026-11-23T10:00:00.123Z shop-1 postern-query-validator - exchange [postern@32473 number=\"7\" \
             level=\"warn\" result=\"refused\" session=\"ab\" actor=\"a\\\"\\]b\" tenant=\"7\" action=\"select\" \
             reason=\"policy\" reference=\"0f\" exchange=\"3\"] {line}"
        )
    );
}

#[test]
fn levels_become_severities() {
    for (level, severity) in [("info", 6), ("warn", 4), ("alert", 1), ("of tomorrow", 1)] {
        let told = message(&format!("{{\"level\":\"{level}\"}}"));
        assert!(told.starts_with(&format!("<{}>1 ", 13 * 8 + severity)), "{told}");
    }
}

#[test]
fn what_is_no_record_goes_as_it_is() {
    let told = message("nonsense");
    assert!(
        told.starts_with("<105>1 - shop-1 postern-query-validator - - ["),
        "{told}"
    );
    assert!(told.ends_with("] nonsense"), "{told}");
    assert_eq!(Header::new(99, "").facility, 23);
    assert_eq!(Header::new(1, "a b\nc").host, "abc");
}

/// Splits a message as a collector would, by RFC 5424's grammar: header fields, then structured data.
fn structured(message: &str) -> Option<(Vec<(String, String)>, String)> {
    let mut parts = message.splitn(7, ' ');
    let header: Vec<&str> = parts.by_ref().take(6).collect();
    let [priority, _, _, _, _, _] = header.as_slice() else {
        return None;
    };
    priority
        .strip_prefix('<')?
        .strip_suffix(">1")?
        .parse::<u8>()
        .ok()?;
    let mut rest = parts.next()?.strip_prefix("[postern@32473")?;
    let mut found = Vec::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, mut value) = parameter.split_once("=\"")?;
        let mut text = String::new();
        loop {
            let mut chars = value.chars();
            match chars.next()? {
                '"' => {
                    rest = chars.as_str();
                    break;
                }
                '\\' => text.push(chars.next()?),
                ']' => return None,
                c => text.push(c),
            }
            value = chars.as_str();
        }
        found.push((name.to_owned(), text));
    }
    Some((found, rest.strip_prefix("] ")?.to_owned()))
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_the_structured_data(actor in ".{0,40}", tenant in ".{0,40}") {
        let line = serde_json::json!({"number": 1, "actor": actor, "tenant": tenant}).to_string();
        let told = message(&line);
        let (found, rest) = structured(&told).expect("it is RFC 5424");
        let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        prop_assert!(found.contains(&("actor".to_owned(), clean(&actor))));
        prop_assert!(found.contains(&("tenant".to_owned(), clean(&tenant))));
        prop_assert_eq!(rest, line);
    }
}
