//! The demo starts, serves, stops, and keeps its rows for the next start.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use postern_testkit::demo::{Demo, DemoOptions};
use postern_testkit::port;
use std::process::Command;

fn psql(demo: &Demo, user: &str, sql: &str) -> String {
    let url = format!("postgres://{user}:{user}@{}/demo", demo.listen());
    let output = Command::new(demo.psql())
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", &url, "-c", sql])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_second_start_finds_what_the_first_left() {
    let files = tempfile::tempdir().unwrap();
    let listen = port::reserve().unwrap();
    let options = DemoOptions {
        directory: files.path().join("demo"),
        listen: format!("127.0.0.1:{}", listen.number),
        scale: 0.01,
    };
    let mut demo = Demo::start(&options, &|_| {}).unwrap();
    assert_eq!(psql(&demo, "app", "SELECT count(*) FROM shop.customers"), "200");
    psql(
        &demo,
        "app",
        "INSERT INTO shop.tenants (id, name, plan) VALUES (77, 'kept', 'free')",
    );
    psql(&demo, "owner", "CREATE TABLE shop.more (n int)");
    assert_eq!(demo.broken(), None);
    // A second one in the same directory is refused, and the first does not notice.
    let elsewhere = port::reserve().unwrap();
    let second = DemoOptions {
        listen: format!("127.0.0.1:{}", elsewhere.number),
        ..options.clone()
    };
    let refusal = Demo::start(&second, &|_| {}).err().unwrap().to_string();
    assert!(refusal.contains("already runs"), "{refusal}");
    assert_eq!(psql(&demo, "app", "SELECT 1"), "1");
    demo.stop();

    let demo = Demo::start(&options, &|step| assert!(!step.contains("making"), "{step}")).unwrap();
    assert_eq!(
        psql(&demo, "app", "SELECT name FROM shop.tenants WHERE id = 77"),
        "kept"
    );
    demo.stop();

    // What the stages wrote down was signed when they had stopped.
    let verified = Command::new(postern_testkit::binaries::programs(None).unwrap().postern)
        .args(["audit", "verify"])
        .arg(options.directory.join("ring"))
        .output()
        .unwrap();
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{said}");
    assert_eq!(
        said.matches(": as it was signed, up to record").count(),
        5,
        "{said}"
    );

    // A ring that an older Postern made is put aside, and the rows stay.
    let file = options.directory.join("ring/postern.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("format = ", "# format = ", 1)).unwrap();
    let said = std::cell::RefCell::new(String::new());
    let demo = Demo::start(&options, &|step| said.borrow_mut().push_str(step)).unwrap();
    assert!(
        said.borrow().contains("made by another version"),
        "{}",
        said.borrow()
    );
    assert_eq!(
        psql(&demo, "app", "SELECT name FROM shop.tenants WHERE id = 77"),
        "kept"
    );
    assert!(options.directory.join("ring.old/postern.toml").is_file());
    demo.stop();
}
