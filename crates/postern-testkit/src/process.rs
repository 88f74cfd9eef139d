//! A child process with its log in a file; killed when dropped.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `directory`, adding to `log`. The process ends with the calling thread, even when
    /// that is killed, so call it from one that lives on. It has a process group of its own, which Ctrl-C at
    /// the terminal does not reach.
    ///
    /// # Errors
    /// When the program or the log can't be opened.
    pub fn start(command: &[OsString], directory: &Path, log: &Path) -> anyhow::Result<Process> {
        Process::start_with(command, &[], directory, log)
    }

    /// As `start`, with more environment.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(
        command: &[OsString],
        environment: &[(String, OsString)],
        directory: &Path,
        log: &Path,
    ) -> anyhow::Result<Process> {
        let (program, arguments) = command.split_first().context("no command")?;
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("can't write {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))?;
        Ok(Process {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends `signal` and waits; kills what has not ended within `limit`. True when it ended by itself.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> bool {
        self.signal(signal);
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if !self.is_running() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    /// Has it not ended?
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

/// Processor time that a process has used so far, in steps of 10 ms; `None` when there is no such process.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which is in parentheses, may have anything in it. After it come the state and, 11 fields on, the times.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let both = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_secs(both) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
