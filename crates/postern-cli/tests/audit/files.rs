//! Files of ledgers are packed, and go when they are old.

use super::{NOW, postern, site};
use postern_ledger::{Event, Ledger, Record};
use postern_types::{InstanceId, Stage};
use std::fs;
use std::path::Path;

/// So many exchanges, in files of four or so.
fn write_files(directory: &Path, exchanges: u64) {
    let mut ledger = Ledger::open_with(directory, Stage::Backend, InstanceId([1; 16]), NOW, 2000).unwrap();
    for exchange in 1..=exchanges {
        ledger.append(&Record {
            exchange: Some(exchange),
            ..Record::at(NOW + exchange, Event::Exchange)
        });
        ledger.commit().unwrap();
    }
}

#[test]
fn packed_files_are_read_as_before() {
    let files = tempfile::tempdir().unwrap();
    let directory = files.path().join("backend");
    write_files(&directory, 40);
    let ask = || {
        let commands: [(&str, &[&str]); 4] = [
            ("verify", &["--json"]),
            ("query", &["--exchange", "7", "--json"]),
            ("query", &["--since", "2023-11-14T22:13:20.020Z"]),
            ("tail", &["-n", "3"]),
        ];
        commands.map(|(command, arguments)| postern(command, &directory, arguments))
    };
    let before = ask();
    assert_eq!(before[1].1.lines().count(), 1);
    let (code, said, _) = postern("pack", &directory, &[]);
    assert_eq!(code, 0);
    assert!(said.contains("bytes became"), "{said}");
    assert_eq!(ask(), before);
    let (code, said, _) = postern("pack", &directory, &[]);
    assert_eq!((code, said.contains("nothing to pack")), (0, true), "{said}");
    let (code, ..) = postern("pack", &files.path().join("nowhere"), &[]);
    assert_eq!(code, 1);
}

#[test]
fn records_that_are_old_go_and_the_auditor_sees_that_they_were_to() {
    let site = site();
    let ledger = site.ring.ledger(Stage::Backend);
    write_files(&ledger, 40);
    let count = || {
        let files = fs::read_dir(&ledger).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("ledger-")).count()
    };
    let before = count();
    assert!(before > 5, "{before}");
    // A hundred years.
    let (code, said, _) = site.postern(&["prune", "--keep-days", "36500"]);
    assert_eq!((code, count()), (0, before), "{said}");
    // A collector has got some of them only.
    fs::write(
        site.ring.sinks_config_file(),
        "[sinks.siem]\nkind = 'syslog'\naddress = 'tcp://127.0.0.1:1'\n",
    )
    .unwrap();
    let (code, _, why) = site.postern(&["prune", "--keep-days", "1"]);
    assert_eq!((code, count()), (1, before), "{why}");
    assert!(why.contains("siem") && why.contains("record 0"), "{why}");
    fs::create_dir_all(site.ring.join("audit/sent")).unwrap();
    fs::write(
        site.ring.join("audit/sent/siem.json"),
        r#"{"backend":{"number":14,"hash":"ab"}}"#,
    )
    .unwrap();
    let (code, said, why) = site.postern(&["prune", "--keep-days", "1"]);
    assert_eq!((code, count()), (1, before - 1), "{said} {why}");
    fs::remove_file(site.ring.sinks_config_file()).unwrap();
    let (code, said, why) = site.postern(&["prune", "--keep-days", "1"]);
    assert_eq!((code, count()), (0, 2), "{said} {why}");
    assert!(said.contains("backend: removed the records up to"), "{said}");
    assert!(said.contains("frontend: nothing to remove"), "{said}");
    // The copy that was kept does not know of it until it is told.
    let missing = site.findings(Stage::Backend);
    assert!(
        missing.iter().any(|finding| finding.contains("not to go")),
        "{missing:?}"
    );
    assert_eq!(site.postern(&["publish", "--to", &site.kept()]).0, 0);
    assert_eq!(site.findings(Stage::Backend), Vec::<String>::new());
    let (code, said, _) = site.postern(&["verify"]);
    assert!(said.contains("beginning after record"), "{said}");
    assert_eq!(code, 0, "{said}");
    // Without what was signed, nobody can tell that they were to go.
    let checkpoints = site.ring.join("audit/checkpoints");
    fs::rename(&checkpoints, site.path("aside")).unwrap();
    let (code, said, _) = site.postern(&["verify"]);
    assert_eq!(
        (code, said.contains("no checkpoint that let them go")),
        (1, true),
        "{said}"
    );
    fs::rename(site.path("aside"), &checkpoints).unwrap();
    assert_eq!(site.postern(&["verify"]).0, 0);
    // Somebody removes one more.
    let mut files: Vec<_> = fs::read_dir(&ledger)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let first = files
        .iter()
        .find(|file| file.extension().is_some_and(|e| e == "jsonl"))
        .unwrap();
    fs::remove_file(first).unwrap();
    assert_eq!(site.postern(&["verify"]).0, 1);
}

#[test]
fn checkpoints_are_taken_as_a_sink_stores_them() {
    let site = site();
    let kept = site.path("objects");
    for stage in Stage::ALL {
        let text = fs::read_to_string(site.ring.join(format!("audit/checkpoints/{stage}.jsonl"))).unwrap();
        let folder = kept.join(stage.name());
        fs::create_dir_all(&folder).unwrap();
        // One was stored twice, as happens.
        fs::write(folder.join("00000000000000000000-aa.jsonl"), &text).unwrap();
        fs::write(folder.join("00000000000000000000-bb.jsonl"), &text).unwrap();
    }
    let trusted = site.path("trusted").display().to_string();
    let against = kept.display().to_string();
    let verify = || site.postern(&["verify", "--public-keys", &trusted, "--against", &against]);
    // This site's exchanges are made up; that its ledgers do not agree is another matter.
    let (_, said, _) = verify();
    for stage in Stage::ALL {
        let signed = format!("{stage}: as it was signed, up to record 12");
        assert!(said.contains(&signed), "{said}");
    }
    fs::write(kept.join("backend/00000000000000000999-cc.jsonl"), "{}\n").unwrap();
    let (code, said, _) = verify();
    assert_eq!((code, said.contains("not a checkpoint")), (1, true), "{said}");
}
