//! Records that are old enough go; whoever takes others away is found.

use super::{NOW, RUN, record_files};
use crate::{
    CheckpointError, Event, FindingKind, Ledger, Proof, ProofError, Record, Signer, SigningKey, TailReader,
    Witness, WitnessKind, cross_check, pack, prunable, prune, verify,
};
use postern_types::{SessionId, Stage};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const HOUR: u64 = 3_600_000;
/// After all records.
const LATER: &str = "2999-01-01T00:00:00.000000000Z";

/// Exchanges, each an hour after the one before, in files of three or so.
fn write(ledger: &mut Ledger, exchanges: std::ops::RangeInclusive<u64>) {
    for exchange in exchanges {
        ledger.append(&Record {
            session: Some(SessionId([9; 16])),
            exchange: Some(exchange),
            ..Record::at(NOW + exchange * HOUR, Event::Exchange)
        });
        ledger.commit().unwrap();
    }
}

struct Kept {
    dir: TempDir,
    key: SigningKey,
    checkpoints: String,
}

impl Kept {
    /// All signed.
    fn new() -> Kept {
        let mut kept = Kept {
            dir: TempDir::new().unwrap(),
            key: SigningKey::from_seed(&[7; 32]).unwrap(),
            checkpoints: String::new(),
        };
        write(&mut kept.ledger(), 1..=20);
        kept.sign(0).unwrap();
        kept
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ledger(&self) -> Ledger {
        Ledger::open_with(self.path(), Stage::Backend, RUN, NOW, 1000).unwrap()
    }

    fn sign(&mut self, pruned: u64) -> Result<usize, WitnessKind> {
        let mut signer =
            Signer::open(self.path(), Stage::Backend, &self.checkpoints, self.key.clone()).unwrap();
        let lines = signer.sign_pruned(NOW, pruned).map_err(|finding| finding.kind)?;
        lines
            .iter()
            .for_each(|line| self.checkpoints += &format!("{line}\n"));
        Ok(lines.len())
    }

    fn compare(&self) -> Result<u64, Vec<WitnessKind>> {
        let witness = Witness::read(&self.checkpoints, Stage::Backend, &self.key.public());
        let findings = |findings: Vec<crate::WitnessFinding>| findings.into_iter().map(|f| f.kind).collect();
        witness.compare(self.path()).map_err(findings)
    }

    /// Number of the first record of each file.
    fn firsts(&self) -> Vec<u64> {
        let names = record_files(self.path());
        let number = |path: &std::path::PathBuf| {
            crate::files::number_of(path.file_name().unwrap().to_str().unwrap()).unwrap()
        };
        names.iter().map(number).collect()
    }
}

fn tail(path: &Path) -> u64 {
    let mut tail = TailReader::open_at(path, 1).unwrap();
    crate::seal_of(tail.next_line().unwrap().unwrap()).unwrap().number
}

#[test]
fn what_was_let_go_goes_and_all_else_is_proved() {
    let mut kept = Kept::new();
    let last = verify(kept.path()).unwrap().records;
    let through = kept.firsts()[3] - 1;
    assert_eq!(kept.sign(through), Ok(1), "there is nothing new but that they go");
    assert_eq!(kept.compare(), Ok(last), "it was said, and not done yet");
    assert_eq!(prune(kept.path(), through).unwrap(), 3);
    assert_eq!(kept.compare(), Ok(last));
    let report = verify(kept.path()).unwrap();
    assert_eq!((report.pruned, report.records), (through, last - through));
    assert_eq!(tail(kept.path()), through + 1);
    let prove = |number| {
        Proof::make(
            kept.path(),
            number,
            Stage::Backend,
            &kept.checkpoints,
            &kept.key.public(),
        )
    };
    assert!(matches!(prove(through), Err(ProofError::Pruned(_))));
    prove(through + 1).unwrap().check(&kept.key.public()).unwrap();
    // It goes on, and more goes.
    write(&mut kept.ledger(), 21..=30);
    assert!(kept.sign(through).unwrap() > 0);
    let pruned = kept.checkpoints.matches("\"pruned\"").count();
    assert_eq!(pruned, 1, "what was said is not said again");
    let next = kept.firsts()[2] - 1;
    kept.sign(next).unwrap();
    pack(kept.path()).unwrap();
    assert_eq!(prune(kept.path(), next).unwrap(), 2, "packed ones too");
    let last = crate::committed(kept.path()).unwrap();
    assert_eq!(kept.compare(), Ok(last));
    assert_eq!(verify(kept.path()).unwrap().pruned, next);
}

#[test]
fn what_is_younger_or_needed_stays() {
    let kept = Kept::new();
    let firsts = kept.firsts();
    let at = |hours: u64| {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(NOW + hours * HOUR).unwrap()).unwrap();
        format!("{time:.9}")
    };
    // The fourth file's first record is of an hour of its own.
    let first = firsts[3];
    let hour = first - 1;
    assert_eq!(
        prunable(kept.path(), &at(hour), u64::MAX).unwrap(),
        Some(first - 1)
    );
    assert_eq!(
        prunable(kept.path(), &at(hour - 1), u64::MAX).unwrap(),
        Some(firsts[2] - 1)
    );
    assert_eq!(prunable(kept.path(), &at(0), u64::MAX).unwrap(), None);
    assert_eq!(
        prunable(kept.path(), LATER, first - 2).unwrap(),
        Some(firsts[2] - 1),
        "somebody has not seen the last of the third file yet"
    );
    let newest_two = firsts[firsts.len() - 2];
    assert_eq!(
        prunable(kept.path(), LATER, u64::MAX).unwrap(),
        Some(newest_two - 1)
    );
    for wrong in [first, first - 2, firsts[firsts.len() - 1] - 1, 1000] {
        prune(kept.path(), wrong).unwrap_err();
    }
    assert_eq!(kept.firsts(), firsts);
}

