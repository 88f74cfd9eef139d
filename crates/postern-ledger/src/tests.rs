use crate::*;
use postern_types::{InstanceId, KeptForm, KeptValue, SessionId, SqlState, Stage, TraceParent};
use proptest::prelude::*;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

mod cross;
mod full;
mod kill;
mod merkle;
mod odd_files;
mod pack;
mod power;
mod prune;
mod schema;
mod tamper;
mod witness;

const NOW: u64 = 1_700_000_000_123;
const RUN: InstanceId = InstanceId([0xab; 16]);

fn open(directory: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(directory, Stage::Backend, RUN, NOW)
}

fn exchange(number: u64) -> Record<'static> {
    Record {
        session: Some(SessionId([9; 16])),
        exchange: Some(number),
        ..Record::at(NOW, Event::Exchange)
    }
}

/// A ledger with stage.start, `records` exchanges, one commit each, and no stage.stop.
fn killed(directory: &Path, records: u64, rotate_bytes: u64) {
    let mut ledger = Ledger::open_with(directory, Stage::Backend, RUN, NOW, rotate_bytes).unwrap();
    for number in 1..=records {
        ledger.append(&exchange(number));
        ledger.commit().unwrap();
    }
}

fn record_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    files
}

fn lines(directory: &Path) -> Vec<serde_json::Value> {
    let text: String = record_files(directory)
        .iter()
        .map(|f| fs::read_to_string(f).unwrap())
        .collect();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn events(directory: &Path) -> Vec<String> {
    lines(directory)
        .iter()
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_record_is_written_with_all_it_says_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    ledger.append(&Record {
        level: Level::Warn,
        session: Some(SessionId([0x1f; 16])),
        exchange: Some(12),
        trace: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
        named: Some("orders_of"),
        actor: Some("o\"Neil\u{1b}[31m\u{85}é"),
        tenant: Some("acme"),
        action: Some("select"),
        resource: &[StatementDigest::of("select 1"), StatementDigest::of("")],
        result: Outcome::Refused,
        details: Details {
            sqlstate: Some(SqlState::INSUFFICIENT_PRIVILEGE),
            reason: Some("schema"),
            reference: Some(0x1234),
            rows: Some(1),
            bytes: Some(2),
            messages: Some(3),
            statements: Some(4),
            parts: Some(5),
            duration_us: Some(6),
            backend_us: Some(8),
            instance: Some(RUN),
            client: Some("2001:db8::1".parse().unwrap()),
            policy: Some(0xfeed),
            epoch: Some(7),
            would: Some(Outcome::Refused),
        },
        rule: Some("access.cedar:12"),
        objects: &["select shop.orders".to_owned()],
        roles: &["app".to_owned(), "clerk".to_owned()],
        pattern: Some("select * from \"o\" where id = $1"),
        ..Record::at(NOW, Event::Exchange)
    });
    ledger.commit().unwrap();
    let mut line = lines(dir.path()).remove(1);
    let object = line.as_object_mut().unwrap();
    for chained in ["prev", "hash"] {
        assert_eq!(object.remove(chained).unwrap().as_str().unwrap().len(), 64);
    }
    assert_eq!(
        line,
        serde_json::json!({
            "number": 2, "time": "2023-11-14T22:13:20.123000000Z", "stage": "backend", "level": "warn",
            "event": "exchange", "session": "1f".repeat(16), "exchange": 12,
            "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "parent": "00f067aa0ba902b7", "sampled": false,
            "named": "orders_of",
            "actor": "o\"Neil\u{1b}[31m\u{85}é", "tenant": "acme", "action": "select",
            "resource": [
                "sha256:822ae07d4783158bc1912bb623e5107cc9002d519e1143a9c200ed6ee18b6d0f",
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ],
            "result": "refused", "rule": "access.cedar:12", "objects": ["select shop.orders"],
            "roles": ["app", "clerk"], "pattern": "select * from \"o\" where id = $1",
            "details": {
                "sqlstate": "42501", "reason": "schema", "reference": "0000000000001234", "rows": 1,
                "bytes": 2, "messages": 3, "statements": 4, "parts": 5, "duration_us": 6, "backend_us": 8,
                "instance": "ab".repeat(16), "client": "2001:db8::1", "policy": "000000000000feed",
                "epoch": 7, "would": "refused",
            },
        })
    );
    let raw = fs::read(&record_files(dir.path())[0]).unwrap();
    assert!(!raw.contains(&0x1b), "no terminal control goes into the file");
}

#[test]
fn names_and_patterns_are_bounded() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let names = vec!["\u{1}".repeat(1000); 1000];
    for pattern in [
        "x".repeat(PATTERN_BYTES + 1),
        "a\tb".to_owned(),
        "\"".repeat(PATTERN_BYTES),
    ] {
        ledger.append(&Record {
            rule: Some(&names[0]),
            objects: &names,
            roles: &names,
            pattern: Some(&pattern),
            ..exchange(1)
        });
    }
    let value = KeptValue {
        of: names[0].as_str().into(),
        form: KeptForm::Clear(names[0].clone()),
    };
    let values = vec![value; 100];
    let of_values: Vec<_> = exchange(1)
        .of_values(&values)
        .map(|record| record.values.len())
        .collect();
    assert_eq!(of_values, [16, 16, 16, 16, 16, 16, 4]);
    ledger.append(&Record {
        values: &values,
        ..Record::new(Event::ExchangeValues)
    });
    ledger.commit().unwrap();
    let raw = fs::read_to_string(&record_files(dir.path())[0]).unwrap();
    assert!(raw.lines().all(|line| line.len() < MAX_LINE_BYTES));
    let last: serde_json::Value = serde_json::from_str(raw.lines().last().unwrap()).unwrap();
    assert_eq!(last["values"].as_array().unwrap().len(), VALUES);
    assert_eq!(last["values"][0]["clear"].as_str().unwrap().len(), 256);
    assert_eq!(last["values"][0]["cut"], true);
    let lines = lines(dir.path());
    let kept: Vec<_> = lines[1..]
        .iter()
        .map(|line| line.get("pattern").is_some())
        .collect();
    assert_eq!(kept, [false, false, true, false]);
    assert_eq!(lines[1]["objects"].as_array().unwrap().len(), 16);
    assert_eq!(lines[1]["rule"].as_str().unwrap().len(), 128);
}

