//! The life of a stage as its supervisor sees it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in functions that tests share"
)]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The example `idle_stage`, which is built together with the tests.
fn stage() -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push("idle_stage");
    assert!(path.exists(), "build the examples first: {}", path.display());
    let mut command = Command::new(path);
    command
        .env_remove("POSTERN_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("frontend.toml"), config).unwrap();
        Fixture { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = stage();
        command.arg("--config").arg(self.path("frontend.toml"));
        command
    }

    fn wait_for(&self, name: &str, child: &mut Child) {
        let started = Instant::now();
        while !self.path(name).exists() {
            assert_eq!(child.try_wait().unwrap(), None, "ended too early");
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{name} did not appear"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn log(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_signal_stops_it_cleanly() {
    for signal in ["TERM", "INT"] {
        let fixture = Fixture::new("action = 'wait'\nnote = 'note'\n");
        let mut child = fixture
            .command()
            .arg("--ready-file")
            .arg(fixture.path("ready"))
            .spawn()
            .unwrap();
        fixture.wait_for("ready", &mut child);
        assert!(
            fixture.path("note").exists(),
            "relative paths are not relative to the configuration"
        );
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", log(&output));
        assert!(
            !fixture.path("ready").exists(),
            "the ready file outlived the stage"
        );
        assert!(!log(&output).contains('\u{1b}'), "colours without a terminal");
    }
}

#[test]
fn failures_are_exit_code_one_and_logged() {
    let output = Fixture::new("action = 'fail'\nnote = 'note'\n")
        .command()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(log(&output).contains("this stage fails"));
}

#[test]
fn wrong_configuration_is_exit_code_two_and_says_where() {
    let fixture = Fixture::new("action = 'wait'\nnote = 'note'\ncolour = 'blue'\n");
    let output = fixture.command().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let log = log(&output);
    assert!(
        log.contains("frontend.toml:3:1: ") && log.contains("`colour`") && log.contains("`note`"),
        "{log}"
    );
    assert!(!fixture.path("note").exists());

    let missing = stage()
        .arg("--config")
        .arg("/nonexistent/x.toml")
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn wrong_usage_is_exit_code_two_and_help_is_zero() {
    assert_eq!(stage().output().unwrap().status.code(), Some(2));
    assert_eq!(stage().arg("--colour").output().unwrap().status.code(), Some(2));
    let help = stage().arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--config"));
    let fixture = Fixture::new("action = 'wait'\nnote = 'note'\n");
    let output = fixture.command().env("POSTERN_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(log(&output).contains("POSTERN_LOG"));
}

#[test]
fn a_panic_aborts_without_showing_data_or_dumping_core() {
    let output = Fixture::new("action = 'panic'\nnote = 'note'\n")
        .command()
        .output()
        .unwrap();
    assert!(output.status.signal().is_some(), "{:?}", output.status);
    assert!(!output.status.core_dumped());
    let log = log(&output);
    assert!(log.contains("panic") && log.contains("idle_stage.rs"), "{log}");
    assert!(!log.contains("4711"), "{log}");
}
