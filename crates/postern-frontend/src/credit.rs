//! Byte windows: how much of an answer a client's session may still be sent, and how much COPY data may
//! still be sent to the Backend. Both count payload bytes since the session began, cumulatively, so that a
//! lost or repeated grant does no harm.

use postern_types::ring::COPY_IN_WINDOW;

/// More arrived than was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more of an answer arrived than was granted")]
pub struct Overdrawn;

/// What the Backend may send to one session.
#[derive(Debug)]
pub struct AnswerCredit {
    window: u64,
    granted: u64,
    received: u64,
    written: u64,
    /// Bytes that came beyond what the Backend sent, because values were masked by longer ones.
    grown: u64,
}

impl AnswerCredit {
    /// `window` bytes are granted from the start.
    pub fn new(window: u64) -> Self {
        AnswerCredit {
            window,
            granted: window,
            received: 0,
            written: 0,
            grown: 0,
        }
    }

    /// Bytes granted since the session began.
    pub fn granted(&self) -> u64 {
        self.granted
    }

    /// Counts payload that arrived: `sent` bytes as the Backend sent it, `arrived` bytes for the client. The last
    /// message within the grant may reach beyond it, because a message longer than the window could never be sent
    /// otherwise.
    ///
    /// # Errors
    /// `Overdrawn` when all that was granted had arrived before. The session can't go on.
    pub fn receive(&mut self, sent: u64, arrived: usize) -> Result<(), Overdrawn> {
        if sent > 0 && self.received >= self.granted {
            return Err(Overdrawn);
        }
        self.count(sent, arrived)
    }

    fn count(&mut self, sent: u64, arrived: usize) -> Result<(), Overdrawn> {
        let arrived = u64::try_from(arrived).map_err(|_| Overdrawn)?;
        self.received = self.received.checked_add(sent).ok_or(Overdrawn)?;
        // What was left out on the way needs no writing; what was added is not the Backend's.
        self.written = self.written.saturating_add(sent.saturating_sub(arrived));
        self.grown = self.grown.saturating_add(arrived.saturating_sub(sent));
        Ok(())
    }

    /// Counts payload that came by itself, for which nobody waits with credit in hand.
    ///
    /// # Errors
    /// `Overdrawn` when a whole window has arrived beyond the grant.
    pub fn receive_unasked(&mut self, sent: u64, arrived: usize) -> Result<(), Overdrawn> {
        self.count(sent, arrived)?;
        let most = self.granted.saturating_add(self.window);
        if self.received > most {
            Err(Overdrawn)
        } else {
            Ok(())
        }
    }

    /// Counts payload that the client's socket took. Gives the new grant when half of the window is used up.
    pub fn written(&mut self, bytes: usize) -> Option<u64> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let grown = self.grown.min(bytes);
        self.grown = self.grown.saturating_sub(grown);
        let bytes = bytes.saturating_sub(grown);
        self.written = self.written.saturating_add(bytes).min(self.received);
        let ahead = self.granted.saturating_sub(self.written);
        if ahead > self.window / 2 {
            return None;
        }
        self.granted = self.written.saturating_add(self.window);
        Some(self.granted)
    }
}

/// What a session may send to the Backend as COPY data.
#[derive(Debug)]
pub struct CopyCredit {
    granted: u64,
    sent: u64,
}

impl Default for CopyCredit {
    fn default() -> Self {
        CopyCredit {
            granted: COPY_IN_WINDOW,
            sent: 0,
        }
    }
}

impl CopyCredit {
    /// Bytes that may be sent now.
    pub fn available(&self) -> u64 {
        self.granted.saturating_sub(self.sent)
    }

    /// Counts bytes that were sent.
    pub fn spend(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Takes the Backend's cumulative grant; an older, smaller one changes nothing.
    pub fn grant(&mut self, total: u64) {
        self.granted = self.granted.max(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_last_message_may_reach_beyond_the_grant() {
        let mut credit = AnswerCredit::new(100);
        credit.receive(99, 99).unwrap();
        credit.receive(500, 500).unwrap();
        assert_eq!(credit.receive(1, 1), Err(Overdrawn));
        assert_eq!(credit.receive(0, 0), Ok(()));
        assert_eq!(credit.written(599), Some(699));
        assert_eq!(credit.receive(1, 1), Ok(()));
    }

    #[test]
    fn what_comes_unasked_is_bounded_too() {
        let mut credit = AnswerCredit::new(100);
        credit.receive_unasked(200, 200).unwrap();
        assert_eq!(credit.receive_unasked(1, 1), Err(Overdrawn));
    }

    #[test]
    fn a_grant_comes_when_half_the_window_is_written() {
        let mut credit = AnswerCredit::new(100);
        credit.receive(100, 100).unwrap();
        assert_eq!(credit.written(49), None);
        assert_eq!(credit.written(1), Some(150));
        assert_eq!(credit.written(10), None);
    }

    #[test]
    fn what_is_left_out_on_the_way_is_granted_again() {
        let mut credit = AnswerCredit::new(100);
        credit.receive(100, 0).unwrap();
        assert_eq!(credit.written(0), Some(200), "nothing is there to be written");
        credit.receive(100, 40).unwrap();
        assert_eq!(credit.written(0), Some(260));
        assert_eq!(credit.written(40), None, "half of the window is still there");
        credit.receive(60, 60).unwrap();
        assert_eq!(credit.written(60), Some(360));
    }

    #[test]
    fn what_is_added_on_the_way_is_not_the_backends() {
        let mut credit = AnswerCredit::new(100);
        credit.receive(60, 500).unwrap();
        assert_eq!(credit.receive(30, 30), Ok(()), "it was granted");
        assert_eq!(credit.written(440), None);
        assert_eq!(credit.written(90), Some(190));
    }

    #[test]
    fn old_copy_grants_take_nothing_back() {
        let mut credit = CopyCredit::default();
        credit.grant(COPY_IN_WINDOW + 10);
        credit.grant(5);
        assert_eq!(credit.available(), COPY_IN_WINDOW + 10);
        credit.spend(10);
        assert_eq!(credit.available(), COPY_IN_WINDOW);
    }

    proptest! {
        #[test]
        fn a_sender_that_keeps_to_its_grants_is_never_stuck_and_never_overdrawn(
            window in 2u64..5000, steps in prop::collection::vec((1usize..3000, 1usize..3000), 1..200)
        ) {
            let mut credit = AnswerCredit::new(window);
            let (mut allowed, mut sent, mut unwritten) = (window, 0u64, 0usize);
            for (send, write) in steps {
                let send = usize::try_from((allowed - sent).min(send as u64)).unwrap();
                prop_assert!(credit.receive(send as u64, send).is_ok());
                sent += send as u64;
                unwritten += send;
                let write = write.min(unwritten);
                unwritten -= write;
                if let Some(grant) = credit.written(write) {
                    prop_assert!(grant > allowed);
                    allowed = grant;
                }
                // Everything written: there must be room to send.
                prop_assert!(unwritten > 0 || allowed > sent);
                prop_assert!(allowed - (sent - unwritten as u64) <= window);
            }
        }
    }
}
