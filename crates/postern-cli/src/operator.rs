//! The operator's ledger: what people do to a ring, written down before it is done.
//!
//! `audit/operator` has one record for each command that changes the ring, and another one when that failed. It is
//! signed, carried to collectors and checked like those of the stages. It trusts the operating system for who runs the
//! command; root can claim to be anybody. Not in it: passwords, keys and texts of statements.

use crate::directory::RingDirectory;
use anyhow::Context as _;
use postern_ledger::{Durability, Event, Ledger, LedgerError, Outcome, Record};
use postern_runtime::unix_ms;
use postern_types::Author;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another command may take to write its record.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does it, with a record before. `action` is the command as a fixed name, `objects` says what it is about.
///
/// # Errors
/// When the record can't be written, and nothing is done then; else what `work` says.
pub(crate) fn recorded<T>(
    ring: &RingDirectory,
    action: &'static str,
    objects: &[String],
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    note(ring, action, objects, Outcome::Allowed).context("nothing was done")?;
    work().inspect_err(|_| {
        if let Err(error) = note(ring, action, objects, Outcome::Failed) {
            eprintln!("postern: {error:#}");
        }
    })
}

/// Writes one record.
///
/// # Errors
/// When that can't be done: the disk is full, the ledger is damaged, or it is somebody else's.
pub(crate) fn note(
    ring: &RingDirectory,
    action: &'static str,
    objects: &[String],
    result: Outcome,
) -> anyhow::Result<()> {
    let directory = ring.ledger(Author::Operator);
    write(&directory, action, objects, result)
        .with_context(|| format!("{action} can't be recorded in {}", directory.display()))?;
    give_to_owner(ring.path(), &directory)
        .with_context(|| format!("can't give {} to the owner of the ring", directory.display()))
}

fn write(directory: &Path, action: &'static str, objects: &[String], result: Outcome) -> anyhow::Result<()> {
    let actor = who();
    let mut ledger = open(directory)?.surviving(Durability::Power)?;
    ledger.append(&Record {
        actor: Some(&actor),
        action: Some(action),
        objects,
        result,
        ..Record::new(Event::AdminCommand)
    });
    ledger.commit()?;
    Ok(())
}

/// Waits for its turn: each command has the ledger open for a moment.
fn open(directory: &Path) -> Result<Ledger, LedgerError> {
    let late = Instant::now() + PATIENCE;
    loop {
        match Ledger::open_operators(directory, unix_ms()) {
            Err(LedgerError::InUse { .. }) if Instant::now() < late => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// The operating system's name for whoever runs this, and whom sudo says it is for.
fn who() -> String {
    let uid = rustix::process::getuid();
    let own = whoami::username().unwrap_or_else(|_| format!("uid {}", uid.as_raw()));
    match std::env::var("SUDO_USER") {
        Ok(person) if uid.is_root() && !person.is_empty() => format!("{own}, by sudo of {person}"),
        _ => own,
    }
}

/// What root has written, the ring's owner must be able to read: the sinks, and the next command.
fn give_to_owner(ring: &Path, directory: &Path) -> std::io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(ring)?;
    let give = |path: &Path| {
        let now = fs::metadata(path)?;
        if (now.uid(), now.gid()) == (owner.uid(), owner.gid()) {
            return Ok(());
        }
        chown(path, Some(owner.uid()), Some(owner.gid()))
    };
    give(directory)?;
    for file in fs::read_dir(directory)? {
        give(&file?.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_ledger::{TailReader, verify};
    use serde_json::Value;

    fn records(ring: &RingDirectory) -> Vec<Value> {
        let mut tail = TailReader::open(&ring.ledger(Author::Operator), usize::MAX).unwrap();
        let mut records = Vec::new();
        while let Some(line) = tail.next_line().unwrap() {
            records.push(serde_json::from_slice(line).unwrap());
        }
        records
    }

    #[test]
    fn what_is_done_is_recorded_before_and_again_when_it_fails() {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path());
        let objects = ["alice".to_owned()];
        recorded(&ring, "user.add", &objects, || {
            assert_eq!(records(&ring).len(), 1, "before it is done");
            Ok(())
        })
        .unwrap();
        recorded(&ring, "user.remove", &objects, || -> anyhow::Result<()> {
            anyhow::bail!("there is no such user")
        })
        .unwrap_err();
        let told: Vec<_> = records(&ring)
            .iter()
            .map(|record| {
                assert_eq!(
                    (&record["stage"], &record["event"]),
                    (&"operator".into(), &"admin.command".into())
                );
                assert_eq!(record["objects"][0], "alice");
                assert!(!record["actor"].as_str().unwrap().is_empty());
                format!("{} {}", record["action"], record["result"])
            })
            .collect();
        assert_eq!(
            told,
            [
                r#""user.add" "allowed""#,
                r#""user.remove" "allowed""#,
                r#""user.remove" "failed""#
            ]
        );
        assert_eq!(verify(&ring.ledger(Author::Operator)).unwrap().records, 3);
    }

    #[test]
    fn what_can_not_be_recorded_is_not_done() {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path());
        recorded(&ring, "user.add", &[], || Ok(())).unwrap();
        fs::remove_file(ring.ledger(Author::Operator).join("head")).unwrap();
        let done = recorded(&ring, "user.add", &[], || -> anyhow::Result<()> {
            panic!("it was done")
        });
        let told = format!("{:#}", done.unwrap_err());
        assert!(
            told.contains("nothing was done") && told.contains("user.add"),
            "{told}"
        );
    }

    #[test]
    fn commands_at_the_same_time_wait_for_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path());
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| recorded(&ring, "user.add", &[], || Ok(())).unwrap());
            }
        });
        assert_eq!(verify(&ring.ledger(Author::Operator)).unwrap().records, 8);
    }
}
