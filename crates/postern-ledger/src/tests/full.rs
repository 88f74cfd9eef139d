//! A disk that is full: nothing goes on, or records are dropped and that is written down. A filter of system calls on a
//! thread plays the disk.

use super::{RUN, lines, open};
use crate::{Event, Ledger, OnFull, Record, verify};
use postern_types::Stage;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// Does it on a thread whose writes to a place in a file find no room.
fn without_room<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let calls = BTreeMap::from([(libc::SYS_pwrite64, Vec::new())]);
            let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
            let failing = SeccompAction::Errno(libc::ENOSPC.unsigned_abs());
            let filter = SeccompFilter::new(calls, SeccompAction::Allow, failing, arch).unwrap();
            let program: BpfProgram = filter.try_into().unwrap();
            apply_filter(&program).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn write(ledger: &mut Ledger, records: u64) -> io::Result<()> {
    for exchange in 1..=records {
        ledger.append(&Record {
            exchange: Some(exchange),
            ..Record::new(Event::Exchange)
        });
    }
    ledger.commit()
}

fn events(directory: &Path) -> Vec<String> {
    lines(directory)
        .iter()
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn nothing_is_committed_while_there_is_no_room() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let error = without_room(|| write(&mut ledger, 3)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    // They were kept, and are written when there is room.
    ledger.commit().unwrap();
    assert_eq!(
        events(dir.path()),
        ["stage.start", "exchange", "exchange", "exchange"]
    );
    verify(dir.path()).unwrap();
}

#[test]
fn whoever_serves_on_drops_records_and_says_how_many() {
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap().on_full(OnFull::Serve);
    write(&mut ledger, 1).unwrap();
    without_room(|| {
        write(&mut ledger, 3).unwrap();
        ledger.commit().unwrap();
        write(&mut ledger, 2).unwrap();
        assert_eq!(ledger.lost(), 5);
    });
    assert_eq!(lines(dir.path()).len(), 2);
    write(&mut ledger, 1).unwrap();
    assert_eq!(ledger.lost(), 0);
    assert_eq!(
        events(dir.path()),
        ["stage.start", "exchange", "ledger.gap", "exchange"]
    );
    let gap = &lines(dir.path())[2];
    assert_eq!(
        (
            &gap["level"],
            &gap["details"]["messages"],
            &gap["details"]["reason"]
        ),
        (&"alert".into(), &5.into(), &"disk-full".into())
    );
    verify(dir.path()).unwrap();
    // The next time is told anew, and a start finds the ledger as it was left.
    without_room(|| write(&mut ledger, 4)).unwrap();
    ledger.close(1).unwrap();
    let _again = Ledger::open(dir.path(), Stage::Backend, RUN, 2).unwrap();
    assert_eq!(
        events(dir.path())[4..],
        ["ledger.gap", "stage.stop", "stage.start"]
    );
    assert_eq!(lines(dir.path())[4]["details"]["messages"], 4);
    verify(dir.path()).unwrap();
}

#[test]
fn another_error_is_not_served_over() {
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::open_with(dir.path(), Stage::Backend, RUN, 1, 1)
        .unwrap()
        .on_full(OnFull::Serve);
    // The next commit begins a file, and there is no directory for it.
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(write(&mut ledger, 1).unwrap_err().kind(), io::ErrorKind::NotFound);
}
