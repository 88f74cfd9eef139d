//! Keys that are turned while envelopes flow.

use super::*;

const LINK: Link = Link::FrontendToQueryValidator;
const GRACE: u64 = 300_000;

fn fresh(stage: Stage, epoch: u32, secrets: &BTreeMap<Stage, SecretKey>) -> Generation {
    Generation {
        epoch,
        secret: secrets[&stage].clone(),
        peers: secrets
            .iter()
            .map(|(stage, secret)| (*stage, secret.public()))
            .collect(),
    }
}

fn secrets() -> BTreeMap<Stage, SecretKey> {
    Stage::ALL
        .map(|stage| (stage, SecretKey::generate().unwrap()))
        .into()
}

fn accepted(generation: Generation) -> Accepted {
    Accepted {
        generation,
        until_ms: NOW + GRACE,
        own_until_ms: NOW + 10 * GRACE,
    }
}

/// The two ends of a link, and what they turn to, step by step.
struct Rotation {
    frontend: Keyring,
    validator: Keyring,
    new: BTreeMap<Stage, SecretKey>,
}

impl Rotation {
    fn new() -> Rotation {
        Rotation {
            frontend: keyring(Stage::Frontend, 7),
            validator: keyring(Stage::QueryValidator, 8),
            new: secrets(),
        }
    }

    fn accept_next(&self, ring: &Keyring) {
        let both = Generations {
            current: generation(ring.stage(), 1),
            others: vec![accepted(fresh(ring.stage(), 2, &self.new))],
        };
        ring.turn(both).unwrap();
    }

    fn make_current(&self, ring: &Keyring) {
        let both = Generations {
            current: fresh(ring.stage(), 2, &self.new),
            others: vec![accepted(generation(ring.stage(), 1))],
        };
        ring.turn(both).unwrap();
    }
}

#[test]
fn no_envelope_is_refused_while_keys_are_turned_in_order() {
    let rotation = Rotation::new();
    let mut sealer = rotation.frontend.sealer(LINK).unwrap();
    let mut opener = rotation.validator.opener(LINK).unwrap();
    let mut passes = || {
        let mut envelope = sealed(&mut sealer, &header(), b"x");
        opener.open(&mut envelope, NOW).map(|_| ()).unwrap();
        envelope[8]
    };
    assert_eq!(passes(), 1);
    rotation.accept_next(&rotation.validator);
    assert_eq!(passes(), 1);
    rotation.accept_next(&rotation.frontend);
    assert_eq!(passes(), 1);
    // Who turns first makes no difference any more.
    rotation.make_current(&rotation.frontend);
    assert_eq!(passes(), 2);
    rotation.make_current(&rotation.validator);
    assert_eq!(passes(), 2);
    assert_eq!(rotation.frontend.epoch(), 2);
}

#[test]
fn an_old_key_runs_out_to_the_millisecond_also_for_senders_that_are_known() {
    let rotation = Rotation::new();
    let mut sealer = rotation.frontend.sealer(LINK).unwrap();
    rotation.make_current(&rotation.validator);
    let mut opener = rotation.validator.opener(LINK).unwrap();
    let lasting = Header {
        deadline_ms: Header::NO_DEADLINE,
        ..header()
    };
    let envelope = sealed(&mut sealer, &lasting, b"x");
    opener.open(&mut envelope.clone(), NOW + GRACE).unwrap();
    let mut late = envelope.clone();
    assert_eq!(
        opener.open(&mut late, NOW + GRACE + 1).unwrap_err(),
        OpenError::Epoch
    );
    // The old key in the new one's name.
    let mut relabelled = envelope;
    relabelled[8] = 2;
    assert_eq!(opener.open(&mut relabelled, NOW).unwrap_err(), OpenError::Forged);
}

#[test]
fn what_a_stage_sealed_to_itself_is_good_for_longer() {
    let rotation = Rotation::new();
    let own = Link::QueryValidatorToItself;
    let mut sealer = rotation.validator.sealer(own).unwrap();
    let lasting = Header {
        deadline_ms: Header::NO_DEADLINE,
        ..header()
    };
    let ticket = sealed(&mut sealer, &lasting, b"ticket");
    let mut opener = rotation.validator.opener(own).unwrap();
    rotation.make_current(&rotation.validator);
    opener.open(&mut ticket.clone(), NOW + GRACE + 1).unwrap();
    let mut late = ticket;
    let refused = opener.open(&mut late, NOW + 10 * GRACE + 1).unwrap_err();
    assert_eq!(refused, OpenError::Epoch);
}

#[test]
fn keys_that_a_link_can_not_use_change_nothing() {
    let rotation = Rotation::new();
    let mut sealer = rotation.frontend.sealer(LINK).unwrap();
    let mut opener = rotation.validator.opener(LINK).unwrap();
    let mut peers = generation(Stage::Frontend, 2).peers;
    peers.insert(Stage::QueryValidator, PublicKey([0; 32]));
    let weak = Generation {
        peers,
        ..generation(Stage::Frontend, 2)
    };
    let lonely = Generation {
        peers: BTreeMap::new(),
        ..generation(Stage::Frontend, 2)
    };
    for bad in [weak, lonely] {
        assert!(rotation.frontend.turn(bad.clone().into()).is_err());
        let beside = Generations {
            current: generation(Stage::Frontend, 1),
            others: vec![accepted(bad)],
        };
        assert!(rotation.frontend.turn(beside).is_err());
        let mut envelope = sealed(&mut sealer, &header(), b"x");
        assert_eq!(envelope[8], 1);
        opener.open(&mut envelope, NOW).unwrap();
    }
}

#[test]
fn going_back_to_an_epoch_repeats_no_nonce() {
    let ring = keyring(Stage::Frontend, 7);
    let mut sealer = ring.sealer(LINK).unwrap();
    let mut seen = HashSet::new();
    for epoch in [1, 2, 1, 2, 1] {
        ring.turn(generation(Stage::Frontend, epoch).into()).unwrap();
        let envelope = sealed(&mut sealer, &header(), b"same body");
        // Epoch, sender and counter are key and nonce.
        assert!(seen.insert(envelope[5..33].to_vec()));
    }
}
