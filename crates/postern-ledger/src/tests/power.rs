//! With `Durability::Power` nothing is committed that the disk has not taken. A filter of system calls on this thread
//! plays a disk that takes nothing.

use crate::{Durability, Event, Ledger, Record};
use postern_types::{InstanceId, Stage};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use std::collections::BTreeMap;
use std::path::Path;

/// From now on this thread can't make the kernel write to a disk.
fn break_the_disk() {
    let calls = BTreeMap::from([(libc::SYS_fdatasync, Vec::new()), (libc::SYS_fsync, Vec::new())]);
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let failing = SeccompAction::Errno(libc::EIO.unsigned_abs());
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, failing, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

fn open(directory: &Path, durability: Durability) -> std::io::Result<Ledger> {
    let ledger = Ledger::open(directory, Stage::Backend, InstanceId([1; 16]), 1).unwrap();
    ledger.surviving(durability)
}

/// Whether two commits succeed after the disk has broken.
fn commits(durability: Durability) -> [bool; 2] {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let thread = std::thread::spawn(move || {
        let mut ledger = open(&path, durability).unwrap();
        ledger.append(&Record::at(2, Event::Exchange));
        ledger.commit().unwrap();
        break_the_disk();
        [3, 4].map(|time_ms| {
            ledger.append(&Record::at(time_ms, Event::Exchange));
            ledger.commit().is_ok()
        })
    });
    thread.join().unwrap()
}

#[test]
fn nothing_is_committed_that_the_disk_has_not_taken() {
    assert_eq!(commits(Durability::Process), [true, true]);
    assert_eq!(commits(Durability::Power), [false, false]);
}

#[test]
fn what_is_there_already_is_on_the_disk_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let opened = std::thread::spawn(move || {
        break_the_disk();
        [Durability::Process, Durability::Power].map(|durability| open(&path, durability).is_ok())
    });
    assert_eq!(opened.join().unwrap(), [true, false]);
}

#[test]
fn a_disk_that_has_failed_is_not_believed_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = open(directory.path(), Durability::Power).unwrap();
    ledger.append(&Record::at(2, Event::Exchange));
    let mut ledger = std::thread::spawn(move || {
        break_the_disk();
        assert!(ledger.commit().is_err());
        ledger
    })
    .join()
    .unwrap();
    // This thread's disk is well.
    assert!(ledger.commit().is_err());
    ledger.append(&Record::at(3, Event::Exchange));
    assert!(ledger.commit().is_err());
}
