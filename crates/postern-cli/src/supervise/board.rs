//! What is up, for `postern status` and for stopping in order.

use super::log;
use crate::directory::RingDirectory;
use crate::part::Part;
use crate::status::{PartStatus, Status};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

pub(super) struct Board {
    file: PathBuf,
    status: Mutex<Status>,
    nats_is_up: Mutex<[bool; 4]>,
    changed: Notify,
}

impl Board {
    pub(super) fn new(ring: &RingDirectory, listen: &str) -> Board {
        let status = Status {
            supervisor_pid: std::process::id(),
            listen: listen.to_owned(),
            ready: false,
            parts: Part::ALL
                .into_iter()
                .map(|part| (part.name(), PartStatus::default()))
                .collect(),
        };
        let board = Board {
            file: ring.status_file(),
            status: Mutex::new(status),
            nats_is_up: Mutex::new([false; 4]),
            changed: Notify::new(),
        };
        board.update(|_| {});
        board
    }

    pub(super) fn started(&self, part: Part, pid: Option<u32>, restarts: u32) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.update(|status| {
            let entry = PartStatus {
                pid,
                since_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
                restarts,
            };
            status.parts.insert(part.name(), entry);
        });
    }

    pub(super) fn ended(&self, part: Part) {
        self.update(|status| {
            if let Some(entry) = status.parts.get_mut(&part.name()) {
                entry.pid = None;
            }
        });
    }

    /// The streams of a NATS server are there.
    pub(super) fn provisioned(&self, part: Part) {
        if let Some(up) = lock(&self.nats_is_up)
            .iter_mut()
            .zip(Part::ALL)
            .find(|(_, p)| *p == part)
        {
            *up.0 = true;
        }
        self.changed.notify_waiters();
    }

    pub(super) fn ready(&self) {
        self.update(|status| status.ready = true);
    }

    pub(super) fn is_ready(&self) -> bool {
        lock(&self.status).ready
    }

    /// Waits until all NATS servers have had their streams once.
    pub(super) async fn until_nats_is_up(&self) {
        self.until(|| lock(&self.nats_is_up).iter().all(|up| *up)).await;
    }

    /// Waits until no stage runs.
    pub(super) async fn until_stages_are_down(&self) {
        let is_down = |part: Part| {
            matches!(part, Part::Nats(_))
                || lock(&self.status)
                    .parts
                    .get(&part.name())
                    .is_none_or(|entry| entry.pid.is_none())
        };
        self.until(|| Part::ALL.into_iter().all(is_down)).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            // The time limit only covers a change between the check and the wait.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.changed.notified()).await;
        }
    }

    /// Nothing runs any more.
    pub(super) fn finish(&self) {
        let _ = std::fs::remove_file(&self.file);
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = lock(&self.status);
        change(&mut status);
        if let Err(error) = status.write(&self.file) {
            log::own(&format!("can't write {}: {error}", self.file.display()));
        }
        drop(status);
        self.changed.notify_waiters();
    }
}

/// A panic elsewhere leaves plain values that are still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
