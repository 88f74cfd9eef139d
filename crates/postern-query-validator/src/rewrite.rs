//! Puts other messages into an exchange in place of the client's.

use postern_types::{Refusal, SqlState};

/// What putting the policy's texts and literals into messages may add. A literal that was prepared once goes
/// along with each Bind, and a message of the bus has a fixed size.
const GROWTH_BYTES: usize = 256 * 1024;

/// A payload, copied only once something in it is another.
pub(crate) struct Rewriter<'a> {
    payload: &'a [u8],
    /// Up to here it has been dealt with.
    at: usize,
    out: Option<Vec<u8>>,
    most: usize,
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Rewriter {
            payload,
            at: 0,
            out: None,
            most: payload.len().saturating_mul(2).saturating_add(GROWTH_BYTES),
        }
    }

    /// Takes the next message, `raw`, or what goes on in its place.
    ///
    /// # Errors
    /// FATAL 54000 when the payload becomes too large.
    pub(crate) fn message(&mut self, raw: &[u8], instead: Option<&[u8]>) -> Result<(), Refusal> {
        let before = self.payload.get(..self.at).unwrap_or_default();
        self.at = self.at.saturating_add(raw.len());
        match (&mut self.out, instead) {
            (None, None) => {}
            (Some(out), None) => out.extend_from_slice(raw),
            (Some(out), Some(instead)) => out.extend_from_slice(instead),
            (None, Some(instead)) => self.out = Some([before, instead].concat()),
        }
        if self.out.as_ref().is_some_and(|out| out.len() > self.most) {
            return Err(Refusal::fatal(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the literals of these statements are too large to be sent along so often; use parameters, or \
                 send Sync more often",
            ));
        }
        Ok(())
    }

    /// The other payload, if it is another.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_changes_is_not_copied() {
        let mut rewriter = Rewriter::new(b"abcdef");
        rewriter.message(b"abc", None).unwrap();
        rewriter.message(b"def", None).unwrap();
        assert_eq!(rewriter.finish(), None);
    }

    #[test]
    fn other_messages_take_the_place_of_what_came() {
        let mut rewriter = Rewriter::new(b"abcdefghi");
        for (raw, instead) in [("abc", None), ("def", Some("XYZW")), ("ghi", None)] {
            rewriter
                .message(raw.as_bytes(), instead.map(str::as_bytes))
                .unwrap();
        }
        assert_eq!(rewriter.finish().unwrap(), b"abcXYZWghi");
    }

    #[test]
    fn a_payload_does_not_grow_without_bound() {
        let payload = [b'x'; 100];
        let mut rewriter = Rewriter::new(&payload);
        let large = vec![b'y'; 20_000];
        let outcome = (0..100).try_for_each(|_| rewriter.message(b"x", Some(&large)));
        let refusal = outcome.unwrap_err();
        assert!(refusal.fatal && refusal.code == SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
}