#[test]
fn an_interrupted_removal_is_brought_to_its_end() {
    let mut kept = Kept::new();
    let through = kept.firsts()[3] - 1;
    kept.sign(through).unwrap();
    let first = record_files(kept.path()).remove(0);
    let saved = fs::read(&first).unwrap();
    prune(kept.path(), through).unwrap();
    fs::write(&first, saved).unwrap();
    assert_eq!(verify(kept.path()).unwrap().pruned, through);
    assert_eq!(tail(kept.path()), through + 1);
    kept.compare().unwrap();
    drop(kept.ledger());
    // Whoever writes a beginning of his own does not get anything removed by that.
    let files = record_files(kept.path()).len();
    prune(kept.path(), 0).unwrap_err();
    assert_eq!(record_files(kept.path()).len(), files);
    assert_eq!(prune(kept.path(), through).unwrap(), 1);
    assert!(!first.exists());
}

#[test]
fn records_that_nobody_let_go_are_missed() {
    let kept = Kept::new();
    let firsts = kept.firsts();
    let files = record_files(kept.path());
    // By hand: the chain tells.
    let saved = fs::read(&files[0]).unwrap();
    fs::remove_file(&files[0]).unwrap();
    let findings = verify(kept.path()).unwrap_err();
    assert!(
        matches!(findings[0].kind, FindingKind::Number { expected: 1, .. }),
        "{findings:?}"
    );
    fs::write(&files[0], saved).unwrap();
    // With a beginning that fits: the checkpoints tell.
    prune(kept.path(), firsts[2] - 1).unwrap();
    verify(kept.path()).unwrap();
    let begin = firsts[2] - 1;
    assert!(
        kept.compare()
            .unwrap_err()
            .contains(&WitnessKind::NotLetGo { begin, pruned: 0 })
    );
    assert!(Signer::open(kept.path(), Stage::Backend, &kept.checkpoints, kept.key.clone()).is_err());
    // A beginning that is none.
    fs::write(kept.path().join("begin"), "1 x\n").unwrap();
    assert!(matches!(
        verify(kept.path()).unwrap_err()[0].kind,
        FindingKind::Unreadable(_)
    ));
    assert!(matches!(kept.compare().unwrap_err()[0], WitnessKind::Ledger(_)));
    assert!(Ledger::open(kept.path(), Stage::Backend, RUN, NOW).is_err());
}

