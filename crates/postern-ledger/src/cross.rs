//! Comparing the ledgers of a ring with each other.
//!
//! Each record is written before what it stands for is handed on (P8), so what a later stage recorded an
//! earlier one must have recorded too. Whether each ledger is sound in itself is [`crate::verify`]'s
//! question; here their words are taken as they are.
//!
//! The ring may be running: the ledgers are read in an order in which a record can't be seen before the
//! ones that had to come first. Memory: about 70 bytes for each exchange.

use crate::files::{self, Head};
use crate::parse::{self, Entry};
use crate::reader::{self, Next};
use crate::record::Event;
use postern_types::{SessionId, Stage};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Findings that are listed; the rest are only counted.
const MOST_FINDINGS: usize = 1000;

/// Where old records were removed, exchanges that began within so long after the removed ones are not compared: one that
/// takes longer has records on both sides.
const LONGEST_MS: i64 = 60 * 60 * 1000;

/// What the ledgers say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossReport {
    /// Records read, by stage.
    pub records: BTreeMap<Stage, u64>,
    /// Exchanges that any stage knows.
    pub exchanges: u64,
    /// Exchanges that every stage knows.
    pub complete: u64,
    /// Exchanges that the Frontend refused or that its clients' records show as lost, or that a restarted
    /// stage took with it: not known to every stage, and accounted for.
    pub accounted: u64,
    /// Exchanges that are still on their way.
    pub open: u64,
    /// Exchanges of which some records may have been removed for their age: not compared.
    pub older: u64,
    /// What does not agree, at most a thousand.
    pub findings: Vec<CrossFinding>,
    /// How much does not agree in all.
    pub total_findings: u64,
}

/// Something on which the ledgers do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrossFinding {
    /// About one exchange.
    Exchange {
        /// Its session.
        session: SessionId,
        /// Its number in the session.
        exchange: u64,
        /// What does not agree.
        kind: Disagreement,
    },
    /// A line that is not a record of this stage, so that it could not be compared.
    Unreadable {
        /// Whose ledger.
        stage: Stage,
        /// Name of the file.
        file: String,
        /// Line in the file, from 1.
        line: u64,
    },
}

impl fmt::Display for CrossFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CrossFinding::Exchange {
                session,
                exchange,
                kind,
            } => write!(f, "session {session}, exchange {exchange}: {kind}"),
            CrossFinding::Unreadable { stage, file, line } => {
                write!(f, "{stage}/{file}:{line}: not a record of this stage")
            }
        }
    }
}

/// How two ledgers can disagree about an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// A stage recorded what an earlier one, without which it can't have happened, did not.
    #[error("the {later} has a record of it, the {earlier} has none")]
    Unasked {
        /// The stage that has a record.
        later: Stage,
        /// The stage that has none.
        earlier: Stage,
    },
    /// The client got the whole answer, yet a stage knows nothing of it.
    #[error("it was answered, but the {0} has no record of it")]
    AnsweredWithout(Stage),
    /// The Backend ran it twice (P6).
    #[error("the backend ran it more than once")]
    RanTwice,
    /// Its session is over, the client got no whole answer, and nothing says why.
    #[error("it was asked for and never answered, and nothing accounts for it")]
    Unaccounted,
    /// It is said to be answered or lost, but was never asked for.
    #[error("the frontend has its end but not its beginning")]
    EndWithoutBeginning,
}

/// Compares the ledgers of a ring, one directory for each stage. Stages that are left out (a topology with
/// fewer processes) are not compared with. Checked are:
///
/// - what a stage has a record of, every stage before it has too;
/// - what the client got a whole answer to, every stage has a record of;
/// - the Backend has one record of an exchange at most (P6); validators may repeat theirs, because the bus
///   delivers to them at least once;
/// - what was asked for is in every ledger, or lost by the Frontend's own word, or some stage started
///   again after it, or it is still on its way.
///
/// # Errors
/// When a ledger can't be read.
pub fn cross_check(ledgers: &BTreeMap<Stage, PathBuf>) -> io::Result<CrossReport> {
    let mut check = Check::default();
    if let Some(directory) = ledgers.get(&Stage::Frontend) {
        // An end that is recorded from here on may belong to records we have read past by then.
        check.settled = match files::read_head(directory)? {
            Head::At(link) => link.number,
            Head::Empty | Head::Unreadable => 0,
        };
    }
    for (stage, directory) in ledgers.iter().rev() {
        check.read_ledger(*stage, directory)?;
    }
    Ok(check.conclude(ledgers))
}

