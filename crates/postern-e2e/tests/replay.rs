//! Whoever holds a NATS server can hand every message on as often as they like (P6, P7).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::nats::hijack;
use postern_e2e::raw::Raw;
use postern_testkit::{NatsAuth, Options, Ring};
use std::time::Duration;

const SCHEMA: &str = "CREATE TABLE shop.target (n int); GRANT ALL ON shop.target TO owner;";
const QUIET: Duration = Duration::from_secs(3);

/// A session of its own that inserts one row and ends.
async fn insert_once(ring: &Ring) {
    let mut client = Raw::sign_in(ring.port(), "owner").await.unwrap();
    client.query("INSERT INTO shop.target VALUES (1)").await.unwrap();
    let mut out = Vec::new();
    postern_wire::put_terminate(&mut out);
    client.send(&out).await.unwrap();
    client.until_closed().await.unwrap();
}

#[tokio::test]
async fn a_session_replayed_as_a_whole_runs_nothing() {
    for (hop, subject) in [
        ("dirty-query", "dirty-query"),
        ("clean-query", "clean-query.backend-0"),
    ] {
        let ring = Ring::start(Options {
            sql: Some(SCHEMA.into()),
            // See `hijack`.
            nats_auth: NatsAuth::Password,
            nats_tls: false,
            ..Options::default()
        })
        .await
        .unwrap();
        let mut nats = hijack(&ring, hop, subject).await;
        insert_once(&ring).await;
        let messages = nats.gather_for(QUIET).await.unwrap();
        assert!(messages.len() > 3, "nothing was overheard on {subject}");
        assert_eq!(
            ring.database_sql("SELECT count(*) FROM shop.target").unwrap(),
            "1"
        );
        for round in 0..3 {
            for message in &messages {
                nats.publish(subject, message).await.unwrap();
                // One by one, as a patient attacker would: each step of the sign-in is answered in turn.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            nats.gather_for(Duration::from_secs(1)).await.unwrap();
            let rows = ring.database_sql("SELECT count(*) FROM shop.target").unwrap();
            assert_eq!(
                rows, "1",
                "a replay on {hop} ran the statement again in round {round}"
            );
        }
        // The ring still serves.
        insert_once(&ring).await;
        assert_eq!(
            ring.database_sql("SELECT count(*) FROM shop.target").unwrap(),
            "2"
        );
    }
}
