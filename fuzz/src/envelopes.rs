//! Envelopes and batches.

use postern_envelope::{Generation, Header, Keyring, OpenError, Opener, Sealer, SecretKey, batch};
use postern_types::{InstanceId, Link, SessionId, Stage};
use std::cell::RefCell;
use std::collections::BTreeMap;

const LINK: Link = Link::FrontendToQueryValidator;

thread_local! {
    static ENDS: RefCell<(Sealer, Opener)> = RefCell::new(ends());
}

fn ends() -> (Sealer, Opener) {
    let frontend = SecretKey::generate().expect("randomness");
    let validator = SecretKey::generate().expect("randomness");
    let (frontend_public, validator_public) = (frontend.public(), validator.public());
    let ring = |stage, instance, secret, peer, public| {
        let held = Generation {
            epoch: 1,
            secret,
            peers: BTreeMap::from([(peer, public)]),
        };
        Keyring::new(stage, InstanceId([instance; 16]), held)
    };
    let ours = ring(
        Stage::Frontend,
        1,
        frontend,
        Stage::QueryValidator,
        validator_public,
    );
    let theirs = ring(
        Stage::QueryValidator,
        2,
        validator,
        Stage::Frontend,
        frontend_public,
    );
    (
        ours.sealer(LINK).expect("a sealer"),
        theirs.opener(LINK).expect("an opener"),
    )
}

/// The bytes as a batch, as an envelope, and as damage to a genuine one.
pub fn envelope(data: &[u8]) {
    ENDS.with_borrow_mut(|(sealer, opener)| {
        let mut message = data.to_vec();
        if let Ok(envelopes) = batch::split(&mut message) {
            for envelope in envelopes {
                assert!(opener.open(envelope, 0).is_err(), "nobody sealed it");
            }
        }
        assert!(opener.open(&mut data.to_vec(), 0).is_err(), "nobody sealed it");
        damage(data, sealer, opener);
    });
}

/// A genuine envelope opens to what was sealed; with any byte changed, or cut, it does not open.
fn damage(data: &[u8], sealer: &mut Sealer, opener: &mut Opener) {
    let Some(([at_high, at_low, change], body)) = data.split_first_chunk::<3>() else {
        return;
    };
    let header = Header {
        session: SessionId([7; 16]),
        sequence: u64::from(*at_high),
        exchange: u64::from(*at_low),
        part: u32::from(*change),
        deadline_ms: 10,
    };
    let mut sealed = Vec::new();
    sealer.seal(&header, body, &mut sealed).expect("it can be sealed");

    let mut untouched = sealed.clone();
    let opened = opener.open(&mut untouched, 10).expect("a genuine envelope opens");
    assert_eq!((opened.body, opened.header), (body, header));
    assert!(matches!(
        opener.open(&mut sealed.clone(), 11).err(),
        Some(OpenError::Expired { ago_ms: 1, .. })
    ));

    let at = usize::from(u16::from_be_bytes([*at_high, *at_low])) % sealed.len();
    let mut changed = sealed.clone();
    changed[at] ^= (*change).max(1);
    assert!(
        opener.open(&mut changed, 10).is_err(),
        "a changed byte went unnoticed"
    );
    assert!(
        opener.open(&mut sealed[..at].to_vec(), 10).is_err(),
        "a cut went unnoticed"
    );
}
