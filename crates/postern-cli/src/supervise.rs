//! `postern up`: runs a whole ring on this machine and keeps it running.
//!
//! NATS servers first, their streams next, then the stages. Whatever dies is started again, with a pause
//! that doubles from 100 ms to 2 s. On a signal the stages stop first, so that they can finish what they
//! have; then the NATS servers. Every child is tied to this process by the kernel (see [`crate::tether`]), so
//! none outlives it.

mod board;
mod keep;
mod log;
mod signing;

use crate::audit;
use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::keys;
use crate::nats;
use crate::operator;
use crate::part::{Part, Programs, find_program};
use crate::ring_config::RingConfig;
use crate::rotation;
use crate::secret_file;
use crate::sinks;
use anyhow::{Context as _, bail};
use board::Board;
use keep::{Keeper, Run};
use postern_ledger::Outcome;
use postern_types::Stage;
use signing::Signing;
use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How `up` runs a ring.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The ring.
    pub ring: RingDirectory,
    /// Listen here instead of where `frontend.toml` says.
    pub listen: Option<String>,
    /// Made when a client can connect.
    pub ready_file: Option<PathBuf>,
    /// Show what NATS servers log beyond warnings.
    pub verbose: bool,
}

/// Longest wait for the ring to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs the ring until `stop` completes.
///
/// # Errors
/// When the ring can't be started: a program is missing, a port is taken, a part ends again and again.
pub async fn up(options: UpOptions, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let ring = &options.ring;
    let config = ring.ring_config()?;
    let _lock = lock(ring)?;
    if let Some(file) = &options.ready_file {
        remove(file)?;
    }
    let parts_to_run = parts(ring)?;
    let programs = programs(&config, &parts_to_run)?;
    keys::renew_if_due(ring, &config)?;
    audit::make_keys(ring)?;
    let listen = listen_address(ring, options.listen.as_deref())?;
    operator::note(ring, "ring.up", &[], Outcome::Allowed)?;
    let board = Arc::new(Board::new(ring, &listen));
    let (phase, _) = watch::channel(Run::On);
    let mut parts = JoinSet::new();
    for part in parts_to_run {
        if let Part::Stage(stage) = part {
            remove(&ring.stage_ready_file(stage))?;
        }
        let keeper = Keeper {
            part,
            ring: ring.clone(),
            config: config.clone(),
            command: command(&programs, part, ring, options.listen.as_deref())?,
            board: Arc::clone(&board),
            verbose: options.verbose,
        };
        parts.spawn(keeper.run(phase.subscribe()));
    }
    let signing = Signing::start(ring, config.audit.clone())?;
    let work = async {
        wait_until_ready(&options, &board, &listen).await?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let outcome = tokio::select! {
        () = stop => Ok(()),
        failed = work => failed,
        failed = first_failure(&mut parts) => failed,
        never = keep_credentials_fresh(ring, &config) => match never {},
    };
    log::own("stopping");
    if let Some(file) = &options.ready_file {
        let _ = remove(file);
    }
    phase.send_replace(Run::StopStages);
    board.until_stages_are_down().await;
    let ended = if outcome.is_ok() {
        Outcome::Allowed
    } else {
        Outcome::Failed
    };
    if let Err(error) = operator::note(ring, "ring.down", &[], ended) {
        log::own(&format!("{error:#}"));
    }
    signing.finish().await;
    phase.send_replace(Run::StopAll);
    while parts.join_next().await.is_some() {}
    board.finish();
    log::own("stopped");
    outcome
}

/// Only one `postern up` may run a ring; the lock goes when the process does.
fn lock(ring: &RingDirectory) -> anyhow::Result<fs::File> {
    secret_file::directory(&ring.run())?;
    let path = ring.run().join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("can't open {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        anyhow::anyhow!(
            "this ring is already up; `postern status {}` shows its processes",
            ring.path().display()
        )
    })?;
    Ok(file)
}

