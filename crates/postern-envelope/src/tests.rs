use crate::*;
use postern_types::{InstanceId, Link, SessionId, Stage, body};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

mod batches;
mod replays;
mod turning;

const NOW: u64 = 1_700_000_000_000;

fn secret(stage: Stage) -> SecretKey {
    // Any 32 bytes are an X25519 secret.
    let text = ["A", "B", "C", "D"][stage as usize].repeat(42) + "A=";
    SecretKey::parse(&text).unwrap()
}

fn generation(stage: Stage, epoch: u32) -> Generation {
    Generation {
        epoch,
        secret: secret(stage),
        peers: BTreeMap::from(Stage::ALL.map(|peer| (peer, secret(peer).public()))),
    }
}

fn keyring(stage: Stage, instance: u8) -> Keyring {
    Keyring::new(stage, InstanceId([instance; 16]), generation(stage, 1))
}

fn ends(link: Link) -> (Sealer, Opener) {
    let sealer = keyring(link.sender(), 7).sealer(link).unwrap();
    (sealer, keyring(link.receiver(), 8).opener(link).unwrap())
}

fn header() -> Header {
    Header {
        session: SessionId([3; 16]),
        sequence: 4,
        exchange: 5,
        part: 6,
        deadline_ms: NOW + 1000,
    }
}

fn sealed(sealer: &mut Sealer, header: &Header, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(header, body, &mut out).unwrap();
    out
}

#[test]
fn what_is_sealed_opens_on_every_link_and_says_who_sealed_it() {
    for link in Link::ALL {
        let (mut sealer, mut opener) = ends(link);
        for counter in 0..3 {
            let mut envelope = sealed(&mut sealer, &header(), b"body");
            assert_eq!(envelope.len(), 4 + OVERHEAD);
            let opened = opener.open(&mut envelope, NOW).unwrap();
            assert_eq!((opened.header, opened.body), (header(), &b"body"[..]));
            assert_eq!((opened.sender, opened.counter), (InstanceId([7; 16]), counter));
        }
    }
}

#[test]
fn the_body_is_not_in_the_envelope_in_clear() {
    let (mut sealer, _) = ends(Link::FrontendToQueryValidator);
    let envelope = sealed(&mut sealer, &header(), b"select secret from vault");
    assert!(!envelope.windows(6).any(|w| w == b"secret"));
}

#[test]
fn the_layout_is_the_documented_one() {
    let (mut sealer, _) = ends(Link::QueryValidatorToBackend);
    let envelope = sealed(&mut sealer, &header(), b"");
    let mut expected = b"PEV\x01\x02\0\0\0\x01".to_vec();
    expected.extend([7; 16]);
    expected.extend([0; 8]);
    expected.extend([3; 16]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6]);
    expected.extend((NOW + 1000).to_be_bytes());
    assert_eq!(&envelope[..77], expected);
    assert_eq!(envelope.len(), 77 + 16);
}

#[test]
fn seal_body_makes_the_body_encoding_in_place() {
    let (mut sealer, mut opener) = ends(Link::BackendToResponseValidator);
    let mut out = b"other".to_vec();
    sealer
        .seal_body(&header(), &(9u32, "head"), &[b"ta", b"il"], &mut out)
        .unwrap();
    let opened = opener.open(&mut out[5..], NOW).unwrap();
    let (head, tail): ((u32, &str), _) = body::decode(opened.body).unwrap();
    assert_eq!((head, tail), ((9, "head"), &b"tail"[..]));
}

#[test]
fn every_flipped_bit_is_refused() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let envelope = sealed(&mut sealer, &header(), b"select 1");
    for bit in 0..envelope.len() * 8 {
        let mut changed = envelope.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(opener.open(&mut changed, NOW).is_err(), "bit {bit}");
    }
    // A cached sender key must not change that.
    opener.open(&mut envelope.clone(), NOW).unwrap();
    for bit in 0..envelope.len() * 8 {
        let mut changed = envelope.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(
            opener.open(&mut changed, NOW).is_err(),
            "bit {bit} with a cached key"
        );
    }
}

