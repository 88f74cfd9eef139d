//! `postern tether`: runs a command that dies with whoever started it.
//!
//! A supervisor that is killed with SIGKILL can't stop its children. The kernel can, if the child asks for
//! it before it becomes the command; that is all this does.

use anyhow::{Context as _, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Which signal the kernel sends when the parent is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DeathSignal {
    /// End at once.
    Kill,
    /// End in good order.
    Term,
    /// PostgreSQL's fast shutdown.
    Int,
}

/// Becomes `command`, which gets `signal` when process `parent` ends. Returns only when that failed.
///
/// # Errors
/// When the parent is gone already or the command can't be started.
pub fn become_command(parent: u32, signal: DeathSignal, command: &[OsString]) -> anyhow::Result<()> {
    let signal = match signal {
        DeathSignal::Kill => Signal::KILL,
        DeathSignal::Term => Signal::TERM,
        DeathSignal::Int => Signal::INT,
    };
    set_parent_process_death_signal(Some(signal)).context("can't tie the process to its parent")?;
    // The parent may have ended before the line above; then nobody would ever send the signal.
    let living = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if living != Some(parent) {
        bail!("the process that wanted this command is gone");
    }
    let Some((program, arguments)) = command.split_first() else {
        bail!("no command to run");
    };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("can't run {}", program.display()))
}
