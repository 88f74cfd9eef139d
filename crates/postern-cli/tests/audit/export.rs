//! Records are exported as the ledgers have them, and to new files only.

use super::{NOW, Site, postern, site};
use postern_ledger::{Event, Ledger, Record};
use postern_types::{Author, InstanceId, Stage};
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn lines_of_ledgers(site: &Site) -> Vec<String> {
    let mut all: Vec<String> = Author::ALL
        .iter()
        .flat_map(|author| {
            let text = fs::read_to_string(site.records(*author)).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    all.sort();
    all
}

#[test]
fn every_line_of_every_ledger_is_there_byte_for_byte_and_by_time() {
    let site = site();
    let (code, said, told) = site.postern(&["export"]);
    assert_eq!((code, told.as_str()), (0, ""));
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    let times: Vec<String> = lines
        .iter()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["time"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(times.is_sorted());
    lines.sort();
    assert_eq!(lines, lines_of_ledgers(&site));
    // One ledger is its file.
    let (_, said, _) = postern("export", &site.ring.ledger(Stage::Backend), &[]);
    assert_eq!(said, fs::read_to_string(site.records(Stage::Backend)).unwrap());
    // All forms have the same records, in the same order.
    let hashes = |format: &str, place: &str| -> Vec<String> {
        let (_, said, _) = site.postern(&["export", "--format", format]);
        let hash = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            record.pointer(place).unwrap().as_str().unwrap().to_owned()
        };
        said.lines().map(hash).collect()
    };
    let right = hashes("jsonl", "/hash");
    assert_eq!(right.len(), lines.len());
    assert_eq!(hashes("ecs", "/event/hash"), right);
    assert_eq!(hashes("ocsf", "/unmapped/hash"), right);
    let (_, said, _) = site.postern(&["export", "--format", "csv"]);
    let hash = |line: &str| line.rsplit(',').next().unwrap().to_owned();
    let of_table: Vec<String> = said.split_terminator("\r\n").skip(1).map(hash).collect();
    assert_eq!(of_table, right);
}

#[test]
fn the_conditions_are_those_of_query() {
    let site = site();
    let conditions: [&[&str]; 7] = [
        &["--event", "exchange"],
        &["--exchange", "3", "--stage", "backend"],
        &[
            "--since",
            "2023-11-14T22:13:20.005Z",
            "--until",
            "2023-11-14T22:13:20.007Z",
        ],
        &["--reference", "0a1b2c3d"],
        &["--limit", "5"],
        &["--actor", "app", "--result", "allowed"],
        &["--actor", "nobody"],
    ];
    for condition in conditions {
        let (code, said, _) = site.postern(&[&["export"], condition].concat());
        let (query_code, query_said, _) = site.postern(&[&["query", "--json"], condition].concat());
        assert_eq!((code, said), (query_code, query_said), "{condition:?}");
    }
}

#[test]
fn a_file_is_new_whole_and_for_its_owner_only() {
    let site = site();
    let folder = site.path("out");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("records.jsonl");
    let to = file.to_str().unwrap();
    let (code, said, told) = site.postern(&["export", "--to", to]);
    assert_eq!((code, said.as_str(), told.as_str()), (0, "", ""));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (_, right, _) = site.postern(&["export"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), right);
    // What is there stays, whatever it is.
    let (code, _, told) = site.postern(&["export", "--to", to, "--limit", "1"]);
    assert_eq!((code, told.contains("is there already")), (1, true), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), right);
    let link = folder.join("link");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    let (code, ..) = site.postern(&["export", "--to", link.to_str().unwrap()]);
    assert_eq!((code, folder.join("elsewhere").exists()), (1, false));
    let (code, _, told) = site.postern(&["export", "--to", site.path("no/where").to_str().unwrap()]);
    assert_eq!((code, told.contains("can't write")), (1, true), "{told}");
    // A ledger that can't be read to its end makes no file, and leaves nothing behind.
    let broken = site.path("broken");
    write_many(&broken, 40, 2000);
    assert_eq!(postern("pack", &broken, &[]).0, 0);
    let packed = broken.join("ledger-00000000000000000001.jsonl.gz");
    let bytes = fs::read(&packed).unwrap();
    fs::write(&packed, bytes.get(..bytes.len() / 2).unwrap()).unwrap();
    let half = folder.join("half.jsonl");
    let (code, _, told) = postern("export", &broken, &["--to", half.to_str().unwrap()]);
    assert_eq!((code, told.contains("broken")), (2, true), "{told}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let (code, ..) = postern("export", &site.path("nowhere"), &[]);
    assert_eq!(code, 2);
}

#[test]
fn lines_that_are_no_records_are_told_of() {
    let site = site();
    site.change_lines(Stage::Backend, |lines| {
        lines[3] = "rubbish".to_owned();
        lines[5] = lines[5].replacen("\"stage\":", "\"stage\" ", 1);
    });
    let (code, said, told) = site.postern(&["export"]);
    assert_eq!(
        (code, said.lines().count()),
        (1, 4 * 12 + 1 - 2),
        "and that the operator has made the ring"
    );
    assert!(told.contains("2 lines are no records"), "{told}");
}

fn write_many(directory: &Path, records: u64, file_bytes: u64) {
    let mut ledger =
        Ledger::open_with(directory, Stage::Backend, InstanceId([1; 16]), NOW, file_bytes).unwrap();
    let pattern = "x".repeat(1000);
    for exchange in 1..=records {
        ledger.append(&Record {
            exchange: Some(exchange),
            pattern: (records > 1000).then_some(pattern.as_str()),
            ..Record::at(NOW + exchange, Event::Exchange)
        });
        if exchange % 100 == 0 || records < 1000 {
            ledger.commit().unwrap();
        }
    }
    ledger.commit().unwrap();
}

/// Its most memory is looked at when it has written nearly everything, and waits for somebody to read the rest.
#[test]
fn a_large_ledger_needs_no_more_memory_than_a_small_one() {
    const RECORDS: u64 = 80_000;
    let files = tempfile::tempdir().unwrap();
    let directory = files.path().join("backend");
    write_many(&directory, RECORDS, 16 * 1024 * 1024);
    for format in ["jsonl", "ecs", "ocsf", "csv"] {
        let mut export = Command::new(env!("CARGO_BIN_EXE_postern"))
            .args(["audit", "export", "--format", format])
            .arg(&directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = export.stdout.take().unwrap();
        let mut lines = 0;
        let mut bytes = 0;
        let mut buffer = vec![0; 64 * 1024];
        while lines < RECORDS - 1000 {
            let read = out.read(&mut buffer).unwrap();
            assert_ne!(read, 0);
            bytes += read;
            lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", export.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{format}: {bytes} bytes, {peak} KiB of memory");
        assert!(peak * 1024 < bytes / 2, "{format}: {peak} KiB for {bytes} bytes");
        drop(out);
        assert!(export.wait().unwrap().success());
    }
}
