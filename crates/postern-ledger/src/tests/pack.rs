//! Packed files hold what they held.

use super::{NOW, RUN};
use crate::{
    Event, FindingKind, Ledger, Record, Signer, SigningKey, TailReader, Witness, cross_check, pack, verify,
};
use postern_types::Stage;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A ledger of five files or more.
fn ledger(directory: &Path) -> Ledger {
    let mut ledger = Ledger::open_with(directory, Stage::Backend, RUN, NOW, 2000).unwrap();
    write(&mut ledger, 40);
    ledger
}

fn write(ledger: &mut Ledger, records: u64) {
    for exchange in 1..=records {
        ledger.append(&Record {
            exchange: Some(exchange),
            ..Record::at(NOW, Event::Exchange)
        });
        ledger.commit().unwrap();
    }
}

fn read(tail: &mut TailReader) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = tail.next_line().unwrap() {
        lines.push(String::from_utf8(line.to_vec()).unwrap());
    }
    lines
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "head")
        .collect();
    names.sort();
    names
}

fn first_packed(directory: &Path) -> PathBuf {
    directory.join("ledger-00000000000000000001.jsonl.gz")
}

#[test]
fn what_is_packed_is_read_as_before() {
    let dir = TempDir::new().unwrap();
    let mut ledger = ledger(dir.path());
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let mut signer = Signer::open(dir.path(), Stage::Backend, "", key.clone()).unwrap();
    let mut signed = signer.sign(NOW).unwrap();
    let before = read(&mut TailReader::open_at(dir.path(), 1).unwrap());
    let report = verify(dir.path()).unwrap();
    // One that is at it goes on.
    let mut followed = TailReader::open_at(dir.path(), 1).unwrap();
    let first = followed.next_line().unwrap().unwrap().to_vec();
    assert_eq!(first, before[0].as_bytes());

    let files = names(dir.path()).len();
    let packed = pack(dir.path()).unwrap();
    assert_eq!(packed.len(), files - 2);
    assert!(packed.iter().all(|one| one.after < one.before), "{packed:?}");
    assert_eq!(pack(dir.path()).unwrap(), [], "there is nothing left to pack");
    let after = names(dir.path());
    assert_eq!(
        after.iter().filter(|name| name.ends_with(".jsonl.gz")).count(),
        files - 2
    );
    assert_eq!(after.len(), files);

    assert_eq!(verify(dir.path()).unwrap(), report);
    assert_eq!(read(&mut TailReader::open_at(dir.path(), 1).unwrap()), before);
    assert_eq!(read(&mut followed), before[1..]);
    let later = read(&mut TailReader::open_at(dir.path(), 20).unwrap());
    assert!(before.ends_with(&later) && later.len() < before.len());
    assert_eq!(
        read(&mut TailReader::open_since(dir.path(), "2000").unwrap()),
        before
    );
    let ledgers = BTreeMap::from([(Stage::Backend, dir.path().to_owned())]);
    assert_eq!(
        cross_check(&ledgers).unwrap().records[&Stage::Backend],
        report.records
    );
    // Signing goes on, here and in a process that begins anew.
    write(&mut ledger, 10);
    signed.extend(signer.sign(NOW + 1).unwrap());
    let text = signed.join("\n");
    let held = Witness::read(&text, Stage::Backend, &key.public()).compare(dir.path());
    assert_eq!(held, Ok(51));
    pack(dir.path()).unwrap();
    Signer::open(dir.path(), Stage::Backend, &text, key).unwrap();
    // And so does writing.
    drop(ledger);
    Ledger::open(dir.path(), Stage::Backend, RUN, NOW).unwrap();
    assert_eq!(verify(dir.path()).unwrap().records, 52);
}

#[test]
fn packing_that_was_interrupted_costs_nothing() {
    let dir = TempDir::new().unwrap();
    drop(ledger(dir.path()));
    let before = verify(dir.path()).unwrap();
    let plain = dir.path().join("ledger-00000000000000000001.jsonl");
    let kept = fs::read(&plain).unwrap();
    pack(dir.path()).unwrap();
    // Killed before the plain file was removed, and another time before the packed one had its name.
    fs::write(&plain, &kept).unwrap();
    fs::write(
        dir.path().join("ledger-00000000000000000001.jsonl.packing"),
        "half",
    )
    .unwrap();
    assert_eq!(verify(dir.path()).unwrap(), before);
    assert_eq!(pack(dir.path()).unwrap().len(), 1);
    assert_eq!(verify(dir.path()).unwrap(), before);
    assert!(names(dir.path()).iter().all(|name| !name.ends_with(".packing")));
}

#[test]
fn a_packed_file_that_was_changed_is_found() {
    let dir = TempDir::new().unwrap();
    drop(ledger(dir.path()));
    pack(dir.path()).unwrap();
    let file = first_packed(dir.path());
    let good = fs::read(&file).unwrap();
    let spoil = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        verify(dir.path()).unwrap_err()
    };
    for n in (0..good.len()).step_by(7) {
        // What the header says of time and system is nobody's business.
        if (4..10).contains(&n) {
            continue;
        }
        assert!(!spoil(&|bytes| bytes[n] ^= 0x10).is_empty(), "byte {n}");
    }
    spoil(&|bytes| bytes.truncate(good.len() / 2));
    spoil(&|bytes| bytes.clear());
    spoil(&|bytes| bytes.extend_from_slice(b"more"));
    fs::remove_file(&file).unwrap();
    let gone = verify(dir.path()).unwrap_err();
    assert!(
        gone.iter()
            .any(|finding| matches!(finding.kind, FindingKind::Number { expected: 1, .. })),
        "{gone:?}"
    );
}

#[test]
fn records_that_were_changed_inside_are_named() {
    use std::io::{Read as _, Write as _};
    let dir = TempDir::new().unwrap();
    drop(ledger(dir.path()));
    pack(dir.path()).unwrap();
    let file = first_packed(dir.path());
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(&file).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&file).unwrap(), flate2::Compression::fast());
    let changed = text.replacen("\"exchange\":2,", "\"exchange\":9,", 1);
    assert_ne!(changed, text);
    encoder.write_all(changed.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let found = verify(dir.path()).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].record(), found[0].kind),
        (Some(3), FindingKind::Changed)
    );
}
