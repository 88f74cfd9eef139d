//! What an auditor does with the ledgers of a ring, and what somebody does who would deceive him: through the
//! commands alone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use postern_cli::directory::RingDirectory;
use postern_cli::init::{InitOptions, init};
use postern_ledger::{Details, Event, Ledger, Record};
use postern_types::{Author, InstanceId, SessionId, Stage};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod export;
mod files;

const NOW: u64 = 1_700_000_000_000;
/// stage.start, ten exchanges, stage.stop.
const RECORDS: u64 = 12;

struct Site {
    files: tempfile::TempDir,
    ring: RingDirectory,
}

/// A ring whose ledgers are signed, and whose checkpoints and public keys an auditor has.
fn site() -> Site {
    let files = tempfile::tempdir().unwrap();
    let database = "postgres://postern:secret@127.0.0.1:5432/shop".parse().unwrap();
    let ring = init(&InitOptions::new(files.path().join("ring"), database)).unwrap();
    for stage in Stage::ALL {
        write_ledger(&ring.ledger(stage), stage, "app");
    }
    let site = Site { files, ring };
    assert_eq!(site.postern(&["sign"]).0, 0);
    assert_eq!(site.postern(&["publish", "--to", &site.kept()]).0, 0);
    fs::create_dir(site.path("trusted")).unwrap();
    for stage in Stage::ALL {
        let name = format!("{stage}.pub");
        fs::copy(
            site.ring.join("keys/audit").join(&name),
            site.path("trusted").join(name),
        )
        .unwrap();
    }
    site
}

