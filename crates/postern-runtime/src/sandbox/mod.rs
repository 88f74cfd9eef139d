//! What a stage process gives up before it reads its first message (P1, P2, P10).
//!
//! A stage knows from its configuration which files it reads, which directories it writes, and which TCP ports
//! it needs. Everything else is taken away before the runtime starts: files and ports by Landlock, system calls
//! by seccomp. Both hold for every thread that comes later, and nothing in the process can lift them. A process
//! that is hijacked can't read another stage's keys, connect to another port, or start a program.
//!
//! Trusted: the kernel, and the configuration. Not here: firewalls between hosts, users and groups, and what a
//! service manager adds on its own.
//!
//! Limits: TCP ports are held from Linux 6.7 on; an older kernel restricts files only, and the log says so. A
//! port is allowed on every address: which host is behind it is the firewall's business.

mod landlocked;
mod syscalls;

use postern_bus::{InletConfig, OutletConfig, SecretError, SecretSource};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::{KeysConfig, LedgerConfig};

/// How much a stage insists on its sandbox; `sandbox` in its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// A stage that can't have it does not start.
    #[default]
    Required,
    /// The same, and a system call that is not listed ends the process instead of being refused.
    Strict,
    /// What the kernel offers, with a warning for what it does not.
    BestEffort,
    /// None, with a warning.
    Off,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel has no Landlock, or it is switched off.
    #[error(
        "this kernel can't restrict files (Landlock, Linux 5.13 or later with `landlock` among its security \
         modules); `sandbox = \"best-effort\"` in the configuration starts without"
    )]
    NoLandlock,
    /// Landlock refused.
    #[error("files and ports can't be restricted: {0}")]
    Landlock(String),
    /// The system calls could not be restricted.
    #[error(
        "system calls can't be restricted: {0}; `sandbox = \"best-effort\"` in the configuration starts without"
    )]
    Seccomp(String),
    /// A directory to write to can't be made.
    #[error("can't make {}: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// A secret can't be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An address in the configuration has no port.
    #[error("`{0}` names no port")]
    NoPort(String),
}

/// What a stage can't do without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files, and directories with all in them, that it reads.
    read: Vec<PathBuf>,
    /// Directories in which it makes, writes, renames and removes files.
    write: Vec<PathBuf>,
    /// TCP ports it connects to.
    connect: Vec<u16>,
    /// TCP ports it listens on.
    listen: Vec<u16>,
}

/// A stage's configuration, as far as the sandbox is concerned.
pub trait Sandboxed {
    /// How much it insists.
    fn sandbox(&self) -> SandboxMode;

    /// What it can't do without.
    ///
    /// # Errors
    /// When the configuration names no usable address.
    fn needs(&self) -> Result<Needs, SandboxError>;
}

impl Needs {
    /// What every stage needs: its keys, its two hops, its ledger.
    ///
    /// # Errors
    /// When a hop's address has no port.
    pub fn of_stage(
        keys: &KeysConfig,
        inlet: &InletConfig,
        outlet: &OutletConfig,
        ledger: &LedgerConfig,
    ) -> Result<Needs, SandboxError> {
        let mut needs = Needs::default();
        for certificate in inlet.certificates().into_iter().chain(outlet.certificates()) {
            needs = needs.reading_again(certificate, keys);
        }
        for secret in inlet.secrets().into_iter().chain(outlet.secrets()) {
            needs = needs.knowing_again(secret, keys)?;
        }
        for secret in keys.secrets() {
            needs = needs.knowing(&secret)?;
        }
        needs
            .reading_directory_of(&keys.file, None)
            .reading(postern_bus::NO_CERTIFICATES)
            .writing(&ledger.directory)
            .connecting_to_url(&inlet.url)?
            .connecting_to_url(&outlet.url)
    }

    /// It reads a file, or a directory with all that is in it. A file that is replaced by another of its name can't
    /// be read again: name its directory.
    #[must_use]
    pub fn reading(mut self, path: impl AsRef<Path>) -> Needs {
        self.read.push(path.as_ref().to_owned());
        self
    }

    /// It uses a secret: its file is read as by [`Needs::reading`]. One that is not in a file is read here and now,
    /// for in the sandbox no program can be started.
    ///
    /// # Errors
    /// When a secret that is not in a file can't be had.
    pub fn knowing(self, secret: &SecretSource) -> Result<Needs, SandboxError> {
        Ok(match secret.path() {
            Some(file) => self.reading(file),
            None => secret.read().map(|_| self)?,
        })
    }

