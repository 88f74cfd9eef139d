//! Where the binaries under test are.

use anyhow::{Context as _, bail};
use postern_cli::part::{Part, Programs, find_program};
use std::path::{Path, PathBuf};

/// Directory of the workspace's binaries: `$POSTERN_BIN_DIR`, or where the running test was built to.
///
/// # Errors
/// When there is no `postern` binary there.
pub fn directory() -> anyhow::Result<PathBuf> {
    if let Some(directory) = std::env::var_os("POSTERN_BIN_DIR") {
        return Ok(directory.into());
    }
    let own = std::env::current_exe().context("can't find out where this program is")?;
    let mut directory = own.parent().context("this program has no directory")?;
    // Tests are built into target/PROFILE/deps, binaries into target/PROFILE.
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory = directory.parent().context("`deps` has no parent")?;
    }
    if !directory.join("postern").is_file() {
        bail!(
            "{} is missing; build it first: cargo build --workspace --bins",
            directory.join("postern").display()
        );
    }
    Ok(directory.to_owned())
}

/// The programs of a ring, with the given NATS server or the best one at hand.
///
/// # Errors
/// When one of them is missing.
pub fn programs(nats_server: Option<&Path>) -> anyhow::Result<Programs> {
    let directory = directory()?;
    let programs = Programs {
        nats_server: match nats_server {
            Some(path) => path.to_owned(),
            None => default_nats_server(&directory)?,
        },
        postern: directory.join("postern"),
        stages: directory,
    };
    programs.check(&Part::ALL)?;
    Ok(programs)
}

/// The NATS servers that a test of all versions runs on: those in `$POSTERN_TEST_NATS_SERVERS`, separated by
/// colons, or the one that a ring takes by itself.
///
/// # Errors
/// When there is none.
pub fn nats_servers_to_test() -> anyhow::Result<Vec<PathBuf>> {
    match std::env::var_os("POSTERN_TEST_NATS_SERVERS") {
        Some(list) => Ok(std::env::split_paths(&list).collect()),
        None => Ok(vec![default_nats_server(&directory()?)?]),
    }
}

/// `$POSTERN_NATS_SERVER`, the one that `scripts/setup` fetched, or the one on the PATH.
fn default_nats_server(directory: &Path) -> anyhow::Result<PathBuf> {
    let from_environment = std::env::var_os("POSTERN_NATS_SERVER").map(PathBuf::from);
    let fetched = directory
        .ancestors()
        .map(|folder| folder.join(".cache/nats-server/bin/nats-server"))
        .find(|file| file.is_file());
    find_program(&[from_environment, fetched], "nats-server")
        .context("nats-server was not found; `. scripts/setup` fetches it, or set POSTERN_NATS_SERVER")
}
