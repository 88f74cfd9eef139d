//! Each stage and each NATS server is killed in turn while money is moved, by clients that check every
//! answer and by pgbench (P6, P8, P10).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::bank::{Bank, SCHEMA};
use postern_e2e::pgbench;
use postern_ledger::cross_check;
use postern_testkit::{Hop, Options, Part, Ring, Stage};
use std::sync::atomic::Ordering;
use std::time::Duration;

const CLIENTS: i32 = 12;
/// Clients of pgbench besides.
const PGBENCH_CLIENTS: u32 = 8;
/// How long money is moved undisturbed before each kill and after the last.
const LOAD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

async fn kill_and_restart(part: Part) {
    let options = Options {
        sql: Some(SCHEMA.into()),
        storage: postern_testkit::Storage::File,
        ..Options::default()
    };
    let ring = Ring::start(options).await.unwrap();
    let load = pgbench::Load::start(&ring, PGBENCH_CLIENTS).unwrap();
    let bank = Bank::open(&ring.url("owner"), CLIENTS);
    bank.next_booking(PATIENCE).await.unwrap();
    for round in 1..=2 {
        tokio::time::sleep(LOAD).await;
        let before = bank.booked();
        ring.kill(part);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        ring.restart(part).await.unwrap();
        let back = bank.next_booking(PATIENCE).await.unwrap();
        println!(
            "{part:?} round {round}: {before} booked before it was killed, serving again {back:?} after its return"
        );
    }
    tokio::time::sleep(LOAD).await;
    let lost = bank.lost();
    let counts = std::sync::Arc::clone(&bank.counts);
    let codes = bank.audit(|sql| ring.database_sql(sql)).await.unwrap();
    println!(
        "{part:?}: booked {}, failed {}, unknown {}, connections lost {lost}, codes {codes:?}",
        counts.booked.load(Ordering::Relaxed),
        counts.failed.load(Ordering::Relaxed),
        counts.unknown.load(Ordering::Relaxed),
    );
    let told = load.audit(&ring).await.unwrap();
    println!("{part:?}: pgbench was told: {told:?}");
    assert!(told.processed > 0);
    if matches!(
        part,
        Part::Stage(Stage::QueryValidator | Stage::ResponseValidator)
    ) {
        assert_eq!(
            lost, 0,
            "the death of a validator must not be noticed by any client"
        );
        assert_eq!(
            counts.failed.load(Ordering::Relaxed) + counts.unknown.load(Ordering::Relaxed),
            0
        );
        assert_eq!((told.aborted, told.refused), (0, 0));
    }
    for stage in Stage::ALL {
        assert!(
            ring.stop(Part::Stage(stage)),
            "{stage} did not stop when asked to"
        );
    }
    let report = cross_check(&ring.ledger_dirs()).unwrap();
    println!("{part:?}: {report:?}");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

macro_rules! kill {
    ($name:ident, $part:expr) => {
        #[tokio::test]
        async fn $name() {
            kill_and_restart($part).await;
        }
    };
}

kill!(frontend, Part::Stage(Stage::Frontend));
kill!(query_validator, Part::Stage(Stage::QueryValidator));
kill!(backend, Part::Stage(Stage::Backend));
kill!(response_validator, Part::Stage(Stage::ResponseValidator));
kill!(nats_dirty_query, Part::Nats(Hop::DirtyQuery));
kill!(nats_clean_query, Part::Nats(Hop::CleanQuery));
kill!(nats_dirty_resp, Part::Nats(Hop::DirtyResp));
kill!(nats_clean_resp, Part::Nats(Hop::CleanResp));
