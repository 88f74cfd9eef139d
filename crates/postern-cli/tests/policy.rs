//! `postern policy` as an operator uses it, on the policy that `postern init` writes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.args(arguments).current_dir(directory);
    command
}

/// Standard output of a command that ends with this code.
#[track_caller]
fn says(directory: &Path, arguments: &[&str], code: i32) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command(directory, arguments).output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_eq!(status.code(), Some(code), "{stdout}{stderr}");
    stdout
}

fn ring() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    let database = "postgres://postern:sesame@127.0.0.1:5433/shop?sslmode=disable";
    says(files.path(), &["init", "ring", "--database", database], 0);
    files
}

#[test]
fn check_tells_what_is_there_or_every_mistake_with_its_line() {
    let files = ring();
    let sound = says(files.path(), &["policy", "check", "ring"], 0);
    assert!(
        sound.starts_with("sound: 2 roles (app, owner), 0 named statements\n"),
        "{sound}"
    );
    let json = says(files.path(), &["policy", "check", "ring", "--json"], 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["sound"], &json["roles"][0]), (&true.into(), &"app".into()));

    let queries = files.path().join("ring/policy/queries");
    fs::create_dir(&queries).unwrap();
    fs::write(
        queries.join("a.sql"),
        "-- name: a -- roles: ap\nSELECT 1;\n-- name: a -- roles: app\nSELEC 2;\n",
    )
    .unwrap();
    let mistakes = says(files.path(), &["policy", "check", "ring"], 1);
    for expected in [
        "queries/a.sql:1: ",
        "`ap`",
        "queries/a.sql:4",
        "keeps the policy it has",
    ] {
        assert!(mistakes.contains(expected), "{expected}: {mistakes}");
    }
}

#[test]
fn explain_says_what_becomes_of_a_statement() {
    let files = ring();
    let explain = |sql: &str, code| {
        says(
            files.path(),
            &["policy", "explain", sql, "--roles", "app", "--dir", "ring"],
            code,
        )
    };
    assert!(explain("SELECT id FROM orders", 0).starts_with("select: allowed"));
    let refused = explain("SELECT pg_read_file('x')", 1);
    for expected in ["select: refused by lists of role app", "42501"] {
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    assert!(explain("SELECT FROM WHERE", 1).contains("syntax error"));
}

#[test]
fn cases_beside_the_policy_are_held_against_it() {
    let files = ring();
    let tests = files.path().join("ring/policy/tests");
    fs::create_dir(&tests).unwrap();
    let cases = |expect: &str| {
        let text = format!(
            "version: 1\ncases:\n  - {{name: reads, roles: [app], sql: select 1, expect: allow}}\n  \
             - {{name: drops, roles: [app], sql: drop table orders, expect: {expect}}}\n"
        );
        fs::write(tests.join("app.yaml"), text).unwrap();
    };
    cases("refuse");
    says(files.path(), &["policy", "test", "ring"], 0);
    cases("allow");
    assert!(says(files.path(), &["policy", "test", "ring"], 1).contains("drops"));
}

#[test]
fn nobody_reading_is_no_reason_to_panic() {
    let files = ring();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let Output { status, stderr, .. } = command(files.path(), &["policy", "check", "ring"])
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(141));
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
}
