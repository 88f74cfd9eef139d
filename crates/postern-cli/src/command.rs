//! The command line of `postern`.

mod init;
mod keys;
mod status;

use crate::console::say;
use crate::directory::RingDirectory;
use crate::supervise::{UpOptions, up};
use crate::tether::{self, DeathSignal};
use crate::users::{self, User, UsersFile};
use crate::{audit, catalog, doctor, firewall, operator, policy, terminal};
use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use postern_runtime::unix_ms;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// A guarded gate in front of PostgreSQL.
#[derive(Parser)]
#[command(
    name = "postern",
    version,
    after_help = "Examples:
  postern init ring --database postgres://postern:secret@127.0.0.1/shop
  POSTERN_PASSWORD=app postern user add app --roles app --dir ring
  postern up ring
  psql 'postgres://app@127.0.0.1:6432/shop'
  postern audit verify ring

Exit codes: 0 done, 1 failed, 2 the command line is not understood, 3 `status`: the ring is not up."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(Box<init::Init>),
    Up(Up),
    Status(status::StatusArgs),
    Catalog(catalog::CatalogArgs),
    Doctor(doctor::DoctorArgs),
    Firewall(firewall::FirewallArgs),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    User(UserCommand),
    #[command(subcommand)]
    Audit(AuditCommand),
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    #[command(hide = true)]
    Tether(Tether),
}

/// Run a whole ring on this machine until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern up ring --ready-file /run/postern.ready

nats-server is taken from postern.toml, then $POSTERN_NATS_SERVER, then the PATH; the stages from beside this program.")]
struct Up {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Listen here instead of where frontend.toml says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Make this file when a client can connect.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Show everything that the NATS servers log.
    #[arg(long)]
    verbose: bool,
}

/// Say who may sign in.
#[derive(Debug, Subcommand)]
enum UserCommand {
    Add(UserAdd),
    Passwd(UserPasswd),
    List(UserList),
    Remove(UserRemove),
}

/// Add a user, or change one. The password comes from the terminal or from POSTERN_PASSWORD.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern user add alice --roles app --tenant 7 --dir ring
  postern user add alice --roles app --dir ring --verifier \"$(psql -Atc \"select rolpassword from pg_authid where rolname='alice'\")\"

A ring that is up notices the change by itself.")]
struct UserAdd {
    /// Name to sign in with.
    name: String,
    /// Roles of the policy, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    roles: Vec<String>,
    /// The tenant whose rows the user sees.
    #[arg(long)]
    tenant: Option<String>,
    /// The ring's directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
    /// Take over a verifier that PostgreSQL made, instead of a password.
    #[arg(long, value_name = "SCRAM-SHA-256$…")]
    verifier: Option<String>,
    /// Change the user if there is one of that name.
    #[arg(long)]
    replace: bool,
}

/// Change a user's password. The new one comes from the terminal or from POSTERN_PASSWORD.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern user passwd alice --dir ring
  POSTERN_PASSWORD=new postern user passwd app --grace 3600 --dir ring

While the old password is good as well, its sign-ins are recorded with the reason `previous-password`:
postern audit query ring --event signin --actor app. Sessions that have begun go on.")]
struct UserPasswd {
    /// Name of the user.
    name: String,
    /// Seconds for which the old password stays good; 0 for one that others know.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(..=30 * 86_400))]
    grace: u64,
    /// The ring's directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
}

