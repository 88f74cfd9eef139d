use super::*;
use postern_wire::{put_copy_done, put_copy_fail, put_flush, put_query, put_sync, put_terminate};
use proptest::prelude::*;

const PLENTY: u64 = u64::MAX;

fn buffer(put: impl FnOnce(&mut Vec<u8>)) -> BytesMut {
    let mut bytes = Vec::new();
    put(&mut bytes);
    BytesMut::from(bytes.as_slice())
}

fn step(copy: &mut CopyIn, buffer: &mut BytesMut, available: u64) -> Result<Step, Refusal> {
    copy.step(buffer, available, &Limits::default())
}

fn tags(payload: &[u8]) -> String {
    let messages = postern_wire::frontend_messages(payload, &Limits::default());
    messages.map(|m| char::from(m.unwrap().1[0])).collect()
}

#[test]
fn after_a_query_the_copy_ends_with_copy_done() {
    let mut input = buffer(|out| {
        put_copy_data(out, b"1\n").unwrap();
        put_copy_done(out);
        put_query(out, "SELECT 1").unwrap();
    });
    let mut copy = CopyIn::new(End::Query);
    let Ok(Step::Last(payload)) = step(&mut copy, &mut input, PLENTY) else {
        panic!()
    };
    assert_eq!(tags(&payload), "dc");
    assert_eq!(tags(&input), "Q");
}

#[test]
fn after_a_sync_the_copy_ends_with_another_sync() {
    let mut input = buffer(|out| {
        put_sync(out);
        put_copy_data(out, b"1\n").unwrap();
        put_flush(out);
        put_copy_fail(out, "no").unwrap();
    });
    let mut copy = CopyIn::new(End::Sync);
    let mut seen = String::new();
    while let Step::Chunk(payload) = step(&mut copy, &mut input, PLENTY).unwrap() {
        seen.push_str(&tags(&payload));
    }
    assert_eq!(seen, "df");
    input.extend_from_slice(&buffer(put_sync));
    let Ok(Step::Last(payload)) = step(&mut copy, &mut input, PLENTY) else {
        panic!()
    };
    assert_eq!(tags(&payload), "S");
}

#[test]
fn other_messages_have_no_place_in_a_copy() {
    let mut input = buffer(|out| put_query(out, "SELECT 1").unwrap());
    let refusal = step(&mut CopyIn::new(End::Query), &mut input, PLENTY).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.fatal),
        (SqlState::PROTOCOL_VIOLATION, true)
    );
    let mut input = buffer(put_terminate);
    assert_eq!(
        step(&mut CopyIn::new(End::Query), &mut input, PLENTY),
        Ok(Step::Terminate)
    );
}

#[test]
fn nothing_goes_without_credit() {
    let mut input = buffer(|out| {
        put_copy_data(out, b"12345").unwrap();
        put_copy_data(out, b"12345").unwrap();
        put_copy_done(out);
    });
    let mut copy = CopyIn::new(End::Query);
    assert_eq!(step(&mut copy, &mut input, 9), Ok(Step::NoCredit));
    let Ok(Step::Chunk(payload)) = step(&mut copy, &mut input, 19) else {
        panic!()
    };
    assert_eq!(tags(&payload), "d");
    let Ok(Step::Last(payload)) = step(&mut copy, &mut input, 15) else {
        panic!()
    };
    assert_eq!(tags(&payload), "dc");
}

/// The data in CopyData messages.
fn data(payload: &[u8]) -> Vec<u8> {
    postern_wire::frontend_messages(payload, &Limits::default())
        .flat_map(|m| match m.unwrap().0 {
            FrontendMessage::CopyData(data) => data.to_vec(),
            _ => Vec::new(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn all_data_arrives_in_order_in_bounded_chunks_whatever_the_credit(
        lengths in prop::collection::vec(prop_oneof![0usize..200, 60_000usize..70_000, 100_000usize..300_000], 0..8),
        pieces in prop::collection::vec(1usize..100_000, 1..5),
        credits in prop::collection::vec(1u64..200_000, 1..5),
        sync in any::<bool>()
    ) {
        let mut sent = Vec::new();
        let mut bytes = Vec::new();
        for (fill, length) in (1u8..).zip(lengths) {
            let body = vec![fill; length];
            put_copy_data(&mut bytes, &body).unwrap();
            sent.extend_from_slice(&body);
        }
        put_copy_done(&mut bytes);
        put_sync(&mut bytes);
        let mut copy = CopyIn::new(if sync { End::Sync } else { End::Query });
        let (mut input, mut rest) = (BytesMut::new(), bytes.as_slice());
        let (mut pieces, mut credits) = (pieces.iter().cycle(), credits.iter().cycle());
        let mut available = 0u64;
        let mut arrived = Vec::new();
        loop {
            match step(&mut copy, &mut input, available).unwrap() {
                Step::Incomplete => {
                    prop_assert!(!rest.is_empty(), "it waits for bytes that never come");
                    let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
                    input.extend_from_slice(piece);
                    rest = after;
                }
                // A Backend grants more than any single message of ours needs.
                Step::NoCredit => available += credits.next().unwrap(),
                Step::Chunk(payload) => {
                    prop_assert!(payload.len() as u64 <= available && payload.len() <= CHUNK_BYTES);
                    available -= payload.len() as u64;
                    arrived.extend_from_slice(&data(&payload));
                }
                Step::Last(payload) => {
                    arrived.extend_from_slice(&data(&payload));
                    break;
                }
                Step::Terminate => prop_assert!(false),
            }
        }
        prop_assert_eq!(arrived, sent);
        let left = if sync { 0 } else { 5 };
        prop_assert_eq!(input.len() + rest.len(), left);
    }
}
