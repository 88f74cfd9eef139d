//! The `postern` command as a person uses it, without anything running.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const DATABASE: &str = "postgres://postern:sesame@127.0.0.1:5433/shop?sslmode=disable";

fn postern(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("POSTERN_PASSWORD")
        .output()
        .unwrap()
}

fn with_password(directory: &Path, password: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(arguments)
        .current_dir(directory)
        .env("POSTERN_PASSWORD", password)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn ring() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    out(&postern(files.path(), &["init", "ring", "--database", DATABASE]));
    files
}

#[test]
fn only_the_owner_may_read_a_ring() {
    let files = ring();
    let mut folders = vec![files.path().join("ring")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o077,
            0,
            "{}",
            folder.display()
        );
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "server.crt" {
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
                seen += 1;
            }
        }
    }
    assert!(seen > 25, "{seen} files");
}

#[test]
fn secrets_are_where_they_belong_and_nowhere_else() {
    let files = ring();
    let read = |name: &str| fs::read_to_string(files.path().join("ring").join(name)).unwrap();
    assert_eq!(read("keys/database.password"), "sesame\n");
    for stage in ["frontend", "query-validator", "backend", "response-validator"] {
        let config = read(&format!("{stage}.toml"));
        assert!(!config.contains("sesame"));
        assert!(!config.contains(read(&format!("keys/{stage}.key")).trim()));
        let names_database = config.contains("[database]");
        assert_eq!(names_database, stage == "backend", "{stage}");
    }
    let keys: std::collections::BTreeSet<String> =
        ["frontend", "query-validator", "backend", "response-validator"]
            .map(|stage| read(&format!("keys/{stage}.key")))
            .into();
    assert_eq!(keys.len(), 4, "two stages share a key");
}

#[test]
fn an_existing_ring_is_left_alone() {
    let files = ring();
    let key = fs::read(files.path().join("ring/keys/backend.key")).unwrap();
    let again = postern(files.path(), &["init", "ring", "--database", DATABASE]);
    assert!(refused(&again, 1).contains("not empty"));
    assert_eq!(fs::read(files.path().join("ring/keys/backend.key")).unwrap(), key);
    let left = fs::read_dir(files.path()).unwrap().count();
    assert_eq!(left, 1, "a draft was left behind");

    fs::create_dir(files.path().join("empty")).unwrap();
    out(&postern(
        files.path(),
        &["init", "empty", "--database", DATABASE, "--json"],
    ));
}

#[test]
fn users_come_and_go() {
    let files = ring();
    let dir = files.path();
    let added = with_password(
        dir,
        "pw",
        &[
            "user",
            "add",
            "zoë",
            "--roles",
            "app,owner",
            "--tenant",
            "7",
            "--dir",
            "ring",
        ],
    );
    out(&added);
    let again = with_password(
        dir,
        "pw",
        &["user", "add", "zoë", "--roles", "app", "--dir", "ring"],
    );
    assert!(refused(&again, 1).contains("--replace"));
    let nobody = with_password(
        dir,
        "pw",
        &["user", "add", "x", "--roles", "admin", "--dir", "ring"],
    );
    assert!(refused(&nobody, 1).contains("no role `admin`"));
    let list: serde_json::Value =
        serde_json::from_str(&out(&postern(dir, &["user", "list", "--dir", "ring", "--json"]))).unwrap();
    let expected =
        serde_json::json!({ "users": [{ "name": "zoë", "roles": ["app", "owner"], "tenant": "7" }] });
    assert_eq!(list, expected);
    assert!(
        !fs::read_to_string(dir.join("ring/users/users.toml"))
            .unwrap()
            .contains("pw\n")
    );
    out(&postern(dir, &["user", "remove", "zoë", "--dir", "ring"]));
    refused(&postern(dir, &["user", "remove", "zoë", "--dir", "ring"]), 1);
    assert_eq!(out(&postern(dir, &["user", "list", "--dir", "ring"])), "");
}

#[test]
fn a_verifier_of_postgresql_is_taken_over_as_it_is() {
    // Salt, stored key and server key of RFC 7677's example, in PostgreSQL's form.
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let files = ring();
    let arguments = [
        "user",
        "add",
        "old",
        "--roles",
        "app",
        "--dir",
        "ring",
        "--verifier",
        verifier,
    ];
    out(&postern(files.path(), &arguments));
    assert!(
        fs::read_to_string(files.path().join("ring/users/users.toml"))
            .unwrap()
            .contains(verifier)
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    let files = ring();
    assert_eq!(postern(files.path(), &["status", "ring"]).status.code(), Some(3));
    assert_eq!(
        postern(files.path(), &["status", "nowhere"]).status.code(),
        Some(1)
    );
    assert_eq!(postern(files.path(), &["dance"]).status.code(), Some(2));
    let bad = postern(
        files.path(),
        &["init", "r2", "--database", "postgres://u:sesame@h"],
    );
    let message = refused(&bad, 1);
    assert!(
        message.contains("database name is missing") && !message.contains("sesame"),
        "{message}"
    );
}

#[test]
fn every_command_explains_itself() {
    for command in [
        &["init"][..],
        &["up"],
        &["status"],
        &["user", "add"],
        &["user", "list"],
        &["audit", "verify"],
    ] {
        let help = out(&postern(Path::new("."), &[command, &["--help"]].concat()));
        assert!(help.contains("Usage: postern"), "{help}");
    }
    let help = out(&postern(Path::new("."), &["--help"]));
    assert!(help.contains("Examples:") && !help.contains("tether"));
}
