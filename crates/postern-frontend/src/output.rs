//! What waits to be written to one client. Bounded by the session's answer window, plus a few messages of
//! our own.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    answer: bool,
}

/// Bytes for the client, in order.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
}

impl Output {
    /// Payload of an answer; it counts against the answer window.
    pub fn push_answer(&mut self, bytes: Bytes) {
        self.push(bytes, true);
    }

    /// A message of our own.
    pub fn push_own(&mut self, bytes: impl Into<Bytes>) {
        self.push(bytes.into(), false);
    }

    fn push(&mut self, bytes: Bytes, answer: bool) {
        if !bytes.is_empty() {
            self.pieces.push_back(Piece { bytes, answer });
        }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Fills `slices` with what comes next and gives how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0usize;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            *slot = IoSlice::new(&piece.bytes);
            filled = filled.saturating_add(1);
        }
        filled
    }

    /// `written` bytes were taken by the socket. Gives how many of them were payload of answers.
    pub fn advance(&mut self, written: usize) -> usize {
        let (mut left, mut answers) = (written, 0usize);
        while left > 0 {
            let Some(piece) = self.pieces.front_mut() else {
                break;
            };
            let taken = left.min(piece.bytes.len());
            piece.bytes.advance(taken);
            left = left.saturating_sub(taken);
            if piece.answer {
                answers = answers.saturating_add(taken);
            }
            if piece.bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
        answers
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_comes_out_once_in_order_and_answers_are_counted(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), any::<bool>()), 0..20),
            steps in prop::collection::vec(1usize..40, 1..200)
        ) {
            let mut output = Output::default();
            let (mut expected, mut answers) = (Vec::new(), 0);
            for (bytes, answer) in pieces {
                expected.extend_from_slice(&bytes);
                if answer {
                    answers += bytes.len();
                    output.push_answer(bytes.into());
                } else {
                    output.push_own(bytes);
                }
            }
            let (mut seen, mut counted) = (Vec::new(), 0);
            for step in steps.into_iter().chain(std::iter::repeat_n(40, 40)) {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = output.slices(&mut slices);
                let all: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                let step = step.min(all.len());
                seen.extend_from_slice(&all[..step]);
                counted += output.advance(step);
            }
            prop_assert!(output.is_empty());
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(counted, answers);
        }
    }
}
