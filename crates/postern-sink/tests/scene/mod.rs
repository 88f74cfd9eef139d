//! Ledgers that are written to, and a sink that reads them.

#![allow(dead_code, reason = "each test takes what it needs")]

use postern_ledger::{Details, Event, Ledger, Level, Outcome, Record, Signer, SigningKey};
use postern_sink::{Mark, Positions};
use postern_testkit::process::Process;
use postern_testkit::{Signal, Stage};
use postern_types::Author;
use postern_types::InstanceId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Lines by the program that wrote them.
pub(crate) type Lines = BTreeMap<String, Vec<String>>;

/// The ledgers of four stages, and a sink.
pub(crate) struct Scene {
    pub(crate) files: tempfile::TempDir,
    ledgers: BTreeMap<Stage, Ledger>,
    sink: Option<Process>,
}

impl Scene {
    /// A sink that does not run yet.
    pub(crate) fn new() -> Scene {
        let files = tempfile::tempdir().unwrap();
        let ledgers = Stage::ALL.map(|stage| {
            let directory = files.path().join("audit").join(stage.name());
            let ledger = Ledger::open(&directory, stage, InstanceId([1; 16]), now_ms()).unwrap();
            (stage, ledger)
        });
        Scene {
            files,
            ledgers: ledgers.into(),
            sink: None,
        }
    }

    /// What `[sinks.siem]` says.
    pub(crate) fn configure(&self, sink: &str) {
        let text = format!("hostname = \"shop-1\"\nsandbox = \"strict\"\n[sinks.siem]\n{sink}");
        fs::write(self.files.path().join("sinks.toml"), text).unwrap();
    }

    pub(crate) fn run_sink(&mut self) {
        let command = [
            env!("CARGO_BIN_EXE_postern-sink").into(),
            "--config".into(),
            "sinks.toml".into(),
        ];
        let log = self.files.path().join("sink.log");
        self.sink = Some(Process::start(&command, self.files.path(), &log).unwrap());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("sink.log")).unwrap_or_default()
    }

    /// Ends the sink in order; it must not need to be killed.
    pub(crate) fn stop_sink(&mut self) {
        let mut sink = self.sink.take().expect("the sink runs");
        assert!(sink.stop(Signal::TERM, Duration::from_secs(12)), "{}", self.log());
    }

    pub(crate) fn kill_sink(&mut self) {
        self.sink.take().expect("the sink runs").kill();
    }

    fn position(&self) -> PathBuf {
        self.files.path().join("audit/sent/siem.json")
    }

    /// Waits until the collector has confirmed everything.
    pub(crate) fn wait_for_position(&self) {
        let end = Instant::now() + PATIENCE;
        let all: BTreeMap<Author, usize> = Stage::ALL
            .map(|stage| (stage.into(), self.lines(stage).len()))
            .into();
        let confirmed = || -> Option<BTreeMap<Author, usize>> {
            let text = fs::read(self.position()).ok()?;
            let positions: Positions = serde_json::from_slice(&text).ok()?;
            let number = |mark: Mark| usize::try_from(mark.number).unwrap();
            Some(
                positions
                    .into_iter()
                    .map(|(stage, mark)| (stage, number(mark)))
                    .collect(),
            )
        };
        while confirmed().as_ref() != Some(&all) {
            assert!(Instant::now() < end, "not all is confirmed: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes rubbish over the remembered position.
    pub(crate) fn spoil_position(&self) {
        fs::write(self.position(), "spoiled").unwrap();
    }

    /// Adds so many records to each ledger.
    pub(crate) fn write(&mut self, records: usize) {
        for ledger in self.ledgers.values_mut() {
            for n in 0..records {
                let refused = n % 10 == 0;
                ledger.append(&Record {
                    level: if refused { Level::Warn } else { Level::Info },
                    result: if refused {
                        Outcome::Refused
                    } else {
                        Outcome::Allowed
                    },
                    actor: Some("o'brien \"the ] \\ żółw\""),
                    tenant: Some("7"),
                    exchange: Some(n as u64),
                    details: Details {
                        reason: refused.then_some("policy"),
                        ..Details::default()
                    },
                    ..Record::at(now_ms(), Event::Exchange)
                });
            }
            ledger.commit().unwrap();
        }
    }

    /// Signs what is new in all ledgers.
    pub(crate) fn sign(&self, key: &SigningKey) {
        fs::create_dir_all(self.files.path().join("audit/checkpoints")).unwrap();
        for stage in Stage::ALL {
            let ledger = self.files.path().join("audit").join(stage.name());
            let mut text = self.checkpoints(stage);
            let mut signer = Signer::open(&ledger, stage, &text, key.clone()).unwrap();
            for line in signer.sign(now_ms()).unwrap() {
                text += &format!("{line}\n");
            }
            fs::write(self.checkpoints_file(stage), text).unwrap();
        }
    }

    /// What was signed of a ledger.
    pub(crate) fn checkpoints(&self, stage: Stage) -> String {
        fs::read_to_string(self.checkpoints_file(stage)).unwrap_or_default()
    }

    fn checkpoints_file(&self, stage: Stage) -> PathBuf {
        self.files.path().join(format!("audit/checkpoints/{stage}.jsonl"))
    }

    /// Adds one record to a ledger.
    pub(crate) fn record(&mut self, stage: Stage, record: &Record<'_>) {
        let ledger = self.ledgers.get_mut(&stage).expect("it is written to");
        ledger.append(record);
        ledger.commit().unwrap();
    }

    /// The oldest file of a ledger, when nobody writes to it any more.
    pub(crate) fn let_go(&mut self, stage: Stage) -> PathBuf {
        self.ledgers.remove(&stage);
        self.ledger_files(stage).remove(0)
    }

    fn ledger_files(&self, stage: Stage) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.files.path().join("audit").join(stage.name())).unwrap();
        let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        files
    }

    /// What the ledgers hold.
    fn written(&self) -> Lines {
        let name = |stage: Stage| format!("postern-{stage}");
        Stage::ALL.map(|stage| (name(stage), self.lines(stage))).into()
    }

    fn lines(&self, stage: Stage) -> Vec<String> {
        let files = self.ledger_files(stage);
        let text: String = files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a collector, which has received what `received` says, holds what the ledgers hold, no less and no
    /// more, in their order.
    pub(crate) fn wait_for_all(&self, received: impl Fn() -> Vec<(String, String)>) {
        let (written, end) = (self.written(), Instant::now() + PATIENCE);
        let total: usize = written.values().map(Vec::len).sum();
        loop {
            let received = received();
            let messages = received.len();
            let arrived = once_each(received);
            if arrived == written {
                println!("{total} records, {messages} messages");
                return;
            }
            let there: usize = arrived.values().map(Vec::len).sum();
            assert!(
                Instant::now() < end,
                "{there} of {total} records have arrived: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for_log_after(0, text);
    }

    /// Waits until the log says this after so many bytes.
    pub(crate) fn wait_for_log_after(&self, bytes: usize, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().get(bytes..).is_some_and(|log| log.contains(text)) {
            assert!(Instant::now() < end, "no `{text}` in: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Each record once, where it came first.
fn once_each(received: Vec<(String, String)>) -> Lines {
    let mut arrived = Lines::new();
    let mut seen = BTreeSet::new();
    for (program, line) in received {
        if seen.insert((program.clone(), line.clone())) {
            arrived.entry(program).or_default().push(line);
        }
    }
    arrived
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_millis()).unwrap()
}
