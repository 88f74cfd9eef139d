//! What [`verify`] finds, judged by changing real ledgers.

use super::*;

fn three_files() -> (TempDir, Vec<PathBuf>) {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 7, 1000);
    let files = record_files(dir.path());
    assert_eq!(files.len(), 3);
    verify(dir.path()).unwrap();
    (dir, files)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_str().unwrap().to_owned()
}

fn edit_lines(file: &Path, edit: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = fs::read_to_string(file)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    edit(&mut lines);
    fs::write(file, lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_flip_in_every_byte_of_every_file_is_found_where_it_is() {
    let (dir, files) = three_files();
    for file in &files {
        let good = fs::read(file).unwrap();
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(file, &changed).unwrap();
            let findings = verify(dir.path()).unwrap_err();
            let line = good[..at].iter().filter(|b| **b == b'\n').count() as u64 + 1;
            // The very last line end is the one place where a flip looks like a cut tail.
            let there = findings.iter().any(|f| {
                f.file == name(file) && (f.line == line || matches!(f.kind, FindingKind::CutTail { .. }))
            });
            assert!(there, "byte {at} of {}: {findings:?}", name(file));
        }
        fs::write(file, &good).unwrap();
    }
    verify(dir.path()).unwrap();
}

#[test]
fn every_flipped_bit_of_the_head_is_found() {
    let (dir, _) = three_files();
    let head = dir.path().join("head");
    let good = fs::read(&head).unwrap();
    for at in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[at / 8] ^= 1 << (at % 8);
        fs::write(&head, &changed).unwrap();
        assert!(verify(dir.path()).is_err(), "bit {at}");
    }
}

#[test]
fn a_flipped_byte_is_named_by_file_and_line() {
    let (dir, files) = three_files();
    edit_lines(&files[1], |lines| {
        lines[1] = lines[1].replace("\"allowed\"", "\"refused\"")
    });
    let findings = verify(dir.path()).unwrap_err();
    let expected = Finding {
        file: name(&files[1]),
        line: 2,
        kind: FindingKind::Changed,
    };
    assert_eq!(findings, [expected]);
}

#[test]
fn every_removed_line_is_found() {
    let (dir, files) = three_files();
    for file in &files {
        let good = fs::read(file).unwrap();
        let count = good.iter().filter(|b| **b == b'\n').count();
        for at in 0..count {
            edit_lines(file, |lines| drop(lines.remove(at)));
            let findings = verify(dir.path()).unwrap_err();
            let expected = findings
                .iter()
                .any(|f| matches!(f.kind, FindingKind::Number { .. } | FindingKind::CutTail { .. }));
            assert!(expected, "line {at} of {}: {findings:?}", name(file));
            fs::write(file, &good).unwrap();
        }
    }
}

#[test]
fn swapped_repeated_and_replaced_lines_are_found() {
    let (dir, files) = three_files();
    let good = fs::read(&files[1]).unwrap();
    let edits: [fn(&mut Vec<String>); 3] = [
        |lines| lines.swap(0, 1),
        |lines| lines.insert(1, lines[0].clone()),
        |lines| lines.push(lines[0].clone()),
    ];
    for edit in edits {
        edit_lines(&files[1], edit);
        let findings = verify(dir.path()).unwrap_err();
        assert!(
            findings
                .iter()
                .any(|f| matches!(f.kind, FindingKind::Number { .. })),
            "{findings:?}"
        );
        fs::write(&files[1], &good).unwrap();
    }
}

#[test]
fn a_line_replaced_with_a_right_hash_of_its_own_breaks_the_chain() {
    let (dir, files) = three_files();
    // Another ledger's records of the same numbers: every hash in it holds.
    let other = TempDir::new().unwrap();
    let mut ledger = Ledger::open_with(other.path(), Stage::Backend, RUN, NOW + 1, 1000).unwrap();
    for number in 1..=7 {
        ledger.append(&exchange(number));
        ledger.commit().unwrap();
    }
    fs::copy(other.path().join(name(&files[1])), &files[1]).unwrap();
    let findings = verify(dir.path()).unwrap_err();
    let kinds: Vec<_> = findings
        .iter()
        .map(|f| (f.file.clone(), f.line, f.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (name(&files[1]), 1, FindingKind::Previous),
            (name(&files[2]), 1, FindingKind::Previous)
        ]
    );
}

#[test]
fn every_cut_tail_is_found() {
    let (dir, files) = three_files();
    let good = fs::read(&files[2]).unwrap();
    for length in 0..good.len() {
        fs::write(&files[2], &good[..length]).unwrap();
        let findings = verify(dir.path()).unwrap_err();
        assert!(
            findings
                .iter()
                .any(|f| matches!(f.kind, FindingKind::CutTail { head: 8, .. })),
            "{length}: {findings:?}"
        );
    }
    fs::remove_file(&files[2]).unwrap();
    assert!(verify(dir.path()).is_err());
}

#[test]
fn missing_files_are_found() {
    for missing in 0..3 {
        let (dir, files) = three_files();
        fs::remove_file(&files[missing]).unwrap();
        assert!(verify(dir.path()).is_err(), "file {missing}");
    }
}

#[test]
fn a_removed_head_and_an_empty_directory_are_found() {
    let (dir, _) = three_files();
    fs::remove_file(dir.path().join("head")).unwrap();
    assert_eq!(verify(dir.path()).unwrap_err()[0].kind, FindingKind::HeadMissing);
    let empty = TempDir::new().unwrap();
    assert_eq!(verify(empty.path()).unwrap_err()[0].kind, FindingKind::NoLedger);
    let nowhere = verify(&empty.path().join("nowhere")).unwrap_err();
    assert_eq!(
        nowhere[0].kind,
        FindingKind::Unreadable(std::io::ErrorKind::NotFound)
    );
}

#[test]
fn a_line_without_end_costs_no_memory_and_is_found() {
    let (dir, files) = three_files();
    let mut bytes = vec![b'x'; 3 * MAX_LINE_BYTES];
    bytes.push(b'\n');
    bytes.extend(fs::read(&files[0]).unwrap());
    fs::write(&files[0], bytes).unwrap();
    let findings = verify(dir.path()).unwrap_err();
    assert_eq!((findings[0].line, findings[0].kind), (1, FindingKind::Malformed));
}

#[test]
fn findings_are_bounded() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    (0..1000).for_each(|n| ledger.append(&exchange(n)));
    ledger.commit().unwrap();
    let file = record_files(dir.path()).remove(0);
    let text = fs::read_to_string(&file).unwrap().replace("allowed", "refused");
    fs::write(&file, text).unwrap();
    let findings = verify(dir.path()).unwrap_err();
    assert_eq!(findings.len(), 101);
    assert_eq!(findings[100].kind, FindingKind::TooMany);
}

#[test]
fn findings_read_well() {
    let text = Finding {
        file: "ledger-00000000000000000001.jsonl".into(),
        line: 3,
        kind: FindingKind::Changed,
    };
    assert_eq!(
        text.to_string(),
        "ledger-00000000000000000001.jsonl:3: record 3: the record was changed: its hash does not match"
    );
}
