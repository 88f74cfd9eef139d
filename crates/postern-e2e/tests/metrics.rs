//! What the stages tell of themselves, as a real ring in its sandbox tells it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::until;
use postern_testkit::process::Process;
use postern_testkit::{Hop, Options, Part, Ring, Signal, Stage};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Status and body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

async fn watched() -> (Ring, SocketAddr) {
    let ring = Ring::start(Options::default()).await.unwrap();
    let address = free_address();
    let sinks = format!("sandbox = \"strict\"\n[metrics]\nlisten = \"{address}\"\n");
    fs::write(ring.directory().join("sinks.toml"), sinks).unwrap();
    ring.restart(Part::Sinks).await.unwrap();
    (ring, address)
}

/// The value of a line that begins so.
fn value(text: &str, line: &str) -> f64 {
    let found = text
        .lines()
        .find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn counters_tell_what_was_done() {
    let (ring, address) = watched().await;
    let (client, connection) = tokio_postgres::connect(&ring.url("owner"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for _ in 0..20 {
        client.simple_query("SELECT generate_series(1, 3)").await.unwrap();
    }
    client.simple_query("SELECT nothing_like_it").await.unwrap_err();
    let of = |stage: Stage| get(address, &format!("/{stage}/metrics")).1;
    let allowed = "postern_records_total{event=\"exchange\",result=\"allowed\"}";
    until("all is counted", || {
        value(&of(Stage::Frontend), "postern_answer_seconds_count") >= 21.0
    })
    .await;
    for stage in Stage::ALL {
        until("each has counted all", || value(&of(stage), allowed) >= 20.0).await;
        let text = of(stage);
        assert_eq!(value(&text, "postern_ready"), 1.0, "{stage}: {text}");
        assert_eq!(value(&text, "postern_bus_connections"), 2.0, "{stage}");
        assert!(value(&text, "postern_ledger_bytes_total") > 1000.0);
        assert!(
            text.contains(&format!("postern_build_info{{stage=\"{stage}\"")),
            "{text}"
        );
        let took = "postern_stage_seconds_count";
        assert!(
            stage == Stage::Frontend || value(&text, took) >= 20.0,
            "{stage}: {text}"
        );
    }
    assert_eq!(value(&of(Stage::Frontend), "postern_sessions"), 1.0);
    let backend = of(Stage::Backend);
    assert!(value(&backend, "postern_sessions") >= 1.0, "{backend}");
    assert!(
        value(&backend, "postern_database_connections") >= 1.0,
        "{backend}"
    );
    let answers = of(Stage::ResponseValidator);
    assert!(value(&answers, "postern_rows_total") >= 60.0, "{answers}");
    assert!(
        value(&answers, "postern_backend_seconds_count") >= 20.0,
        "{answers}"
    );
    // No name of anybody, no statement.
    for stage in Stage::ALL {
        let text = of(stage);
        assert!(
            !text.contains("owner") && !text.contains("generate_series"),
            "{text}"
        );
    }
    assert_eq!(get(address, "/sinks/metrics").0, 200);
    assert_eq!(get(address, "/backend/head").0, 404);
}

#[tokio::test]
async fn a_stage_that_hangs_does_not_live_and_one_without_its_bus_is_not_ready() {
    let (ring, address) = watched().await;
    let status = |path: &str| get(address, path).0;
    for stage in Stage::ALL {
        until("it is well", || status(&format!("/{stage}/ready")) == 200).await;
    }
    assert_eq!(status("/health"), 200);
    let backend = Part::Stage(Stage::Backend);
    ring.signal(backend, Signal::STOP);
    until("it is seen to hang", || status("/backend/health") == 503).await;
    let (_, told) = get(address, "/health");
    assert!(told.starts_with("backend has said nothing for "), "{told}");
    assert_eq!(status("/frontend/health"), 200);
    ring.signal(backend, Signal::CONT);
    until("it is well again", || status("/backend/ready") == 200).await;

    ring.kill(Part::Nats(Hop::DirtyResp));
    until("its bus is seen to be gone", || status("/backend/ready") == 503).await;
    assert_eq!((status("/backend/health"), status("/frontend/ready")), (200, 200));
    ring.restart(Part::Nats(Hop::DirtyResp)).await.unwrap();
    until("it is ready again", || status("/backend/ready") == 200).await;
}

const MONITORING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/monitoring");

/// A real Prometheus that is set up as the documentation says.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _files: tempfile::TempDir,
}

impl Prometheus {
    fn start(ring: SocketAddr) -> Prometheus {
        let program = std::env::var("POSTERN_TEST_PROMETHEUS").expect("./test fetches Prometheus");
        let files = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(format!("{MONITORING}/prometheus.yml")).unwrap();
        let config = config.replace("127.0.0.1:9464", &ring.to_string()).replace(
            "scrape_interval: 5s",
            "scrape_interval: 1s\n  evaluation_interval: 1s",
        );
        fs::write(files.path().join("prometheus.yml"), config).unwrap();
        fs::copy(
            format!("{MONITORING}/alerts.yml"),
            files.path().join("alerts.yml"),
        )
        .unwrap();
        let address = free_address();
        let command = [
            program,
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address={address}"),
        ];
        let command = command.map(Into::into);
        let log = files.path().join("log");
        let process = Process::start(&command, files.path(), &log).unwrap();
        Prometheus {
            address,
            _process: process,
            _files: files,
        }
    }

    fn is_up(&self) -> bool {
        TcpStream::connect(self.address).is_ok() && get(self.address, "/-/ready").0 == 200
    }

    fn ask(&self, path: &str) -> Value {
        let (status, body) = get(self.address, path);
        assert_eq!(status, 200, "{path}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {body}");
        answer["data"].clone()
    }

    fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.ask(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn prometheus_takes_it_and_the_dashboard_and_the_alerts_find_what_they_ask_for() {
    let (ring, address) = watched().await;
    let prometheus = Prometheus::start(address);
    until("Prometheus is up", || prometheus.is_up()).await;
    let (client, connection) = tokio_postgres::connect(&ring.url("owner"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // Rates need two values.
    let rate = "rate(postern_answer_seconds_count{job=\"postern\"}[10s]) > 0";
    let end = Instant::now() + Duration::from_secs(60);
    while prometheus.query(rate).is_empty() {
        assert!(Instant::now() < end, "Prometheus has no values");
        client.simple_query("SELECT 1").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("all five pages are taken", || {
        prometheus.query("up == 1").len() == 5
    })
    .await;
    let names = prometheus.ask("/api/v1/label/__name__/values");
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();

    let dashboard = fs::read_to_string(format!("{MONITORING}/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let rules = prometheus.ask("/api/v1/rules");
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked_by_panels = targets.map(|target| target["expr"].as_str().unwrap());
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let asked_by_rules = rules.iter().map(|rule| rule["query"].as_str().unwrap());
    let asked: Vec<&str> = asked_by_panels.chain(asked_by_rules).collect();
    for expression in &asked {
        // Without sinks there is nothing to be behind of.
        for name in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let known = !name.starts_with("postern_")
                || name == "postern_sink_records_behind"
                || names.contains(&name);
            assert!(known, "no stage tells {name}, which is asked for in {expression}");
        }
    }
    // Each stage is looked at in its own time, and every rate needs two looks.
    let answered = || {
        let found = asked.iter().filter(|expression| {
            let expression = expression.replace("$__rate_interval", "10s");
            !prometheus.query(&expression).is_empty()
        });
        found.count()
    };
    until("most expressions have an answer", || answered() >= 12).await;
    assert!(
        rules.len() >= 9 && rules.iter().all(|rule| rule["health"] == "ok"),
        "{rules:?}"
    );
    let answered = answered();
    println!(
        "{answered} of {} expressions have an answer on a ring in which all is well",
        asked.len()
    );
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}");
    assert!(firing.is_empty(), "{firing:?}");
}