#[test]
fn every_other_length_is_refused() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let envelope = sealed(&mut sealer, &header(), b"select 1");
    for length in 0..envelope.len() {
        assert!(
            opener.open(&mut envelope[..length].to_vec(), NOW).is_err(),
            "{length} bytes"
        );
    }
    let mut longer = envelope.clone();
    longer.push(0);
    assert_eq!(opener.open(&mut longer, NOW).unwrap_err(), OpenError::Forged);
}

#[test]
fn an_envelope_cannot_be_moved_to_another_link() {
    let (mut sealer, mut own) = ends(Link::QueryValidatorToBackend);
    let envelope = sealed(&mut sealer, &header(), b"x");
    own.open(&mut envelope.clone(), NOW).unwrap();
    for link in Link::ALL
        .into_iter()
        .filter(|link| *link != Link::QueryValidatorToBackend)
    {
        let mut opener = keyring(link.receiver(), 9).opener(link).unwrap();
        assert_eq!(
            opener.open(&mut envelope.clone(), NOW).unwrap_err(),
            OpenError::WrongLink
        );
        let mut relabelled = envelope.clone();
        relabelled[4] = link as u8;
        assert_eq!(opener.open(&mut relabelled, NOW).unwrap_err(), OpenError::Forged);
    }
}

#[test]
fn the_two_ways_between_two_stages_have_different_keys() {
    // The same two key pairs, so the same X25519 secret.
    let (mut there, _) = ends(Link::QueryValidatorToBackend);
    let mut envelope = sealed(&mut there, &header(), b"x");
    envelope[4] = Link::BackendToQueryValidator as u8;
    let mut back = keyring(Stage::QueryValidator, 9)
        .opener(Link::BackendToQueryValidator)
        .unwrap();
    assert_eq!(back.open(&mut envelope, NOW).unwrap_err(), OpenError::Forged);
}

#[test]
fn header_fields_cannot_be_swapped_for_those_of_another_envelope() {
    let (mut sealer, mut opener) = ends(Link::ResponseValidatorToFrontend);
    let one = sealed(&mut sealer, &header(), b"rows of one");
    let other = Header {
        session: SessionId([0x33; 16]),
        sequence: 40,
        exchange: 50,
        part: 60,
        deadline_ms: NOW + 9000,
    };
    let two = sealed(&mut sealer, &other, b"rows of two");
    let fields = [25..33, 33..49, 49..57, 57..65, 65..69, 69..77, 77..one.len()];
    for field in fields {
        let mut spliced = one.clone();
        spliced[field.clone()].copy_from_slice(&two[field.clone()]);
        assert_ne!(spliced, one);
        assert_eq!(
            opener.open(&mut spliced, NOW).unwrap_err(),
            OpenError::Forged,
            "{field:?}"
        );
    }
}

#[test]
fn another_stages_secret_cannot_seal_or_open() {
    let link = Link::QueryValidatorToBackend;
    let (mut sealer, _) = ends(link);
    // The Frontend's secret, posing as the Query Validator.
    let own = generation(Stage::Frontend, 1);
    let thief = Keyring::new(Stage::QueryValidator, InstanceId([1; 16]), own);
    let mut forged = sealed(&mut thief.sealer(link).unwrap(), &header(), b"drop table x");
    let mut backend = keyring(Stage::Backend, 2).opener(link).unwrap();
    assert_eq!(backend.open(&mut forged, NOW).unwrap_err(), OpenError::Forged);
    // The Response Validator's secret, posing as the Backend.
    let mut own = generation(Stage::ResponseValidator, 1);
    own.peers
        .insert(Stage::Backend, secret(Stage::ResponseValidator).public());
    let spy = Keyring::new(Stage::Backend, InstanceId([1; 16]), own);
    let mut envelope = sealed(&mut sealer, &header(), b"select 1");
    assert_eq!(
        spy.opener(link).unwrap().open(&mut envelope, NOW).unwrap_err(),
        OpenError::Forged
    );
}