type Key = (SessionId, u64);

/// What is known of one exchange.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Bit by stage: it has a record.
    stages: u8,
    /// One of the bits below.
    marks: u8,
    /// Number of the Frontend's record.
    number: u64,
    /// Time of the Frontend's record.
    time_ms: i64,
    /// Time of the earliest record that any stage has.
    first_ms: i64,
}

const ANSWERED: u8 = 1;
const LOST: u8 = 2;
const REFUSED: u8 = 4;
const RAN_TWICE: u8 = 8;
/// The Frontend's own session.close came after it.
const SESSION_CLOSED: u8 = 16;
/// A Frontend record of its end came without one of its beginning.
const NO_BEGINNING: u8 = 32;

fn bit(stage: Stage) -> u8 {
    match stage {
        Stage::Frontend => 1,
        Stage::QueryValidator => 2,
        Stage::Backend => 4,
        Stage::ResponseValidator => 8,
    }
}

#[derive(Default)]
struct Check {
    report: CrossReport,
    exchanges: HashMap<Key, Known>,
    /// Sessions that the Frontend closed, up to `settled`.
    closed: HashSet<SessionId>,
    /// The latest start of any stage other than the Frontend.
    latest_start_ms: Option<i64>,
    /// Number of the Frontend's latest stage.start.
    frontend_start: u64,
    /// Number of the Frontend's latest stage.stop.
    frontend_stop: u64,
    /// Number of the Frontend's last record when the check began.
    settled: u64,
    /// Before this, some ledger has no records any more.
    whole_since_ms: Option<i64>,
}

