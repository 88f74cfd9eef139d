//! `postern init`.

use crate::certificate::{self, OwnAuthority};
use crate::console::say;
use crate::database_url::DatabaseUrl;
use crate::firewall;
use crate::init::{DEFAULT_LISTEN, DEFAULT_NATS_PORT, InitOptions, Sandbox, init};
use crate::nats_auth::{DEFAULT_JWT_LIFETIME, NatsAuth};
use crate::ring_config::{Storage, Topology};
use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Make the directory of a new ring: keys, certificate, configuration, first policy.
#[derive(Args)]
#[command(after_help = "Example:
  postern init ring --database postgres://postern:secret@127.0.0.1/shop?sslmode=require

The login role of the URL should own nothing; make it a NOINHERIT member of the roles that the policy names.")]
pub(super) struct Init {
    /// Directory to make; must not exist, or be empty.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The database behind the ring: postgres://USER:PASSWORD@HOST:PORT/DATABASE.
    // Not parsed by clap: its message would repeat the password.
    #[arg(long, value_name = "URL", env = "POSTERN_DATABASE", hide_env_values = true)]
    database: String,
    /// Shape of the ring.
    #[arg(long, value_enum, default_value = "full")]
    topology: Topology,
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = DEFAULT_LISTEN)]
    listen: String,
    /// Port of the first NATS server; the other three follow.
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_NATS_PORT)]
    nats_port_base: u16,
    /// Where messages in flight are kept.
    #[arg(long, value_enum, default_value = "file")]
    storage: Storage,
    /// Whether a stage starts where the kernel can't take away from it what it does not need.
    #[arg(long, value_enum, default_value = "required")]
    sandbox: Sandbox,
    /// Write rules for nftables and systemd too; see `postern firewall`.
    #[arg(long)]
    firewall: bool,
    /// How the stages sign in to the NATS servers.
    #[arg(long, value_enum, default_value = "jwt")]
    nats_auth: NatsAuth,
    /// How long their JWTs are good for, in seconds: at most a week.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_JWT_LIFETIME.as_secs(),
          value_parser = clap::value_parser!(u64).range(3..=604_800))]
    nats_jwt_lifetime: u64,
    /// Leave TLS away between stages and NATS servers. Only for hops that never leave this machine.
    #[arg(long)]
    nats_without_tls: bool,
    /// Your own CA for the hops, as PEM, instead of one that is made for the ring.
    #[arg(long, value_name = "FILE", conflicts_with = "nats_without_tls")]
    nats_ca: Option<PathBuf>,
    /// Its key. Without it each server and each stage gets a key and a request (.csr), to be signed by your CA.
    #[arg(long, value_name = "FILE", requires = "nats_ca")]
    nats_ca_key: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(super) fn run(args: Init) -> anyhow::Result<ExitCode> {
    let port = |n: u16| {
        args.nats_port_base
            .checked_add(n)
            .context("the NATS ports must be below 65536")
    };
    let options = InitOptions {
        directory: args.directory.clone(),
        database: args.database.parse::<DatabaseUrl>().context("--database")?,
        topology: args.topology,
        listen: args.listen.clone(),
        nats_ports: [port(0)?, port(1)?, port(2)?, port(3)?],
        storage: args.storage,
        sandbox: args.sandbox,
        nats_auth: args.nats_auth,
        nats_jwt_lifetime: Duration::from_secs(args.nats_jwt_lifetime),
        nats_tls: !args.nats_without_tls,
        nats_ca: args.nats_ca.clone().map(|certificate| OwnAuthority {
            certificate,
            key: args.nats_ca_key.clone(),
        }),
    };
    let ring = init(&options)?;
    if args.firewall {
        firewall::write(&ring)?;
    }
    let shown = args.directory.display();
    if args.json {
        say!("{}", json!({ "directory": ring.path(), "listen": args.listen }));
    } else {
        say!(
            "Made a ring in {shown}. Next:
  edit {shown}/policy/policy.yaml               what may run
  postern user add NAME --roles app --dir {shown}
  postern up {shown}"
        );
    }
    if args.nats_ca.is_some() && args.nats_ca_key.is_none() && !args.json {
        say!("{}", certificate::TO_BE_SIGNED);
    }
    if let Some(warning) = args.nats_auth.warning() {
        eprintln!("\nWarning: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}
