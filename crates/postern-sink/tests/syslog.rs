//! The process against a real Syslog collector: what arrives is what the ledgers hold, whatever happens on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod scene;

use postern_ledger::SigningKey;
use postern_testkit::rsyslog::{Rsyslog, Way};
use postern_testkit::{Authority, Signal, Stage};
use scene::Scene;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

fn begin(way: Way) -> (Scene, Rsyslog) {
    let scene = Scene::new();
    let collector = Rsyslog::start(&scene.files.path().join("collector"), way).unwrap();
    configure(&scene, &collector.address(), &collector.ca_file());
    (scene, collector)
}

fn configure(scene: &Scene, address: &str, ca_file: &Path) {
    let tls = match address.starts_with("tls") {
        true => format!(
            "tls = {{ ca_file = \"{}\", server_name = \"collector.example\" }}\n",
            ca_file.display()
        ),
        false => String::new(),
    };
    scene.configure(&format!("kind = \"syslog\"\naddress = \"{address}\"\n{tls}"));
}

#[test]
fn checkpoints_go_with_the_records() {
    let (mut scene, collector) = begin(Way::Tls);
    scene.write(10);
    scene.sign(&SigningKey::from_seed(&[7; 32]).unwrap());
    scene.run_sink();
    let signed = || -> Vec<_> {
        let received = collector.received().into_iter();
        received.filter(|one| one.id == "checkpoint").collect()
    };
    let end = Instant::now() + Duration::from_secs(30);
    while signed().len() < 4 {
        assert!(Instant::now() < end, "{}", scene.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    for stage in Stage::ALL {
        let program = format!("postern-{stage}");
        let of_stage: Vec<_> = signed()
            .into_iter()
            .filter(|one| one.program == program)
            .collect();
        assert_eq!(of_stage.len(), 1, "{stage}");
        assert_eq!(format!("{}\n", of_stage[0].message), scene.checkpoints(stage));
        assert_eq!(of_stage[0].severity, 6);
        let structured = &of_stage[0].structured;
        assert!(
            structured.starts_with("[postern@32473 number=\"11\""),
            "{structured}"
        );
    }
    // Not again after a restart.
    scene.stop_sink();
    scene.run_sink();
    scene.write(10);
    scene.stop_sink();
    assert_eq!(signed().len(), 4);
}

fn received(collector: &Rsyslog) -> Vec<(String, String)> {
    let received = collector.received().into_iter();
    received.map(|one| (one.program, one.message)).collect()
}

#[test]
fn what_arrives_is_what_the_ledgers_hold() {
    for way in [Way::Tcp, Way::Tls, Way::Unix, Way::Udp] {
        println!("{way}");
        let (mut scene, collector) = begin(way);
        // A socket buffer takes this much at once; UDP has no other way to say that it is full than to lose.
        scene.write(if way == Way::Udp { 100 } else { 3000 });
        scene.run_sink();
        scene.wait_for_all(|| received(&collector));
        scene.write(50);
        scene.stop_sink();
        scene.wait_for_all(|| received(&collector));
        let all = collector.received();
        let one = all
            .iter()
            .find(|one| one.severity == 4)
            .expect("a refusal has arrived");
        assert_eq!(one.id, "exchange");
        for parameter in [
            "[postern@32473 number=\"",
            " level=\"warn\"",
            " result=\"refused\"",
            " actor=\"o'brien \\\"the \\] \\\\ żółw\\\"\"",
            " tenant=\"7\"",
            " reason=\"policy\"",
        ] {
            assert!(
                one.structured.contains(parameter),
                "{parameter}: {}",
                one.structured
            );
        }
    }
}

#[test]
fn a_collector_that_is_down_and_a_sink_that_is_killed_cost_no_record() {
    for way in [Way::Tcp, Way::Tls] {
        println!("{way}");
        let (mut scene, mut collector) = begin(way);
        scene.write(500);
        scene.run_sink();
        scene.wait_for_all(|| received(&collector));
        // The collector is down while more is written, and the sink dies meanwhile.
        collector.stop();
        scene.write(500);
        scene.wait_for_log("the collector does not take records");
        collector.run().unwrap();
        scene.wait_for_log("the collector takes records again");
        collector.stop();
        scene.write(500);
        scene.kill_sink();
        scene.run_sink();
        collector.run().unwrap();
        scene.wait_for_all(|| received(&collector));
        // Killed with everything sent and nothing confirmed.
        for _ in 0..3 {
            scene.write(200);
            std::thread::sleep(Duration::from_millis(300));
            scene.kill_sink();
            scene.run_sink();
        }
        scene.wait_for_all(|| received(&collector));
        // Copies of what was not confirmed may still come.
        scene.wait_for_position();
        scene.stop_sink();
        // What was confirmed is not sent again.
        let before = collector.received().len();
        scene.run_sink();
        scene.write(1);
        scene.wait_for_all(|| received(&collector));
        assert_eq!(collector.received().len(), before + 4);
    }
}

#[test]
fn a_collector_that_hangs_gets_everything_when_it_goes_on() {
    let (mut scene, collector) = begin(Way::Tcp);
    scene.run_sink();
    collector.signal(Signal::STOP);
    scene.write(3000);
    scene.wait_for_log("it has taken nothing for 10 s");
    scene.write(10);
    collector.signal(Signal::CONT);
    scene.wait_for_all(|| received(&collector));
    scene.stop_sink();
}

#[test]
fn what_a_collector_swallowed_is_sent_again() {
    let (mut scene, collector) = begin(Way::Tcp);
    // In the collector's place: takes some of it and is gone, without reading the rest.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let trapped = format!("tcp://{}", trap.local_addr().unwrap());
    configure(&scene, &trapped, Path::new(""));
    let swallow = std::thread::spawn(move || {
        let (mut stream, _) = trap.accept().unwrap();
        let mut some = vec![0; 100_000];
        stream.read_exact(&mut some).unwrap();
        let (mut stream, _) = {
            drop(stream);
            trap.accept().unwrap()
        };
        stream.read_exact(&mut some).unwrap();
    });
    scene.write(2000);
    scene.run_sink();
    swallow.join().unwrap();
    scene.kill_sink();
    configure(&scene, &collector.address(), Path::new(""));
    scene.run_sink();
    scene.wait_for_all(|| received(&collector));
}

#[test]
fn a_collector_that_is_not_the_one_gets_nothing_until_it_is() {
    let (mut scene, collector) = begin(Way::Tls);
    let stranger = Authority::new("somebody else's").unwrap();
    fs::write(scene.files.path().join("ca.crt"), stranger.pem()).unwrap();
    configure(&scene, &collector.address(), Path::new("ca.crt"));
    scene.write(10);
    scene.run_sink();
    scene.wait_for_log("its certificate is not signed by an authority in `ca.crt`");
    assert!(collector.received().is_empty());
    // Mended while it runs.
    fs::copy(collector.ca_file(), scene.files.path().join("ca.crt")).unwrap();
    scene.wait_for_all(|| received(&collector));
}

#[test]
fn a_ledger_that_was_cut_is_told_of() {
    let (mut scene, collector) = begin(Way::Tcp);
    scene.write(10);
    scene.run_sink();
    scene.wait_for_all(|| received(&collector));
    scene.stop_sink();
    let file = scene.let_go(Stage::Backend);
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().take(3).collect();
    fs::write(&file, kept.join("\n") + "\n").unwrap();
    scene.run_sink();
    scene.wait_for_log("the ledger is not the one that was sent");
}

#[test]
fn a_position_that_was_spoiled_while_it_runs_costs_no_record() {
    let (mut scene, mut collector) = begin(Way::Tcp);
    scene.write(100);
    scene.run_sink();
    scene.wait_for_all(|| received(&collector));
    scene.wait_for_position();
    collector.stop();
    scene.spoil_position();
    scene.write(100);
    scene.wait_for_log("the collector does not take records");
    scene.write(100);
    collector.run().unwrap();
    scene.wait_for_all(|| received(&collector));
    scene.stop_sink();
}

#[test]
fn a_line_that_no_datagram_can_carry_keeps_no_other_back() {
    for way in [Way::Udp, Way::Unix] {
        println!("{way}");
        let (mut scene, collector) = begin(way);
        scene.write(10);
        // As a hijacked Frontend could write it: the actor alone fills the longest line, and a message has it twice.
        let file = scene.let_go(Stage::Frontend);
        let text = fs::read_to_string(&file).unwrap();
        let last = text.lines().last().unwrap();
        let long = last.replace("o'brien", &"a".repeat(64_000));
        fs::write(&file, format!("{text}{long}\n")).unwrap();
        scene.run_sink();
        let records = |program: &str| {
            let received = received(&collector);
            received.iter().filter(|(from, _)| from == program).count()
        };
        let end = Instant::now() + Duration::from_secs(60);
        while Stage::ALL
            .iter()
            .any(|stage| records(&format!("postern-{stage}")) < 10)
        {
            assert!(Instant::now() < end, "{}", scene.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        // And whatever is written after it.
        scene.write(10);
        while records("postern-backend") < 20 {
            assert!(Instant::now() < end, "{}", scene.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        scene.stop_sink();
    }
}
