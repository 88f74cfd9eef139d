//! Named statements through a whole ring: what runs is the policy's text, and the client sees the answer to what
//! it asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::raw::{Raw, first_error, tags};
use postern_testkit::{Options, Ring, TestUser};
use postern_wire::{Target, put_bind, put_describe, put_execute, put_parse, put_query, put_sync};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const TABLES: &str = "
    CREATE SCHEMA named;
    CREATE TABLE named.people (id bigint PRIMARY KEY, tenant int, name text, ssn text, born date);
    INSERT INTO named.people VALUES (1, 7, 'ann', '123-45-6789', '1990-01-02'), (2, 8, 'bob', '987-65-4321', NULL);
    CREATE TABLE named.log (n int, who text);
    CREATE FUNCTION named.note(n int) RETURNS int LANGUAGE sql
        AS 'INSERT INTO named.log VALUES (n, ''function'') RETURNING n';
    GRANT USAGE ON SCHEMA named TO app;
    GRANT ALL ON ALL TABLES IN SCHEMA named TO app;
";

const POLICY: &str = "
version: 1
roles:
  clerk:
    mode: enforce
    named: true
    database_role: app
    search_path: named
    schemas: [named]
    statements: [transaction]
";

const QUERIES: &str = "
-- name: text -- roles: clerk
SELECT current_query() AS query, $1::text AS value;
-- name: person -- roles: clerk -- mask: ssn=last4
SELECT id, name, ssn, born FROM people WHERE id = $1;
-- name: of_tenant -- roles: clerk -- tenant: $1
SELECT name FROM people WHERE tenant = $1 ORDER BY id LIMIT $2;
-- name: rename -- roles: clerk
UPDATE people SET name = $1 WHERE id = $2;
-- name: log -- roles: clerk -- list: $1, $2 up to 3
INSERT INTO log (n, who) VALUES ($1, $2);
-- name: these -- roles: clerk -- list: $1 up to 3
SELECT name FROM people WHERE id IN ($1) ORDER BY id;
-- name: logged -- roles: clerk -- read_only: true
SELECT count(*) FROM log;
-- name: note -- roles: clerk -- read_only: true
SELECT note($1);
-- name: note_freely -- roles: clerk
SELECT note($1) AS free;
-- name: sleep -- roles: clerk -- timeout_ms: 100
SELECT pg_sleep($1);
";

async fn ring() -> Ring {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("queries")).unwrap();
    std::fs::write(files.path().join("policy.yaml"), POLICY).unwrap();
    std::fs::write(files.path().join("queries/clerk.sql"), QUERIES).unwrap();
    let clerk = TestUser {
        tenant: Some("7".into()),
        ..TestUser::new("clerk", "clerk")
    };
    // The users that every ring has need roles, too.
    let policy = files.path().join("policy.yaml");
    let mut text = std::fs::read_to_string(&policy).unwrap();
    text.push_str(
        "  app: {mode: enforce, database_role: app}\n  owner: {mode: open, database_role: owner}\n",
    );
    std::fs::write(&policy, text).unwrap();
    Ring::start(Options {
        sql: Some(TABLES.into()),
        policy_directory: Some(files.path().to_owned()),
        users: vec![clerk],
        ..Options::default()
    })
    .await
    .unwrap()
}

async fn connect(ring: &Ring) -> Client {
    let (client, connection) = tokio_postgres::connect(&ring.url("clerk"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().unwrap().code()
}

/// The values of the first column of a simple query's rows.
fn column(messages: &[SimpleQueryMessage]) -> Vec<Option<&str>> {
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn what_runs_is_the_policys_text() {
    let ring = ring().await;
    let client = connect(&ring).await;
    let policys = "SELECT current_query() AS query, $1::text AS value";

    let sql = "select /* mine */ current_query() as query, CAST($1 AS text) as value";
    let row = client.query_one(sql, &[&"x"]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (policys, "x"));
    // The same, prepared and run twice.
    let statement = client.prepare(sql).await.unwrap();
    for value in ["a", "b"] {
        let row = client.query_one(&statement, &[&value]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (policys, value));
    }
    // A literal is a value, whatever is in it.
    for value in ["it''s", "x''; DROP TABLE people; --", ""] {
        let sql = format!("SELECT current_query() AS query, '{value}'::text AS value");
        let answer = client.simple_query(&sql).await.unwrap();
        let SimpleQueryMessage::Row(row) = &answer[1] else {
            panic!("{answer:?}")
        };
        assert_eq!(row.get(0), Some(policys));
        assert_eq!(row.get(1), Some(value.replace("''", "'").as_str()));
    }
    let row = client
        .query_one("SELECT current_query() AS query, 'lit'::text AS value", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), (policys, "lit"));
    assert_eq!(
        ring.database_sql("SELECT count(*) FROM named.people").unwrap(),
        "2"
    );
}

#[tokio::test]
async fn what_has_no_name_does_not_run() {
    let ring = ring().await;
    let client = connect(&ring).await;
    for sql in [
        "SELECT 1",
        "SELECT id, name, ssn, born FROM people",
        "SELECT id, name, ssn, born FROM people WHERE id = 1 OR true",
        "SELECT id, name, ssn, born FROM people WHERE id = 1 UNION SELECT 1, 'a', 'b', NULL",
        "SELECT id, name, ssn, born FROM people WHERE id = (SELECT 1)",
        "SELECT id, name, ssn AS x, born FROM people WHERE id = 1",
        "SELECT id, name, ssn, born FROM people WHERE id = 1; DELETE FROM people",
        "INSERT INTO log (n, who) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
        "DELETE FROM log",
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(code(&error), "42501", "{sql}");
        if let Err(error) = client.prepare(sql).await {
            assert!(matches!(code(&error), "42501" | "42601"), "{sql}");
        } else {
            panic!("prepared: {sql}");
        }
    }
    assert_eq!(
        ring.database_sql("SELECT count(*) FROM named.people").unwrap(),
        "2"
    );
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "0");
}

#[tokio::test]
async fn a_refusal_fails_an_open_transaction() {
    let ring = ring().await;
    let client = connect(&ring).await;
    client.simple_query("BEGIN").await.unwrap();
    client
        .simple_query("INSERT INTO log (n, who) VALUES (1, 'lost')")
        .await
        .unwrap();
    assert_eq!(
        code(&client.simple_query("DELETE FROM log").await.unwrap_err()),
        "42501"
    );
    let error = client.simple_query("SELECT count(*) FROM log").await.unwrap_err();
    assert_eq!(code(&error), "25P02");
    client.simple_query("ROLLBACK").await.unwrap();
    assert_eq!(
        column(&client.simple_query("SELECT count(*) FROM log").await.unwrap()),
        [Some("0")]
    );
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "0");
}

