//! The format of a ring's directory has a number, and a change of the format changes it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use postern_cli::directory::RingDirectory;
use postern_cli::init::{InitOptions, init};
use postern_cli::ring_config::{FORMAT, OtherFormat};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn ring(files: &Path) -> RingDirectory {
    let database = "postgres://postern:secret@127.0.0.1:5432/shop".parse().unwrap();
    init(&InitOptions::new(files.join("ring"), database)).unwrap()
}

/// Every file, and every key of those that are TOML. Names that are made at random are left out.
fn described(ring: &RingDirectory) -> String {
    let mut lines = BTreeSet::new();
    let mut folders = vec![ring.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(ring.path()).unwrap().display().to_string();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let table: toml::Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                keys(&table, &name, &mut lines);
            }
            lines.insert(name);
        }
    }
    lines
        .into_iter()
        .fold(String::new(), |all, line| all + &line + "\n")
}

fn keys(value: &toml::Value, above: &str, lines: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let here = format!("{above} {key}");
                keys(value, &here, lines);
                lines.insert(here);
            }
        }
        toml::Value::Array(values) => {
            for value in values {
                keys(value, above, lines);
            }
        }
        _ => {}
    }
}

#[test]
fn what_init_makes_is_of_the_format_it_says() {
    let files = tempfile::tempdir().unwrap();
    let made = format!("format {FORMAT}\n{}", described(&ring(files.path())));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format.txt");
    if std::env::var_os("POSTERN_WRITE_FORMAT").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let known = fs::read_to_string(&file).unwrap();
    let new: Vec<&str> = made
        .lines()
        .filter(|line| !known.lines().any(|old| old == *line))
        .collect();
    let gone: Vec<&str> = known
        .lines()
        .filter(|old| !made.lines().any(|line| line == *old))
        .collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the directory of a ring has changed: new {new:#?}, gone {gone:#?}.\nIf a ring made before can't be run any more, \
         add one to FORMAT in ring_config.rs. Then run this test with POSTERN_WRITE_FORMAT=1 to write tests/format.txt."
    );
}

#[test]
fn a_ring_of_another_format_is_named_as_such() {
    let files = tempfile::tempdir().unwrap();
    let ring = ring(files.path());
    let text = fs::read_to_string(ring.ring_config_file()).unwrap();
    assert_eq!(ring.ring_config().unwrap().format, FORMAT);
    for (line, told) in [
        ("", "before formats were counted"),
        ("format = 999\nsomething_new = true", "is of format 999"),
    ] {
        let other = text.replacen(&format!("format = {FORMAT}"), line, 1);
        assert_ne!(other, text);
        fs::write(ring.ring_config_file(), other).unwrap();
        let error = ring.ring_config().unwrap_err();
        assert!(error.is::<OtherFormat>(), "{error:#}");
        let message = error.to_string();
        assert!(
            message.contains(told) && message.contains("postern init"),
            "{message}"
        );
    }
}
