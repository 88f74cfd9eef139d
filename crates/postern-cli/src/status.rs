//! What runs: written by `postern up`, read by `postern status`. Pids and times, nothing secret.

use crate::directory::RingDirectory;
use crate::secret_file;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// State of a running ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Process id of `postern up`.
    pub supervisor_pid: u32,
    /// Address clients connect to.
    pub listen: String,
    /// The ring has been ready for clients since it was started.
    pub ready: bool,
    /// The parts by name.
    pub parts: BTreeMap<String, PartStatus>,
}

/// State of one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartStatus {
    /// Process id; `None` while it is down.
    pub pid: Option<u32>,
    /// When it was last started (milliseconds since 1970).
    pub since_unix_ms: u64,
    /// How often it had to be started again.
    pub restarts: u32,
}

impl Status {
    /// Writes the file that `read` reads.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        secret_file::write(file, &serde_json::to_string_pretty(self)?)
    }

    /// The state of the ring in `directory`; `None` when it does not run.
    ///
    /// # Errors
    /// When there is no ring, or its status file is damaged.
    pub fn read(directory: &RingDirectory) -> anyhow::Result<Option<Status>> {
        directory.ring_config()?;
        let file = directory.status_file();
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("can't read {}", file.display()))?,
        };
        let status: Status =
            serde_json::from_str(&text).with_context(|| format!("error in {}", file.display()))?;
        Ok(is_running(status.supervisor_pid).then_some(status))
    }
}

/// Is there a process with this id?
pub fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).is_dir()
}
