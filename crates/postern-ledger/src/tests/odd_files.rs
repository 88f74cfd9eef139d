//! What a hijacked stage may leave in its directory in the place of a file.

use super::{killed, record_files};
use crate::{TailReader, open_regular, pack, verify};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Nobody writes to it: whoever just opened it would wait for ever.
fn pipe(place: &Path) {
    assert!(Command::new("mkfifo").arg(place).status().unwrap().success());
}

#[test]
fn only_a_regular_file_is_opened() {
    let files = tempfile::tempdir().unwrap();
    let (plain, link, pipe_at) = (
        files.path().join("plain"),
        files.path().join("link"),
        files.path().join("pipe"),
    );
    fs::write(&plain, "records").unwrap();
    symlink(&plain, &link).unwrap();
    pipe(&pipe_at);
    open_regular(&plain).unwrap();
    for place in [&link, &pipe_at, &files.path().to_owned()] {
        open_regular(place).unwrap_err();
    }
}

#[test]
fn nobody_waits_at_a_pipe_or_follows_a_link_in_the_place_of_records() {
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("secret");
    let ledger = files.path().join("ledger");
    killed(&ledger, 40, 2000);
    let middle = record_files(&ledger).remove(1);
    fs::rename(&middle, &secret).unwrap();
    let refused = || {
        let mut tail = TailReader::open_at(&ledger, 1).unwrap();
        while tail
            .next_line()
            .is_ok_and(|line| line.expect("the records after the gap are not to be had").len() > 1)
        {}
        verify(&ledger).unwrap_err();
        pack(&ledger).unwrap_err();
    };
    pipe(&middle);
    refused();
    fs::remove_file(&middle).unwrap();
    symlink(&secret, &middle).unwrap();
    refused();
}

#[test]
fn packing_writes_to_nothing_that_a_link_leads_to() {
    let files = tempfile::tempdir().unwrap();
    let precious = files.path().join("precious");
    fs::write(&precious, "as it was").unwrap();
    let ledger = files.path().join("ledger");
    killed(&ledger, 40, 2000);
    for file in record_files(&ledger) {
        let beside = format!("{}.packing", file.file_name().unwrap().to_str().unwrap());
        symlink(&precious, ledger.join(beside)).unwrap();
    }
    assert!(!pack(&ledger).unwrap().is_empty());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "as it was");
    assert_eq!(verify(&ledger).unwrap().records, 41);
}
