//! A sliding window over counters, so that no envelope is acted on twice.

use lru::LruCache;
use postern_types::InstanceId;
use std::num::NonZeroUsize;

/// How far behind the highest counter an envelope may come and still be accepted, in counters.
pub const REPLAY_WINDOW: u64 = 8192;
const WORD_BITS: u64 = 64;
const WORDS: usize = (REPLAY_WINDOW / WORD_BITS) as usize;

/// The window's word on an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Freshness {
    /// Not seen before; it is now.
    Fresh,
    /// Seen before.
    Repeated,
    /// So far behind that it can't be told; to be refused.
    TooOld,
}

/// Remembers which counters of which senders have been seen, on one link. Only counters of *opened*
/// envelopes may be offered, so that nobody but the link's other end can fill it.
///
/// When there are more senders than it has room for, the one unused for longest is forgotten; an envelope of
/// a forgotten sender counts as fresh again. Who relies on it must size it for the instances that can
/// exist within the life of an envelope.
#[derive(Debug)]
pub struct ReplayWindow {
    senders: LruCache<InstanceId, Window>,
}

impl ReplayWindow {
    /// A window for up to `senders` senders (about 1 KiB each, taken as they appear).
    pub fn new(senders: NonZeroUsize) -> ReplayWindow {
        ReplayWindow {
            senders: LruCache::sparse(senders),
        }
    }

    /// Judges and remembers one counter.
    pub fn offer(&mut self, sender: InstanceId, counter: u64) -> Freshness {
        self.senders.get_or_insert_mut(sender, Window::new).offer(counter)
    }
}

/// A ring of bits for the counters `top - REPLAY_WINDOW + 1 ..= top`; counter `c` has bit `c mod REPLAY_WINDOW`.
#[derive(Debug)]
struct Window {
    /// Highest counter seen; `None` before the first.
    top: Option<u64>,
    seen: Box<[u64; WORDS]>,
}

impl Window {
    fn new() -> Window {
        Window {
            top: None,
            seen: Box::new([0; WORDS]),
        }
    }

    fn offer(&mut self, counter: u64) -> Freshness {
        let top = self.top.unwrap_or(counter);
        if counter > top {
            self.forget(top, counter);
        } else if top.saturating_sub(counter) >= REPLAY_WINDOW {
            return Freshness::TooOld;
        }
        self.top = Some(top.max(counter));
        let Some((word, bit)) = self.place(counter) else {
            return Freshness::TooOld;
        };
        if *word & bit != 0 {
            return Freshness::Repeated;
        }
        *word |= bit;
        Freshness::Fresh
    }

    /// Clears the bits of the counters `old_top + 1 ..= new_top`, which stood for earlier counters.
    fn forget(&mut self, old_top: u64, new_top: u64) {
        if new_top.saturating_sub(old_top) >= REPLAY_WINDOW {
            self.seen.fill(0);
            return;
        }
        for counter in old_top.saturating_add(1)..=new_top {
            if let Some((word, bit)) = self.place(counter) {
                *word &= !bit;
            }
        }
    }

    fn place(&mut self, counter: u64) -> Option<(&mut u64, u64)> {
        let position = counter % REPLAY_WINDOW;
        let word = usize::try_from(position / WORD_BITS).ok()?;
        Some((self.seen.get_mut(word)?, 1 << (position % WORD_BITS)))
    }
}