fn remove(file: &std::path::Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// What there is to run: the ring, and its sinks if there are any.
fn parts(ring: &RingDirectory) -> anyhow::Result<Vec<Part>> {
    let mut parts = Part::ALL.to_vec();
    if sinks::is_wanted(ring)? {
        parts.push(Part::Sinks);
    }
    Ok(parts)
}

/// Finds the programs these parts need, and warns of an old NATS server.
fn programs(config: &RingConfig, parts: &[Part]) -> anyhow::Result<Programs> {
    let own = std::env::current_exe().context("can't find out where this program is")?;
    let beside = own.parent().map(PathBuf::from).unwrap_or_default();
    let from_environment = std::env::var_os("POSTERN_NATS_SERVER").map(PathBuf::from);
    let candidates = [config.nats_server.clone(), from_environment];
    let nats_server = find_program(&candidates, "nats-server").context(
        "nats-server was not found; install it, set POSTERN_NATS_SERVER, or set nats_server in postern.toml",
    )?;
    let version = nats::version(&nats_server)?;
    if postern_bus::is_advised_against(version) {
        log::own(&format!(
            "warning: {} is version {version}; versions before 2.12.7 have known weaknesses",
            nats_server.display()
        ));
    }
    let programs = Programs {
        nats_server,
        stages: config.stage_directory.clone().unwrap_or(beside),
        postern: own,
    };
    programs.check(parts)?;
    Ok(programs)
}

/// The command of a part; with `--listen`, the Frontend gets a copy of its configuration that says so.
fn command(
    programs: &Programs,
    part: Part,
    ring: &RingDirectory,
    listen: Option<&str>,
) -> anyhow::Result<Vec<std::ffi::OsString>> {
    let command = programs.command(part, ring);
    let (Part::Stage(Stage::Frontend), Some(listen)) = (part, listen) else {
        return Ok(command);
    };
    let usual = ring.stage_config_file(Stage::Frontend);
    let mut table = frontend_table(ring)?;
    table.insert("listen".to_owned(), listen.into());
    let changed = ring.join("frontend.listen.toml");
    secret_file::write(
        &changed,
        &format!("# frontend.toml as changed by `postern up --listen`; written anew each time.\n{table}"),
    )?;
    let swap = |word: std::ffi::OsString| {
        if word == usual.as_os_str() {
            changed.clone().into()
        } else {
            word
        }
    };
    Ok(command.into_iter().map(swap).collect())
}

fn frontend_table(ring: &RingDirectory) -> anyhow::Result<toml::Table> {
    let path = ring.stage_config_file(Stage::Frontend);
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    text.parse()
        .with_context(|| format!("error in {}", path.display()))
}

fn listen_address(ring: &RingDirectory, listen: Option<&str>) -> anyhow::Result<String> {
    if let Some(listen) = listen {
        return Ok(listen.to_owned());
    }
    let table = frontend_table(ring)?;
    let listen = table.get("listen").and_then(toml::Value::as_str);
    Ok(listen.context("frontend.toml has no `listen`")?.to_owned())
}

/// Renews the JWTs of the NATS users in time, and removes keys that have run out, for as long as the ring is up.
async fn keep_credentials_fresh(ring: &RingDirectory, config: &RingConfig) -> std::convert::Infallible {
    let lifetime_s = config.nats_jwt.map_or(u64::MAX, |jwt| jwt.lifetime_s);
    let look_every = Duration::from_secs((lifetime_s / 12).clamp(1, 60));
    loop {
        sleep(look_every).await;
        match rotation::remove_old(ring) {
            Ok(false) => {}
            Ok(true) => log::own("removed link keys that have run out"),
            Err(error) => log::own(&format!("old link keys could not be removed: {error:#}")),
        }
        match keys::renew_if_due(ring, config) {
            Ok(false) => {}
            Ok(true) => renewed(ring, "jwts", "renewed the JWTs for the NATS servers"),
            Err(error) => log::own(&format!(
                "the JWTs for the NATS servers could not be renewed: {error:#}"
            )),
        }
        match keys::renew_certificates_if_due(ring, config) {
            Ok(false) => {}
            Ok(true) => renewed(ring, "certificates", "renewed the certificates of the hops"),
            Err(error) => log::own(&format!(
                "the certificates of the hops could not be renewed: {error:#}"
            )),
        }
    }
}

/// Tells of what was renewed without anybody asking for it.
fn renewed(ring: &RingDirectory, what: &str, told: &str) {
    log::own(told);
    let what = [what.to_owned(), "in time".to_owned()];
    if let Err(error) = operator::note(ring, "keys.renew", &what, Outcome::Allowed) {
        log::own(&format!("{error:#}"));
    }
}

/// Completes when a part has given up.
async fn first_failure(parts: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    match parts.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(error.into()),
        None => bail!("nothing to run"),
    }
}

/// Ready is: every stage says so, and the Frontend's port takes a connection.
async fn wait_until_ready(options: &UpOptions, board: &Board, listen: &str) -> anyhow::Result<()> {
    let ready = async {
        let files = Stage::ALL.map(|stage| options.ring.stage_ready_file(stage));
        while !files.iter().all(|file| file.exists()) || TcpStream::connect(listen).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(READY_WITHIN, ready).await.is_err() {
        let missing: Vec<_> = Stage::ALL
            .into_iter()
            .filter(|stage| !options.ring.stage_ready_file(*stage).exists())
            .map(Stage::name)
            .collect();
        bail!(
            "not ready after {} s; still waiting for: {}",
            READY_WITHIN.as_secs(),
            missing.join(", ")
        );
    }
    board.ready();
    log::own(&format!("ready: clients can connect to {listen}"));
    if let Some(file) = &options.ready_file {
        fs::write(file, format!("{listen}\n")).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

/// The hop of a NATS part.
fn hop_of(part: Part) -> Option<Hop> {
    match part {
        Part::Nats(hop) => Some(hop),
        Part::Stage(_) | Part::Sinks => None,
    }
}
