//! The testkit itself: a ring starts, serves, loses parts and gets them back, and leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use postern_testkit::{Options, Part, Ring, Stage};
use std::process::{Command, Output};

fn psql(ring: &Ring, url: &str, sql: &str) -> Output {
    Command::new(ring.installation().psql())
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", url, "-c", sql])
        .output()
        .unwrap()
}

fn answer(ring: &Ring, url: &str, sql: &str) -> String {
    let output = psql(ring, url, sql);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn serves_again_after_each_part_was_killed() {
    let ring = Ring::start(Options::default()).await.unwrap();
    assert_eq!(
        answer(&ring, &ring.url("app"), "SELECT count(*) FROM shop.customers"),
        "1000"
    );
    assert_eq!(
        answer(
            &ring,
            &ring.direct_url("app"),
            "SELECT count(*) FROM shop.customers"
        ),
        "1000"
    );
    assert_eq!(
        ring.database_sql("SELECT count(*) FROM shop.customers").unwrap(),
        "1000"
    );
    assert!(
        !psql(&ring, &ring.url_with("app", "wrong"), "SELECT 1")
            .status
            .success()
    );
    for part in Part::ALL {
        assert!(ring.rss(part).unwrap() > 0);
        ring.restart(part).await.unwrap();
        assert_eq!(
            answer(&ring, &ring.url("app"), "SELECT 40 + 2"),
            "42",
            "after {part}"
        );
    }
    ring.restart_database().unwrap();
    assert_eq!(
        answer(&ring, &ring.url("app"), "SELECT 40 + 2"),
        "42",
        "after the database"
    );
    for (stage, ledger) in ring.ledger_dirs() {
        assert!(
            std::fs::read_dir(ledger).unwrap().next().is_some(),
            "{stage} kept no ledger"
        );
    }

    let pids: Vec<u32> = Part::ALL
        .into_iter()
        .map(|part| ring.pid(part).unwrap())
        .collect();
    let files = ring.files().to_owned();
    drop(ring);
    assert!(
        pids.iter()
            .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    );
    assert!(!files.exists());
}

#[tokio::test]
async fn options_reach_the_stages() {
    let options = Options {
        config: vec![(Stage::Backend, "[database]\npool_size = 3".to_owned())],
        users: vec![postern_testkit::TestUser::new("zoë", "app")],
        sql: Some("CREATE TABLE shop.extra AS SELECT 7 AS n; GRANT SELECT ON shop.extra TO app".to_owned()),
        ..Options::default()
    };
    let ring = Ring::start(options).await.unwrap();
    let url = ring.url("zoë").replace('ë', "%C3%AB");
    assert_eq!(answer(&ring, &url, "SELECT n FROM shop.extra"), "7");
    let backend = std::fs::read_to_string(ring.directory().join("backend.toml")).unwrap();
    assert!(backend.contains("pool_size = 3"));
}