#[test]
fn a_clock_that_is_wrong_is_named_with_its_stage() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let mut at = |deadline_ms| {
        let head = Header {
            deadline_ms,
            ..header()
        };
        let mut envelope = sealed(&mut sealer, &head, b"x");
        opener
            .open(&mut envelope, NOW)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    at(NOW + crate::MOST_AHEAD_MS).unwrap();
    at(Header::NO_DEADLINE).unwrap();
    assert_eq!(
        at(NOW + crate::MOST_AHEAD_MS + 1).unwrap_err(),
        "its deadline is 240.0 s away, more than any is: the clock of the frontend is ahead of this machine's"
    );
    assert_eq!(
        at(NOW - 90_500).unwrap_err(),
        "past its deadline by 90.5 s: it was held up on its way, or the clock of the frontend is behind this machine's"
    );
    // A ticket lasts for hours.
    let (mut sealer, mut opener) = ends(Link::QueryValidatorToItself);
    let ticket = Header {
        deadline_ms: NOW + 12 * 3_600_000,
        ..header()
    };
    let mut envelope = sealed(&mut sealer, &ticket, b"x");
    opener.open(&mut envelope, NOW).unwrap();
}

#[test]
fn a_deadline_holds_to_the_millisecond_and_only_for_genuine_envelopes() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let envelope = sealed(&mut sealer, &header(), b"x");
    opener.open(&mut envelope.clone(), NOW + 1000).unwrap();
    assert_eq!(
        opener.open(&mut envelope.clone(), NOW + 1001).unwrap_err(),
        OpenError::Expired {
            sender: Stage::Frontend,
            ago_ms: 1
        }
    );
    let mut forged = envelope.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        opener.open(&mut forged, NOW + 1001).unwrap_err(),
        OpenError::Forged
    );
    let lasting = Header {
        deadline_ms: Header::NO_DEADLINE,
        ..header()
    };
    opener
        .open(&mut sealed(&mut sealer, &lasting, b"x"), u64::MAX)
        .unwrap();
}

#[test]
fn an_unknown_version_is_named_as_such() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let mut envelope = sealed(&mut sealer, &header(), b"x");
    envelope[3] = 2;
    assert_eq!(opener.open(&mut envelope, NOW).unwrap_err(), OpenError::Version);
}

#[test]
fn no_nonce_repeats_between_sealers_of_one_keyring() {
    let ring = keyring(Stage::Frontend, 7);
    let link = Link::FrontendToQueryValidator;
    let (mut a, mut b) = (ring.sealer(link).unwrap(), ring.sealer(link).unwrap());
    let mut seen = HashSet::new();
    for _ in 0..100 {
        for sealer in [&mut a, &mut b] {
            let envelope = sealed(sealer, &header(), b"same body");
            // Sender and counter are key and nonce.
            assert!(seen.insert(envelope[9..33].to_vec()));
        }
    }
}

#[test]
fn two_instances_use_different_keys_for_the_same_counter() {
    let link = Link::FrontendToQueryValidator;
    let of = |instance| {
        sealed(
            &mut keyring(Stage::Frontend, instance).sealer(link).unwrap(),
            &header(),
            &[0; 32],
        )
    };
    let (one, two) = (of(1), of(2));
    assert_eq!(one[25..33], two[25..33], "both begin at the same counter");
    // The bodies in clear are all zeros: what differs is the key stream.
    assert_ne!(one[77..109], two[77..109]);
    // And one can't be passed off as the other.
    let mut relabelled = one.clone();
    relabelled[9..25].copy_from_slice(&two[9..25]);
    let mut opener = keyring(Stage::QueryValidator, 8).opener(link).unwrap();
    assert_eq!(opener.open(&mut relabelled, NOW).unwrap_err(), OpenError::Forged);
}

#[test]
fn a_used_up_counter_seals_no_more_and_leaves_the_buffer_alone() {
    let link = Link::FrontendToQueryValidator;
    let ring = keyring(Stage::Frontend, 7);
    ring.counter(link)
        .store(MAX_COUNTER - 1, std::sync::atomic::Ordering::Relaxed);
    let mut sealer = ring.sealer(link).unwrap();
    let mut out = Vec::new();
    sealer.seal(&header(), b"last", &mut out).unwrap();
    let length = out.len();
    for _ in 0..2 {
        assert_eq!(
            sealer.seal(&header(), b"one more", &mut out),
            Err(SealError::Exhausted)
        );
        assert_eq!(out.len(), length);
    }
}

