//! Somebody changes ledgers, with and without the key that signs checkpoints; an auditor has the public key and
//! the checkpoints as they were.

use super::*;
use crate::checkpoint::to_hex;
use sha2::{Digest, Sha256};

struct Kept {
    dir: TempDir,
    key: SigningKey,
    /// What the auditor keeps elsewhere.
    checkpoints: String,
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&[byte; 32]).unwrap()
}

/// A signer signs once and is gone.
fn sign(
    dir: &Path,
    key: &SigningKey,
    checkpoints: &str,
    now_ms: u64,
) -> Result<Vec<String>, Vec<WitnessFinding>> {
    let mut signer = Signer::open(dir, Stage::Backend, checkpoints, key.clone())?;
    signer.sign(now_ms).map_err(|finding| vec![finding])
}

fn extend(dir: &Path, key: &SigningKey, checkpoints: &mut String, now_ms: u64) -> usize {
    let lines = sign(dir, key, checkpoints, now_ms).unwrap();
    lines.iter().for_each(|line| *checkpoints += &format!("{line}\n"));
    lines.len()
}

/// Eight records in three files, signed after the first five and at the end: (1-3), (4-5), (4-6), (7-8).
fn kept() -> Kept {
    let dir = TempDir::new().unwrap();
    let key = key(7);
    let mut checkpoints = String::new();
    let mut ledger = Ledger::open_with(dir.path(), Stage::Backend, RUN, NOW, 1000).unwrap();
    for number in 1..=7 {
        ledger.append(&exchange(number));
        ledger.commit().unwrap();
        if number == 4 {
            assert_eq!(extend(dir.path(), &key, &mut checkpoints, NOW), 2);
        }
    }
    assert_eq!(extend(dir.path(), &key, &mut checkpoints, NOW), 2);
    drop(ledger);
    verify(dir.path()).unwrap();
    let kept = Kept {
        dir,
        key,
        checkpoints,
    };
    assert_eq!(kept.compare(), Ok(8));
    kept
}

impl Kept {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn compare(&self) -> Result<u64, Vec<WitnessFinding>> {
        compare(self.path(), &self.checkpoints, &self.key)
    }

    /// What is found by the chain alone, and against the checkpoints.
    fn found(&self) -> (bool, Vec<WitnessFinding>) {
        (verify(self.path()).is_err(), self.compare().unwrap_err())
    }

    fn read(&self) -> Vec<Vec<String>> {
        let read = |file: &PathBuf| {
            fs::read_to_string(file)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        };
        record_files(self.path()).iter().map(read).collect()
    }

    /// Writes these lines as they are, and leaves the head.
    fn write(&self, files: &[Vec<String>]) {
        for (path, lines) in record_files(self.path()).iter().zip(files) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(path, text).unwrap();
        }
    }

    /// Writes these records as a ledger in which every number, hash, file name and the head is right.
    fn forge(&self, files: &[Vec<String>]) {
        record_files(self.path())
            .iter()
            .for_each(|file| fs::remove_file(file).unwrap());
        let (mut number, mut prev) = (0, "0".repeat(64));
        for lines in files.iter().filter(|lines| !lines.is_empty()) {
            let first = number + 1;
            let mut text = String::new();
            for line in lines {
                number += 1;
                let (_, rest) = line.split_once(',').unwrap();
                let (rest, _) = rest.rsplit_once(",\"prev\":").unwrap();
                let body = format!("{{\"number\":{number},{rest},\"prev\":\"{prev}\"");
                prev = to_hex(&Sha256::digest(body.as_bytes()));
                text += &format!("{body},\"hash\":\"{prev}\"}}\n");
            }
            fs::write(self.path().join(format!("ledger-{first:020}.jsonl")), text).unwrap();
        }
        fs::write(self.path().join("head"), format!("{number:020} {prev}\n")).unwrap();
        verify(self.path()).unwrap();
    }
}

fn compare(dir: &Path, checkpoints: &str, key: &SigningKey) -> Result<u64, Vec<WitnessFinding>> {
    Witness::read(checkpoints, Stage::Backend, &key.public()).compare(dir)
}

fn refused(line: &str) -> String {
    line.replace("\"allowed\"", "\"refused\"")
}