#[test]
fn a_hash_is_the_sha256_of_the_line_before_it() {
    use sha2::{Digest, Sha256};
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 2, ROTATE_BYTES);
    let mut prev = "0".repeat(64);
    for line in fs::read_to_string(&record_files(dir.path())[0]).unwrap().lines() {
        let (body, seal) = line.split_once(",\"hash\":\"").unwrap();
        assert!(body.ends_with(&format!(",\"prev\":\"{prev}\"")));
        let digest: String = Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(seal, format!("{digest}\"}}"));
        prev = digest;
    }
    let head = fs::read_to_string(dir.path().join("head")).unwrap();
    assert_eq!(head, format!("{:020} {prev}\n", 3));
}

#[test]
fn events_have_distinct_names_that_lead_back() {
    let names: std::collections::BTreeSet<_> = Event::ALL.iter().map(|e| e.name()).collect();
    assert_eq!(names.len(), Event::ALL.len());
    for event in Event::ALL {
        assert_eq!(Event::from_name(event.name()), Some(event));
    }
    assert_eq!(Event::from_name("exchange.unheard"), None);
}

#[test]
fn nothing_is_on_disk_before_the_commit_and_all_of_it_after() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    ledger.append(&exchange(1));
    ledger.append(&exchange(2));
    assert!(ledger.pending_bytes() > 0);
    assert_eq!(events(dir.path()), ["stage.start"]);
    ledger.commit().unwrap();
    assert_eq!(ledger.pending_bytes(), 0);
    assert_eq!(events(dir.path()), ["stage.start", "exchange", "exchange"]);
    ledger.close(NOW).unwrap();
    assert_eq!(events(dir.path()).last().unwrap(), "stage.stop");
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.files, report.records, report.after_head), (1, 4, 0));
}

#[test]
fn a_restart_goes_on_with_the_chain() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 3, ROTATE_BYTES);
    killed(dir.path(), 2, ROTATE_BYTES);
    assert_eq!(verify(dir.path()).unwrap().records, 7);
    let numbers: Vec<u64> = lines(dir.path())
        .iter()
        .map(|l| l["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn files_rotate_and_the_chain_goes_on_across_them_and_restarts() {
    let dir = TempDir::new().unwrap();
    for _ in 0..4 {
        killed(dir.path(), 10, 1000);
    }
    let files = record_files(dir.path());
    assert!(files.len() > 5, "{files:?}");
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= 1000);
    }
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.records, report.files), (44, files.len() as u64));
}

