//! The heads of envelope bodies: what one stage tells another after the seal has been opened.

use postern_types::ring::{Answer, Clean, Dirty, Request, SignInAnswer};
use postern_types::{AnswerState, Contract, Ticket, body};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// The first byte chooses the type, the rest is the body.
pub fn ring_bodies(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match kind % 8 {
        0 => check::<Request>(bytes),
        1 => check::<Clean>(bytes),
        2 => check::<Dirty>(bytes),
        3 => check::<Answer>(bytes),
        4 => check::<SignInAnswer>(bytes),
        5 => check::<Ticket>(bytes),
        6 => check::<Contract>(bytes),
        _ => check::<AnswerState>(bytes),
    }
}

/// What decodes comes back from its own encoding, tail included.
fn check<H: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok((head, tail)) = body::decode::<H>(bytes) else {
        return;
    };
    let mut out = Vec::new();
    body::encode(&head, &[tail], &mut out).expect("what was decoded can be encoded");
    let (again, tail_again) = body::decode::<H>(&out).expect("what was encoded can be decoded");
    assert_eq!((again, tail_again), (head, tail));
}
