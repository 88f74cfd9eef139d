//! Values that the policy names are recorded before they are handed on, and no others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use futures_util::StreamExt as _;
use postern_e2e::ledgers::recorded;
use postern_testkit::{Options, Ring, Stage, TestUser};
use std::fs;
use std::pin::pin;
use std::process::Command;
use tokio_postgres::{Client, Config, NoTls};

const TABLES: &str = "
    CREATE SCHEMA ward AUTHORIZATION owner;
    CREATE TABLE ward.patients (id int PRIMARY KEY, name text, ward text);
    INSERT INTO ward.patients VALUES (4711, 'Ann Sample', 'dialysis'), (4712, 'Bob Sample', 'surgery');
    GRANT USAGE ON SCHEMA ward TO app;
    GRANT ALL ON ALL TABLES IN SCHEMA ward TO app;
";

const POLICY: &str = "
version: 1
roles:
  nurse: {mode: enforce, database_role: app, search_path: ward, schemas: [ward], statements: [select, copy_out], record_parameters: hash}
  clerk: {mode: enforce, named: true, database_role: app, search_path: ward, statements: [transaction]}
  app: {mode: enforce, database_role: app}
  owner: {mode: open, database_role: owner}
";

const QUERIES: &str = "
-- name: of_ward -- roles: clerk -- record: $1=clear
SELECT name FROM patients WHERE ward = $1;
";

const ANSWERS: &str = "version: 1
record:
  - {column: ward.patients.id, as: hash}
  - {column: ward.patients.ward, as: clear}
";

async fn client(ring: &Ring, user: &str) -> Client {
    let mut config: Config = ring.url(user).parse().unwrap();
    let (client, connection) = config.application_name("ward-app").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The records of values in which this one is: by whom, and at which stage.
fn found(ring: &Ring, value: &str) -> Vec<String> {
    let output = Command::new(postern_testkit::binaries::directory().unwrap().join("postern"))
        .args(["audit", "query", "--json", "--value", value])
        .arg(ring.directory())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["event"], "exchange.values");
            format!("{} {}", record["actor"], record["stage"]).replace('"', "")
        })
        .collect()
}

#[tokio::test]
async fn whoever_touched_a_value_is_found_and_the_value_is_not_in_the_ledgers() {
    let files = tempfile::tempdir().unwrap();
    fs::create_dir(files.path().join("queries")).unwrap();
    fs::write(files.path().join("policy.yaml"), POLICY).unwrap();
    fs::write(files.path().join("queries/clerk.sql"), QUERIES).unwrap();
    fs::write(files.path().join("responses.yaml"), ANSWERS).unwrap();
    let ring = Ring::start(Options {
        sql: Some(TABLES.into()),
        catalog: true,
        policy_directory: Some(files.path().to_owned()),
        users: vec![TestUser::new("nurse", "nurse"), TestUser::new("clerk", "clerk")],
        ..Options::default()
    })
    .await
    .unwrap();
    let nurse = client(&ring, "nurse").await;
    let clerk = client(&ring, "clerk").await;
    // Who signs in is recorded with roles, and with what it calls itself.
    let accepted = [
        "\"action\":\"accept\"",
        "\"roles\":[\"nurse\"]",
        "\"service\":\"ward-app\"",
    ];
    assert!(recorded(&ring, Stage::QueryValidator, &accepted));
    // By a parameter, in binary, whose type the client does not say.
    let name: String = nurse
        .query_one("SELECT name FROM patients WHERE id = $1", &[&4711i32])
        .await
        .unwrap()
        .get(0);
    assert_eq!(name, "Ann Sample");
    assert_eq!(found(&ring, "4711"), ["nurse query-validator"]);
    assert_eq!(found(&ring, "4712"), Vec::<String>::new());
    // By the rows, in text and in a COPY.
    let rows = nurse.simple_query("SELECT name, id FROM patients").await.unwrap();
    assert_eq!(rows.len(), 4, "a description, two rows and the end");
    assert_eq!(found(&ring, "4712"), ["nurse response-validator"]);
    let copied = nurse.copy_out("COPY patients (id) TO STDOUT").await.unwrap();
    assert_eq!(
        pin!(copied)
            .fold(0, async |rows, row| rows + row.map_or(0, |_| 1))
            .await,
        2
    );
    assert_eq!(found(&ring, "4712"), ["nurse response-validator"; 2]);
    // In clear, by a named statement, in whatever way it is asked.
    clerk
        .simple_query("SELECT name FROM patients WHERE ward = 'surgery'")
        .await
        .unwrap();
    clerk
        .query("SELECT name FROM patients WHERE ward = $1", &[&"dialysis"])
        .await
        .unwrap();
    assert_eq!(found(&ring, "surgery"), ["clerk query-validator"]);
    assert_eq!(found(&ring, "dialysis"), ["clerk query-validator"]);
    // What is refused was not handed on.
    clerk
        .simple_query("SELECT id FROM patients WHERE ward = 'oncology'")
        .await
        .unwrap_err();
    assert_eq!(found(&ring, "oncology"), Vec::<String>::new());
    for directory in ring.ledger_dirs().values() {
        for file in fs::read_dir(directory).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap_or_default();
            assert!(
                !text.contains("4711") || !text.contains("\"clear\":\"4711"),
                "in clear"
            );
            assert!(!text.contains("Sample"), "nobody has asked for names");
        }
    }
}
