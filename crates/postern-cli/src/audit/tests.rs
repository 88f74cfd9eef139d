use super::*;
use postern_ledger::{Event, Ledger, Outcome, Record};
use postern_types::{InstanceId, SessionId};
use std::fs;
use tempfile::TempDir;

const NOW: u64 = 1_700_000_000_000;

/// A ring's directory with ledgers of four stages that agree on some exchanges.
fn ring() -> TempDir {
    let dir = TempDir::new().unwrap();
    for (offset, stage) in (0..).zip(Stage::ALL) {
        let now_ms = NOW + offset;
        let directory = dir.path().join("audit").join(stage.name());
        let mut ledger = Ledger::open(&directory, stage, InstanceId([1; 16]), now_ms).unwrap();
        for exchange in 1..=5 {
            write(&mut ledger, now_ms + exchange * 10, Event::Exchange, exchange);
            if stage == Stage::Frontend {
                write(
                    &mut ledger,
                    now_ms + exchange * 10 + 5,
                    Event::ExchangeAnswered,
                    exchange,
                );
            }
        }
        ledger.close(now_ms + 100).unwrap();
    }
    dir
}

fn write(ledger: &mut Ledger, now_ms: u64, event: Event, exchange: u64) {
    ledger.append(&Record {
        session: Some(SessionId([2; 16])),
        exchange: Some(exchange),
        actor: Some("app"),
        ..Record::at(now_ms, event)
    });
    ledger.commit().unwrap();
}

fn record_file(dir: &Path, stage: Stage) -> PathBuf {
    dir.join("audit")
        .join(stage.name())
        .join("ledger-00000000000000000001.jsonl")
}

