//! The process against receivers of OpenTelemetry logs, good ones and bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod scene;

use postern_cli::secret_file;
use postern_testkit::Authority;
use postern_testkit::receiver::{Mood, Protocol, Receiver};
use scene::Scene;
use std::fs;

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

fn configure(scene: &Scene, protocol: Protocol, receiver: &Receiver, more: &str) {
    let scheme = if more.contains("ca_file") { "https" } else { "http" };
    scene.configure(&format!(
        "kind = \"otlp\"\nprotocol = \"{protocol}\"\nendpoint = \"{scheme}://{}\"\n{more}\n",
        receiver.address
    ));
}

#[test]
fn what_arrives_is_what_the_ledgers_hold() {
    for protocol in BOTH {
        let (mut scene, receiver) = (Scene::new(), Receiver::start(protocol, None));
        let token = scene.files.path().join("token");
        secret_file::write(&token, "Bearer of good news\n").unwrap();
        configure(
            &scene,
            protocol,
            &receiver,
            "headers = { authorization = \"token\" }",
        );
        scene.write(3000);
        scene.run_sink();
        scene.wait_for_all(|| receiver.received());
        scene.write(20);
        scene.stop_sink();
        scene.wait_for_all(|| receiver.received());
        let records = receiver.received().len();
        assert_eq!(records, 4 * 3021, "each record once, where nothing goes wrong");
        let told = receiver.tokens();
        assert!(
            told.iter()
                .all(|token| token.as_deref() == Some("Bearer of good news")),
            "{told:?}"
        );
        // What was taken is not sent again.
        scene.run_sink();
        scene.write(1);
        scene.wait_for_all(|| receiver.received());
        assert_eq!(receiver.received().len(), records + 4);
    }
}

#[test]
fn whatever_a_collector_does_by_grpc_costs_no_record() {
    whatever_it_does(Protocol::Grpc);
}

#[test]
fn whatever_a_collector_does_by_http_costs_no_record() {
    whatever_it_does(Protocol::Http);
}

fn whatever_it_does(protocol: Protocol) {
    let (mut scene, receiver) = (Scene::new(), Receiver::start(protocol, None));
    configure(&scene, protocol, &receiver, "");
    scene.run_sink();
    for (mood, told) in [
        (Mood::Broken, "out of[31m order"),
        (Mood::Resets, "the collector does not take records"),
        (Mood::Swallows, "the collector does not take records"),
        (Mood::Silent, "it has taken nothing for 10 s"),
    ] {
        println!("{protocol:?}: {mood:?}");
        receiver.feel(mood);
        let before = scene.log().len();
        // The connection that is there is not one that is reset.
        if mood == Mood::Resets {
            scene.kill_sink();
            scene.run_sink();
        }
        scene.write(300);
        scene.wait_for_log_after(before, told);
        assert!(!scene.log().contains('\u{1b}'));
        receiver.feel(Mood::Good);
        scene.wait_for_all(|| receiver.received());
        scene.wait_for_log_after(before, "the collector takes records again");
    }
}

#[test]
fn a_collector_with_a_wrong_certificate_gets_nothing() {
    for protocol in BOTH {
        let mut scene = Scene::new();
        let stem = scene.files.path().join("server");
        let (right, wrong) = (Authority::new("right").unwrap(), Authority::new("wrong").unwrap());
        right.issue(&stem, &["127.0.0.1"], 0..100).unwrap();
        let receiver = Receiver::start(protocol, Some(&stem));
        let ca = scene.files.path().join("ca.crt");
        fs::write(&ca, wrong.pem()).unwrap();
        configure(&scene, protocol, &receiver, "tls = { ca_file = \"ca.crt\" }");
        scene.write(10);
        scene.run_sink();
        scene.wait_for_log("its certificate is not signed by an authority in `ca.crt`");
        assert!(receiver.received().is_empty());
        fs::write(&ca, right.pem()).unwrap();
        scene.wait_for_all(|| receiver.received());
    }
}

#[test]
fn a_header_that_others_may_read_is_not_sent() {
    let (mut scene, receiver) = (Scene::new(), Receiver::start(Protocol::Http, None));
    fs::write(scene.files.path().join("token"), "open to all").unwrap();
    configure(
        &scene,
        Protocol::Http,
        &receiver,
        "headers = { authorization = \"token\" }",
    );
    scene.write(1);
    scene.run_sink();
    scene.wait_for_log("is open to others than its owner");
    assert!(!scene.log().contains("open to all"));
    let file = scene.files.path().join("token");
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    scene.wait_for_all(|| receiver.received());
}
