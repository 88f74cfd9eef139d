//! The link keys of a running stage, which may turn to others while it runs (`postern keys rotate`).

use crate::FileStamp;
use crate::clock::unix_ms;
use crate::context::{ReadyFile, StageContext};
use crate::keys::{KeyFile, KeysConfig, KeysError};
use crate::reload::Reload;
use postern_envelope::Keyring;
use postern_ledger::{Details, Event, Level, Outcome, Record};
use postern_types::Stage;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often the key file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What became of a changed key file; for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNews {
    /// The keys were taken; this epoch is sealed with now.
    Turned {
        /// Its number.
        epoch: u32,
    },
    /// The file has a mistake; the keys from before still hold. The log says what is wrong.
    Refused {
        /// Number of the epoch that is still sealed with.
        epoch: u32,
    },
}

impl KeyNews {
    /// What the ledger says of it.
    pub fn record(self) -> Record<'static> {
        let (epoch, event, level, result) = match self {
            KeyNews::Turned { epoch } => (epoch, Event::KeysTurned, Level::Info, Outcome::Allowed),
            KeyNews::Refused { epoch } => (epoch, Event::KeysRefused, Level::Alert, Outcome::Refused),
        };
        Record {
            level,
            result,
            details: Details {
                epoch: Some(epoch),
                ..Details::default()
            },
            ..Record::new(event)
        }
    }
}

/// A keyring that follows its file. Dropped, it stays as it is.
#[derive(Debug)]
pub struct LinkKeys {
    keyring: std::sync::Arc<Keyring>,
    news: mpsc::Receiver<KeyNews>,
    watching: AbortHandle,
}

impl LinkKeys {
    /// Reads the keys of one run of a stage, and goes on looking at their file. To be called in a runtime.
    ///
    /// # Errors
    /// When the keys can't be used; see [`KeysError`].
    pub fn begin(config: &KeysConfig, context: &StageContext) -> anyhow::Result<LinkKeys> {
        let reload = Reload::on_hang_up()?;
        let stamp = FileStamp::of(&config.file);
        let keys = KeyFile::read(&config.file)?;
        let generations = keys.generations(context.stage, &config.file, unix_ms())?;
        let keyring = std::sync::Arc::new(Keyring::new(context.stage, context.instance, generations));
        context.ready.note_epochs(keys.epochs());
        let (tell, news) = mpsc::channel();
        let mut watch = Watch {
            file: config.file.clone(),
            stage: context.stage,
            stamp,
            keyring: std::sync::Arc::clone(&keyring),
            ready: context.ready.clone(),
        };
        let watching = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK);
            loop {
                ticks.tick().await;
                if let Some(news) = watch.look(reload.take())
                    && tell.send(news).is_err()
                {
                    return;
                }
            }
        });
        Ok(LinkKeys {
            keyring,
            news,
            watching: watching.abort_handle(),
        })
    }

    /// The keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What happened to the keys since this was last asked. To be recorded.
    pub fn news(&self) -> impl Iterator<Item = KeyNews> + '_ {
        self.news.try_iter()
    }
}

impl Drop for LinkKeys {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

struct Watch {
    file: PathBuf,
    stage: Stage,
    stamp: FileStamp,
    keyring: std::sync::Arc<Keyring>,
    ready: ReadyFile,
}

impl Watch {
    /// Takes the keys if the file has changed. A file with a mistake changes nothing, and is told of once.
    fn look(&mut self, asked: bool) -> Option<KeyNews> {
        let stamp = FileStamp::of(&self.file);
        if stamp == self.stamp && !asked {
            return None;
        }
        self.stamp = stamp;
        match self.take() {
            Ok(epochs) => {
                let epoch = self.keyring.epoch();
                tracing::info!(epoch, opened = ?epochs, "link keys read again");
                self.ready.note_epochs(epochs);
                Some(KeyNews::Turned { epoch })
            }
            Err(error) => {
                tracing::error!("link keys not taken; those from before still hold: {error}");
                Some(KeyNews::Refused {
                    epoch: self.keyring.epoch(),
                })
            }
        }
    }

    fn take(&self) -> Result<Vec<u32>, KeysError> {
        let keys = KeyFile::read(&self.file)?;
        let generations = keys.generations(self.stage, &self.file, unix_ms())?;
        let unusable = |source| KeysError::Unusable {
            file: self.file.clone(),
            source,
        };
        self.keyring.turn(generations).map_err(unusable)?;
        Ok(keys.epochs())
    }
}

#[cfg(test)]
mod tests;
