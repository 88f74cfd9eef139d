//! Checkpoints of the ledgers while the ring is up.

use super::log;
use crate::audit::Notaries;
use crate::directory::RingDirectory;
use anyhow::Context as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often what is new is signed. What is younger has the chain alone.
const EVERY: Duration = Duration::from_secs(10);

/// Signs every 10 seconds, on a thread of its own: reading ledgers takes time that the supervisor has not got.
pub(super) struct Signing {
    /// Nothing is sent; that it is gone is the sign to end.
    end: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Signing {
    /// Begins.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(ring: &RingDirectory) -> anyhow::Result<Signing> {
        let (end, ended) = mpsc::channel();
        let ring = ring.clone();
        let thread = thread::Builder::new()
            .name("signing".to_owned())
            .spawn(move || keep_signed(&ring, &ended))
            .context("can't start a thread")?;
        Ok(Signing { end, thread })
    }

    /// Signs for the last time. Called when the stages have stopped, so that everything is signed.
    pub(super) async fn finish(self) {
        drop(self.end);
        let thread = self.thread;
        if !matches!(
            tokio::task::spawn_blocking(move || thread.join()).await,
            Ok(Ok(()))
        ) {
            log::own("the ledgers could not be signed for the last time; `postern audit sign` does it");
        }
    }
}

fn keep_signed(ring: &RingDirectory, ended: &mpsc::Receiver<()>) {
    let mut notaries = Notaries::default();
    loop {
        let goes_on = ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout);
        for line in notaries.sign(ring) {
            log::own(&line);
        }
        if !goes_on {
            return;
        }
    }
}
