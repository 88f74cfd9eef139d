//! What the stages of a running ring have given up (P1, P10). What the sandbox refuses is tested where it is made;
//! here is that each stage of a real ring is inside one, with nothing in its log that it could not do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use postern_testkit::{Options, Part, Ring, Stage};
use std::fs;

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
