//! Work on deep trees, on a stack that suffices for them.
//!
//! Decoding, walking and dropping a tree recurse. libpg_query measures its own stack (it takes at most 2 MiB
//! of what its thread has, and leaves 512 KiB free) and hands out no tree of more than 10,000 levels, so
//! [`STACK_BYTES`] bounds what this crate needs for any text whatever. The stack is virtual memory: only what
//! a text really used stays resident. One thread is kept for the life of the process, for libpg_query sets up
//! memory for each thread it is called on.

use crate::{Failure, guard};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// 10,000 levels at 6.5 KiB each; they were seen to take 1.3 KiB, see `tests/depth.rs`.
const STACK_BYTES: usize = 64 * 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

static WORKER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// Runs `work` there and waits for it.
///
/// # Errors
/// Those of `work`; and the text is refused when there can be no such thread.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (answer, outcome) = sync_channel(1);
    let job: Job = Box::new(move || {
        // Nobody waits any more: nothing to do.
        let _ = answer.send(work());
    });
    {
        let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match worker.take() {
            Some(sender) => sender,
            None => start().ok_or_else(gone)?,
        };
        // A worker that is gone is replaced at the next text.
        if sender.send(job).is_ok() {
            *worker = Some(sender);
        }
    }
    outcome.recv().unwrap_or_else(|_| Err(gone()))
}

fn gone() -> Failure {
    (guard::too_deep(), None)
}

fn start() -> Option<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new()
        .name("deep-sql".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            for job in jobs {
                job();
            }
        })
        .ok()?;
    Some(sender)
}
