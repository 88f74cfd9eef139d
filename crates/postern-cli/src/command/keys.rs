//! `postern keys`.

use crate::certificate::{self, Issued};
use crate::console::say;
use crate::directory::RingDirectory;
use crate::keys::{self, Renewed};
use crate::operator;
use crate::ring_config::RingConfig;
use crate::rotation;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Renew what the parts of a ring know each other by, and what they seal with.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    Renew(KeysRenew),
    Revoke(KeysRevoke),
    Rotate(rotation::Rotate),
}

/// Make new JWTs for the users of the NATS servers. Running stages take them by themselves.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern keys renew ring

`postern up` does it by itself when a third of the lifetime is left, and so it does with certificates. Where stages run on other machines, copy
keys/nats/STAGE there afterwards; keys/nats/operator stays here.")]
pub(super) struct KeysRenew {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// New certificates for the hops as well, of the CA that the ring has; requests for them, if its key is not here.
    #[arg(long)]
    certificates: bool,
}

/// Give a user of the NATS servers a new key, and have the servers refuse the one it had.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern keys revoke backend --dir ring

Users are the four stages and admin. A ring that is up goes on: the servers put the old key out, and the stage takes the
new one by itself.")]
pub(super) struct KeysRevoke {
    /// Name of the user.
    user: String,
    /// The ring's directory.
    #[arg(long = "dir", value_name = "DIR")]
    directory: PathBuf,
}

/// Does it.
pub(super) fn run(command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::Renew(args) => renew(args),
        KeysCommand::Revoke(args) => revoke(args),
        KeysCommand::Rotate(args) => rotation::run(args),
    }
}

fn renew(args: &KeysRenew) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    let config = ring.ring_config()?;
    let what: &[String] = match args.certificates {
        true => &["jwts".to_owned(), "certificates".to_owned()],
        false => &["jwts".to_owned()],
    };
    operator::recorded(&ring, "keys.renew", what, || {
        renew_in(&ring, &config, args.certificates)
    })
}

fn renew_in(ring: &RingDirectory, config: &RingConfig, certificates: bool) -> anyhow::Result<ExitCode> {
    match keys::renew(ring, config)? {
        Renewed::ForSeconds(seconds) => {
            say!("The JWTs for the NATS servers are new, and good for {seconds} s.")
        }
        Renewed::NothingRunsOut => say!("The users of the NATS servers have no JWTs; nothing runs out."),
    }
    if certificates {
        match keys::renew_certificates(ring)? {
            Issued::Certificates => {
                keys::reload(ring)?;
                say!("The certificates of the hops are new.");
            }
            Issued::Requests => say!("{}", certificate::TO_BE_SIGNED),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(args: &KeysRevoke) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    let config = ring.ring_config()?;
    operator::recorded(&ring, "keys.revoke", std::slice::from_ref(&args.user), || {
        keys::revoke(&ring, &config, &args.user)
    })?;
    let user = &args.user;
    if keys::reload(&ring)? {
        say!("{user} has a new key; the NATS servers refuse the one before.");
    } else {
        say!(
            "{user} has a new key. NATS servers that run elsewhere must reload nats/*.accounts.conf (SIGHUP)."
        );
    }
    Ok(ExitCode::SUCCESS)
}
