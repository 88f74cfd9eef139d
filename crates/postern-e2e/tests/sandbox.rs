//! What the stages of a running ring have given up (P1, P10). What the sandbox refuses is tested where it is made;
//! here is that each stage of a real ring is inside one, with nothing in its log that it could not do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use postern_testkit::{Hop, Options, Part, Ring, Stage};
use std::fs;
use std::path::Path;

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

/// Settings that name a secret.
const SECRETS: [&str; 7] = [
    "password_file",
    "seed_file",
    "key_file",
    "tls_key_file",
    "mock_secret_file",
    "hash_key_file",
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
    // database's password, and the secrets of salts and masks.
    assert_eq!(count, 4 * 5 + 4);
    for stage in Stage::ALL {
        ring.restart(Part::Stage(stage)).await.unwrap();
    }
    let (client, connection) = tokio_postgres::connect(&ring.url("app"), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
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
