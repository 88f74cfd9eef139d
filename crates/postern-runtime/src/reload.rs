//! SIGHUP: the operator asks a stage to look at its files now.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

/// Notes each SIGHUP until it is dropped.
#[derive(Debug)]
pub struct Reload {
    asked: Arc<AtomicBool>,
    listening: Option<AbortHandle>,
}

impl Reload {
    /// Listens from now on. The signal does not end the process any more.
    ///
    /// # Errors
    /// When the signal can't be listened for.
    pub fn on_hang_up() -> io::Result<Reload> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let asked = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&asked);
        let listening = tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                noted.store(true, Ordering::Relaxed);
            }
        });
        Ok(Reload {
            asked,
            listening: Some(listening.abort_handle()),
        })
    }

    /// Nobody will ever ask.
    pub fn never() -> Reload {
        Reload {
            asked: Arc::default(),
            listening: None,
        }
    }

    /// Whether it was asked for since the last call.
    pub fn take(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}
