//! Keeps one part running.

use super::board::Board;
use super::{hop_of, log};
use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::part::Part;
use crate::provision;
use crate::ring_config::RingConfig;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A part that ran this long is taken to be healthy: its next end is a first one.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Before the ring was ever ready, this many ends in a row mean that waiting won't help.
const STARTS_BEFORE_READY: u32 = 5;
/// How long a part may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// The same for the sinks, which have the last records to hand over.
const SINKS_STOP_WITHIN: Duration = Duration::from_secs(8);

/// How often a NATS server's streams and consumers are put right.
const PROVISION_EVERY: Duration = Duration::from_secs(2);

/// What is wanted of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Run.
    On,
    /// The stages are to stop.
    StopStages,
    /// All are to stop.
    StopAll,
}

impl Run {
    fn stops(self, part: Part) -> bool {
        match part {
            Part::Stage(_) => self != Run::On,
            Part::Nats(_) | Part::Sinks => self == Run::StopAll,
        }
    }
}

/// One part and all that is needed to run it.
pub(super) struct Keeper {
    pub(super) part: Part,
    pub(super) ring: RingDirectory,
    pub(super) config: RingConfig,
    pub(super) command: Vec<OsString>,
    pub(super) board: Arc<Board>,
    pub(super) verbose: bool,
}

impl Keeper {
    /// Runs the part until it is told to stop. An error means that it can't be run at all.
    pub(super) async fn run(self, mut phase: watch::Receiver<Run>) -> anyhow::Result<()> {
        if matches!(self.part, Part::Stage(_)) {
            tokio::select! {
                () = self.board.until_nats_is_up() => {}
                () = told_to_stop(&mut phase, self.part) => return Ok(()),
            }
        }
        let (mut starts, mut quick_ends, mut pause) = (0_u32, 0_u32, FIRST_PAUSE);
        loop {
            let begun = Instant::now();
            let mut child = self.spawn()?;
            self.board.started(self.part, child.id(), starts);
            let outcome = tokio::select! {
                status = child.wait() => Some(status?),
                () = told_to_stop(&mut phase, self.part) => None,
                never = self.attend() => match never? {},
            };
            let Some(status) = outcome else {
                stop(&mut child, self.part).await;
                self.board.ended(self.part);
                return Ok(());
            };
            self.board.ended(self.part);
            if begun.elapsed() >= HEALTHY_AFTER {
                (quick_ends, pause) = (0, FIRST_PAUSE);
            }
            quick_ends = quick_ends.saturating_add(1);
            if quick_ends >= STARTS_BEFORE_READY && !self.board.is_ready() {
                bail!(
                    "{} ended {quick_ends} times in a row ({}); its log is above",
                    self.part,
                    ending(status)
                );
            }
            log::own(&format!(
                "{} ended ({}); starting it again",
                self.part,
                ending(status)
            ));
            tokio::select! {
                () = sleep(pause) => {}
                () = told_to_stop(&mut phase, self.part) => return Ok(()),
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            starts = starts.saturating_add(1);
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let (program, arguments) = self.command.split_first().context("no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.ring.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal is for us; we pass it on in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {}", self.part))?;
        if let Some(out) = child.stdout.take() {
            tokio::spawn(log::copy(self.part, self.verbose, out));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(log::copy(self.part, self.verbose, err));
        }
        Ok(child)
    }

    /// What there is to do while the part runs: a NATS server gets its streams, and gets them again when they are
    /// gone. Never ends without an error.
    async fn attend(&self) -> anyhow::Result<std::convert::Infallible> {
        let Some(hop) = hop_of(self.part) else {
            return std::future::pending().await;
        };
        self.provision(hop).await?;
        self.board.provisioned(self.part);
        loop {
            sleep(PROVISION_EVERY).await;
            // A hijacked stage can make a server remove a consumer (see `postern_bus::permission`).
            if let Err(error) = provision::provision(&self.ring, &self.config, hop).await {
                log::own(&format!("{}: {error:#}", self.part));
            }
        }
    }

    async fn provision(&self, hop: Hop) -> anyhow::Result<()> {
        let mut attempts = 0_u32;
        loop {
            match provision::provision(&self.ring, &self.config, hop).await {
                Ok(()) => return Ok(()),
                // JetStream may need a moment to recover what is on disk.
                Err(_) if attempts < 50 => sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error),
            }
            attempts = attempts.saturating_add(1);
        }
    }
}

async fn told_to_stop(phase: &mut watch::Receiver<Run>, part: Part) {
    // The sender outlives the parts; if it did not, stopping is right too.
    let _ = phase.wait_for(|run| run.stops(part)).await;
}

/// Asks the process to end, and makes it end when it does not.
async fn stop(child: &mut Child, part: Part) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    let limit = match part {
        Part::Sinks => SINKS_STOP_WITHIN,
        Part::Nats(_) | Part::Stage(_) => STOP_WITHIN,
    };
    if timeout(limit, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
