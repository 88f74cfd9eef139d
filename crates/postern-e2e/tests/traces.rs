//! A query's way round the ring can be seen in a viewer of traces, and hangs on the client's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_testkit::receiver::{Protocol, Receiver, Span};
use postern_testkit::{Options, Part, Ring, Stage};
use std::fs;
use std::time::{Duration, Instant};

const CLIENT: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: [u8; 8] = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();

async fn ring(protocol: Protocol, comments: bool) -> (Ring, Receiver) {
    let frontend = format!("trace_comments = {comments}\n");
    let ring = Ring::start(Options {
        config: vec![(Stage::Frontend, frontend)],
        ..Options::default()
    })
    .await
    .unwrap();
    let receiver = Receiver::start(protocol, None);
    let sinks = format!(
        "[sinks.traces]\nkind = \"traces\"\nprotocol = \"{protocol}\"\nendpoint = \"http://{}\"\n",
        receiver.address
    );
    fs::write(ring.directory().join("sinks.toml"), sinks).unwrap();
    ring.restart(Part::Sinks).await.unwrap();
    (ring, receiver)
}

/// The spans of the exchange whose root has this name, from the first to start to the last.
async fn trace(receiver: &Receiver, root: &str) -> Vec<(String, Span)> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let all = receiver.spans();
        let found = all.iter().find(|(_, span)| span.name == root);
        if let Some((_, root)) = found {
            let id = &root.span_id;
            let mut own: Vec<_> = all
                .iter()
                .filter(|(_, span)| span.span_id == *id || span.parent_span_id == *id)
                .cloned()
                .collect();
            own.sort_by_key(|(_, span)| (span.start_time_unix_nano, u64::MAX - span.end_time_unix_nano));
            return own;
        }
        assert!(Instant::now() < end, "no {root} among {} spans", all.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn run(ring: &Ring, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&ring.url("owner"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client.simple_query(sql).await.unwrap();
}

#[tokio::test]
async fn a_trace_shows_four_stages_and_four_hops() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let (ring, receiver) = ring(protocol, true).await;
        run(
            &ring,
            &format!("/*traceparent='00-{CLIENT}-00f067aa0ba902b7-01'*/ SELECT pg_sleep(0.05)"),
        )
        .await;
        let spans = trace(&receiver, "select").await;
        let names: Vec<_> = spans.iter().map(|(_, span)| span.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "select",
                "frontend",
                "dirty-query",
                "query-validator",
                "clean-query",
                "backend",
                "dirty-resp",
                "response-validator",
                "clean-resp"
            ]
        );
        let (_, root) = &spans[0];
        assert_eq!(root.parent_span_id, PARENT);
        let trace: String = root.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(trace, CLIENT);
        for (service, span) in &spans {
            assert_eq!(span.trace_id, root.trace_id);
            assert!(span.start_time_unix_nano >= root.start_time_unix_nano, "{span:?}");
            assert!(span.end_time_unix_nano <= root.end_time_unix_nano, "{span:?}");
            let us = (span.end_time_unix_nano - span.start_time_unix_nano) / 1000;
            println!("{service:28} {:20} {us:>6} us", span.name);
            if span.name == "backend" {
                assert!(us > 50_000, "the database slept");
            }
        }
        // All four ledgers name the client's trace.
        for (stage, _) in ring.ledger_dirs() {
            let words = ["\"event\":\"exchange\"", &format!("\"trace\":\"{CLIENT}\"")];
            assert!(postern_e2e::ledgers::recorded(&ring, stage, &words), "{stage}");
        }
    }
}

#[tokio::test]
async fn a_comment_names_no_trace_unless_it_may() {
    let (ring, receiver) = ring(Protocol::Grpc, false).await;
    run(
        &ring,
        &format!("/*traceparent='00-{CLIENT}-00f067aa0ba902b7-01'*/ SELECT 1"),
    )
    .await;
    let spans = trace(&receiver, "select").await;
    assert_eq!(spans.len(), 9);
    assert!(spans[0].1.parent_span_id.is_empty());
    assert!(!postern_e2e::ledgers::recorded(&ring, Stage::Frontend, &[CLIENT]));
}