#[test]
fn more_than_was_let_go_is_missed() {
    let mut kept = Kept::new();
    let firsts = kept.firsts();
    kept.sign(firsts[1] - 1).unwrap();
    prune(kept.path(), firsts[2] - 1).unwrap();
    let (begin, pruned) = (firsts[2] - 1, firsts[1] - 1);
    assert!(
        kept.compare()
            .unwrap_err()
            .contains(&WitnessKind::NotLetGo { begin, pruned })
    );
}

#[test]
fn a_beginning_with_another_hash_is_noticed() {
    let mut kept = Kept::new();
    let through = kept.firsts()[2] - 1;
    kept.sign(through).unwrap();
    prune(kept.path(), through).unwrap();
    let begin = fs::read_to_string(kept.path().join("begin")).unwrap();
    let hash = begin.split(' ').nth(1).unwrap();
    let forged = begin.replace(hash.get(..8).unwrap(), "00000000");
    fs::write(kept.path().join("begin"), forged).unwrap();
    assert_eq!(verify(kept.path()).unwrap_err()[0].kind, FindingKind::Previous);
    let rewritten = WitnessKind::Rewritten {
        after: 0,
        last: through,
    };
    assert!(kept.compare().unwrap_err().contains(&rewritten));
}

#[test]
fn what_is_not_signed_can_not_be_let_go() {
    let mut kept = Kept::new();
    let last = crate::committed(kept.path()).unwrap();
    write(&mut kept.ledger(), 21..=30);
    assert_eq!(
        kept.sign(last + 1),
        Err(WitnessKind::Checkpoint(CheckpointError::Pruned))
    );
    // A signer that does all the same is found: in the middle of a file, or before what was let go already.
    let middle = kept.firsts()[2];
    kept.sign(middle).unwrap();
    assert!(
        kept.compare()
            .unwrap_err()
            .contains(&CheckpointError::Pruned.into())
    );
}

#[test]
fn exchanges_on_both_sides_of_a_removal_are_not_compared() {
    let ledgers: BTreeMap<Stage, TempDir> = [Stage::Frontend, Stage::QueryValidator]
        .map(|stage| (stage, TempDir::new().unwrap()))
        .into();
    for (stage, dir) in &ledgers {
        // Of one the files are smaller, so that they end elsewhere.
        let bytes = if *stage == Stage::Frontend { 1000 } else { 1700 };
        let mut ledger = Ledger::open_with(dir.path(), *stage, RUN, NOW, bytes).unwrap();
        write(&mut ledger, 1..=20);
    }
    let paths: BTreeMap<Stage, _> = ledgers
        .iter()
        .map(|(stage, dir)| (*stage, dir.path().to_owned()))
        .collect();
    let before = cross_check(&paths).unwrap();
    assert_eq!(
        (before.exchanges, before.older, before.total_findings),
        (20, 0, 0)
    );
    let frontend = &paths[&Stage::Frontend];
    let through = prunable(frontend, LATER, 12).unwrap().unwrap();
    prune(frontend, through).unwrap();
    let after = cross_check(&paths).unwrap();
    assert_eq!(after.total_findings, 0, "{:?}", after.findings);
    // Records are an hour apart, and the first is no exchange: the one that begins the ledger is not compared either.
    assert_eq!((after.exchanges, after.older), (20, through));
    // What is younger is missed as before.
    let newest = record_files(frontend).pop().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    let kept = text.lines().count() - 1;
    let text: String = text.lines().take(kept).map(|line| format!("{line}\n")).collect();
    fs::write(&newest, text).unwrap();
    assert_eq!(cross_check(&paths).unwrap().total_findings, 1);
}