#[tokio::test]
async fn parameters_are_described_in_the_clients_order() {
    use tokio_postgres::types::Type;
    let ring = ring().await;
    let client = connect(&ring).await;
    let statement = client
        .prepare("UPDATE people SET name = $2 WHERE id = $1")
        .await
        .unwrap();
    assert_eq!(statement.params(), [Type::INT8, Type::TEXT]);
    assert_eq!(client.execute(&statement, &[&1i64, &"anna"]).await.unwrap(), 1);
    let statement = client
        .prepare("UPDATE people SET name = 'bert' WHERE id = $1")
        .await
        .unwrap();
    assert_eq!(statement.params(), [Type::INT8]);
    assert_eq!(client.execute(&statement, &[&2i64]).await.unwrap(), 1);
    let names = ring
        .database_sql("SELECT string_agg(name, ',' ORDER BY id) FROM named.people")
        .unwrap();
    assert_eq!(names, "anna,bert");
}

#[tokio::test]
async fn a_simple_query_is_answered_as_one() {
    let ring = ring().await;
    let mut raw = Raw::sign_in(ring.port(), "clerk").await.unwrap();
    let answer = raw
        .query("SELECT id, name, ssn, born FROM people WHERE id = 1")
        .await
        .unwrap();
    assert_eq!(tags(&answer), "TDCZ");
    let row = String::from_utf8_lossy(&answer[1].body).into_owned();
    assert!(
        row.contains("1990-01-02") && row.contains("6789") && !row.contains("123-45"),
        "{row:?}"
    );
    // All columns are text: the last two bytes of each are the format.
    assert_eq!(answer[0].body[answer[0].body.len() - 2..], [0, 0]);
    assert_eq!(
        tags(
            &raw.query("UPDATE people SET name = 'x' WHERE id = 9")
                .await
                .unwrap()
        ),
        "CZ"
    );
    let both =
        "SELECT name FROM people WHERE id IN (1, 2); INSERT INTO log (n, who) VALUES (1, 'a'), (2, 'b')";
    // The first is not the named text: ORDER BY is missing.
    assert_eq!(tags(&raw.query(both).await.unwrap()), "EZ");
    let both = "SELECT name FROM people WHERE id IN (1, 2) ORDER BY id; INSERT INTO log (n, who) VALUES (1, 'a'), (2, 'b')";
    assert_eq!(tags(&raw.query(both).await.unwrap()), "TDDCCZ");
    // Several statements are one transaction: the error of the second takes the first with it.
    let broken =
        "INSERT INTO log (n, who) VALUES (3, 'c'); INSERT INTO log (n, who) VALUES ('no number', 'd')";
    let answer = raw.query(broken).await.unwrap();
    assert_eq!(
        (tags(&answer).as_str(), first_error(&answer).unwrap().0.as_str()),
        ("CEZ", "22P02")
    );
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "2");
    // A transaction block in one string.
    let block = "BEGIN; INSERT INTO log (n, who) VALUES (4, 'e'); ROLLBACK";
    assert_eq!(tags(&raw.query(block).await.unwrap()), "CCCZ");
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "2");
}