/// List the users with roles and tenants.
#[derive(Debug, Args)]
struct UserList {
    /// The ring's directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Remove a user.
#[derive(Debug, Args)]
struct UserRemove {
    /// Name of the user.
    name: String,
    /// The ring's directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
}

/// Check and read the ledgers of the four stages and the operator.
#[derive(Debug, Subcommand)]
enum AuditCommand {
    Verify(audit::VerifyArgs),
    Tail(audit::TailArgs),
    Query(Box<audit::QueryArgs>),
    Export(Box<audit::ExportArgs>),
    Sign(audit::SignArgs),
    Publish(audit::PublishArgs),
    Pack(audit::PackArgs),
    Prune(audit::PruneArgs),
    Prove(audit::ProveArgs),
    VerifyProof(audit::VerifyProofArgs),
}

/// Become a command that ends when its parent does.
#[derive(Debug, Args)]
struct Tether {
    /// Process whose end ends the command.
    #[arg(long)]
    parent: u32,
    /// What the kernel sends then.
    #[arg(long, value_enum, default_value = "kill")]
    signal: DeathSignal,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Does what the command line says.
///
/// # Errors
/// A sentence for the person at the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Init(args) => init::run(*args),
        Command::Up(args) => run_up(args),
        Command::Status(args) => status::run(&args),
        Command::Catalog(args) => catalog::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Firewall(args) => firewall::run(&args),
        Command::Policy(command) => policy::run(&command),
        Command::User(UserCommand::Add(args)) => run_user_add(args),
        Command::User(UserCommand::Passwd(args)) => run_user_passwd(&args),
        Command::User(UserCommand::List(args)) => run_user_list(&args),
        Command::User(UserCommand::Remove(args)) => run_user_remove(&args),
        Command::Audit(AuditCommand::Verify(args)) => audit::verify(&args),
        Command::Audit(AuditCommand::Tail(args)) => audit::tail(&args),
        Command::Audit(AuditCommand::Query(args)) => audit::query(&args),
        Command::Audit(AuditCommand::Export(args)) => audit::export(&args),
        Command::Audit(AuditCommand::Sign(args)) => audit::sign(&args),
        Command::Audit(AuditCommand::Publish(args)) => audit::publish(&args),
        Command::Audit(AuditCommand::Pack(args)) => audit::pack(&args),
        Command::Audit(AuditCommand::Prune(args)) => audit::prune(&args),
        Command::Audit(AuditCommand::Prove(args)) => audit::prove(&args),
        Command::Audit(AuditCommand::VerifyProof(args)) => audit::verify_proof(&args),
        Command::Keys(command) => keys::run(&command),
        Command::Tether(args) => {
            tether::become_command(args.parent, args.signal, &args.command)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn run_up(args: Up) -> anyhow::Result<ExitCode> {
    postern_bus::leave_out_system_certificates()
        .context("can't start anew without the system's certificates")?;
    let options = UpOptions {
        ring: RingDirectory::new(&args.directory),
        listen: args.listen,
        ready_file: args.ready_file,
        verbose: args.verbose,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = until_told_to_stop()?;
        up(options, stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Completes on Ctrl-C, SIGTERM or when the terminal goes away.
fn until_told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

fn run_user_add(args: UserAdd) -> anyhow::Result<ExitCode> {
    users::check_name(&args.name)?;
    let ring = RingDirectory::new(&args.directory);
    users::check_roles(&ring.policy_file(), &args.roles)?;
    let mut file = UsersFile::open(&ring.users_file())?;
    if file.users.users.contains_key(&args.name) && !args.replace {
        bail!("there is a user {} already; --replace changes it", args.name);
    }
    let verifier = match args.verifier {
        Some(verifier) => users::imported_verifier(&verifier)?,
        None => users::verifier_of(&new_password(&args.name)?)?,
    };
    let objects = [
        Some(args.name.clone()),
        Some(format!("roles {}", args.roles.join(","))),
        args.tenant.as_ref().map(|tenant| format!("tenant {tenant}")),
    ];
    let objects: Vec<String> = objects.into_iter().flatten().collect();
    let user = User::new(verifier, args.roles, args.tenant);
    operator::recorded(&ring, "user.add", &objects, || {
        file.users.users.insert(args.name.clone(), user);
        file.save()
    })?;
    say!("{} may sign in.", args.name);
    Ok(ExitCode::SUCCESS)
}

/// From the environment, or from the terminal.
fn new_password(user: &str) -> anyhow::Result<Zeroizing<String>> {
    match std::env::var("POSTERN_PASSWORD") {
        Ok(password) => Ok(Zeroizing::new(password)),
        Err(_) => Ok(Zeroizing::new(terminal::new_password(user)?)),
    }
}

fn run_user_passwd(args: &UserPasswd) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    let mut file = UsersFile::open(&ring.users_file())?;
    let Some(user) = file.users.users.get_mut(&args.name) else {
        bail!("there is no user {}", args.name);
    };
    let grace = Duration::from_secs(args.grace);
    user.change_password(&new_password(&args.name)?, grace, unix_ms())?;
    operator::recorded(&ring, "user.passwd", std::slice::from_ref(&args.name), || {
        file.save()
    })?;
    if args.grace == 0 {
        say!("{} has a new password; the old one is refused.", args.name);
    } else {
        say!(
            "{} has a new password; the old one is good for another {} seconds.",
            args.name,
            args.grace
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn run_user_list(args: &UserList) -> anyhow::Result<ExitCode> {
    let users = users::read(&RingDirectory::new(&args.directory).users_file())?.users;
    if args.json {
        let list: Vec<_> = users
            .iter()
            .map(|(name, user)| json!({ "name": name, "roles": user.roles, "tenant": user.tenant }))
            .collect();
        say!("{}", json!({ "users": list }));
        return Ok(ExitCode::SUCCESS);
    }
    for (name, user) in &users {
        let tenant = user
            .tenant
            .as_ref()
            .map(|tenant| format!("   tenant {tenant}"))
            .unwrap_or_default();
        say!("{name:<24} {}{tenant}", user.roles.join(","));
    }
    Ok(ExitCode::SUCCESS)
}

fn run_user_remove(args: &UserRemove) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    let mut file = UsersFile::open(&ring.users_file())?;
    if file.users.users.remove(&args.name).is_none() {
        bail!("there is no user {}", args.name);
    }
    operator::recorded(&ring, "user.remove", std::slice::from_ref(&args.name), || {
        file.save()
    })?;
    say!("{} may not sign in any more.", args.name);
    Ok(ExitCode::SUCCESS)
}
