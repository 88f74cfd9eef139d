//! What a running stage gets besides its configuration.

use postern_types::{InstanceId, Stage};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// What a running program gets besides its configuration.
#[derive(Clone, Debug)]
pub struct Life {
    /// This run of it, fresh at every start.
    pub instance: InstanceId,
    /// Cancelled when the process is asked to stop. The program should then return within a few seconds.
    pub shutdown: CancellationToken,
    /// Tells whoever started the process that it is ready.
    pub ready: ReadyFile,
}

/// The file named with `--ready-file`, if any.
#[derive(Clone, Debug, Default)]
pub struct ReadyFile {
    path: Option<PathBuf>,
    said: Arc<Mutex<Said>>,
}

/// What is in the file.
#[derive(Clone, Debug, Default)]
struct Said {
    ready: bool,
    /// Key epochs, the one that is sealed with first.
    epochs: Vec<u32>,
}

impl ReadyFile {
    /// Names the file, and removes one that an earlier run left behind.
    ///
    /// # Errors
    /// When an old file can't be removed.
    pub fn new(path: Option<PathBuf>) -> io::Result<Self> {
        let ready = ReadyFile {
            path,
            said: Arc::default(),
        };
        ready.withdraw()?;
        Ok(ready)
    }

    /// Makes the file appear: the stage is ready.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn announce(&self) -> io::Result<()> {
        tracing::info!("ready");
        let mut said = self.said();
        said.ready = true;
        self.write(&said)
    }

    /// Says which key epochs the stage holds, the one that it seals with first: `postern keys rotate` waits for that.
    pub fn note_epochs(&self, epochs: Vec<u32>) {
        let mut said = self.said();
        said.epochs = epochs;
        if said.ready
            && let Err(error) = self.write(&said)
        {
            tracing::error!("the ready file can't be written: {error}");
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, said: &Said) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        // Whoever waits for the file must never see it half written.
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".new");
        let epochs: Vec<String> = said.epochs.iter().map(u32::to_string).collect();
        let text = format!("pid {}\nepochs {}\n", std::process::id(), epochs.join(" "));
        std::fs::write(&unfinished, text)?;
        std::fs::rename(&unfinished, path)
    }

    /// Makes the file disappear.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn withdraw(&self) -> io::Result<()> {
        self.said().ready = false;
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
        ready.note_epochs(vec![1]);
        assert!(!path.exists(), "it is not ready yet");
        ready.announce().unwrap();
        let pid = std::process::id();
        let said = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(said(), format!("pid {pid}\nepochs 1\n"));
        ready.note_epochs(vec![2, 1]);
        assert_eq!(said(), format!("pid {pid}\nepochs 2 1\n"));
        ready.withdraw().unwrap();
        assert!(!path.exists());
        ReadyFile::new(None).unwrap().announce().unwrap();
    }
}
