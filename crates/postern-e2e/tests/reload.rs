//! A policy that changes while a session goes on: what is new holds for it, and it does not end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_testkit::{Options, Part, Ring, Signal};
use postern_types::Stage;
use std::fs;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

const CARD: &str = "SELECT card_number FROM shop.customers WHERE id = $1";
const MASKS: &str = "version: 1\nmasks:\n  - {column: shop.customers.card_number, mask: last4}\n";

async fn start() -> (Ring, Client) {
    let ring = Ring::start(Options {
        catalog: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let (client, connection) = tokio_postgres::connect(&ring.url("app"), NoTls).await.unwrap();
    tokio::spawn(connection);
    (ring, client)
}

/// Asks again and again until it is so. The limit ends what never will be; it is no measure.
#[track_caller]
fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        for _ in 0..600 {
            if is_so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{place}: it never was so");
    }
}

async fn card(client: &Client) -> String {
    client.query_one(CARD, &[&1i32]).await.unwrap().get(0)
}

fn is_masked(card: &str) -> bool {
    card.starts_with('*') && card.chars().rev().take(4).all(|c| c.is_ascii_digit())
}

#[tokio::test]
async fn rules_about_answers_are_taken_and_wrong_ones_are_not() {
    let (ring, client) = start().await;
    let file = ring.directory().join("policy/responses.yaml");
    let validator = Part::Stage(Stage::ResponseValidator);
    assert!(!is_masked(&card(&client).await));

    fs::write(&file, MASKS).unwrap();
    until(|| async { is_masked(&card(&client).await) }).await;
    until(|| async { ring.log(validator).contains("rules about answers read again") }).await;

    fs::write(&file, "version: 1\nmasks: none\n").unwrap();
    until(|| async { ring.log(validator).contains("rules about answers not taken") }).await;
    assert!(is_masked(&card(&client).await));

    fs::remove_file(&file).unwrap();
    until(|| async { ring.log(validator).contains("has gone") }).await;
    assert!(is_masked(&card(&client).await), "rules don't go by being lost");

    fs::write(&file, "version: 1\n").unwrap();
    until(|| async { !is_masked(&card(&client).await) }).await;
    let read_again = || {
        ring.log(validator)
            .matches("rules about answers read again")
            .count()
    };
    let before = read_again();
    ring.signal(validator, Signal::HUP);
    until(|| async { read_again() > before }).await;
}

#[tokio::test]
async fn a_policy_is_taken_at_once_when_asked_and_never_with_a_mistake() {
    let (ring, client) = start().await;
    let file = ring.directory().join("policy/policy.yaml");
    let validator = Part::Stage(Stage::QueryValidator);
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains("schemas: [shop]"), "{before}");

    fs::write(&file, before.replace("schemas: [shop]", "schemas: [shoq")).unwrap();
    ring.signal(validator, Signal::HUP);
    until(|| async { ring.log(validator).contains("policy not taken") }).await;
    assert!(!card(&client).await.is_empty());

    fs::write(&file, before.replace("statements: [select, ", "statements: [")).unwrap();
    ring.signal(validator, Signal::HUP);
    until(|| async {
        let refused = client.query_one(CARD, &[&1i32]).await.err();
        refused.is_some_and(|error| error.code().is_some_and(|code| code.code() == "42501"))
    })
    .await;

    fs::write(&file, before).unwrap();
    ring.signal(validator, Signal::HUP);
    until(|| async { client.query_one(CARD, &[&1i32]).await.is_ok() }).await;
    for stage in Stage::ALL {
        ring.signal(Part::Stage(stage), Signal::HUP);
    }
    for _ in 0..20 {
        assert!(
            !card(&client).await.is_empty(),
            "a stage without files to read again goes on"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