fn text(audit: &Audit) -> String {
    let mut out = Vec::new();
    audit.write_text(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn sound_ledgers_are_said_to_be_sound() {
    let dir = ring();
    for path in [
        dir.path().to_owned(),
        dir.path().join("audit"),
        dir.path().join("audit/backend"),
    ] {
        let audit = Audit::of(&path, &Sources::default());
        assert_eq!(audit.verdict(), Verdict::Sound, "{}", text(&audit));
        assert_eq!(audit.to_json()["sound"], true);
    }
    let audit = Audit::of(dir.path(), &Sources::default());
    let text = text(&audit);
    assert!(text.contains("frontend: sound, 12 records in 1 file\n"), "{text}");
    assert!(
        text.contains("The ledgers agree: 5 exchanges, 5 in all ledgers, 0 accounted for, 0 on their way")
    );
    assert_eq!(audit.to_json()["ledgers"]["backend"]["records"], 7);
    assert_eq!(audit.to_json()["comparison"]["complete"], 5);
}

#[test]
fn a_flipped_byte_is_found_in_every_stages_ledger() {
    for stage in Stage::ALL {
        let dir = ring();
        let file = record_file(dir.path(), stage);
        let mut bytes = fs::read(&file).unwrap();
        // In the middle of the third line.
        let at = bytes
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
            .nth(1)
            .unwrap()
            .0
            + 100;
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let audit = Audit::of(dir.path(), &Sources::default());
        assert_eq!(audit.verdict(), Verdict::Wrong);
        let text = text(&audit);
        assert!(
            text.contains(&format!(
                "{stage}: NOT sound\n  ledger-00000000000000000001.jsonl:3: "
            )),
            "{text}"
        );
        assert_eq!(audit.to_json()["ledgers"][stage.name()]["findings"][0]["line"], 3);
    }
}

#[test]
fn a_removed_line_is_found_in_its_ledger_and_by_the_others() {
    let dir = ring();
    let file = record_file(dir.path(), Stage::Backend);
    let kept: Vec<String> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .filter(|line| !line.contains("\"exchange\":3,"))
        .map(str::to_owned)
        .collect();
    fs::write(&file, kept.join("\n") + "\n").unwrap();
    let audit = Audit::of(dir.path(), &Sources::default());
    assert_eq!(audit.verdict(), Verdict::Wrong);
    let text = text(&audit);
    assert!(text.contains("expected record 4, found record 5"), "{text}");
    assert!(
        text.contains("exchange 3: the response-validator has a record of it, the backend has none"),
        "{text}"
    );
}

#[test]
fn a_cut_tail_is_found() {
    let dir = ring();
    let file = record_file(dir.path(), Stage::Frontend);
    let bytes = fs::read(&file).unwrap();
    let last_line = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap()
        + 1;
    fs::write(&file, &bytes[..last_line]).unwrap();
    let audit = Audit::of(dir.path(), &Sources::default());
    assert_eq!(audit.verdict(), Verdict::Wrong);
    let text = text(&audit);
    assert!(
        text.contains("the tail is cut: the head names record 12, the last record is 11"),
        "{text}"
    );
}

#[test]
fn a_tail_cut_together_with_its_head_is_still_found_by_the_others() {
    let dir = ring();
    let file = record_file(dir.path(), Stage::QueryValidator);
    let text_before = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text_before.lines().take(3).collect();
    fs::write(&file, kept.join("\n") + "\n").unwrap();
    let last: Value = serde_json::from_str(kept[2]).unwrap();
    let head = format!("{:020} {}\n", 3, last["hash"].as_str().unwrap());
    fs::write(file.with_file_name("head"), head).unwrap();
    let audit = Audit::of(dir.path(), &Sources::default());
    assert!(audit.ledgers.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(audit.verdict(), Verdict::Wrong);
    assert!(text(&audit).contains("the backend has a record of it, the query-validator has none"));
}

#[test]
fn a_ledger_taken_away_is_wrong_and_nothing_there_is_unreadable() {
    let dir = ring();
    fs::write(dir.path().join("backend.toml"), "").unwrap();
    fs::remove_dir_all(dir.path().join("audit/backend")).unwrap();
    assert_eq!(
        Audit::of(dir.path(), &Sources::default()).verdict(),
        Verdict::Wrong
    );
    let empty = TempDir::new().unwrap();
    assert_eq!(
        Audit::of(empty.path(), &Sources::default()).verdict(),
        Verdict::Unreadable
    );
    assert_eq!(
        Audit::of(&empty.path().join("nowhere"), &Sources::default()).verdict(),
        Verdict::Unreadable
    );
    // A ring that never ran.
    Stage::ALL
        .into_iter()
        .for_each(|stage| fs::write(empty.path().join(format!("{stage}.toml")), "").unwrap());
    assert_eq!(
        Audit::of(empty.path(), &Sources::default()).verdict(),
        Verdict::Unreadable
    );
}

fn shown(records: &[Shown], json: bool) -> String {
    let mut out = Vec::new();
    records
        .iter()
        .for_each(|record| record.write(json, &mut out).unwrap());
    String::from_utf8(out).unwrap()
}

#[test]
fn tail_merges_the_stages_by_time_and_keeps_the_latest() {
    let dir = ring();
    let records = Tail::open(dir.path()).unwrap().poll(6).unwrap();
    let order: Vec<_> = records
        .iter()
        .map(|r| (r.text("stage"), r.text("event")))
        .collect();
    assert_eq!(
        order,
        [
            ("response-validator", "exchange"),
            ("frontend", "exchange.answered"),
            ("frontend", "stage.stop"),
            ("query-validator", "stage.stop"),
            ("backend", "stage.stop"),
            ("response-validator", "stage.stop"),
        ]
    );
    let text = shown(&records[1..2], false);
    let session = "02".repeat(16);
    let expected = format!(
        "2023-11-14T22:13:20.055000000Z frontend info exchange.answered allowed session={session} exchange=5 actor=app\n"
    );
    assert_eq!(text, expected);
    let json: Value = serde_json::from_str(&shown(&records[1..2], true)).unwrap();
    assert_eq!(json["event"], "exchange.answered");
}

#[test]
fn tail_follows_what_is_added() {
    let dir = ring();
    let mut tail = Tail::open(&dir.path().join("audit/backend")).unwrap();
    assert_eq!(tail.poll(1000).unwrap().len(), 7);
    assert_eq!(tail.poll(1000).unwrap().len(), 0);
    let directory = dir.path().join("audit/backend");
    let mut ledger = Ledger::open(&directory, Stage::Backend, InstanceId([3; 16]), NOW).unwrap();
    write(&mut ledger, NOW, Event::Exchange, 9);
    assert_eq!(tail.poll(1000).unwrap().len(), 2);
}

#[test]
fn nothing_in_a_record_can_control_the_terminal() {
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::open(dir.path(), Stage::Frontend, InstanceId([1; 16]), NOW).unwrap();
    ledger.append(&Record {
        actor: Some("\u{1b}[2J\u{9b}31m\r\n"),
        result: Outcome::Refused,
        ..Record::at(NOW, Event::SignIn)
    });
    ledger.commit().unwrap();
    let file = dir.path().join("ledger-00000000000000000001.jsonl");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend(b"\x1b[2Jnot a record\n");
    bytes.extend(b"{\"time\":\"\\u001b[2J\",\"details\":{\"\\u001b\":\"\\u001b\"}}\n");
    fs::write(&file, bytes).unwrap();
    let records = Tail::open(dir.path()).unwrap().poll(10).unwrap();
    assert_eq!(records.len(), 3);
    for json in [false, true] {
        let text = shown(&records, json);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}

#[test]
fn a_line_names_what_was_recorded_and_not_its_value() {
    let record = br#"{"time":"t","stage":"s","level":"info","event":"exchange.values","result":"allowed","values":[{"of":"$2","clear":"secret"},{"of":"$1","null":true},{"of":"$2","hash":"ab"}]}"#;
    let mut out = Vec::new();
    Shown::parse(record).unwrap().write(false, &mut out).unwrap();
    let told = String::from_utf8(out).unwrap();
    assert_eq!(told, "t s info exchange.values allowed values=\"$1, $2\"\n");
}
