//! Sessions that have ended, remembered for as long as anybody could try to open them again.
//!
//! Whoever holds NATS-1 can hand all requests of a finished session to the Query Validator once more, while
//! they are still valid. Sequence numbers begin anew with each session, so the Backend must never open a
//! session twice (P6).

use postern_types::SessionId;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Ten times as long as a request, and the state of a sign-in, is valid.
const MEMORY: Duration = Duration::from_secs(300);
// A copy of a message is refused by its deadline when the session is no longer remembered.
const _: () = assert!(postern_envelope::MOST_AHEAD_MS < MEMORY.as_secs() * 1000);
/// Most that are remembered, 16 bytes each; beyond it the oldest goes early.
const MOST: usize = 1_000_000;

/// The sessions that ended within the last five minutes.
#[derive(Default)]
pub(crate) struct Ended {
    ids: HashSet<SessionId>,
    order: VecDeque<(Instant, SessionId)>,
}

impl Ended {
    /// Remembers a session that ends now.
    pub(crate) fn add(&mut self, session: SessionId, now: Instant) {
        if self.ids.insert(session) {
            self.order.push_back((now, session));
        }
        if self.order.len() > MOST
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Whether this session has ended.
    pub(crate) fn contains(&self, session: &SessionId) -> bool {
        self.ids.contains(session)
    }

    /// Forgets what nobody can open again any more.
    pub(crate) fn forget_old(&mut self, now: Instant) {
        while let Some((ended, session)) = self.order.front() {
            if now.saturating_duration_since(*ended) < MEMORY {
                return;
            }
            self.ids.remove(session);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_remembered_for_five_minutes() {
        let start = Instant::now();
        let mut ended = Ended::default();
        ended.add(SessionId([1; 16]), start);
        ended.add(SessionId([2; 16]), start + Duration::from_secs(60));
        ended.forget_old(start + MEMORY - Duration::from_millis(1));
        assert!(ended.contains(&SessionId([1; 16])));
        ended.forget_old(start + MEMORY);
        assert!(!ended.contains(&SessionId([1; 16])));
        assert!(ended.contains(&SessionId([2; 16])));
    }
}