fn rewritten(line: u64, after: u64, last: u64) -> WitnessFinding {
    let kind = WitnessKind::Rewritten { after, last };
    WitnessFinding { line, kind }
}

/// A checkpoint of records up to `last` in the file that begins with `segment`; the ledger goes to `reached`.
fn missing(line: u64, segment: u64, last: u64, reached: u64) -> WitnessFinding {
    let kind = WitnessKind::Missing {
        segment,
        reached,
        last,
    };
    WitnessFinding { line, kind }
}

fn broken(line: u64, error: CheckpointError) -> WitnessFinding {
    let kind = WitnessKind::Checkpoint(error);
    WitnessFinding { line, kind }
}

/// Changes that the chain shows by itself; the comparison refuses them too, naming file and line.
#[test]
fn changes_without_a_new_chain_are_found_and_named() {
    type Change = fn(&mut Vec<Vec<String>>);
    let changes: [(&str, Change, &str); 8] = [
        ("edit", |f| f[1][1] = refused(&f[1][1]), "04.jsonl:2"),
        (
            "time",
            |f| f[0][2] = f[0][2].replace("13:20.123000000Z", "13:19.123000000Z"),
            "01.jsonl:3",
        ),
        ("delete", |f| drop(f[1].remove(1)), "04.jsonl:2"),
        ("delete the first", |f| drop(f[0].remove(0)), "01.jsonl:1"),
        ("truncate", |f| f[2].truncate(1), "record that it names"),
        ("reorder", |f| f[1].swap(0, 1), "04.jsonl:1"),
        ("repeat", |f| f[0] = [&f[0][..1], &f[0]].concat(), "01.jsonl:2"),
        (
            "move between files",
            |f| {
                let l = f[1].remove(0);
                f[0].push(l)
            },
            "before it are missing",
        ),
    ];
    for (name, change, place) in changes {
        let kept = kept();
        let mut files = kept.read();
        change(&mut files);
        kept.write(&files);
        let (by_chain, found) = kept.found();
        assert!(by_chain, "{name}");
        let named = found.iter().any(|finding| finding.to_string().contains(place));
        assert!(named, "{name}: {found:?}");
    }
}

/// Changes after which every hash, number and the head is right: the chain is content.
#[test]
fn changes_with_a_new_chain_are_found_by_the_checkpoints_and_named() {
    type Change = fn(&mut Vec<Vec<String>>);
    let changes: [(&str, Change, &[WitnessFinding]); 8] = [
        (
            "edit in the first file",
            |f| f[0][1] = refused(&f[0][1]),
            &[
                rewritten(1, 0, 3),
                rewritten(2, 0, 5),
                rewritten(3, 0, 6),
                rewritten(4, 0, 8),
            ],
        ),
        (
            "edit in the second",
            |f| f[1][1] = refused(&f[1][1]),
            &[rewritten(2, 3, 5), rewritten(3, 3, 6), rewritten(4, 3, 8)],
        ),
        (
            "edit after the last but one",
            |f| f[1][2] = refused(&f[1][2]),
            &[rewritten(3, 5, 6), rewritten(4, 5, 8)],
        ),
        (
            "edit the last",
            |f| f[2][1] = refused(&f[2][1]),
            &[rewritten(4, 6, 8)],
        ),
        (
            "cut the tail, head too",
            |f| f[2].truncate(1),
            &[missing(4, 7, 8, 7)],
        ),
        ("remove the last file", |f| f[2].clear(), &[missing(4, 7, 8, 6)]),
        (
            "swap records of one kind",
            |f| f[2].swap(0, 1),
            &[rewritten(4, 6, 8)],
        ),
        (
            "join two files",
            |f| {
                let l = f.remove(2);
                f[1].extend(l)
            },
            &[missing(4, 7, 8, 8)],
        ),
    ];
    for (name, change, expected) in changes {
        let kept = kept();
        let mut files = kept.read();
        change(&mut files);
        kept.forge(&files);
        assert_eq!(kept.compare(), Err(expected.to_vec()), "{name}");
        // Nobody signs such a ledger by accident.
        let signed = sign(kept.path(), &kept.key, &kept.checkpoints, NOW);
        assert_eq!(signed, Err(expected.to_vec()), "{name}");
    }
}