fn write_ledger(directory: &Path, stage: Stage, actor: &str) {
    let mut ledger = Ledger::open(directory, stage, InstanceId([1; 16]), NOW).unwrap();
    for exchange in 1..=10_u64 {
        let event = match stage {
            Stage::Frontend if exchange % 2 == 0 => Event::ExchangeAnswered,
            _ => Event::Exchange,
        };
        let exchange = if stage == Stage::Frontend {
            exchange.div_ceil(2)
        } else {
            exchange
        };
        ledger.append(&Record {
            session: Some(SessionId([2; 16])),
            exchange: Some(exchange),
            actor: Some(actor),
            details: Details {
                reference: (stage == Stage::QueryValidator && exchange == 9).then_some(0x0a1b_2c3d),
                ..Details::default()
            },
            ..Record::at(NOW + exchange, event)
        });
        ledger.commit().unwrap();
    }
    ledger.close(NOW + 100).unwrap();
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn kept(&self) -> String {
        self.path("kept").display().to_string()
    }

    /// `postern audit COMMAND RING …`: exit code, standard output, standard error.
    fn postern(&self, arguments: &[&str]) -> (i32, String, String) {
        postern(arguments[0], self.ring.path(), &arguments[1..])
    }

    /// What the auditor's check says of a stage: nothing, or the findings.
    fn findings(&self, stage: Stage) -> Vec<String> {
        let trusted = self.path("trusted").display().to_string();
        let (_, said, _) = self.postern(&[
            "verify",
            "--json",
            "--public-keys",
            &trusted,
            "--against",
            &self.kept(),
        ]);
        let said: Value = serde_json::from_str(&said).unwrap();
        let of = |part: &str| said[part][stage.name()]["findings"].as_array().unwrap().clone();
        let mut all = of("ledgers");
        all.extend(of("signed"));
        all.iter().map(ToString::to_string).collect()
    }

    fn records(&self, stage: impl Into<Author>) -> PathBuf {
        self.ring.ledger(stage).join("ledger-00000000000000000001.jsonl")
    }

    fn change_lines(&self, stage: Stage, change: impl FnOnce(&mut Vec<String>)) {
        let text = fs::read_to_string(self.records(stage)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(self.records(stage), lines.join("\n") + "\n").unwrap();
    }
}

fn postern(command: &str, place: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["audit", command])
        .arg(place)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_is_signed_is_verified_and_nothing_is_signed_twice() {
    let site = site();
    let (code, said, _) = site.postern(&["verify"]);
    for stage in Stage::ALL {
        let line = format!("{stage}: as it was signed, up to record {RECORDS}\n");
        assert!(said.contains(&line), "{said}");
        assert_eq!(site.findings(stage), Vec::<String>::new());
    }
    // The other stages' records do not fit each other in every way here; that is not what this is about.
    assert!(code < 2, "{said}");
    let (code, said, _) = site.postern(&["sign"]);
    assert_eq!(code, 0);
    assert_eq!(said.matches("nothing new").count(), 5, "{said}");
    // A copy taken away from the ring is checked with what the auditor has.
    let copy = site.path("copy");
    fs::rename(site.ring.join("audit"), &copy).unwrap();
    let (_, said, _) = postern(
        "verify",
        &copy,
        &["--public-keys", site.path("trusted").to_str().unwrap()],
    );
    assert!(said.contains("backend: as it was signed"), "{said}");
    let (_, said, _) = postern("verify", &copy, &[]);
    assert!(said.contains("backend: no checkpoints"), "{said}");
}

/// Seals the lines anew from this one on, and the head with them, as somebody can who writes the files.
fn chain_anew(site: &Site, stage: Stage, from: usize) {
    site.change_lines(stage, |lines| {
        for number in from..lines.len() {
            let before = match number.checked_sub(1) {
                Some(before) => seal(&lines[before]),
                None => "0".repeat(64),
            };
            let (body, _) = lines[number].split_once(",\"prev\":\"").unwrap();
            let sealed = format!("{body},\"prev\":\"{before}\"");
            let hash = hex(&Sha256::digest(sealed.as_bytes()));
            lines[number] = format!("{sealed},\"hash\":\"{hash}\"}}");
        }
    });
    head_anew(site, stage);
}

/// Has the head say that the last line is the last record.
fn head_anew(site: &Site, stage: Stage) {
    let text = fs::read_to_string(site.records(stage)).unwrap();
    let last = text.lines().last().unwrap();
    let number = serde_json::from_str::<Value>(last).unwrap()["number"]
        .as_u64()
        .unwrap();
    fs::write(
        site.ring.ledger(stage).join("head"),
        format!("{number:020} {}\n", seal(last)),
    )
    .unwrap();
}

fn seal(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["hash"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A way to deceive an auditor, how it is done, and what he is told of the Backend's ledger.
type Deceit<'a> = (&'a str, &'a dyn Fn(&Site), &'a str);

/// An auditor has public keys and a copy of the checkpoints; the adversary has everything else, the signing key too.
#[test]
fn every_way_to_change_what_was_signed_is_found_and_the_record_named() {
    const STAGE: Stage = Stage::Backend;
    let history_anew = |site: &Site| {
        fs::remove_dir_all(site.ring.ledger(STAGE)).unwrap();
        write_ledger(&site.ring.ledger(STAGE), STAGE, "bob");
    };
    let sign_anew = |site: &Site| {
        fs::remove_file(site.ring.join("audit/checkpoints/backend.jsonl")).unwrap();
        assert_eq!(site.postern(&["sign"]).0, 0);
    };
    let edit = |site: &Site| {
        site.change_lines(STAGE, |lines| lines[4] = lines[4].replacen("app", "bob", 1));
    };
    let deceits: [Deceit<'_>; 17] = [
        ("edit a record", &edit, "\"record\":5"),
        (
            "delete a record",
            &|site| site.change_lines(STAGE, |lines| drop(lines.remove(4))),
            "record 6",
        ),
        (
            "cut the tail",
            &|site| site.change_lines(STAGE, |lines| lines.truncate(6)),
            "the last record is 6",
        ),
        (
            "cut the tail, and mend the head",
            &|site| {
                site.change_lines(STAGE, |lines| lines.truncate(6));
                head_anew(site, STAGE);
            },
            "goes to record 6, and record 12 of the file",
        ),
        (
            "change the order",
            &|site| site.change_lines(STAGE, |lines| lines.swap(4, 5)),
            "record 6",
        ),
        (
            "put a record in twice",
            &|site| site.change_lines(STAGE, |lines| lines.insert(4, lines[3].clone())),
            "record 4",
        ),
        (
            "write over the end with the end of another line",
            &|site| {
                let text = fs::read_to_string(site.records(STAGE)).unwrap();
                fs::write(site.records(STAGE), text.get(..text.len() - 5).unwrap()).unwrap();
            },
            "record 12",
        ),
        (
            "remove the ledger",
            &|site| fs::remove_dir_all(site.ring.ledger(STAGE)).unwrap(),
            "goes to record 0, and record 12 of the file",
        ),
        (
            "edit, and chain anew from there",
            &|site| {
                edit(site);
                chain_anew(site, STAGE, 4);
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "delete, number and chain anew",
            &|site| {
                site.change_lines(STAGE, |lines| {
                    lines.remove(4);
                    for (place, line) in lines.iter_mut().enumerate().skip(4) {
                        *line = line.replacen(
                            &format!("\"number\":{}", place + 2),
                            &format!("\"number\":{}", place + 1),
                            1,
                        );
                    }
                });
                chain_anew(site, STAGE, 4);
            },
            "goes to record 11, and record 12 of the file",
        ),
        (
            "make another history with a chain that holds",
            &history_anew,
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "edit, chain anew, and sign anew with the stolen key",
            &|site| {
                edit(site);
                chain_anew(site, STAGE, 4);
                sign_anew(site);
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "make another history, and sign it with the stolen key",
            &|site| {
                history_anew(site);
                sign_anew(site);
                // Who has nothing of his own sees nothing wrong; and the copy takes nothing of it.
                let (_, said, _) = site.postern(&["verify"]);
                assert!(said.contains("backend: as it was signed"), "{said}");
                let (code, _, told) = site.postern(&["publish", "--to", &site.kept()]);
                assert_eq!(code, 1);
                assert!(told.contains("backend") && told.contains("has not"), "{told}");
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "another key, and everything signed with it",
            &|site| {
                history_anew(site);
                fs::remove_file(site.ring.join("keys/audit/backend.key")).unwrap();
                sign_anew(site);
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "fork: go on from the middle, and sign that too",
            &|site| {
                site.change_lines(STAGE, |lines| lines.truncate(8));
                head_anew(site, STAGE);
                let mut ledger =
                    Ledger::open(&site.ring.ledger(STAGE), STAGE, InstanceId([3; 16]), NOW + 200).unwrap();
                for exchange in 1..=20 {
                    ledger.append(&Record {
                        exchange: Some(exchange),
                        ..Record::at(NOW + 200 + exchange, Event::Exchange)
                    });
                }
                ledger.close(NOW + 300).unwrap();
                sign_anew(site);
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "put another stage's ledger in its place",
            &|site| {
                fs::copy(site.records(Stage::QueryValidator), site.records(STAGE)).unwrap();
                head_anew(site, STAGE);
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
        (
            "give all records of an hour another time",
            &|site| {
                site.change_lines(STAGE, |lines| {
                    for line in &mut *lines {
                        *line = line.replacen("2023-11-14T22", "2023-11-14T21", 1);
                    }
                });
                chain_anew(site, STAGE, 0);
                sign_anew(site);
            },
            "a record after 0 and up to 12 is another than was signed",
        ),
    ];
    let mut missed = Vec::new();
    for (name, deceive, named) in deceits {
        let site = site();
        deceive(&site);
        let findings = site.findings(STAGE);
        println!("{name}: {findings:#?}");
        if !findings.iter().any(|finding| finding.contains(named)) {
            missed.push(format!("{name}: {named}"));
        }
        let others = site.findings(Stage::QueryValidator);
        assert_eq!(others, Vec::<String>::new(), "{name}");
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_damaged_ledger_is_not_signed() {
    let site = site();
    site.change_lines(Stage::Backend, |lines| {
        lines[4] = lines[4].replacen("app", "bob", 1)
    });
    let (code, said, told) = site.postern(&["sign"]);
    assert_eq!(code, 1, "{said}");
    assert!(told.contains("backend: not signed"), "{told}");
    assert_eq!(said.matches("nothing new").count(), 4, "{said}");
}

#[test]
fn a_checkpoint_that_a_crash_cut_is_made_anew() {
    let site = site();
    let file = site.ring.join("audit/checkpoints/backend.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.split_at(whole.len() / 2).0).unwrap();
    assert_eq!(site.postern(&["sign"]).0, 0);
    let again = fs::read_to_string(&file).unwrap();
    assert_eq!(again.lines().count(), 1);
    let (_, said, _) = site.postern(&["verify"]);
    assert!(said.contains("backend: as it was signed"), "{said}");
}

#[test]
fn a_record_is_proved_to_somebody_with_the_public_key_only() {
    let site = site();
    let (code, proof, told) = site.postern(&["prove", "--stage", "backend", "--number", "5"]);
    assert_eq!(code, 0, "{told}");
    let file = site.path("proof.json");
    let key = site.path("trusted/backend.pub");
    let check = |proof: &str, key: &Path| {
        fs::write(&file, proof).unwrap();
        let kept = site.path("kept/backend.jsonl");
        let arguments = [
            "--public-key",
            key.to_str().unwrap(),
            "--against",
            kept.to_str().unwrap(),
        ];
        postern("verify-proof", &file, &arguments)
    };
    let (code, said, _) = check(&proof, &key);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("record 5 of backend is proved") && said.contains("\"number\":5"),
        "{said}"
    );
    let (code, said, _) = check(&proof.replacen("app", "bob", 1), &key);
    assert_eq!((code, said.contains("does NOT hold")), (1, true), "{said}");
    let (code, _, _) = check(&proof, &site.path("trusted/frontend.pub"));
    assert_eq!(code, 1);
    let (code, _, told) = check(&proof, &site.path("nowhere.pub"));
    assert_eq!(code, 2, "{told}");
    // A proof made after history was signed anew: its checkpoint is not one of those that were kept.
    fs::remove_file(site.ring.join("audit/checkpoints/backend.jsonl")).unwrap();
    assert_eq!(site.postern(&["sign"]).0, 0);
    let (_, proof, _) = site.postern(&["prove", "--stage", "backend", "--number", "5"]);
    let (code, said, _) = check(&proof, &key);
    assert_eq!(
        (code, said.contains("not among those that were kept")),
        (1, true),
        "{said}"
    );
    // What no checkpoint covers can't be proved.
    let (code, _, told) = site.postern(&["prove", "--stage", "backend", "--number", "99"]);
    assert_eq!(code, 1);
    assert!(told.contains("no checkpoint covers record 99"), "{told}");
}

#[test]
fn records_are_found_by_what_they_say() {
    let site = site();
    let numbers = |arguments: &[&str]| {
        let mut all = vec!["query", "--json"];
        all.extend(arguments);
        let (code, said, told) = site.postern(&all);
        let found: Vec<(String, u64)> = said
            .lines()
            .map(|line| {
                let record: Value = serde_json::from_str(line).unwrap();
                let stage = record["stage"].as_str().unwrap().to_owned();
                (stage, record["number"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(code, i32::from(found.is_empty()), "{told}");
        found
    };
    let all = numbers(&[]);
    // The operator has made the ring.
    assert_eq!(all.len() as u64, 4 * RECORDS + 1);
    let of_backend = |numbers: &[u64]| -> Vec<(String, u64)> {
        numbers
            .iter()
            .map(|number| ("backend".to_owned(), *number))
            .collect()
    };
    assert_eq!(
        numbers(&["--stage", "backend", "--exchange", "7"]),
        of_backend(&[8])
    );
    assert_eq!(
        numbers(&["--stage", "backend", "--event", "stage.stop"]),
        of_backend(&[RECORDS])
    );
    // NOW is 2023-11-14T22:13:20Z; exchange N of the Backend was written N milliseconds later.
    let range = [
        "--since",
        "2023-11-14T22:13:20.003Z",
        "--until",
        "2023-11-14T22:13:20.005Z",
    ];
    let with_stage = [&range[..], &["--stage", "backend"]].concat();
    assert_eq!(numbers(&with_stage), of_backend(&[4, 5, 6]));
    let times = [&range[..], &["--actor", "app"]].concat();
    assert!(numbers(&times).len() > 9, "of all stages");
    assert_eq!(numbers(&["--actor", "bob"]), vec![]);
    assert_eq!(
        numbers(&[
            "--session",
            &"02".repeat(16),
            "--stage",
            "backend",
            "--limit",
            "2"
        ]),
        of_backend(&[2, 3])
    );
    assert_eq!(numbers(&["--reference", "7"]), vec![]);
    assert_eq!(numbers(&["--reference", "0a1b2c3d"]).len(), 1);
    // The trace of exchange 5 of session 02…, in all ledgers.
    let trace = format!("{}07", "02".repeat(15));
    let of_trace = numbers(&["--trace", &trace]);
    assert_eq!(
        of_trace,
        numbers(&["--session", &"02".repeat(16), "--exchange", "5"])
    );
    assert!(of_trace.len() >= 4);
    // A name that stands somewhere else in the line is not what was asked for.
    assert_eq!(numbers(&["--tenant", "app"]), vec![]);
    let (code, _, _) = postern("query", &site.path("nowhere"), &[]);
    assert_eq!(code, 2);
}
