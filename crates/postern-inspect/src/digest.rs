//! The digest that links the parts of an answer.

use postern_types::{AnswerState, Expect, StateDigest, body};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// First 16 bytes of the SHA-256 of the postcard encoding of `state`.
pub fn digest(state: &AnswerState) -> StateDigest {
    digest_of(state)
}

/// The same of the steps of an exchange, by which Backend and Response Validator see that they go by the same ones.
pub fn steps_digest(steps: &[Expect]) -> StateDigest {
    digest_of(&steps)
}

fn digest_of<T: Serialize>(value: &T) -> StateDigest {
    // Encoding plain integers into memory can't fail. Were it ever to, the hash of no bytes is a digest that no
    // state has, and the chain breaks.
    let encoded = body::to_vec(value).unwrap_or_default();
    let hash: [u8; 32] = Sha256::digest(&encoded).into();
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(hash) {
        *to = from;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SKIPPING;

    #[test]
    fn states_that_differ_have_different_digests() {
        let start = AnswerState::default();
        let row = AnswerState {
            rows: 1,
            ..AnswerState::default()
        };
        assert_eq!(digest(&start), digest(&AnswerState::default()));
        assert_ne!(digest(&start), digest(&row));
        assert_ne!(digest(&start), digest(&SKIPPING));
    }

    #[test]
    fn the_digest_of_the_first_state_never_changes() {
        // Nine zero bytes, one for each field; a change here is a change of format.
        let expected = Sha256::digest([0u8; 9]);
        assert_eq!(digest(&AnswerState::default())[..], expected[..16]);
    }
}