#[test]
fn keyrings_refuse_what_is_not_theirs() {
    let ring = keyring(Stage::Frontend, 1);
    assert!(matches!(
        ring.sealer(Link::QueryValidatorToBackend).unwrap_err(),
        KeyringError::NotOurs { .. }
    ));
    assert!(matches!(
        ring.opener(Link::FrontendToQueryValidator).unwrap_err(),
        KeyringError::NotOurs { .. }
    ));
    let with = |peers| {
        let own = Generation {
            peers,
            ..generation(Stage::Frontend, 1)
        };
        Keyring::new(Stage::Frontend, InstanceId([1; 16]), own)
            .sealer(Link::FrontendToQueryValidator)
            .unwrap_err()
    };
    assert_eq!(with(BTreeMap::new()), KeyringError::NoPeer(Stage::QueryValidator));
    let zero = PublicKey([0; 32]);
    let weak = with(BTreeMap::from([(Stage::QueryValidator, zero)]));
    assert_eq!(weak, KeyringError::WeakPeer(Stage::QueryValidator));
}

#[test]
fn keys_survive_their_text_and_secrets_hide() {
    let key = SecretKey::generate().unwrap();
    let again = SecretKey::parse(&format!("  {}\n", key.to_base64().as_str())).unwrap();
    assert_eq!(key.public(), again.public());
    assert_eq!(PublicKey::parse(&key.public().to_string()), Ok(key.public()));
    assert_eq!(format!("{key:?}"), "SecretKey(hidden)");
    assert!(
        !format!("{:?}", keyring(Stage::Frontend, 1)).contains(secret(Stage::Frontend).to_base64().as_str())
    );
    for bad in ["", "AAAA", "not base64!", &"A".repeat(64)] {
        assert!(SecretKey::parse(bad).is_err(), "{bad}");
        assert!(PublicKey::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn generated_keys_differ() {
    let (a, b) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    assert_ne!(a.public(), b.public());
}

#[test]
fn made_up_senders_do_not_push_genuine_keys_out_nor_get_in() {
    let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
    let envelope = sealed(&mut sealer, &header(), b"x");
    opener.open(&mut envelope.clone(), NOW).unwrap();
    assert_eq!(opener.cached_senders(), 1);
    for i in 0..200u8 {
        let mut made_up = envelope.clone();
        made_up[9] = i;
        made_up[10] = 0;
        assert_eq!(opener.open(&mut made_up, NOW).unwrap_err(), OpenError::Forged);
    }
    assert_eq!(opener.cached_senders(), 1);
}

#[test]
fn the_sender_cache_is_bounded() {
    let link = Link::FrontendToQueryValidator;
    let mut opener = keyring(Stage::QueryValidator, 8).opener(link).unwrap();
    for instance in 0..100 {
        let mut sealer = keyring(Stage::Frontend, instance).sealer(link).unwrap();
        opener
            .open(&mut sealed(&mut sealer, &header(), b"x"), NOW)
            .unwrap();
    }
    assert_eq!(opener.cached_senders(), 64);
}

proptest! {
    #[test]
    fn random_bytes_never_open(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (_, mut opener) = ends(Link::FrontendToQueryValidator);
        prop_assert!(opener.open(&mut bytes, NOW).is_err());
    }

    #[test]
    fn a_genuine_header_with_random_rest_never_opens(
        rest in prop::collection::vec(any::<u8>(), 0..200),
        keep in 5usize..93,
    ) {
        let (mut sealer, mut opener) = ends(Link::FrontendToQueryValidator);
        let envelope = sealed(&mut sealer, &header(), b"select 1");
        let mut bytes = envelope[..keep].to_vec();
        bytes.extend(&rest);
        prop_assume!(bytes != envelope);
        prop_assert!(opener.open(&mut bytes, NOW).is_err());
    }

    #[test]
    fn any_header_and_body_come_back(
        session: [u8; 16], sequence: u64, exchange: u64, part: u32, deadline_ms in NOW..=NOW + crate::MOST_AHEAD_MS,
        body in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let header = Header { session: SessionId(session), sequence, exchange, part, deadline_ms };
        let (mut sealer, mut opener) = ends(Link::ResponseValidatorToFrontend);
        let mut envelope = sealed(&mut sealer, &header, &body);
        let opened = opener.open(&mut envelope, NOW).unwrap();
        prop_assert_eq!((opened.header, opened.body), (header, &body[..]));
    }
}
