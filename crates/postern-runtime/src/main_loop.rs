//! The life of a stage process from command line to exit code.

use crate::config::{ConfigError, load_config};
use crate::context::{Life, ReadyFile, StageContext};
use crate::keys::KeysError;
use crate::sandbox::{self, SandboxError, SandboxMode, Sandboxed};
use crate::{hardening, telemetry};
use clap::{Arg, Command, value_parser};
use postern_bus::{ConnectError, SecretError};
use postern_types::{InstanceId, Stage};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a stage ends. An error is logged with its causes and makes the exit code 1, or 2 when a cause is a
/// matter of configuration.
pub type StageResult = anyhow::Result<()>;

/// A stage that was asked to stop and still runs after this time is ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Command line or configuration are wrong.
const USAGE: u8 = 2;

/// A program that runs until it is told to stop.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Name of its configuration, for the example in its help.
    pub config: &'static str,
    /// Further examples for its help, each with its line end; may be empty.
    pub more: &'static str,
}

/// The whole `main` of a stage; see [`program_main`].
pub fn stage_main<C, F, R>(stage: Stage, run: F) -> ExitCode
where
    C: DeserializeOwned + Sandboxed,
    F: FnOnce(C, StageContext) -> R,
    R: Future<Output = StageResult>,
{
    program_main(program(stage), |config, life: Life| {
        run(
            config,
            StageContext {
                stage,
                instance: life.instance,
                shutdown: life.shutdown,
                ready: life.ready,
            },
        )
    })
}

/// The whole `main` of a program: reads `--config FILE`, moves into that file's directory (so that relative
/// paths in it mean files next to it), gives up what the program does not need (see [`crate::sandbox`]), and runs
/// `run` on a runtime with one thread until it returns.
/// SIGTERM and SIGINT cancel [`Life::shutdown`]; a second one ends the process at once.
pub fn program_main<C, F, R>(program: Program, run: F) -> ExitCode
where
    C: DeserializeOwned + Sandboxed,
    F: FnOnce(C, Life) -> R,
    R: Future<Output = StageResult>,
{
    let arguments = match Arguments::read(&program) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if let Err(error) = telemetry::start_log() {
        eprintln!("{error}");
        return ExitCode::from(USAGE);
    }
    hardening::abort_on_panic();
    hardening::forbid_core_dumps();
    match live(&program, arguments, run) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error:#}");
            if is_configuration(&error) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

struct Arguments {
    config: PathBuf,
    ready_file: Option<PathBuf>,
}

impl Arguments {
    /// Reads the command line; prints help and usage errors itself.
    fn read(program: &Program) -> Result<Self, ExitCode> {
        let mut matches = command(program).try_get_matches().map_err(|error| {
            let _ = error.print();
            // Help and version are not errors.
            ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
        })?;
        let config = matches
            .remove_one::<PathBuf>("config")
            .ok_or(ExitCode::from(USAGE))?;
        Ok(Arguments {
            config,
            ready_file: matches.remove_one::<PathBuf>("ready-file"),
        })
    }
}

fn command(program: &Program) -> Command {
    let Program {
        name,
        about,
        config,
        more,
    } = program;
    Command::new(*name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(*about)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("TOML file; relative paths in it are relative to its directory"),
        )
        .arg(
            Arg::new("ready-file")
                .long("ready-file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Appears when the program is ready"),
        )
        .after_help(format!(
            "Examples:\n  {name} --config /etc/postern/{config}\n{more}\n\
             Environment:\n  {}  log filter, such as `info` or `debug`\n\n\
             Exit codes:\n  0 stopped, 1 failed, 2 wrong command line or configuration",
            telemetry::LOG_VARIABLE
        ))
}

fn program(stage: Stage) -> Program {
    match stage {
        Stage::Frontend => Program {
            name: "postern-frontend",
            about: "Accepts PostgreSQL clients and sends what they ask round the ring",
            config: "frontend.toml",
            more: "",
        },
        Stage::QueryValidator => Program {
            name: "postern-query-validator",
            about: "Decides what may run",
            config: "query-validator.toml",
            more: "",
        },
        Stage::Backend => Program {
            name: "postern-backend",
            about: "Runs in PostgreSQL what the Query Validator let through",
            config: "backend.toml",
            more: "  postern-backend --config /etc/postern/backend.toml --catalog > catalog.json\n    \
                   prints what there is in the database, for the policy, and exits\n",
        },
        Stage::ResponseValidator => Program {
            name: "postern-response-validator",
            about: "Decides what may come back",
            config: "response-validator.toml",
            more: "",
        },
    }
}

fn live<C, F, R>(program: &Program, arguments: Arguments, run: F) -> anyhow::Result<()>
where
    C: DeserializeOwned + Sandboxed,
    F: FnOnce(C, Life) -> R,
    R: Future<Output = StageResult>,
{
    let config: C = load_config(&arguments.config)?;
    if config.sandbox() != SandboxMode::Off {
        hardening::give_up_root(&arguments.config)?;
    }
    // Before the sandbox, which allows no program to be started.
    postern_bus::leave_out_system_certificates()?;
    // Absolute before the directory changes: it was given on the command line.
    let ready_file = arguments.ready_file.map(std::path::absolute).transpose()?;
    enter_directory_of(&arguments.config)?;
    enter_sandbox(&config, ready_file.as_deref())?;
    let life = Life {
        instance: InstanceId::random()?,
        shutdown: CancellationToken::new(),
        ready: ReadyFile::new(ready_file)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    let ready = life.ready.clone();
    let result = runtime.block_on(async {
        let shutdown = life.shutdown.clone();
        watch_signals(shutdown.clone())?;
        tracing::info!(program = program.name, instance = %life.instance, version = env!("CARGO_PKG_VERSION"), "starting");
        tokio::select! {
            result = run(config, life) => result,
            () = overdue(shutdown) => anyhow::bail!("did not stop within {} s", PATIENCE.as_secs()),
        }
    });
    // Threads that block must not keep a stopped process alive.
    runtime.shutdown_background();
    let withdrawn = ready.withdraw();
    result?;
    Ok(withdrawn?)
}

fn enter_directory_of(config: &Path) -> Result<(), ConfigError> {
    let directory = match config.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => return Ok(()),
    };
    std::env::set_current_dir(directory).map_err(|error| ConfigError {
        file: config.to_owned(),
        position: None,
        message: format!("can't enter its directory: {error}"),
    })
}

fn enter_sandbox(config: &impl Sandboxed, ready_file: Option<&Path>) -> Result<(), SandboxError> {
    let mut needs = config.needs()?;
    if let Some(directory) = ready_file.and_then(Path::parent) {
        needs = needs.writing(directory);
    }
    sandbox::enter(config.sandbox(), &needs)
}

/// Resolves when the stage has been asked to stop for too long.
async fn overdue(shutdown: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(PATIENCE).await;
}

fn watch_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Asks a stage to read its files again; one that has none to read goes on as before.
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = hang_up.recv() => continue,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if shutdown.is_cancelled() {
                tracing::warn!("asked to stop a second time, ending at once");
                std::process::exit(1);
            }
            tracing::info!("asked to stop");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// Whether the operator has to change a file or an option before it makes sense to try again.
fn is_configuration(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || cause.is::<KeysError>()
            || cause.is::<SandboxError>()
            || cause.is::<SecretError>()
            || cause.is::<ConnectError>()
    })
}

#[cfg(test)]
mod tests;
