//! `postern up` with real NATS servers and stand-ins for the stages, which are shell scripts that say they
//! are ready and then wait. The test holds the Frontend's port itself.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

use postern_bus::SignIn;
use postern_cli::directory::RingDirectory;
use postern_cli::hop::Hop;
use postern_cli::init::{InitOptions, init};
use postern_cli::nats_auth::NatsAuth;
use postern_cli::part::Part;
use postern_cli::status::{Status, is_running};
use postern_ledger::{Event, Ledger, Record};
use postern_types::{InstanceId, Stage};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything; only a way out.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fixture {
    supervisor: Child,
    ring: RingDirectory,
    ready_file: std::path::PathBuf,
    _listener: TcpListener,
    _files: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// What a stage's stand-in does: `$4` is the ready file.
const WAITS: &str = "#!/bin/sh\ntouch \"$4\"\nexec sleep 1000\n";

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A ring whose NATS servers can be asked by a few lines of code, see `ask_nats`.
fn start(stage_script: &str) -> Fixture {
    start_with(stage_script, |options| {
        options.nats_auth = NatsAuth::Password;
        options.nats_tls = false;
    })
}

fn start_with(stage_script: &str, change: impl FnOnce(&mut InitOptions)) -> Fixture {
    start_configured(stage_script, "", change)
}

/// With this at the end of `postern.toml`.
fn start_configured(stage_script: &str, more: &str, change: impl FnOnce(&mut InitOptions)) -> Fixture {
    let files = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = InitOptions::new(files.path().join("ring"), "postgres://u:p@h/d".parse().unwrap());
    options.listen = listener.local_addr().unwrap().to_string();
    options.nats_ports = free_ports();
    change(&mut options);
    let ring = init(&options).unwrap();
    let stages = files.path().join("stages");
    fs::create_dir(&stages).unwrap();
    for stage in Stage::ALL {
        let program = stages.join(format!("postern-{stage}"));
        fs::write(&program, stage_script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = fs::read_to_string(ring.ring_config_file()).unwrap();
    let config = format!("stage_directory = '{}'\n{config}\n{more}", stages.display());
    fs::write(ring.ring_config_file(), config).unwrap();
    let ready_file = files.path().join("ready");
    let supervisor = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args([
            "up",
            ring.path().to_str().unwrap(),
            "--ready-file",
            ready_file.to_str().unwrap(),
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Fixture {
        supervisor,
        ring,
        ready_file,
        _listener: listener,
        _files: files,
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Fixture {
    fn pid_of(&self, part: Part) -> Option<u32> {
        let status = Status::read(&self.ring).unwrap()?;
        status.parts[&part.name()].pid.filter(|pid| is_running(*pid))
    }

    fn all_pids(&self) -> Vec<u32> {
        Part::ALL
            .into_iter()
            .map(|part| self.pid_of(part).unwrap())
            .collect()
    }

    fn signal_supervisor(&self, signal: Signal) {
        kill(self.supervisor.id(), signal);
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Neither there nor a zombie that somebody else has yet to collect.
fn is_gone(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
    }
}

#[test]
fn what_dies_comes_back_and_sigterm_leaves_nothing_behind() {
    let mut ring = start(WAITS);
    wait_for("ready", || ring.ready_file.exists());
    for part in [Part::Stage(Stage::Backend), Part::Nats(Hop::CleanQuery)] {
        let before = ring.pid_of(part).unwrap();
        kill(before, Signal::KILL);
        wait_for("another process took its place", || {
            ring.pid_of(part).is_some_and(|pid| pid != before)
        });
    }
    let pids = ring.all_pids();
    ring.signal_supervisor(Signal::TERM);
    let status = ring.supervisor.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(pids.iter().all(|pid| is_gone(*pid)), "a child is left");
    assert!(!ring.ready_file.exists());
    assert!(Status::read(&ring.ring).unwrap().is_none());
}

/// Asks a hop's server as its administrator, and gives back the first answer.
fn ask_nats(ring: &RingDirectory, hop: Hop, subject: &str) -> String {
    let config = ring.ring_config().unwrap();
    let nats = &config.nats[&hop];
    let SignIn::Password { password_file } = &nats.admin_sign_in else {
        panic!("not by password")
    };
    let password = fs::read_to_string(ring.join(password_file.path().unwrap())).unwrap();
    let stream = TcpStream::connect(nats.url.trim_start_matches("nats://")).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let hello = format!(
        "CONNECT {{\"verbose\":false,\"user\":\"{}\",\"pass\":\"{}\"}}\r\nSUB answer 1\r\nPUB {subject} answer 0\r\n\r\n",
        nats.admin_user,
        password.trim()
    );
    (&stream).write_all(hello.as_bytes()).unwrap();
    let mut line = String::new();
    while !line.starts_with("MSG") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the server hung up");
        assert!(!line.starts_with("-ERR"), "{line}");
    }
    let mut answer = String::new();
    lines.read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_stream_that_was_removed_comes_back() {
    let ring = start(WAITS);
    wait_for("ready", || ring.ready_file.exists());
    let names = |ring: &Fixture| ask_nats(&ring.ring, Hop::DirtyQuery, "$JS.API.CONSUMER.NAMES.dirty-query");
    assert!(names(&ring).contains("query-validator"), "{}", names(&ring));
    let removed = ask_nats(&ring.ring, Hop::DirtyQuery, "$JS.API.STREAM.DELETE.dirty-query");
    assert!(removed.contains("\"success\":true"), "{removed}");
    wait_for("stream and consumer are there again", || {
        names(&ring).contains("query-validator")
    });
}

#[test]
fn not_even_sigkill_leaves_children_behind() {
    let mut ring = start(WAITS);
    wait_for("ready", || ring.ready_file.exists());
    let pids = ring.all_pids();
    ring.signal_supervisor(Signal::KILL);
    ring.supervisor.wait().unwrap();
    wait_for("all children are gone", || pids.iter().all(|pid| is_gone(*pid)));
}

#[test]
fn a_second_up_is_refused() {
    let ring = start(WAITS);
    wait_for("ready", || ring.ready_file.exists());
    let second = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["up", ring.ring.path().to_str().unwrap()])
        .output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already up"));
    assert!(ring.pid_of(Part::Stage(Stage::Frontend)).is_some());
}

#[test]
fn a_stage_that_can_not_run_ends_it_with_a_sentence() {
    let mut ring = start("#!/bin/sh\necho 'no such key' >&2\nexit 1\n");
    let status = ring.supervisor.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(!ring.ready_file.exists());
}

/// As `postern init` makes it, with JWTs that would long have run out.
#[test]
fn jwts_are_renewed_for_as_long_as_the_ring_is_up() {
    let mut ring = start_with(WAITS, |options| {
        options.nats_jwt_lifetime = Duration::from_secs(3);
    });
    wait_for("ready", || ring.ready_file.exists());
    let file = ring
        .ring
        .join(RingDirectory::nats_file(Hop::CleanQuery, "backend", "jwt"));
    let jwt = || fs::read_to_string(&file).unwrap();
    for round in 1..=3 {
        let before = jwt();
        wait_for(&format!("renewal {round}"), || jwt() != before);
    }
    // A certificate that is missing is as good as one that has run out.
    let certificate = ring.ring.join("keys/nats/backend/tls.crt");
    fs::remove_file(&certificate).unwrap();
    wait_for("a certificate", || certificate.exists());
    // Its own credentials are renewed too: a server that begins anew gets its stream.
    let before = ring.pid_of(Part::Nats(Hop::DirtyQuery)).unwrap();
    let store = ring.ring.join("nats/dirty-query");
    fs::rename(&store, ring.ring.join("nats/old")).unwrap();
    kill(before, Signal::KILL);
    let is_there = || contains(&store, "dirty-query");
    wait_for("the stream is there again", is_there);
    assert!(
        ring.supervisor.try_wait().unwrap().is_none(),
        "postern up gave up"
    );
}

/// Whether there is a directory of this name somewhere below.
fn contains(folder: &std::path::Path, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        path.is_dir() && (entry.file_name() == name || contains(&path, name))
    })
}

/// A ledger of several files.
fn write_ledger(ring: &RingDirectory, records: u64) {
    let directory = ring.path().join("audit/backend");
    let instance = InstanceId([1; 16]);
    let mut ledger = Ledger::open_with(&directory, Stage::Backend, instance, 1, 2000).unwrap();
    for exchange in 0..records {
        ledger.append(&Record {
            exchange: Some(exchange),
            ..Record::new(Event::Exchange)
        });
        ledger.commit().unwrap();
    }
}

#[test]
fn ledgers_are_signed_published_and_packed_while_the_ring_is_up() {
    let elsewhere = tempfile::tempdir().unwrap();
    let kept = elsewhere.path().join("shop");
    let config = format!("[audit]\npublish_to = ['{}']\n", kept.display());
    let mut ring = start_configured(WAITS, &config, |_| {});
    write_ledger(&ring.ring, 30);
    let packed = || {
        let files = fs::read_dir(ring.ring.path().join("audit/backend")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".jsonl.gz")).count()
    };
    wait_for("old files are packed", || packed() > 0);
    wait_for("checkpoints are published", || {
        kept.join("backend.jsonl").exists()
    });
    // What is written last is signed and published when the ring stops.
    write_ledger(&ring.ring, 1);
    ring.signal_supervisor(Signal::TERM);
    assert!(ring.supervisor.wait().unwrap().success());
    let ours = fs::read_to_string(ring.ring.path().join("audit/checkpoints/backend.jsonl")).unwrap();
    assert_eq!(fs::read_to_string(kept.join("backend.jsonl")).unwrap(), ours);
    let verified = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["audit", "verify", "--json"])
        .arg(ring.ring.path().join("audit/backend"))
        .args([
            "--public-keys".as_ref(),
            ring.ring.path().join("keys/audit").as_os_str(),
        ])
        .args(["--against".as_ref(), kept.as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{said}");
    assert!(said.contains("33"), "31 exchanges and two starts: {said}");
}
