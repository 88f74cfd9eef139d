//! What the stages of a running ring have given up (P1, P10). What the sandbox refuses is tested where it is made;
//! here is that each stage of a real ring is inside one, with nothing in its log that it could not do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use futures_util::TryStreamExt as _;
use postern_cli::rotation::Ending;
use postern_testkit::{Hop, Options, Part, Ring, Signal, Stage};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A field of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
}

#[tokio::test]
async fn every_thread_of_every_stage_is_inside() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&ring.url("app"), tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    // A deep statement is parsed on a thread of its own.
    let deep = format!("SELECT {}1{}", "(".repeat(150), ")".repeat(150));
    client.simple_query(&deep).await.unwrap();
    for stage in Stage::ALL {
        let pid = ring.pid(Part::Stage(stage)).unwrap();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let thread: u32 = thread.unwrap().file_name().to_str().unwrap().parse().unwrap();
            assert_eq!(status(thread, "NoNewPrivs:"), "1", "{stage}");
            assert_eq!(
                status(thread, "Seccomp:"),
                "2",
                "{stage}: no filter of system calls"
            );
        }
        let log = ring.log(Part::Stage(stage));
        assert!(!log.contains("Permission denied"), "{stage}: {log}");
        assert!(!log.contains("not permitted"), "{stage}: {log}");
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

/// A system call that is not listed would end the stage: so all that these things take are listed.
#[tokio::test]
async fn under_load_no_stage_makes_a_call_that_is_not_listed() {
    let strict = |stage: Stage| (stage, "sandbox = \"strict\"".to_owned());
    let ring = Ring::start(Options {
        config: Stage::ALL.map(strict).to_vec(),
        ..Options::default()
    })
    .await
    .unwrap();
    let pids = || Stage::ALL.map(|stage| ring.pid(Part::Stage(stage)));
    let before = pids();
    let done = postern_e2e::pgbench::flawless(&ring, 5).await.unwrap();
    // Answers and COPY that need credit, large statements, errors, sign-ins that fail, notifications.
    let (client, connection) = tokio_postgres::connect(&ring.url("owner"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for statement in [
        "SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
        "CREATE TEMP TABLE t (x text)",
        "LISTEN here",
        "NOTIFY here",
    ] {
        client.simple_query(statement).await.unwrap();
    }
    let copy = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT";
    let lines = client.copy_out(copy).await.unwrap();
    assert!(
        lines
            .try_fold(0, async |sum, line| Ok(sum + line.len()))
            .await
            .unwrap()
            > 20_000_000
    );
    client.simple_query("SELECT 1/0").await.unwrap_err();
    tokio_postgres::connect(&ring.url_with("app", "wrong"), tokio_postgres::NoTls)
        .await
        .map(drop)
        .unwrap_err();
    // Reading policy and users again, losing a server and the database, new keys.
    for stage in Stage::ALL {
        ring.signal(Part::Stage(stage), Signal::HUP);
    }
    let grace = Duration::from_secs(300);
    ring.rotate_link_keys(Ending {
        grace,
        tickets: grace,
    })
    .unwrap();
    ring.restart_database().unwrap();
    for hop in Hop::ALL {
        ring.restart(Part::Nats(hop)).await.unwrap();
    }
    let more = postern_e2e::pgbench::flawless(&ring, 2).await.unwrap();
    println!("{done} and {more} transactions");
    assert_eq!(pids(), before, "a stage has ended");
    for stage in Stage::ALL {
        assert!(ring.stop(Part::Stage(stage)), "{stage} did not stop by itself");
    }
}

/// A session of `app`, once the stages that were started again know each other.
async fn soon(ring: &Ring) -> tokio_postgres::Client {
    for _ in 0..100 {
        if let Ok((client, connection)) =
            tokio_postgres::connect(&ring.url("app"), tokio_postgres::NoTls).await
        {
            tokio::spawn(connection);
            return client;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody can sign in");
}

/// Settings that name a secret.
const SECRETS: [&str; 8] = [
    "password_file",
    "seed_file",
    "key_file",
    "tls_key_file",
    "mock_secret_file",
    "hash_key_file",
    "record_key_file",
    "secret_file",
];

/// Has each secret printed by a program instead of read from its file. Gives back how many there are.
fn print_secrets(value: &mut toml::Value, folder: &Path) -> usize {
    match value {
        toml::Value::Table(table) => table
            .iter_mut()
            .map(|(name, value)| match value {
                toml::Value::String(file) if SECRETS.contains(&name.as_str()) => {
                    let file = folder.join(&file).display().to_string();
                    *value =
                        toml::Table::from_iter([("command".to_owned(), vec!["cat".to_owned(), file].into())])
                            .into();
                    1
                }
                other => print_secrets(other, folder),
            })
            .sum(),
        toml::Value::Array(values) => values.iter_mut().map(|value| print_secrets(value, folder)).sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn secrets_that_programs_print_are_there_inside_the_sandbox() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let mut count = 0;
    for stage in Stage::ALL {
        ring.stop(Part::Stage(stage));
        for file in [format!("{stage}.toml"), format!("keys/link/{stage}/keys.toml")] {
            let file = ring.directory().join(file);
            let mut config = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            count += print_secrets(&mut config, file.parent().unwrap());
            fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        }
    }
    // Each stage has two seeds, two keys of TLS and one of its links. Then there are the key of the clients' TLS, the
    // database's password, the secrets of salts and masks, and that of recorded values at both validators.
    assert_eq!(count, 4 * 5 + 6);
    for stage in Stage::ALL {
        ring.restart(Part::Stage(stage)).await.unwrap();
    }
    let client = soon(&ring).await;
    let asked = async || client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0);
    assert_eq!(asked().await, 7);
    // Connections that are made anew need the secrets again.
    for hop in Hop::ALL {
        ring.restart(Part::Nats(hop)).await.unwrap();
    }
    assert_eq!(asked().await, 7);
    for stage in Stage::ALL {
        assert_eq!(
            status(ring.pid(Part::Stage(stage)).unwrap(), "Seccomp:"),
            "2",
            "{stage}"
        );
    }
}
