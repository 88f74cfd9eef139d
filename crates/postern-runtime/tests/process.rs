//! The life of a stage as its supervisor sees it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in functions that tests share"
)]

use rustix::process::{Pid, Signal, kill_process};
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
    for signal in [Signal::TERM, Signal::INT] {
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
        kill_process(Pid::from_child(&child), signal).unwrap();
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

/// What becomes of a stage that tries this, with one port allowed.
fn attempt(sandbox: &str, action: &str, target: &str, port: u16) -> Output {
    Fixture::new(&format!(
        "action = '{action}'\nnote = 'note'\ntarget = '{target}'\nport = {port}\nsandbox = '{sandbox}'\n"
    ))
    .command()
    .output()
    .unwrap()
}

/// Where the kernel has no Landlock, all there is to see is that a stage then does not start.
fn kernel_can_restrict() -> bool {
    let output = attempt("required", "read", "note", 1);
    match output.status.code() {
        Some(0) => true,
        code => {
            assert_eq!(code, Some(2), "{}", log(&output));
            assert!(log(&output).contains("best-effort"), "{}", log(&output));
            println!("this kernel has no Landlock, and the stage says so");
            false
        }
    }
}

/// It works without the sandbox and does not inside: else the test proves nothing.
fn refused_by_the_sandbox(action: &str, target: &str, port: u16) {
    let outside = attempt("off", action, target, port);
    assert_eq!(
        outside.status.code(),
        Some(0),
        "{action} {target}: {}",
        log(&outside)
    );
    let inside = attempt("required", action, target, port);
    assert_eq!(
        inside.status.code(),
        Some(1),
        "{action} {target}: {}",
        log(&inside)
    );
    assert!(log(&inside).contains("Permission denied"), "{}", log(&inside));
}

#[test]
fn a_stage_reads_and_writes_what_it_needs_and_nothing_else() {
    if !kernel_can_restrict() {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("key");
    std::fs::write(&secret, "x").unwrap();
    refused_by_the_sandbox("read", secret.to_str().unwrap(), 1);
    refused_by_the_sandbox("read", "/etc/passwd", 1);
    refused_by_the_sandbox("write", secret.to_str().unwrap(), 1);
    for action in ["write", "read"] {
        let own = attempt("required", action, "note", 1);
        assert_eq!(own.status.code(), Some(0), "{}", log(&own));
    }
}

#[test]
fn a_stage_connects_to_its_ports_and_to_no_other() {
    if !kernel_can_restrict() {
        return;
    }
    let [allowed, other] = [0, 0].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &std::net::TcpListener| listener.local_addr().unwrap().port();
    let own = attempt("required", "connect", &port(&allowed).to_string(), port(&allowed));
    assert_eq!(own.status.code(), Some(0), "{}", log(&own));
    if log(&own).contains("not TCP ports") {
        println!("this kernel can't restrict TCP ports, and the stage says so");
        return;
    }
    refused_by_the_sandbox("connect", &port(&other).to_string(), port(&allowed));
}

#[test]
fn a_stage_starts_no_program() {
    if !kernel_can_restrict() {
        return;
    }
    let outside = attempt("off", "start", "/bin/true", 1);
    assert_eq!(outside.status.code(), Some(0), "{}", log(&outside));
    let inside = attempt("required", "start", "/bin/true", 1);
    // A process can't even be made; if it could, the program would end it.
    assert_ne!(inside.status.code(), Some(0), "{}", log(&inside));
    assert!(
        log(&inside).contains("Operation not permitted") || inside.status.signal().is_some(),
        "{:?} {}",
        inside.status,
        log(&inside)
    );
}

#[test]
fn a_call_that_is_not_listed_is_refused_or_ends_the_process() {
    assert_eq!(attempt("off", "link", "other", 1).status.code(), Some(0));
    let refused = attempt("required", "link", "other", 1);
    assert_eq!(refused.status.code(), Some(1));
    assert!(log(&refused).contains("not permitted"), "{}", log(&refused));
    let ended = attempt("strict", "link", "other", 1);
    assert_eq!(ended.status.signal(), Some(Signal::SYS.as_raw()));
}

/// What the process's status says after this name.
fn status(child: &Child, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn nothing_of_root_is_left() {
    let is_root = rustix::process::geteuid().is_root();
    // Somebody else's configuration is only of interest to root, who could read it otherwise.
    let nobody = 65_534;
    for owner in [None, Some(nobody)]
        .into_iter()
        .filter(|owner| owner.is_none() || is_root)
    {
        let fixture = Fixture::new("action = 'wait'\nnote = 'note'\nsandbox = 'best-effort'\n");
        for path in [fixture.path("."), fixture.path("frontend.toml")] {
            std::os::unix::fs::chown(path, owner, owner).unwrap();
        }
        // The example itself must be in reach of that user.
        let copy = fixture.path("stage");
        std::fs::copy(stage().get_program(), &copy).unwrap();
        let mut child = Command::new(copy)
            .arg("--config")
            .arg(fixture.path("frontend.toml"))
            .arg("--ready-file")
            .arg(fixture.path("ready"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        fixture.wait_for("ready", &mut child);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(status(&child, set).trim_start_matches('0'), "", "{set}");
        }
        let own = rustix::process::geteuid().as_raw();
        let expected = owner.unwrap_or(own).to_string();
        assert_eq!(status(&child, "Uid:"), [&*expected; 4].join(" "));
        if owner.is_some() {
            assert_eq!(status(&child, "Gid:"), [&*expected; 4].join(" "));
            assert_eq!(status(&child, "Groups:"), "");
        }
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", log(&output));
    }
}