#[test]
fn one_commit_larger_than_a_file_stays_together() {
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), Stage::Backend, RUN, NOW, 500).unwrap();
    (1..50).for_each(|n| ledger.append(&exchange(n)));
    ledger.commit().unwrap();
    ledger.close(NOW).unwrap();
    assert_eq!(record_files(dir.path()).len(), 3);
    assert_eq!(verify(dir.path()).unwrap().records, 51);
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()).unwrap_err(), LedgerError::InUse { .. }));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn the_ledger_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let ledger = dir.path().join("audit/backend");
    killed(&ledger, 1, ROTATE_BYTES);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ledger), 0o700);
    assert_eq!(mode(&ledger.join("head")), 0o600);
    assert_eq!(mode(&record_files(&ledger)[0]), 0o600);
}

#[test]
fn every_torn_end_is_cut_off_and_said_so() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 2, ROTATE_BYTES);
    let file = record_files(dir.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap()
        + 1;
    let next_line = whole[last..whole.len() - 1].to_vec();
    let head = fs::read(dir.path().join("head")).unwrap();
    for length in [1, 2, 50, next_line.len() - 1, next_line.len()] {
        let mut torn = whole.clone();
        torn.extend(&next_line[..length]);
        fs::write(&file, &torn).unwrap();
        fs::write(dir.path().join("head"), &head).unwrap();
        assert_eq!(verify(dir.path()).unwrap().torn_bytes, length as u64);
        drop(open(dir.path()).unwrap());
        assert_eq!(verify(dir.path()).unwrap().torn_bytes, 0);
        let recovered = lines(dir.path()).remove(3);
        assert_eq!(recovered["event"], "ledger.recovered");
        assert_eq!(recovered["details"]["bytes"], length as u64);
        assert_eq!(events(dir.path()).len(), 5);
    }
}

#[test]
fn whole_records_after_the_head_are_kept() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 1, ROTATE_BYTES);
    let head = fs::read(dir.path().join("head")).unwrap();
    killed(dir.path(), 1, ROTATE_BYTES);
    // As if killed between writing the records and writing the head.
    fs::write(dir.path().join("head"), head).unwrap();
    assert_eq!(verify(dir.path()).unwrap().after_head, 2);
    drop(open(dir.path()).unwrap());
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.records, report.after_head), (5, 0));
}

#[test]
fn a_kill_during_rotation_or_creation_is_survived() {
    let dir = TempDir::new().unwrap();
    // Creation: the head is there but empty.
    File::create(dir.path().join("head")).unwrap();
    killed(dir.path(), 1, ROTATE_BYTES);
    // Rotation: the new file is there but empty, then with a torn first line.
    let next = dir.path().join("ledger-00000000000000000003.jsonl");
    File::create(&next).unwrap();
    assert_eq!(verify(dir.path()).unwrap().records, 2);
    File::options()
        .append(true)
        .open(&next)
        .unwrap()
        .write_all(b"{\"num")
        .unwrap();
    assert_eq!(verify(dir.path()).unwrap().torn_bytes, 5);
    drop(open(dir.path()).unwrap());
    assert_eq!(
        events(dir.path()),
        ["stage.start", "exchange", "ledger.recovered", "stage.start"]
    );
    assert_eq!(verify(dir.path()).unwrap().files, 2);
}

#[test]
fn what_no_kill_can_explain_refuses_to_open_and_changes_nothing() {
    type Tamper = fn(&Path, &Path);
    let tampers: [(&str, Tamper); 7] = [
        ("cut tail", |_, file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - 10]).unwrap();
        }),
        ("flipped byte", |_, file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[40] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("removed line", |_, file| {
            let text = fs::read_to_string(file).unwrap();
            let kept: Vec<&str> = text
                .lines()
                .enumerate()
                .filter(|(i, _)| *i != 1)
                .map(|(_, l)| l)
                .collect();
            fs::write(file, kept.join("\n") + "\n").unwrap();
        }),
        ("no head", |dir, _| fs::remove_file(dir.join("head")).unwrap()),
        ("garbled head", |dir, _| {
            fs::write(dir.join("head"), b"1").unwrap()
        }),
        ("no records", |_, file| fs::remove_file(file).unwrap()),
        ("renamed file", |dir, file| {
            fs::rename(file, dir.join("ledger-00000000000000000002.jsonl")).unwrap();
        }),
    ];
    for (name, tamper) in tampers {
        let dir = TempDir::new().unwrap();
        killed(dir.path(), 3, ROTATE_BYTES);
        tamper(dir.path(), &record_files(dir.path())[0]);
        let before: Vec<_> = record_files(dir.path())
            .iter()
            .map(|f| fs::read(f).unwrap())
            .collect();
        let error = open(dir.path()).unwrap_err();
        assert!(
            matches!(error, LedgerError::Inconsistent { .. }),
            "{name}: {error}"
        );
        let after: Vec<_> = record_files(dir.path())
            .iter()
            .map(|f| fs::read(f).unwrap())
            .collect();
        assert_eq!(before, after, "{name}");
        assert!(verify(dir.path()).is_err(), "{name}");
    }
}

