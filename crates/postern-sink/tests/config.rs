//! The examples that `postern init` writes can be taken as they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_cli::init::{InitOptions, init};
use postern_sink::SinksConfig;
use std::fs;
use std::path::Path;

#[test]
fn the_examples_of_a_new_ring_are_good() {
    let files = tempfile::tempdir().unwrap();
    let database = "postgres://postern:secret@127.0.0.1:5432/shop".parse().unwrap();
    let ring = init(&InitOptions::new(files.path().join("ring"), database)).unwrap();
    let text = fs::read_to_string(ring.sinks_config_file()).unwrap();
    let path = Path::new("sinks.toml");
    let config: SinksConfig = postern_runtime::parse_config(path, &text).unwrap();
    assert!(config.sinks.is_empty());
    let is_setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.starts_with('[')
            || (line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let taken: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if is_setting(setting) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config: SinksConfig = postern_runtime::parse_config(path, &taken).unwrap();
    let names: Vec<&str> = config.sinks.keys().map(String::as_str).collect();
    assert_eq!(names, ["local", "otel", "pager", "siem", "traces", "vault"]);
    assert!(config.metrics.is_some());
    assert_eq!(config.hostname.as_deref(), Some("shop-1"));
}
