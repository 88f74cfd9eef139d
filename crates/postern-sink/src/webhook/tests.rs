use super::*;
use postern_types::Stage;
use serde_json::{Value, json};

const LINE: &str = r#"{"number":7,"time":"2026-11-23T10:00:00.123Z","stage":"response-validator","level":"alert","event":"answer.alert","session":"ab","exchange":3,"actor":"a<!channel>n","tenant":"7","result":"refused","details":{"reason":"honey-token","reference":"0f"},"prev":"11","hash":"22"}"#;

fn body(format: Format, repeated: u64) -> Value {
    let alert = Alert::of_record(Stage::ResponseValidator.into(), &Fields::of(LINE.as_bytes()));
    serde_json::from_slice(&format.body(&alert, repeated)).unwrap()
}

#[test]
fn an_alert_names_its_record_in_each_format() {
    let told = body(Format::Postern, 0);
    assert_eq!(told["id"], "response-validator/7/22");
    assert_eq!(
        (&told["reason"], &told["reference"]),
        (&json!("honey-token"), &json!("0f"))
    );
    assert_eq!(told["record"], json!({"number": 7, "hash": "22"}));
    let slack = body(Format::Slack, 5);
    assert_eq!(
        slack,
        json!({"text": "P1 answer.alert at response-validator, reason honey-token, user a!channeln, tenant 7, \
                reference 0f, record 7, and 5 more like it before"})
    );
    let told = body(Format::Alertmanager, 0);
    assert_eq!(
        told[0]["labels"],
        json!({"alertname": "PosternViolation", "severity": "critical", "stage": "response-validator",
               "event": "answer.alert", "reason": "honey-token", "user": "a<!channel>n", "tenant": "7"})
    );
    assert_eq!(told[0]["startsAt"], "2026-11-23T10:00:00.123Z");
    assert_eq!(told[0]["annotations"]["record"], "response-validator 7 22");
}

#[test]
fn only_a_level_makes_an_alert() {
    assert!(is_alert(LINE.as_bytes()));
    let claimed = LINE.replace("\"level\":\"alert\"", "\"level\":\"info\"");
    assert!(!is_alert(claimed.as_bytes()));
    let named = claimed.replace("a<!channel>n", "\\\"level\\\":\\\"alert\\\",");
    assert!(!is_alert(named.as_bytes()));
    assert!(!is_alert(b""));
}

#[test]
fn the_signature_covers_time_and_body() {
    // By `printf '%s' '1700000000.{}' | openssl dgst -sha256 -hmac secret`.
    let signed = signature("secret", 1_700_000_000, b"{}");
    assert_eq!(
        signed,
        "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    );
    for other in [
        signature("secret", 1_700_000_001, b"{}"),
        signature("secret", 1_700_000_000, b"{ }"),
        signature("Secret", 1_700_000_000, b"{}"),
    ] {
        assert_ne!(
            other.split_once("v1=").unwrap().1,
            signed.split_once("v1=").unwrap().1
        );
    }
}
