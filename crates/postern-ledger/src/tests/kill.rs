//! P8 for real: a process that is killed with SIGKILL while it writes loses no record whose commit it had
//! told anybody of, and its ledger opens again.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const DIRECTORY: &str = "POSTERN_TEST_LEDGER";

/// Not a test of its own: what the killed process runs. Tells each commit on standard output.
#[test]
fn writer_to_be_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut ledger = Ledger::open_with(Path::new(&directory), Stage::Backend, RUN, NOW, 50_000).unwrap();
    for number in 1u64.. {
        ledger.append(&exchange(number));
        // Commits of many sizes, the larger ones of several pages.
        if number % 37 == 0 || number % 101 == 0 {
            ledger.commit().unwrap();
            println!("committed {number}");
        }
    }
}

#[test]
fn sigkill_loses_no_committed_record() {
    let dir = TempDir::new().unwrap();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::writer_to_be_killed", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut last = 0;
        let mut note = |line: String| {
            if let Some(number) = line.strip_prefix("committed ") {
                last = number.parse::<u64>().unwrap_or(last);
            }
        };
        told.by_ref().take(100 * round).for_each(&mut note);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it told between our last look and its death counts too.
        told.for_each(&mut note);
        assert!(last > 0);

        drop(open(dir.path()).unwrap());
        verify(dir.path()).unwrap();
        let all = lines(dir.path());
        let starts: Vec<usize> = all
            .iter()
            .enumerate()
            .filter(|(_, line)| line["event"] == "stage.start")
            .map(|(at, _)| at)
            .collect();
        // The last start is our own; the one before it is the killed process's.
        let killed_run = &all[starts[starts.len() - 2]..];
        let kept = killed_run
            .iter()
            .filter_map(|line| line["exchange"].as_u64())
            .max();
        assert!(kept >= Some(last), "told {last}, kept {kept:?}");
    }
}
