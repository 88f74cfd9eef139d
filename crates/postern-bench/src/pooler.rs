//! PgBouncer, pooling by transaction, where it is installed.

use crate::places::{DATABASE, USER};
use anyhow::{Context as _, bail};
use postern_testkit::Ring;
use postern_testkit::port::{self, Port};
use postern_testkit::postgres::Account;
use postern_testkit::process::Process;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A running PgBouncer.
pub(crate) struct Pooler {
    process: Process,
    port: Port,
    pub(crate) version: Version,
}

impl Pooler {
    /// Starts it; `None` when it is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(ring: &Ring, pool_size: u32) -> anyhow::Result<Option<Pooler>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let version = Version::of(&program)?;
        // It refuses to run as root.
        let account = Account::choose()?;
        let port = port::reserve()?;
        let directory = ring.files().join("pgbouncer");
        fs::create_dir(&directory)?;
        let config = directory.join("pgbouncer.ini");
        fs::write(
            &config,
            configuration(ring, &directory, port.number, pool_size, version),
        )?;
        fs::write(directory.join("users"), format!("\"{USER}\" \"{USER}\"\n"))?;
        account.own(&directory)?;
        let mut command = account.prefix("KILL");
        command.extend([program.into_os_string(), config.into_os_string()]);
        let process = Process::start_with(&command, &libraries(), &directory, &directory.join("log"))?;
        let mut pooler = Pooler {
            process,
            port,
            version,
        };
        pooler.wait_until_ready()?;
        Ok(Some(pooler))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port())).is_err() {
            if !self.process.is_running() || begun.elapsed() > Duration::from_secs(20) {
                bail!("PgBouncer did not start:\n{}", self.process.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// TCP port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// `$POSTERN_PGBOUNCER`, or where distributions put it.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("POSTERN_PGBOUNCER").map(PathBuf::from);
    let usual = [
        "/usr/sbin/pgbouncer",
        "/usr/bin/pgbouncer",
        "/usr/local/bin/pgbouncer",
    ];
    named
        .into_iter()
        .chain(usual.map(PathBuf::from))
        .find(|file| file.is_file())
}

/// Where a PgBouncer that was unpacked, not installed, finds its libraries: `$POSTERN_PGBOUNCER_LIBRARIES`.
fn libraries() -> Vec<(String, OsString)> {
    std::env::var_os("POSTERN_PGBOUNCER_LIBRARIES")
        .map(|folders| ("LD_LIBRARY_PATH".to_owned(), folders))
        .into_iter()
        .collect()
}

fn configuration(ring: &Ring, directory: &Path, port: u16, pool_size: u32, version: Version) -> String {
    let prepared = if version.keeps_prepared_statements() {
        "max_prepared_statements = 200\n"
    } else {
        ""
    };
    format!(
        "[databases]
{DATABASE} = host=127.0.0.1 port={database} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 300
server_tls_sslmode = disable
{prepared}",
        database = ring.database_port(),
        users = directory.join("users").display(),
    )
}

/// A version of PgBouncer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    fn of(program: &Path) -> anyhow::Result<Version> {
        let output = Command::new(program)
            .arg("--version")
            .envs(libraries())
            .output()
            .with_context(|| format!("can't run {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Version::read(&text).with_context(|| format!("{} --version says {text:?}", program.display()))
    }

    fn read(text: &str) -> Option<Version> {
        let number = text.lines().next()?.split_whitespace().nth(1)?;
        let mut parts = number.split('.').map(str::parse);
        Some(Version {
            major: parts.next()?.ok()?,
            minor: parts.next()?.ok()?,
        })
    }

    /// Since 1.21 a named statement survives that its next use gets another connection.
    pub(crate) fn keeps_prepared_statements(self) -> bool {
        (self.major, self.minor) >= (1, 21)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text| Version::read(text).unwrap();
        assert!(!version("PgBouncer 1.18.0\nlibevent 2.1.12-stable\n").keeps_prepared_statements());
        assert!(!version("PgBouncer 1.3.1\n").keeps_prepared_statements());
        assert!(version("PgBouncer 1.21.0\n").keeps_prepared_statements());
        assert!(version("PgBouncer 2.0.0\n").keeps_prepared_statements());
        assert_eq!(Version::read("nonsense"), None);
    }
}
