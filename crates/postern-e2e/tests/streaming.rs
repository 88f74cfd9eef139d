//! A gigabyte each way through the ring, with every stage under 64 MiB resident, and a client that does
//! not read, which must cost bounded memory and disturb nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, pin_mut};
use postern_e2e::raw::Raw;
use postern_testkit::{Options, Part, Ring, Stage};
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

const GIGABYTE: u64 = 1_000_000_000;
const ROW: usize = 1_000;
/// What a stage may have had resident at most.
const RESIDENT: u64 = 64 << 20;

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn assert_small(ring: &Ring, what: &str) {
    for stage in Stage::ALL {
        let peak = ring.peak_rss(Part::Stage(stage)).unwrap();
        println!(
            "{what}: {stage} peaked at {:.1} MiB",
            peak as f64 / f64::from(1 << 20)
        );
        assert!(peak < RESIDENT, "{stage} had {peak} bytes resident during {what}");
    }
}

#[tokio::test]
async fn a_gigabyte_of_rows() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let client = client(&ring.url("owner")).await;
    let rows = client
        .query_raw(
            "SELECT repeat('x', 990) || i::text FROM generate_series(1, $1::int) i",
            [i32::try_from(GIGABYTE / ROW as u64).unwrap()],
        )
        .await
        .unwrap();
    pin_mut!(rows);
    let mut bytes = 0u64;
    let mut count = 0u64;
    while let Some(row) = rows.next().await {
        let text: &str = row.as_ref().unwrap().get(0);
        count += 1;
        assert!(
            text.ends_with(&count.to_string()),
            "row {count} is not where it should be"
        );
        bytes += text.len() as u64;
    }
    assert_eq!(count, GIGABYTE / ROW as u64);
    assert!(bytes > GIGABYTE * 99 / 100);
    assert_small(&ring, "SELECT of a gigabyte");
}

#[tokio::test]
async fn a_gigabyte_of_copy_out() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let client = client(&ring.url("owner")).await;
    let out = client
        .copy_out("COPY (SELECT repeat('x', 999) FROM generate_series(1, 1000000)) TO STDOUT")
        .await
        .unwrap();
    pin_mut!(out);
    let mut bytes = 0u64;
    while let Some(piece) = out.next().await {
        bytes += piece.unwrap().len() as u64;
    }
    assert_eq!(bytes, GIGABYTE);
    assert_small(&ring, "COPY OUT of a gigabyte");
}

#[tokio::test]
async fn a_gigabyte_of_copy_in() {
    let sql = "CREATE UNLOGGED TABLE shop.big (t text); ALTER TABLE shop.big OWNER TO owner;";
    let ring = Ring::start(Options {
        sql: Some(sql.into()),
        ..Options::default()
    })
    .await
    .unwrap();
    let client = client(&ring.url("owner")).await;
    let sink = client
        .copy_in::<_, Bytes>("COPY shop.big FROM STDIN")
        .await
        .unwrap();
    pin_mut!(sink);
    let mut line = vec![b'x'; ROW - 1];
    line.push(b'\n');
    let piece = Bytes::from(line.repeat(64));
    for _ in 0..GIGABYTE / piece.len() as u64 {
        sink.send(piece.clone()).await.unwrap();
    }
    let rows = sink.finish().await.unwrap();
    assert_eq!(rows, GIGABYTE / piece.len() as u64 * 64);
    assert_small(&ring, "COPY IN of a gigabyte");
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_bounded_memory_and_disturbs_nobody() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let mut sluggards = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::sign_in(ring.port(), "owner").await.unwrap();
        let mut out = Vec::new();
        postern_wire::put_query(
            &mut out,
            "SELECT repeat('x', 1000) FROM generate_series(1, 200000)",
        )
        .unwrap();
        raw.send(&out).await.unwrap();
        sluggards.push(raw);
    }
    let mut other = Raw::sign_in(ring.port(), "owner").await.unwrap();
    for _ in 0..200 {
        other.query("SELECT 1").await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_small(&ring, "eight answers of 200 MB that nobody reads");
    // They get all of it once they read.
    let answer = sluggards.pop().unwrap().until_ready().await.unwrap();
    assert_eq!(answer.iter().filter(|m| m.tag == b'D').count(), 200_000);
}
