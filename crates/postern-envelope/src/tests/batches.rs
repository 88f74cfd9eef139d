//! Batches of envelopes.

use super::*;
use crate::batch::{self, Batch, MalformedBatch};

fn batch_of(envelopes: &[Vec<u8>]) -> Vec<u8> {
    let mut batch = Batch::new();
    for envelope in envelopes {
        batch.push(envelope).unwrap();
    }
    assert_eq!(batch.envelopes(), envelopes.len());
    batch.take()
}

#[test]
fn a_batch_is_filled_in_place_and_a_failed_seal_leaves_no_trace() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let mut batch = Batch::new();
    assert!(batch.is_empty());
    batch
        .push_with(|out| sealer.seal(&header(), b"one", out))
        .unwrap();
    let before = batch.len();
    let failed = batch.push_with(|out| {
        out.push(1);
        Err(SealError::Exhausted)
    });
    assert_eq!((failed, batch.len()), (Err(SealError::Exhausted), before));
    batch
        .push_with(|out| sealer.seal_body(&header(), &1u8, &[b"two"], out))
        .unwrap();
    assert_eq!(batch.envelopes(), 2);
    let mut message = batch.take();
    assert!(batch.is_empty());
    assert_eq!(batch.envelopes(), 0);
    let envelopes = batch::split(&mut message).unwrap();
    let bodies: Vec<_> = envelopes
        .into_iter()
        .map(|e| opener.open(e, NOW).unwrap().body.to_vec())
        .collect();
    assert_eq!(bodies, [b"one".to_vec(), b"\0\0\0\x01\x01two".to_vec()]);
}

#[test]
fn inconsistent_batches_are_refused_as_a_whole() {
    let good = batch_of(&[vec![1; OVERHEAD], vec![2; OVERHEAD + 9]]);
    assert_eq!(batch::split(&mut good.clone()).unwrap().len(), 2);
    for cut in 0..good.len() {
        // The first envelope alone is a whole batch.
        let whole = cut == 4 + OVERHEAD;
        assert_eq!(
            batch::split(&mut good[..cut].to_vec()).is_ok(),
            whole,
            "{cut} bytes"
        );
    }
    let mut more = good.clone();
    more.push(0);
    assert_eq!(batch::split(&mut more).unwrap_err(), MalformedBatch);
    let mut short = batch_of(&[vec![1; OVERHEAD - 1]]);
    assert_eq!(batch::split(&mut short).unwrap_err(), MalformedBatch);
    assert_eq!(batch::split(&mut [0xff; 200]).unwrap_err(), MalformedBatch);
}

proptest! {
    #[test]
    fn split_never_panics_and_gives_back_every_byte(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let length = bytes.len();
        if let Ok(envelopes) = batch::split(&mut bytes) {
            prop_assert_eq!(envelopes.iter().map(|e| e.len() + 4).sum::<usize>(), length);
        }
    }

    #[test]
    fn split_undoes_push(envelopes in prop::collection::vec(prop::collection::vec(any::<u8>(), 93..200), 1..20)) {
        let mut message = batch_of(&envelopes);
        let split: Vec<Vec<u8>> = batch::split(&mut message).unwrap().into_iter().map(|e| e.to_vec()).collect();
        prop_assert_eq!(split, envelopes);
    }
}