    /// It uses a secret again and again: a file is read as by [`Needs::reading_again`].
    ///
    /// # Errors
    /// As for [`Needs::knowing`].
    pub fn knowing_again(self, secret: &SecretSource, keys: &KeysConfig) -> Result<Needs, SandboxError> {
        match secret.path() {
            Some(file) => Ok(self.reading_again(file, keys)),
            None => self.knowing(secret),
        }
    }

    /// It reads a file again and again, which may have been replaced by another of its name: so all of its directory
    /// can be read. Not so where that is the configuration's own directory, or the one in which all stages have their
    /// keys or one above it, which hold what this stage must not see: there the file itself is read, and one that is
    /// put in its place is taken only after a restart.
    #[must_use]
    pub fn reading_again(self, file: &Path, keys: &KeysConfig) -> Needs {
        self.reading_directory_of(file, keys.file.parent().and_then(Path::parent))
    }

    /// The same where `crowded` is the directory in which all stages have their keys, or `None` if there is none.
    #[must_use]
    pub fn reading_directory_of(self, file: &Path, crowded: Option<&Path>) -> Needs {
        match file.parent() {
            Some(directory)
                if is_inside(directory) && !crowded.is_some_and(|crowded| crowded.starts_with(directory)) =>
            {
                self.reading(directory)
            }
            _ => self.reading(file),
        }
    }

    /// It makes, writes, renames and removes files in a directory, which is made if it is missing.
    #[must_use]
    pub fn writing(mut self, directory: impl AsRef<Path>) -> Needs {
        self.write.push(directory.as_ref().to_owned());
        self
    }

    /// It listens on a TCP port; 0 is any that is free.
    #[must_use]
    pub fn listening_on(mut self, port: u16) -> Needs {
        self.listen.push(port);
        self
    }

    /// It connects to this port of `host`, whose name is looked up if it is not an address.
    #[must_use]
    pub fn connecting_to(mut self, host: &str, port: u16) -> Needs {
        self.connect.push(port);
        self.looking_up(host)
    }

    /// It looks up the name of `host`, if it is not an address.
    #[must_use]
    pub fn looking_up(mut self, host: &str) -> Needs {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<std::net::IpAddr>().is_err() {
            self.read.extend(RESOLVER_FILES.iter().map(PathBuf::from));
        }
        self
    }

    /// It connects to a server such as `nats://host:4222`.
    fn connecting_to_url(self, url: &str) -> Result<Needs, SandboxError> {
        let no_port = || SandboxError::NoPort(url.to_owned());
        let address = url.split_once("://").map_or(url, |(_, address)| address);
        let address = address.trim_end_matches('/');
        let (host, port) = address.rsplit_once(':').ok_or_else(no_port)?;
        let port = port.parse().map_err(|_| no_port())?;
        Ok(self.connecting_to(host, port))
    }
}

/// Whether a directory is a named one, and not the current one or one above it.
fn is_inside(directory: &Path) -> bool {
    use std::path::Component;
    let plain = |component| matches!(component, Component::Normal(_) | Component::RootDir);
    directory.components().all(plain)
        && directory
            .components()
            .any(|component| matches!(component, Component::Normal(_)))
}

/// What the C library reads when it looks a name up.
const RESOLVER_FILES: [&str; 6] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/run/systemd/resolve",
];

/// Restricts this thread, and every thread and process that it starts from now on. Must be called while there is
/// no other thread.
///
/// # Errors
/// When the kernel can't, and the mode insists.
pub fn enter(mode: SandboxMode, needs: &Needs) -> Result<(), SandboxError> {
    if mode == SandboxMode::Off {
        tracing::warn!("there is no sandbox: `sandbox = \"off\"`");
        return Ok(());
    }
    for directory in &needs.write {
        make_private(directory)?;
    }
    let insist = |result: Result<(), SandboxError>| match result {
        Err(error) if mode == SandboxMode::BestEffort => {
            tracing::warn!("{error}");
            Ok(())
        }
        other => other,
    };
    insist(landlocked::restrict(needs))?;
    insist(syscalls::restrict(mode == SandboxMode::Strict))
}

fn make_private(directory: &Path) -> Result<(), SandboxError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| SandboxError::Directory {
            path: directory.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;