#[test]
fn a_missing_middle_file_refuses_to_open() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 20, 1000);
    let files = record_files(dir.path());
    fs::remove_file(&files[files.len() - 2]).unwrap();
    assert!(matches!(
        open(dir.path()).unwrap_err(),
        LedgerError::Inconsistent { .. }
    ));
}

#[test]
fn a_failed_write_keeps_the_records_and_a_later_commit_writes_them() {
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), Stage::Backend, RUN, NOW, 1).unwrap();
    // The next commit rotates; a directory in the new file's place makes that fail.
    let blocked = dir.path().join("ledger-00000000000000000002.jsonl");
    fs::create_dir(&blocked).unwrap();
    ledger.append(&exchange(1));
    assert!(ledger.commit().is_err());
    ledger.append(&exchange(2));
    assert!(ledger.commit().is_err());
    fs::remove_dir(&blocked).unwrap();
    ledger.commit().unwrap();
    drop(ledger);
    assert_eq!(verify(dir.path()).unwrap().records, 3);
}

#[test]
fn long_names_and_many_statements_stay_within_a_line() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let name = "\u{1}".repeat(100_000);
    let many = vec![StatementDigest::of("x"); 10_000];
    ledger.append(&Record {
        actor: Some(&name),
        tenant: Some(&name),
        resource: &many,
        ..exchange(1)
    });
    ledger.commit().unwrap();
    drop(ledger);
    verify(dir.path()).unwrap();
    let line = lines(dir.path()).remove(1);
    assert_eq!(line["actor"].as_str().unwrap().len(), 128);
    assert_eq!(line["resource"].as_array().unwrap().len(), 64);
}

#[test]
fn a_reader_follows_a_ledger_across_files() {
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), Stage::Backend, RUN, NOW, 1000).unwrap();
    let mut reader = TailReader::open(dir.path(), 1).unwrap();
    let mut seen = 0;
    for number in 1..50 {
        ledger.append(&exchange(number));
        ledger.commit().unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            seen += 1;
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(value["number"], seen);
        }
    }
    assert_eq!(seen, 50);
    assert!(record_files(dir.path()).len() > 3);
}

#[test]
fn a_reader_waits_for_the_rest_of_a_torn_line() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 0, ROTATE_BYTES);
    let mut reader = TailReader::open(dir.path(), 1).unwrap();
    assert!(reader.next_line().unwrap().is_some());
    let mut file = File::options()
        .append(true)
        .open(&record_files(dir.path())[0])
        .unwrap();
    file.write_all(b"{\"a\"").unwrap();
    assert_eq!(reader.next_line().unwrap(), None);
    file.write_all(b":1}\n").unwrap();
    assert_eq!(reader.next_line().unwrap(), Some(&b"{\"a\":1}"[..]));
}

proptest! {
    #[test]
    fn any_name_is_valid_json(actor in any::<String>(), tenant in any::<String>(), time_ms: u64) {
        let dir = TempDir::new().unwrap();
        let mut ledger = open(dir.path()).unwrap();
        ledger.append(&Record {
            actor: Some(&actor),
            tenant: Some(&tenant),
            ..Record::at(time_ms, Event::SignIn)
        });
        ledger.commit().unwrap();
        prop_assert!(verify(dir.path()).is_ok());
        let line = lines(dir.path()).remove(1);
        prop_assert!(actor.starts_with(line["actor"].as_str().unwrap()));
        prop_assert!(tenant.starts_with(line["tenant"].as_str().unwrap()));
    }
}
