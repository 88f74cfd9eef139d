//! The ledgers of a ring at work are as the published schema says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_cli::directory::RingDirectory;
use postern_cli::rotation::Ending;
use postern_e2e::nats::hijack;
use postern_ledger::TailReader;
use postern_testkit::{NatsAuth, Options, Part, Ring, Signal, Stage, TestUser};
use postern_types::Author;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;
use tokio_postgres::NoTls;

const SCHEMA: &str = include_str!("../../../docs/audit/record.schema.json");

const POLICY: &str = "
version: 1
roles:
  reader: {mode: enforce, database_role: app, search_path: shop, statements: [select], schemas: [shop]}
  learner: {mode: learn, database_role: app, search_path: shop, statements: [select], schemas: [shop]}
";

/// What a ring writes when all of this is done to it.
const EXPECTED: [&str; 16] = [
    "signin",
    "session.open",
    "session.close",
    "exchange",
    "exchange.end",
    "exchange.answered",
    "stage.start",
    "stage.stop",
    "envelope.refused",
    "policy.loaded",
    "policy.refused",
    "statement.learned",
    "keys.turned",
    "users.taken",
    "users.refused",
    "admin.command",
];

async fn ask(ring: &Ring, user: &str, statements: &[&str]) {
    let (client, connection) = tokio_postgres::connect(&ring.url(user), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    for statement in statements {
        let _ = client.simple_query(statement).await;
    }
    drop(client);
    let _ = connection.await;
}

#[tokio::test]
async fn every_record_of_a_ring_is_as_the_schema_says() {
    let ring = Ring::start(Options {
        policy: Some(POLICY.to_owned()),
        users: vec![
            TestUser::new("reader", "reader"),
            TestUser::new("learner", "learner"),
        ],
        // See `hijack`.
        nats_auth: NatsAuth::Password,
        nats_tls: false,
        ..Options::default()
    })
    .await
    .unwrap();
    let answers = [
        "SELECT 1",
        "SELECT 1/0",
        "DELETE FROM orders",
        "nonsense",
        "SELECT repeat('x', 999) FROM generate_series(1, 3000)",
    ];
    ask(&ring, "reader", &answers).await;
    ask(
        &ring,
        "learner",
        &["SELECT name FROM tenants WHERE id = 7", "SELECT pg_sleep(0)"],
    )
    .await;
    let wrong = tokio_postgres::connect(&ring.url_with("reader", "wrong"), NoTls).await;
    assert!(wrong.is_err());
    let mut nats = hijack(&ring, "dirty-query", "dirty-query").await;
    nats.publish("dirty-query", b"garbage").await.unwrap();
    let file = ring.directory().join("policy/policy.yaml");
    fs::write(&file, "version: 99\n").unwrap();
    let users = RingDirectory::new(ring.directory()).users_file();
    fs::write(&users, "[users.nobody]\n").unwrap();
    ring.signal(Part::Stage(Stage::QueryValidator), Signal::HUP);
    let grace = Duration::from_secs(60);
    ring.rotate_link_keys(Ending {
        grace,
        tickets: grace,
    })
    .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for stage in Stage::ALL {
        assert!(ring.stop(Part::Stage(stage)), "{stage}");
    }

    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut events = BTreeSet::new();
    let mut count = BTreeMap::new();
    let of_stages = ring.ledger_dirs().into_iter();
    let of_stages = of_stages.map(|(stage, directory)| (Author::Stage(stage), directory));
    let operators = (Author::Operator, ring.directory().join("audit/operator"));
    for (author, directory) in of_stages.chain([operators]) {
        let mut reader = TailReader::open(&directory, usize::MAX).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            let record: Value = serde_json::from_slice(line).unwrap();
            let wrong = validator
                .iter_errors(&record)
                .next()
                .map(|error| error.to_string());
            assert_eq!(wrong, None, "{record}");
            assert_eq!(record["stage"], author.name());
            events.insert(record["event"].as_str().unwrap().to_owned());
            *count.entry(author).or_insert(0) += 1;
        }
    }
    println!("{count:?}");
    for event in EXPECTED {
        assert!(events.contains(event), "no {event} in {events:?}");
    }
}
