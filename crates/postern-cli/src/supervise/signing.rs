//! Upkeep of the ledgers while the ring is up.

use super::log;
use crate::audit::Upkeep;
use crate::directory::RingDirectory;
use crate::ring_config::AuditConfig;
use anyhow::Context as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often what is new is signed. What is younger has the chain alone.
const EVERY: Duration = Duration::from_secs(10);
/// How long the last checkpoints may take to be published.
const LAST_PUBLISHED: Duration = Duration::from_secs(10);

/// Signs, packs, removes what is old, and publishes every 10 seconds, on threads of their own: reading ledgers takes time that the supervisor has
/// not got, and a machine elsewhere may not answer at all.
pub(super) struct Signing {
    sign: Worker,
    publish: Option<Worker>,
}

/// A thread that does something every 10 seconds, and once more at the end.
struct Worker {
    /// Nothing is sent; that it is gone is the sign to end.
    end: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// `work` is told whether it goes on.
    fn start(
        name: &str,
        mut work: impl FnMut(bool) -> Vec<String> + Send + 'static,
    ) -> anyhow::Result<Worker> {
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                loop {
                    let goes_on = ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout);
                    for line in work(goes_on) {
                        log::own(&line);
                    }
                    if !goes_on {
                        return;
                    }
                }
            })
            .context("can't start a thread")?;
        Ok(Worker { end, thread })
    }
}

impl Signing {
    /// Begins.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(ring: &RingDirectory, config: AuditConfig) -> anyhow::Result<Signing> {
        let publish = match config.publish_to.is_empty() {
            true => None,
            false => {
                let (ring, mut upkeep) = (ring.clone(), Upkeep::new(config.clone()));
                Some(Worker::start("publishing", move |_| upkeep.publish(&ring))?)
            }
        };
        let (ring, mut upkeep) = (ring.clone(), Upkeep::new(config));
        let sign = Worker::start("signing", move |goes_on| {
            let mut news = upkeep.sign(&ring);
            if goes_on {
                news.extend(upkeep.pack(&ring));
                news.extend(upkeep.prune(&ring));
            }
            news
        })?;
        Ok(Signing { sign, publish })
    }

    /// Signs and publishes for the last time. Called when the stages have stopped, so that everything is signed.
    pub(super) async fn finish(self) {
        let Worker { end, thread } = self.sign;
        drop(end);
        if !matches!(
            tokio::task::spawn_blocking(move || thread.join()).await,
            Ok(Ok(()))
        ) {
            log::own("the ledgers could not be signed for the last time; `postern audit sign` does it");
        }
        if let Some(Worker { end, thread }) = self.publish {
            drop(end);
            let late = Instant::now() + LAST_PUBLISHED;
            while !thread.is_finished() && Instant::now() < late {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if !thread.is_finished() {
                log::own(
                    "the last checkpoints are not published: the place does not answer; `postern audit publish` does it",
                );
            }
        }
    }
}
