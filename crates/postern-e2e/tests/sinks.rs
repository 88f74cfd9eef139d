//! Records reach collectors whatever dies: pgbench at full load, both collectors down for a while, every stage killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::collectors::collectors;
use postern_e2e::ledgers::recorded;
use postern_e2e::{pgbench, until};
use postern_ledger::cross_check;
use postern_testkit::hook::Hook;
use postern_testkit::receiver::Mood;
use postern_testkit::{Options, Part, Ring, Stage, Storage};
use postern_types::Author;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const CLIENTS: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(120);
/// How long pgbench runs, in seconds; half of it with both collectors down. `POSTERN_SINKS_SECONDS` says otherwise.
const SECONDS: u64 = 20;

/// Authors by the names of their programs, with what each has written or sent.
type Lines = BTreeMap<String, BTreeSet<String>>;

fn written(ring: &Ring) -> Lines {
    let lines = |directory: &PathBuf| {
        let mut files: Vec<PathBuf> = fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        let text: String = files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        text.lines().map(str::to_owned).collect()
    };
    let of_stages = ring.ledger_dirs().into_iter();
    let of_stages = of_stages.map(|(stage, directory)| (Author::Stage(stage), directory));
    let operators = (Author::Operator, ring.directory().join("audit/operator"));
    of_stages
        .chain([operators])
        .map(|(author, directory)| (format!("postern-{author}"), lines(&directory)))
        .collect()
}

fn by_program(received: impl IntoIterator<Item = (String, String)>) -> Lines {
    let mut lines = Lines::new();
    for (program, line) in received {
        lines.entry(program).or_default().insert(line);
    }
    lines
}

/// The exchanges that wrote into the table of the books, by what a ledger says.
fn exchanges(lines: &BTreeSet<String>, wanted: &str) -> BTreeSet<(String, u64)> {
    let records = lines
        .iter()
        .filter(|line| line.contains(wanted))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records
        .map(|record| {
            let session = record["session"].as_str().unwrap().to_owned();
            (session, record["exchange"].as_u64().unwrap())
        })
        .collect()
}

async fn wait_until_equal(what: &str, written: &Lines, received: impl Fn() -> Lines) {
    let end = Instant::now() + PATIENCE;
    loop {
        let there = received();
        if there == *written {
            return;
        }
        let count = |lines: &Lines| lines.values().map(BTreeSet::len).sum::<usize>();
        assert!(
            Instant::now() < end,
            "{what} holds {} records, the ledgers {}",
            count(&there),
            count(written)
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collectors_and_ledgers_hold_the_same_after_everything_has_died() {
    let options = Options {
        storage: Storage::File,
        ..Options::default()
    };
    let ring = Ring::start(options).await.unwrap();
    let ((mut syslog, otlp), sinks) = collectors(&ring).unwrap();
    fs::write(ring.directory().join("sinks.toml"), sinks).unwrap();
    ring.restart(Part::Sinks).await.unwrap();

    let asked = std::env::var("POSTERN_SINKS_SECONDS").ok();
    let seconds = asked.map_or(SECONDS, |asked| asked.parse().unwrap());
    let quarter = Duration::from_secs(seconds) / 4;
    let load = pgbench::Load::start(&ring, CLIENTS).unwrap();
    tokio::time::sleep(quarter).await;
    // Both collectors are down, one gone and one answering with an error, while every stage dies once, and the sinks.
    syslog.stop();
    otlp.feel(Mood::Broken);
    let begun = Instant::now();
    let parts = Stage::ALL.map(Part::Stage).into_iter().chain([Part::Sinks]);
    for (part, n) in parts.zip(1_u32..) {
        ring.kill(part);
        tokio::time::sleep(Duration::from_millis(500)).await;
        ring.restart(part).await.unwrap();
        let next = (quarter * 2 / 5 * n).saturating_sub(begun.elapsed());
        tokio::time::sleep(next).await;
    }
    syslog.run().unwrap();
    otlp.feel(Mood::Good);
    tokio::time::sleep(quarter).await;
    let told = load.audit(&ring).await.unwrap();
    for stage in Stage::ALL {
        assert!(
            ring.stop(Part::Stage(stage)),
            "{stage} did not stop when asked to"
        );
    }

    let written = written(&ring);
    let records: usize = written.values().map(BTreeSet::len).sum();
    wait_until_equal("the Syslog collector", &written, || {
        by_program(
            syslog
                .received()
                .into_iter()
                .map(|one| (one.program, one.message)),
        )
    })
    .await;
    wait_until_equal("the receiver of OpenTelemetry", &written, || {
        by_program(otlp.received())
    })
    .await;

    // What the database has committed is in all four ledgers.
    let committed: usize = ring
        .database_sql("SELECT count(*) FROM pgbench_history")
        .unwrap()
        .parse()
        .unwrap();
    let mut inserts = exchanges(&written["postern-query-validator"], "\"action\":\"insert\"");
    for stage in Stage::ALL {
        let lines = &written[&format!("postern-{stage}")];
        inserts = &inserts & &exchanges(lines, "\"event\":\"exchange\"");
    }
    assert!(
        committed > 0 && inserts.len() >= committed,
        "{} of {committed}",
        inserts.len()
    );
    let report = cross_check(&ring.ledger_dirs()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    println!(
        "{records} records in all ledgers, the same in both collectors ({} and {} messages); {committed} rows committed, \
         {} exchanges that insert in all four ledgers; pgbench was told: {told:?}",
        syslog.received().len(),
        otlp.received().len(),
        inserts.len()
    );
}

const HONEY: &str = "version: 1\nhoney:\n  - {name: bait, value: honey-0451}\n";
const READS: usize = 100;

#[tokio::test]
async fn whoever_reads_a_honey_value_rings_a_webhook() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let hook = Hook::start();
    let sinks = format!(
        "[sinks.alerts]\nkind = \"webhook\"\nurl = \"http://{}/alerts\"\nrepeat_after_s = 0\n",
        hook.address
    );
    fs::write(ring.directory().join("sinks.toml"), sinks).unwrap();
    fs::write(ring.directory().join("policy/responses.yaml"), HONEY).unwrap();
    ring.restart(Part::Sinks).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&ring.url("owner"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // The rules are taken while the ring runs.
    until("the rules are taken", || {
        recorded(&ring, Stage::ResponseValidator, &["policy.loaded"])
    })
    .await;
    let mut took = Vec::new();
    let mut read = 0;
    while took.len() < READS {
        let (before, begun) = (hook.received().len(), Instant::now());
        let _ = client.simple_query("SELECT 'honey-0451' AS bait").await;
        read += 1;
        assert!(read < READS + 50, "no alert is told");
        // The first ones may go by before both validators have the rules.
        let patience = if took.is_empty() {
            Duration::from_secs(1)
        } else {
            PATIENCE
        };
        while hook.received().len() == before && begun.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let received = hook.received();
        if let Some(call) = received.get(before) {
            let told: serde_json::Value = serde_json::from_str(&call.body).unwrap();
            assert_eq!(
                (&told["reason"], &told["actor"]),
                (&"honey-token".into(), &"owner".into())
            );
            assert!(!call.body.contains("honey-0451"), "the value is not told");
            took.push(call.at.saturating_duration_since(begun));
        }
    }
    took.sort();
    println!(
        "from the statement to the webhook, {READS} times: median {:?}, slowest {:?}",
        took[READS / 2],
        took[READS - 1]
    );
}