#[test]
fn a_history_rewritten_and_signed_with_the_stolen_key_is_found_by_the_copy() {
    let kept = kept();
    let mut files = kept.read();
    files[2][1] = refused(&files[2][1]);
    kept.forge(&files);
    let mut forged = String::new();
    extend(kept.path(), &kept.key, &mut forged, NOW);
    assert_eq!(compare(kept.path(), &forged, &kept.key), Ok(8));
    assert_eq!(kept.compare(), Err(vec![rewritten(4, 6, 8)]));
    // Adding the forged ones to the copy shows both.
    let fork = kept.checkpoints.clone() + forged.lines().last().unwrap() + "\n";
    let found = compare(kept.path(), &fork, &kept.key).unwrap_err();
    assert!(found.contains(&broken(5, CheckpointError::Previous)), "{found:?}");
    assert!(found.contains(&rewritten(4, 6, 8)), "{found:?}");
}

#[test]
fn checkpoints_of_another_key_or_changed_are_found() {
    let kept = kept();
    let mut forged = String::new();
    extend(kept.path(), &key(8), &mut forged, NOW);
    let found = compare(kept.path(), &forged, &kept.key).unwrap_err();
    assert!(
        found.contains(&broken(1, CheckpointError::Signature)),
        "{found:?}"
    );
    let first = kept.checkpoints.lines().next().unwrap();
    for at in 0..first.len() {
        let mut changed = first.as_bytes().to_vec();
        changed[at] ^= 1;
        let text = String::from_utf8_lossy(&changed).into_owned();
        assert!(Checkpoint::read(&text, &kept.key.public()).is_err(), "byte {at}");
    }
    for same in [
        first.replace(",\"root\"", ", \"root\""),
        first.replace("\"segment\":1", "\"segment\":01"),
    ] {
        assert_eq!(
            Checkpoint::read(&same, &kept.key.public()),
            Err(CheckpointError::Malformed)
        );
    }
}

#[test]
fn checkpoints_removed_reordered_or_repeated_are_found() {
    let kept = kept();
    let lines: Vec<&str> = kept.checkpoints.lines().collect();
    let orders: [&[usize]; 4] = [&[1, 2, 3], &[0, 2, 3], &[1, 0, 2, 3], &[0, 1, 1, 2, 3]];
    for order in orders {
        let text: String = order.iter().map(|n| format!("{}\n", lines[*n])).collect();
        let found = compare(kept.path(), &text, &kept.key).unwrap_err();
        let previous = |f: &WitnessFinding| f.kind == CheckpointError::Previous.into();
        assert!(found.iter().any(previous), "{order:?}: {found:?}");
    }
    let none = WitnessFinding {
        line: 0,
        kind: WitnessKind::NoCheckpoint,
    };
    assert_eq!(compare(kept.path(), "", &kept.key), Err(vec![none]));
}

#[test]
fn another_ledger_in_its_place_is_found() {
    let kept = kept();
    fs::remove_dir_all(kept.path()).unwrap();
    killed(kept.path(), 7, 1000);
    let mut ledger = Ledger::open_with(kept.path(), Stage::Backend, InstanceId([1; 16]), NOW, 1000).unwrap();
    ledger.append(&exchange(9));
    ledger.commit().unwrap();
    // The same run with the same records is the same ledger; one more record changes nothing that was signed.
    assert_eq!(kept.compare(), Ok(8));
    fs::remove_dir_all(kept.path()).unwrap();
    let _other = Ledger::open(kept.path(), Stage::Backend, InstanceId([1; 16]), NOW).unwrap();
    let expected = [
        missing(1, 1, 3, 1),
        missing(2, 4, 5, 1),
        missing(3, 4, 6, 1),
        missing(4, 7, 8, 1),
    ];
    assert_eq!(kept.compare(), Err(expected.to_vec()));
}

#[test]
fn nothing_new_is_not_signed_again_and_time_does_not_go_back() {
    let kept = kept();
    let mut checkpoints = kept.checkpoints.clone();
    assert_eq!(extend(kept.path(), &kept.key, &mut checkpoints, NOW), 0);
    let mut ledger = Ledger::open_with(kept.path(), Stage::Backend, RUN, NOW, 1_000_000).unwrap();
    ledger.append(&exchange(9));
    // What is not committed is not signed: stage.start is, this is not.
    assert_eq!(extend(kept.path(), &kept.key, &mut checkpoints, NOW - 5000), 1);
    let last = checkpoints.lines().last().unwrap();
    let last = Checkpoint::read(last, &kept.key.public()).unwrap();
    assert_eq!((last.time_ms, last.last_record()), (NOW, 9));
    assert_eq!(compare(kept.path(), &checkpoints, &kept.key), Ok(9));
}

