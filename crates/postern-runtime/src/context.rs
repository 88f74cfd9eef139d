//! What a running stage gets besides its configuration.

use postern_types::{InstanceId, Stage};
use std::io;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Who this process is, and when it has to stop.
#[derive(Clone, Debug)]
pub struct StageContext {
    /// Which stage it is.
    pub stage: Stage,
    /// This run of it, fresh at every start.
    pub instance: InstanceId,
    /// Cancelled when the process is asked to stop. The stage should then return within a few seconds.
    pub shutdown: CancellationToken,
    /// Tells whoever started the process that it is ready.
    pub ready: ReadyFile,
}

/// The file named with `--ready-file`, if any.
#[derive(Clone, Debug, Default)]
pub struct ReadyFile {
    path: Option<PathBuf>,
}

impl ReadyFile {
    /// Names the file, and removes one that an earlier run left behind.
    ///
    /// # Errors
    /// When an old file can't be removed.
    pub fn new(path: Option<PathBuf>) -> io::Result<Self> {
        let ready = ReadyFile { path };
        ready.withdraw()?;
        Ok(ready)
    }

    /// Makes the file appear: the stage is ready.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn announce(&self) -> io::Result<()> {
        tracing::info!("ready");
        let Some(path) = &self.path else { return Ok(()) };
        // Whoever waits for the file must never see it half written.
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".new");
        std::fs::write(&unfinished, format!("{}\n", std::process::id()))?;
        std::fs::rename(&unfinished, path)
    }

    /// Makes the file disappear.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn withdraw(&self) -> io::Result<()> {
        match self.path.as_ref().map(std::fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_ready_file_is_removed_and_a_new_one_holds_the_process_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        std::fs::write(&path, "old").unwrap();
        let ready = ReadyFile::new(Some(path.clone())).unwrap();
        assert!(!path.exists());
        ready.announce().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        ready.withdraw().unwrap();
        assert!(!path.exists());
        ReadyFile::new(None).unwrap().announce().unwrap();
    }
}
