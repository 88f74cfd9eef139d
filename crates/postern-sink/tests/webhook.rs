//! The process against a webhook, a good one and a bad one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod scene;

use postern_cli::secret_file;
use postern_ledger::{Details, Event, Level, Outcome, Record};
use postern_testkit::Stage;
use postern_testkit::hook::{Hook, Mood};
use scene::Scene;
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

fn begin(more: &str) -> (Scene, Hook) {
    let (scene, hook) = (Scene::new(), Hook::start());
    scene.configure(&format!(
        "kind = \"webhook\"\nurl = \"http://{}/hook\"\n{more}",
        hook.address
    ));
    (scene, hook)
}

fn alert(scene: &mut Scene, reason: &'static str, actor: &str) {
    scene.record(
        Stage::ResponseValidator,
        &Record {
            level: Level::Alert,
            result: Outcome::Refused,
            actor: Some(actor),
            details: Details {
                reason: Some(reason),
                ..Details::default()
            },
            ..Record::at(1_700_000_000_000, Event::AnswerAlert)
        },
    );
}

/// Bodies, when there are so many.
fn bodies(hook: &Hook, count: usize, scene: &Scene) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(30);
    while hook.received().len() < count {
        assert!(Instant::now() < end, "{}: {}", hook.received().len(), scene.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nothing more is on its way.
    std::thread::sleep(Duration::from_millis(500));
    let received = hook.received();
    assert_eq!(received.len(), count, "{received:?}");
    received
        .iter()
        .map(|one| serde_json::from_str(&one.body).unwrap())
        .collect()
}

#[test]
fn alerts_are_told_once_and_signed_and_nothing_else_is() {
    let (mut scene, hook) = begin("secret_file = \"secret\"\n");
    secret_file::write(&scene.files.path().join("secret"), "hush\n").unwrap();
    scene.write(50);
    alert(&mut scene, "honey-token", "ann");
    for _ in 0..5 {
        alert(&mut scene, "honey-token", "ann");
    }
    alert(&mut scene, "honey-token", "bob");
    alert(&mut scene, "tenant", "ann");
    scene.run_sink();
    let told = bodies(&hook, 3, &scene);
    let of = |n: usize| {
        (
            told[n]["reason"].as_str().unwrap(),
            told[n]["actor"].as_str().unwrap(),
        )
    };
    assert_eq!(
        [of(0), of(1), of(2)],
        [("honey-token", "ann"), ("honey-token", "bob"), ("tenant", "ann")]
    );
    assert_eq!(told[0]["record"]["number"], 52, "start, 50 records, the alert");
    for one in hook.received() {
        let signature = one.signature.expect("it is signed");
        let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-hmac", "hush", "-r"]);
        let signed = scene.files.path().join("signed");
        fs::write(&signed, format!("{time}.{}", one.body)).unwrap();
        let output = openssl.arg(&signed).output().unwrap();
        let right = String::from_utf8(output.stdout).unwrap();
        assert_eq!(right.split(' ').next().unwrap(), mac);
    }
    // Not again after a restart, but what is new.
    std::thread::sleep(Duration::from_secs(5));
    scene.kill_sink();
    scene.run_sink();
    alert(&mut scene, "tenant", "ann");
    assert_eq!(bodies(&hook, 4, &scene)[3]["reason"], "tenant");
}

#[test]
fn what_is_like_it_is_counted() {
    let (mut scene, hook) = begin("repeat_after_s = 2\n");
    scene.run_sink();
    alert(&mut scene, "honey-token", "ann");
    bodies(&hook, 1, &scene);
    alert(&mut scene, "honey-token", "ann");
    alert(&mut scene, "honey-token", "ann");
    std::thread::sleep(Duration::from_secs(2));
    alert(&mut scene, "honey-token", "ann");
    let told = bodies(&hook, 2, &scene);
    assert_eq!(
        (&told[0]["repeated"], &told[1]["repeated"]),
        (&0.into(), &2.into())
    );
}

#[test]
fn a_webhook_that_fails_is_told_later() {
    let (mut scene, hook) = begin("");
    scene.run_sink();
    for (mood, words) in [
        (Mood::Broken, "500 Internal Server Error: out of[31m order"),
        (Mood::Swallows, "the collector does not take records"),
        (Mood::Silent, "it has taken nothing for 10 s"),
    ] {
        let before = (scene.log().len(), hook.received().len());
        hook.feel(mood);
        alert(&mut scene, "honey-token", words);
        scene.wait_for_log_after(before.0, words);
        hook.feel(Mood::Good);
        bodies(&hook, before.1 + 1, &scene);
        scene.wait_for_log_after(before.0, "the collector takes records again");
    }
}

#[test]
fn a_ledger_that_was_cut_is_an_alert() {
    let (mut scene, hook) = begin("format = \"slack\"\n");
    scene.write(10);
    scene.run_sink();
    std::thread::sleep(Duration::from_secs(6));
    scene.stop_sink();
    let file = scene.let_go(Stage::Backend);
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().take(3).collect();
    fs::write(&file, kept.join("\n") + "\n").unwrap();
    scene.run_sink();
    let told = bodies(&hook, 1, &scene);
    let sentence = told[0]["text"].as_str().unwrap();
    assert_eq!(
        sentence,
        "P1 ledger.odd at backend, reason ledger-changed, record 11"
    );
}
