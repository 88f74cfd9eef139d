use super::*;
use postern_ledger::{Event, Ledger, Record};
use postern_types::{InstanceId, Stage};
use std::fs;

/// The ledger of one stage.
struct Written {
    directory: tempfile::TempDir,
    ledger: Option<Ledger>,
}

const STAGE: Author = Author::Stage(Stage::Backend);
const ENOUGH: usize = 1 << 20;

impl Written {
    fn new(records: u64) -> Written {
        let mut written = Written {
            directory: tempfile::tempdir().unwrap(),
            ledger: None,
        };
        written.add(records);
        written
    }

    fn add(&mut self, records: u64) {
        let path = self.directory.path().join(STAGE.name());
        let ledger = self
            .ledger
            .get_or_insert_with(|| Ledger::open(&path, Stage::Backend, InstanceId([1; 16]), 1).unwrap());
        for number in 0..records {
            ledger.append(&Record::at(number, Event::Exchange));
        }
        ledger.commit().unwrap();
    }

    fn feed(&self, positions: &Positions) -> Feed {
        Feed::new(self.directory.path(), positions.clone())
    }

    fn file(&self) -> PathBuf {
        let folder = fs::read_dir(self.directory.path().join(STAGE.name())).unwrap();
        let mut files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        files.remove(0)
    }
}

/// Numbers of what comes next, and what is odd about it.
fn numbers(feed: &mut Feed, bytes: usize) -> (Vec<u64>, Vec<Oddity>) {
    let mut odd = Vec::new();
    let entries = feed.read(bytes, &mut odd).unwrap();
    let number = |entry: &Entry| seal_of(&entry.line).unwrap().number;
    (entries.iter().map(number).collect(), odd)
}

#[test]
fn a_ledger_is_read_on_from_where_it_was_confirmed() {
    let mut written = Written::new(4);
    let mut feed = written.feed(&Positions::new());
    // The start of the stage is a record too.
    assert_eq!(numbers(&mut feed, ENOUGH), (vec![1, 2, 3, 4, 5], vec![]));
    assert_eq!(numbers(&mut feed, ENOUGH), (vec![], vec![]));
    let confirmed = feed.position().clone();
    written.add(2);
    assert_eq!(numbers(&mut feed, ENOUGH), (vec![6, 7], vec![]));
    // As if the connection had been lost: from what was confirmed.
    assert_eq!(
        numbers(&mut written.feed(&confirmed), ENOUGH),
        (vec![6, 7], vec![])
    );
    let mut after = written.feed(feed.position());
    assert_eq!(numbers(&mut after, ENOUGH), (vec![], vec![]));
    written.add(1);
    assert_eq!(numbers(&mut after, ENOUGH), (vec![8], vec![]));
}

#[test]
fn little_at_a_time_leaves_nothing_out() {
    let written = Written::new(20);
    let mut feed = written.feed(&Positions::new());
    let mut all = Vec::new();
    loop {
        let before = feed.position().get(&STAGE).map_or(0, |mark| mark.number);
        let (some, odd) = numbers(&mut feed, 2000);
        assert!(odd.is_empty());
        if some.is_empty() {
            break;
        }
        assert!(some.len() < 20);
        assert_eq!(some[0], before + 1, "the position is that of what was given out");
        all.extend(some);
    }
    assert_eq!(all, (1..=21).collect::<Vec<_>>());
}

#[test]
fn a_ledger_that_was_cut_or_made_anew_is_sent_once_more() {
    let written = Written::new(4);
    let mut feed = written.feed(&Positions::new());
    numbers(&mut feed, ENOUGH);
    let confirmed = feed.position().clone();
    let changed = Oddity::Changed {
        stage: STAGE,
        number: 5,
    };
    // Cut.
    let file = written.file();
    let text = fs::read_to_string(&file).unwrap();
    let kept: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(&file, &kept).unwrap();
    let mut again = written.feed(&confirmed);
    assert_eq!(
        numbers(&mut again, ENOUGH),
        (vec![1, 2, 3], vec![changed.clone()])
    );
    assert_eq!(numbers(&mut again, ENOUGH), (vec![], vec![]));
    // Made anew, with as many records.
    let other = Written::new(7);
    fs::copy(other.file(), &file).unwrap();
    let first = fs::read_to_string(&file)
        .unwrap()
        .replace("\"time\":\"1970", "\"time\":\"1971");
    fs::write(&file, first).unwrap();
    let mut mark = confirmed.clone();
    mark.get_mut(&STAGE).unwrap().hash = "0".repeat(64);
    assert_eq!(
        numbers(&mut written.feed(&mark), ENOUGH),
        (vec![5, 6, 7, 8], vec![changed])
    );
}

#[test]
fn a_file_that_was_removed_after_it_was_confirmed_is_nothing_odd() {
    let written = Written::new(4);
    let mut feed = written.feed(&Positions::new());
    numbers(&mut feed, ENOUGH);
    let text = fs::read_to_string(written.file()).unwrap();
    let line = text.lines().nth(2).unwrap();
    let seal = seal_of(line.as_bytes()).unwrap();
    let mark = Mark {
        number: seal.number,
        hash: seal.hash.to_owned(),
    };
    let rest: String = text.lines().skip(3).map(|line| format!("{line}\n")).collect();
    let file = written.file();
    fs::write(file.with_file_name("ledger-00000000000000000004.jsonl"), rest).unwrap();
    fs::remove_file(file).unwrap();
    let mut after = written.feed(&Positions::from([(STAGE, mark.clone())]));
    assert_eq!(numbers(&mut after, ENOUGH), (vec![4, 5], vec![]));
    // One that was not is.
    let early = Mark { number: 2, ..mark };
    let changed = Oddity::Changed {
        stage: STAGE,
        number: 2,
    };
    let mut after = written.feed(&Positions::from([(STAGE, early)]));
    assert_eq!(numbers(&mut after, ENOUGH), (vec![4, 5], vec![changed]));
}

#[test]
fn what_is_no_record_is_told_of_and_passed_over() {
    let mut written = Written::new(1);
    let file = written.file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("not a record\n{text}half a line")).unwrap();
    let no_record = Oddity::NoRecord { stage: STAGE };
    let mut feed = written.feed(&Positions::new());
    assert_eq!(numbers(&mut feed, ENOUGH), (vec![1, 2], vec![no_record]));
    written.ledger = None;
}