#[test]
fn every_signed_record_is_proved_and_no_other() {
    let kept = kept();
    let public = kept.key.public();
    let make = |number| Proof::make(kept.path(), number, Stage::Backend, &kept.checkpoints, &public);
    for number in 1..=8 {
        let text = serde_json::to_string(&make(number).unwrap()).unwrap();
        let proved = Proof::parse(&text).unwrap().check(&public).unwrap();
        assert_eq!(proved.number, number);
        assert!(proved.record.starts_with(&format!("{{\"number\":{number},")));
        assert!(matches!(
            Proof::parse(&text).unwrap().check(&key(8).public()),
            Err(ProofError::Checkpoint(CheckpointError::Signature))
        ));
        let other = text.replacen("\\\"allowed\\\"", "\\\"refused\\\"", 1);
        assert!(matches!(
            Proof::parse(&other).unwrap().check(&public),
            Err(ProofError::Record)
        ));
    }
    assert!(matches!(make(9), Err(ProofError::NotCovered(9))));
    assert!(matches!(make(0), Err(ProofError::NotCovered(0))));
    // A record of a forged ledger, every hash of it right, with a path that was true.
    let before = make(5).unwrap();
    let mut files = kept.read();
    files[1][1] = refused(&files[1][1]);
    kept.forge(&files);
    let forged = &kept.read()[1][1];
    let mut value = serde_json::to_value(&before).unwrap();
    value["record"] = forged.as_str().into();
    let proof = Proof::parse(&value.to_string()).unwrap();
    assert!(matches!(proof.check(&public), Err(ProofError::NotIncluded)));
    let make = Proof::make(kept.path(), 5, Stage::Backend, &kept.checkpoints, &public);
    assert!(matches!(make, Err(ProofError::Contradicted)));
}

#[test]
fn a_secret_key_is_not_shown() {
    let key = key(7);
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey(public: {})", key.public())
    );
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    assert_eq!("07".parse::<PublicKey>(), Err(NotAKey));
}

#[test]
fn a_signer_goes_on_where_it_was_and_signs_no_damage() {
    let dir = TempDir::new().unwrap();
    let key = key(7);
    let mut ledger = Ledger::open_with(dir.path(), Stage::Backend, RUN, NOW, 1000).unwrap();
    let mut signer = Signer::open(dir.path(), Stage::Backend, "", key.clone()).unwrap();
    let mut checkpoints = String::new();
    let mut add = |signer: &mut Signer| {
        let lines = signer.sign(NOW).unwrap();
        lines.iter().for_each(|line| checkpoints += &format!("{line}\n"));
        (lines.len(), checkpoints.clone())
    };
    assert_eq!(add(&mut signer).0, 1);
    assert_eq!(add(&mut signer).0, 0);
    for number in 1..=7 {
        ledger.append(&exchange(number));
        ledger.commit().unwrap();
        assert_eq!(add(&mut signer).0, 1);
    }
    for number in 8..=20 {
        ledger.append(&exchange(number));
        ledger.commit().unwrap();
    }
    let (added, checkpoints) = add(&mut signer);
    assert!(added > 1, "one for each file");
    assert_eq!(compare(dir.path(), &checkpoints, &key), Ok(21));
    // The same as somebody who reads all of it at once.
    assert_eq!(sign(dir.path(), &key, &checkpoints, NOW), Ok(vec![]));
    ledger.append(&exchange(21));
    ledger.commit().unwrap();
    let last = record_files(dir.path()).pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let end = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let (before, line) = text.split_at(end);
    fs::write(&last, before.to_owned() + &line.replacen("allowed", "refused", 1)).unwrap();
    let finding = signer.sign(NOW).unwrap_err();
    assert!(finding.to_string().contains("was changed"), "{finding}");
    assert!(signer.sign(NOW).is_err());
}
