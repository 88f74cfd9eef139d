//! A ring in which nothing is done: four NATS servers of its own, and `ring_echo` of `postern-bus`.

use anyhow::{Context as _, bail};
use postern_testkit::binaries;
use postern_testkit::port::{self, Port};
use postern_testkit::process::Process;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The four servers.
pub(crate) struct Echo {
    program: PathBuf,
    servers: Vec<(Process, Port)>,
}

/// What one run of `ring_echo` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoOutcome {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) tps_32: f64,
    /// Exchanges a second when none of them share a message.
    pub(crate) tps_32_one_message_each: f64,
}

impl Echo {
    /// Starts the servers, with their streams in files under `directory`.
    ///
    /// # Errors
    /// When one does not come up, or `ring_echo` is not built.
    pub(crate) fn start(directory: &Path) -> anyhow::Result<Echo> {
        let program = binaries::directory()?.join("examples/ring_echo");
        if !program.is_file() {
            bail!(
                "{} is missing; build it first: cargo build --release --example ring_echo",
                program.display()
            );
        }
        let programs = binaries::programs(None)?;
        let mut servers = Vec::new();
        for number in 1..=4 {
            let store = directory.join(number.to_string());
            fs::create_dir_all(&store)?;
            let port = port::reserve()?;
            let mut command = vec!["setpriv".into(), "--pdeathsig".into(), "KILL".into(), "--".into()];
            command.extend(programs.nats_command());
            command.extend(["-js", "-a", "127.0.0.1", "-p"].map(Into::into));
            command.extend([port.number.to_string().into(), "-sd".into()]);
            command.push(store.clone().into_os_string());
            let process = Process::start(&command, &store, &store.join("log"))?;
            servers.push((process, port));
        }
        for (process, port) in &mut servers {
            wait_until_ready(process, port.number)?;
        }
        Ok(Echo { program, servers })
    }

    /// One run: `seconds` with one client and as many with 32, and the same again without sharing messages.
    ///
    /// # Errors
    /// When it fails, or prints something else than it should.
    pub(crate) fn run(&self, seconds: u32) -> anyhow::Result<EchoOutcome> {
        let urls = self
            .servers
            .iter()
            .map(|(_, port)| format!("nats://127.0.0.1:{}", port.number));
        let output = Command::new(&self.program)
            .args(urls)
            .args(["--storage", "file", "--seconds", &seconds.to_string()])
            .output()
            .with_context(|| format!("can't run {}", self.program.display()))?;
        if !output.status.success() {
            bail!("ring_echo failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).context("ring_echo's output")?;
        let figure = |path: &str| {
            said.pointer(path)
                .and_then(serde_json::Value::as_f64)
                .with_context(|| format!("ring_echo says no {path}"))
        };
        Ok(EchoOutcome {
            p50_us: figure("/p50_us_1")?,
            p99_us: figure("/p99_us_1")?,
            tps_32: figure("/tps_32")?,
            tps_32_one_message_each: figure("/one_message_each/tps_32")?,
        })
    }
}

fn wait_until_ready(process: &mut Process, port: u16) -> anyhow::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if !process.is_running() || begun.elapsed() > Duration::from_secs(20) {
            bail!("a NATS server did not start:\n{}", process.log());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