#[tokio::test]
async fn a_refusal_in_a_pipeline_skips_to_sync() {
    let ring = ring().await;
    let mut raw = Raw::sign_in(ring.port(), "clerk").await.unwrap();
    let mut out = Vec::new();
    for sql in [
        "INSERT INTO log (n, who) VALUES (1, 'first')",
        "DELETE FROM people",
        "INSERT INTO log (n, who) VALUES (2, 'last')",
    ] {
        put_parse(&mut out, "", sql, []).unwrap();
        put_bind(&mut out, "", "", &[0; 6]).unwrap();
        put_describe(&mut out, Target::Portal, "").unwrap();
        put_execute(&mut out, "", 0).unwrap();
    }
    put_sync(&mut out);
    put_query(&mut out, "SELECT count(*) FROM log").unwrap();
    raw.send(&out).await.unwrap();
    let answer = raw.until_ready().await.unwrap();
    assert_eq!(
        (tags(&answer).as_str(), first_error(&answer).unwrap().0.as_str()),
        ("12nCEZ", "42501")
    );
    assert_eq!(tags(&raw.until_ready().await.unwrap()), "TDCZ");
    // All up to the Sync was one transaction.
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "0");
    assert_eq!(
        ring.database_sql("SELECT count(*) FROM named.people").unwrap(),
        "2"
    );
}

#[tokio::test]
async fn a_tenants_slot_is_the_sessions_tenant() {
    let ring = ring().await;
    let client = connect(&ring).await;
    let sql = "SELECT name FROM people WHERE tenant = $1 ORDER BY id LIMIT $2";
    let rows = client.query(sql, &[&7i32, &10i64]).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>(),
        ["ann"]
    );
    assert_eq!(
        code(&client.query(sql, &[&8i32, &10i64]).await.unwrap_err()),
        "42501"
    );
    let simple =
        |tenant: &str| format!("SELECT name FROM people WHERE tenant = {tenant} ORDER BY id LIMIT 5");
    assert_eq!(
        column(&client.simple_query(&simple("7")).await.unwrap()),
        [Some("ann")]
    );
    assert_eq!(
        code(&client.simple_query(&simple("8")).await.unwrap_err()),
        "42501"
    );
}

#[tokio::test]
async fn a_read_only_statement_changes_nothing_and_leaves_the_transaction_as_it_was() {
    let ring = ring().await;
    let client = connect(&ring).await;
    // The function would write.
    assert_eq!(
        code(&client.simple_query("SELECT note(1)").await.unwrap_err()),
        "25006"
    );
    assert_eq!(
        code(&client.query("SELECT note($1)", &[&1i32]).await.unwrap_err()),
        "25006"
    );
    client.simple_query("SELECT note(2) AS free").await.unwrap();
    assert_eq!(
        column(&client.simple_query("SELECT count(*) FROM log").await.unwrap()),
        [Some("1")]
    );
    // In a transaction, writing goes on after it.
    client.simple_query("BEGIN").await.unwrap();
    for n in 3..6i32 {
        assert_eq!(
            client.query("SELECT count(*) FROM log", &[]).await.unwrap().len(),
            1
        );
        client
            .execute("INSERT INTO log (n, who) VALUES ($1, $2)", &[&n, &"x"])
            .await
            .unwrap();
        assert_eq!(
            client
                .simple_query("SELECT count(*) FROM log")
                .await
                .unwrap()
                .len(),
            3
        );
    }
    client.simple_query("COMMIT").await.unwrap();
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "4");
    client.simple_query("BEGIN").await.unwrap();
    assert_eq!(
        code(&client.query("SELECT note($1)", &[&1i32]).await.unwrap_err()),
        "25006"
    );
    assert_eq!(
        code(&client.query("SELECT count(*) FROM log", &[]).await.unwrap_err()),
        "25P02"
    );
    client.simple_query("ROLLBACK").await.unwrap();
    // A block that begins in the same batch.
    let block = "BEGIN; SELECT count(*) FROM log; INSERT INTO log (n, who) VALUES (9, 'y'); COMMIT";
    client.simple_query(block).await.unwrap();
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "5");
    // Without a block it can't be: said before anything runs for good.
    let none = "SELECT count(*) FROM log; INSERT INTO log (n, who) VALUES (9, 'z')";
    assert_eq!(code(&client.simple_query(none).await.unwrap_err()), "0A000");
    assert_eq!(ring.database_sql("SELECT count(*) FROM named.log").unwrap(), "5");
}

#[tokio::test]
async fn a_statement_has_its_own_time_limit() {
    let ring = ring().await;
    let client = connect(&ring).await;
    for sql in ["SELECT pg_sleep(30)", "SELECT pg_sleep(20.5)"] {
        assert_eq!(code(&client.simple_query(sql).await.unwrap_err()), "57014");
    }
    assert_eq!(
        code(&client.query("SELECT pg_sleep($1)", &[&30f64]).await.unwrap_err()),
        "57014"
    );
    // It holds for this statement only.
    client
        .simple_query("BEGIN; SELECT pg_sleep(0); COMMIT")
        .await
        .unwrap();
    client.simple_query("BEGIN").await.unwrap();
    client.simple_query("SELECT pg_sleep(0)").await.unwrap();
    let log = ring.database_sql("SELECT 1").unwrap();
    assert_eq!(log, "1");
    client.simple_query("COMMIT").await.unwrap();
}
