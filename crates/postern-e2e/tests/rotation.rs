//! The keys of the links turn while statements run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_cli::rotation::Ending;
use postern_e2e::ledgers::recorded;
use postern_e2e::nats::hijack;
use postern_e2e::pgbench::flawless;
use postern_e2e::raw::Raw;
use postern_e2e::until;
use postern_envelope::{Batch, Generation, Header, Keyring, Sealer, SecretKey};
use postern_testkit::{NatsAuth, Options, Part, Ring, Stage};
use postern_types::{InstanceId, Link, SessionId};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const ENDING: Ending = Ending {
    grace: Duration::from_secs(5),
    tickets: Duration::from_secs(600),
};

#[tokio::test]
async fn keys_that_turn_under_load_cost_no_transaction() {
    let ring = Arc::new(Ring::start(Options::default()).await.unwrap());
    // A session from before all of it, whose ticket is sealed with the first keys.
    let mut old = Raw::sign_in(ring.port(), "owner").await.unwrap();
    let turning = async {
        for epoch in 2..=5 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let ring = Arc::clone(&ring);
            let turned = tokio::task::spawn_blocking(move || ring.rotate_link_keys(ENDING));
            assert_eq!(turned.await.unwrap().unwrap(), epoch);
        }
    };
    let (processed, ()) = tokio::join!(flawless(&ring, 20), turning);
    println!(
        "{} transactions while the keys turned four times",
        processed.unwrap()
    );
    for stage in Stage::ALL {
        assert!(
            recorded(&ring, stage, &["\"keys.turned\"", "\"epoch\":5"]),
            "{stage}"
        );
        assert!(!recorded(&ring, stage, &["envelope.refused"]), "{stage}");
    }
    let answer = old.query("SELECT 1").await.unwrap();
    assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
}

/// A thief of the Frontend's keys, who keeps them.
fn thief(ring: &Ring) -> Sealer {
    let secret = |stage: Stage| {
        let file = ring.directory().join(format!("keys/link/{stage}/1.key"));
        SecretKey::parse(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let stolen = Generation {
        epoch: 1,
        secret: secret(Stage::Frontend),
        peers: Stage::ALL.map(|stage| (stage, secret(stage).public())).into(),
    };
    Keyring::new(Stage::Frontend, InstanceId::random().unwrap(), stolen)
        .sealer(Link::FrontendToQueryValidator)
        .unwrap()
}

fn envelope(sealer: &mut Sealer) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let header = Header {
        session: SessionId([7; 16]),
        sequence: 0,
        exchange: 0,
        part: 0,
        deadline_ms: u64::try_from(now.as_millis()).unwrap() + 30_000,
    };
    let mut sealed = Vec::new();
    sealer.seal(&header, b"not a body", &mut sealed).unwrap();
    let mut batch = Batch::new();
    batch.push(&sealed).unwrap();
    batch.take()
}

#[tokio::test]
async fn old_keys_open_nothing_once_the_grace_period_is_over() {
    let ring = Arc::new(
        Ring::start(Options {
            // See `hijack`.
            nats_auth: NatsAuth::Password,
            nats_tls: false,
            ..Options::default()
        })
        .await
        .unwrap(),
    );
    let mut sealer = thief(&ring);
    let mut nats = hijack(&ring, "dirty-query", "nothing").await;
    let mut session = Raw::sign_in(ring.port(), "owner").await.unwrap();
    let turning = Arc::clone(&ring);
    let ending = Ending {
        grace: ENDING.grace,
        tickets: ENDING.grace,
    };
    let turned = Instant::now();
    tokio::task::spawn_blocking(move || turning.rotate_link_keys(ending))
        .await
        .unwrap()
        .unwrap();
    let refused = |reason: &str| {
        let reason = format!("\"reason\":\"{reason}\"");
        recorded(&ring, Stage::QueryValidator, &["envelope.refused", &reason])
    };
    // Within the period the seal holds, and what is in it is looked at.
    nats.publish("dirty-query", &envelope(&mut sealer)).await.unwrap();
    until("the thief is heard", || refused("malformed-body")).await;
    assert!(!refused("epoch"));
    tokio::time::sleep((ending.grace + Duration::from_secs(1)).saturating_sub(turned.elapsed())).await;
    nats.publish("dirty-query", &envelope(&mut sealer)).await.unwrap();
    until("the thief is refused", || refused("epoch")).await;
    // Sessions from before end with the tickets, and new ones are served.
    let told = session.query("SELECT 1").await;
    assert!(
        told.is_err() || told.unwrap().iter().all(|message| message.tag != b'D'),
        "a ticket outlived its keys"
    );
    let mut new = Raw::sign_in(ring.port(), "owner").await.unwrap();
    assert!(
        new.query("SELECT 1")
            .await
            .unwrap()
            .iter()
            .any(|message| message.tag == b'D')
    );
}

#[tokio::test]
async fn a_stage_with_keys_of_another_epoch_is_named_and_heals() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let file = ring.directory().join("keys/link/query-validator/keys.toml");
    let right = fs::read_to_string(&file).unwrap();
    let log = || ring.log(Part::Stage(Stage::QueryValidator));
    fs::write(&file, "epoch = ").unwrap();
    until("the mistake is named", || log().contains("link keys not taken")).await;
    assert!(
        Raw::sign_in(ring.port(), "owner").await.is_ok(),
        "the old keys hold"
    );
    fs::write(&file, right.replace("epoch = 1\n", "epoch = 9\n")).unwrap();
    until("the keys are taken", || {
        log().contains("link keys read again epoch=9")
    })
    .await;
    let late = tokio::time::timeout(Duration::from_secs(2), Raw::sign_in(ring.port(), "owner")).await;
    assert!(!matches!(late, Ok(Ok(_))), "two epochs understood each other");
    until("the epoch is named", || {
        recorded(
            &ring,
            Stage::QueryValidator,
            &["envelope.refused", "\"reason\":\"epoch\""],
        )
    })
    .await;
    fs::write(&file, right).unwrap();
    until("the keys are right again", || {
        log().contains("link keys read again epoch=1")
    })
    .await;
    let end = Instant::now() + Duration::from_secs(20);
    while Raw::sign_in(ring.port(), "owner").await.is_err() {
        assert!(Instant::now() < end, "the ring does not heal");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
