//! `postern firewall`: rules for each host of a ring, from the same table of arrows as the one in SECURITY.md.
//!
//! Whatever is not drawn is dropped, in both directions: what takes over a part reaches no more than that part needs.
//! It writes files; to load them is the operator's decision.

mod collectors;
mod nft;
mod systemd;
mod table;
mod topology;

#[cfg(test)]
mod tests;

pub use collectors::FirewallConfig;
pub use topology::{Hosts, Place};

use crate::console::say;
use crate::directory::RingDirectory;
use crate::operator;
use crate::secret_file;
use anyhow::Context as _;
use clap::Args;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use topology::Plan;

/// Where the rules are, in the ring's directory.
const FOLDER: &str = "firewall";

/// Write nftables rules and systemd drop-ins for each host of a ring.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern firewall ring
  nft -f ring/firewall/10.0.0.2.nft          on the host with that address

postern.toml says in [hosts] which part has which address; what is not listed is on 127.0.0.1, and postern-sink (`sinks`)
where the stages are. It reaches the collectors that sinks.toml names, and nothing else. For collectors with host names,
and for metrics that are asked for over the network, postern.toml has to say

  [firewall]
  monitoring = [\"10.0.0.9\"]
  collectors = { \"siem.example\" = [\"192.0.2.7\"] }

The files are written anew each time. What else a host needs, such as ssh or DNS, goes into /etc/postern/firewall-input.d/*.nft and firewall-output.d.")]
pub struct FirewallArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR", required_unless_present = "table")]
    directory: Option<PathBuf>,
    /// Print the table of SECURITY.md instead.
    #[arg(long)]
    table: bool,
}

/// `postern firewall`.
///
/// # Errors
/// When the ring's files contradict each other, or can't be read or written.
pub fn run(args: &FirewallArgs) -> anyhow::Result<ExitCode> {
    if args.table {
        say!("{}", table::markdown());
    }
    if let Some(directory) = &args.directory {
        for file in write(&RingDirectory::new(directory))? {
            say!("Wrote {}", file.display());
        }
        say!(
            "Load the rules on each host: nft -f FILE. Keep a way in for yourself in /etc/postern/firewall-input.d first."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the rules, and removes those of an earlier topology; gives back the files.
///
/// # Errors
/// See [`run`].
pub fn write(ring: &RingDirectory) -> anyhow::Result<Vec<PathBuf>> {
    let files = texts(ring)?;
    operator::recorded(ring, "firewall.write", &[], || write_files(ring, files))
}

fn write_files(
    ring: &RingDirectory,
    files: impl IntoIterator<Item = (PathBuf, String)>,
) -> anyhow::Result<Vec<PathBuf>> {
    let folder = ring.join(FOLDER);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't write {} anew", folder.display()));
        }
        _ => {}
    }
    let mut written = Vec::new();
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        secret_file::directory(parent).with_context(|| format!("can't make {}", parent.display()))?;
        secret_file::write(&path, &text).with_context(|| format!("can't write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// What of the rules that were written is not as the ring's files say now; `None` when none were written.
///
/// # Errors
/// See [`run`].
pub fn stale(ring: &RingDirectory) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let folder = ring.join(FOLDER);
    if !folder.is_dir() {
        return Ok(None);
    }
    let differs = |(path, text): (PathBuf, String)| {
        let there = fs::read_to_string(folder.join(&path)).ok();
        (there.as_deref() != Some(text.as_str())).then_some(path)
    };
    Ok(Some(texts(ring)?.into_iter().filter_map(differs).collect()))
}

/// Whether all parts are on this machine.
///
/// # Errors
/// See [`run`].
pub fn is_one_machine(ring: &RingDirectory) -> anyhow::Result<bool> {
    let plan = Plan::read(ring)?;
    Ok(Place::all().all(|place| plan.address(place).is_loopback()))
}

/// The files, by their paths below the folder.
fn texts(ring: &RingDirectory) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let plan = Plan::read(ring)?.with_sinks(ring)?;
    let mut files = BTreeMap::new();
    for host in plan.hosts() {
        let name = host.to_string().replace(':', "_");
        files.insert(
            Path::new(&name).with_added_extension("nft"),
            nft::rules(&plan, host),
        );
    }
    let has_drop_in = |place: &Place| *place != Place::Sinks || plan.has(*place);
    for place in Place::all().filter(has_drop_in) {
        let unit = format!("systemd/postern-{place}.service.d/network.conf");
        files.insert(PathBuf::from(unit), systemd::drop_in(&plan, place));
    }
    Ok(files)
}