impl Check {
    fn read_ledger(&mut self, stage: Stage, directory: &Path) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut records: u64 = 0;
        let pruned = files::begin(directory)?.number > 0;
        for file in files::list(directory)? {
            let mut reader = file.open()?;
            let mut line: u64 = 0;
            loop {
                let next = reader::next_line(&mut reader, &mut bytes)?;
                line = line.saturating_add(1);
                let entry = match next {
                    Next::Line => parse::entry(&bytes),
                    Next::TooLong(_) => None,
                    Next::Torn(_) | Next::End => break,
                };
                match entry {
                    Some(entry) if entry.stage == stage => {
                        if pruned && records == 0 {
                            self.whole_since_ms = self.whole_since_ms.max(Some(entry.time_ms));
                        }
                        self.note(stage, &entry);
                    }
                    _ => self.find(CrossFinding::Unreadable {
                        stage,
                        file: files::file_name(file.first),
                        line,
                    }),
                }
                records = records.saturating_add(1);
            }
        }
        self.report.records.insert(stage, records);
        Ok(())
    }

    fn note(&mut self, stage: Stage, entry: &Entry) {
        match entry.event {
            Some(Event::StageStart | Event::StageStop) => self.note_turn(stage, entry),
            Some(Event::Exchange) => self.note_exchange(stage, entry),
            Some(Event::ExchangeAnswered) if stage == Stage::Frontend => self.note_end(entry, ANSWERED),
            Some(Event::ExchangeLost) if stage == Stage::Frontend => self.note_end(entry, LOST),
            Some(Event::SessionClose) if stage == Stage::Frontend && entry.number <= self.settled => {
                self.closed.extend(entry.session);
            }
            _ => {}
        }
    }

    fn note_turn(&mut self, stage: Stage, entry: &Entry) {
        match (stage, entry.event) {
            (Stage::Frontend, Some(Event::StageStart)) => self.frontend_start = entry.number,
            (Stage::Frontend, _) => self.frontend_stop = entry.number,
            (_, Some(Event::StageStart)) => {
                self.latest_start_ms = self.latest_start_ms.max(Some(entry.time_ms));
            }
            _ => {}
        }
    }

    fn note_exchange(&mut self, stage: Stage, entry: &Entry) {
        let Some(key) = key(entry) else { return };
        let known = self.known(key, entry);
        if stage == Stage::Backend && known.stages & bit(stage) != 0 {
            known.marks |= RAN_TWICE;
        }
        known.stages |= bit(stage);
        if stage == Stage::Frontend {
            known.number = entry.number;
            known.time_ms = entry.time_ms;
            if entry.refused {
                known.marks |= REFUSED;
            }
        }
    }

    /// What is known of the exchange that a record is about.
    fn known(&mut self, key: Key, entry: &Entry) -> &mut Known {
        let known = self.exchanges.entry(key).or_insert(Known {
            first_ms: entry.time_ms,
            ..Known::default()
        });
        known.first_ms = known.first_ms.min(entry.time_ms);
        known
    }

    fn note_end(&mut self, entry: &Entry, mark: u8) {
        // Records of the other stages that belong to a later end may not have been there to read.
        if mark == ANSWERED && entry.number > self.settled {
            return;
        }
        let Some(key) = key(entry) else { return };
        let known = self.known(key, entry);
        if known.stages & bit(Stage::Frontend) == 0 {
            known.marks |= NO_BEGINNING;
        }
        known.marks |= mark;
    }

    fn conclude(mut self, ledgers: &BTreeMap<Stage, PathBuf>) -> CrossReport {
        let stages: Vec<Stage> = Stage::ALL
            .into_iter()
            .filter(|stage| ledgers.contains_key(stage))
            .collect();
        let mut exchanges = std::mem::take(&mut self.exchanges);
        self.report.exchanges = exchanges.len() as u64;
        let whole = self.whole_since_ms.map(|since| since.saturating_add(LONGEST_MS));
        for (key, mut known) in exchanges.drain() {
            if whole.is_some_and(|whole| known.first_ms < whole) {
                self.report.older = self.report.older.saturating_add(1);
                continue;
            }
            if self.closed.contains(&key.0) {
                known.marks |= SESSION_CLOSED;
            }
            self.judge(&stages, key, &known);
        }
        self.report
    }

    fn judge(&mut self, stages: &[Stage], key: Key, known: &Known) {
        let has = |stage: &Stage| known.stages & bit(*stage) != 0;
        let before = self.report.total_findings;
        if known.marks & RAN_TWICE != 0 {
            self.disagree(key, Disagreement::RanTwice);
        }
        if known.marks & NO_BEGINNING != 0 {
            self.disagree(key, Disagreement::EndWithoutBeginning);
        }
        for pair in stages.windows(2) {
            if let [earlier, later] = pair
                && has(later)
                && !has(earlier)
            {
                let (earlier, later) = (*earlier, *later);
                self.disagree(key, Disagreement::Unasked { later, earlier });
            }
        }
        if stages.iter().all(has) {
            self.report.complete = self.report.complete.saturating_add(1);
            return;
        }
        let disagreed = self.report.total_findings > before;
        if !disagreed && known.stages & bit(Stage::Frontend) != 0 {
            self.judge_incomplete(stages, key, known);
        }
    }

    /// An exchange that the Frontend asked for and that did not reach every stage.
    fn judge_incomplete(&mut self, stages: &[Stage], key: Key, known: &Known) {
        if known.marks & REFUSED != 0 {
            self.report.accounted = self.report.accounted.saturating_add(1);
            return;
        }
        if known.marks & ANSWERED != 0 {
            for stage in stages.iter().filter(|stage| known.stages & bit(**stage) == 0) {
                self.disagree(key, Disagreement::AnsweredWithout(*stage));
            }
            return;
        }
        let restarted = self.frontend_start > known.number
            || self.latest_start_ms.is_some_and(|start| start >= known.time_ms);
        let stopped = self.frontend_stop > known.number;
        if known.marks & LOST != 0 || restarted {
            self.report.accounted = self.report.accounted.saturating_add(1);
        } else if known.marks & SESSION_CLOSED != 0 || stopped {
            self.disagree(key, Disagreement::Unaccounted);
        } else {
            self.report.open = self.report.open.saturating_add(1);
        }
    }

    fn disagree(&mut self, (session, exchange): Key, kind: Disagreement) {
        self.find(CrossFinding::Exchange {
            session,
            exchange,
            kind,
        });
    }

    fn find(&mut self, finding: CrossFinding) {
        self.report.total_findings = self.report.total_findings.saturating_add(1);
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}

fn key(entry: &Entry) -> Option<Key> {
    Some((entry.session?, entry.exchange?))
}
