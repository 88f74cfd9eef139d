//! Runs a command while a test's ring is up: for test programs and benchmarks that are not written in Rust.

use anyhow::Context as _;
use clap::Parser;
use postern_testkit::{NatsAuth, Options, PoolMode, Ring, Storage};
use postern_types::Stage;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Start a ring and a database of their own, run a command, remove both.
#[derive(Parser)]
#[command(after_help = "Example:
  postern-with-ring -- psql '{ring}' -c 'select 1'

In the command, {ring} stands for the URL through the ring, {direct} for the one past it, and {directory}
for the ring's directory.
The exit code is the command's.")]
struct Arguments {
    /// Who signs in: app or owner.
    #[arg(long, default_value = "owner")]
    user: String,
    /// Major version of PostgreSQL; default: the newest installed.
    #[arg(long)]
    pg_major: Option<u32>,
    /// The nats-server to use.
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Give connections back after each session instead of after each transaction.
    #[arg(long)]
    session_pooling: bool,
    /// Keep the streams on disk instead of in memory.
    #[arg(long)]
    file_storage: bool,
    /// Connections of the Backend to the database; default: as `postern init` has it.
    #[arg(long, value_name = "N")]
    pool_size: Option<u32>,
    /// A directory whose files are laid over the ring's policy.
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Have `postern catalog` describe the database to the policy.
    #[arg(long)]
    catalog: bool,
    /// The database offers TLS, and the Backend insists on it.
    #[arg(long)]
    database_tls: bool,
    /// How the stages sign in to the NATS servers.
    #[arg(long, value_enum, default_value = "jwt")]
    nats_auth: NatsAuth,
    /// Leave TLS away between stages and NATS servers.
    #[arg(long)]
    nats_without_tls: bool,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("postern-with-ring: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = Options {
        pg_major: arguments.pg_major,
        nats_server: arguments.nats_server.clone(),
        pool_mode: if arguments.session_pooling {
            PoolMode::Session
        } else {
            PoolMode::Transaction
        },
        storage: if arguments.file_storage {
            Storage::File
        } else {
            Storage::Memory
        },
        config: arguments
            .pool_size
            .map(|size| (Stage::Backend, format!("[database]\npool_size = {size}")))
            .into_iter()
            .collect(),
        policy_directory: arguments.policy.clone(),
        catalog: arguments.catalog,
        database_tls: arguments.database_tls,
        nats_auth: arguments.nats_auth,
        nats_tls: !arguments.nats_without_tls,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ring = runtime.block_on(Ring::start(options))?;
    let (through, past) = (ring.url(&arguments.user), ring.direct_url(&arguments.user));
    let directory = ring.directory().display().to_string();
    let words: Vec<String> = arguments
        .command
        .iter()
        .map(|word| {
            word.replace("{ring}", &through)
                .replace("{direct}", &past)
                .replace("{directory}", &directory)
        })
        .collect();
    let (program, rest) = words.split_first().context("no command")?;
    let status = Command::new(program)
        .args(rest)
        .status()
        .with_context(|| format!("can't run {program}"))?;
    // A command that a signal ended has no code.
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}
