//! What whoever holds an envelope can do to its bytes.

use postern_envelope::OVERHEAD;

/// Changes one envelope.
pub(crate) type Change = fn(&mut Vec<u8>);

/// Every change by its name. None of them may be taken for the real thing.
pub(crate) const CHANGES: [(&str, Change); 15] = [
    ("the magic of the header changed", |e| e[0] ^= 1),
    ("the version changed", |e| e[3] ^= 2),
    ("the link changed", |e| e[4] = e[4] % 8 + 1),
    ("the key epoch changed", |e| e[8] ^= 1),
    ("the sender changed", |e| e[9] ^= 1),
    ("the counter changed", |e| e[32] ^= 1),
    ("the session changed", |e| e[40] ^= 1),
    ("the sequence number raised", |e| e[56] = e[56].wrapping_add(1)),
    ("the exchange raised", |e| e[64] = e[64].wrapping_add(1)),
    ("the part raised", |e| e[68] = e[68].wrapping_add(1)),
    ("the deadline put off", |e| e[70] ^= 1),
    ("one bit of the body flipped", |e| {
        let at = e.len() - 17;
        e[at] ^= 1;
    }),
    ("one bit of the tag flipped", |e| *e.last_mut().unwrap() ^= 1),
    ("cut by one byte", |e| _ = e.pop()),
    ("lengthened by one byte", |e| e.push(0)),
];

/// Bytes that are no envelope at all, in a message of the bus that is well made or not.
pub(crate) fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let framed = |bytes: &[u8]| {
        let mut batch = postern_envelope::Batch::new();
        batch.push(bytes).unwrap();
        batch.take()
    };
    vec![
        ("an empty message", Vec::new()),
        ("a message that is no batch", b"hello".to_vec()),
        (
            "a batch that is shorter than it says",
            vec![0, 0, 255, 255, 1, 2, 3],
        ),
        ("an envelope of nothing", framed(b"")),
        ("an envelope of zeros", framed(&[0; OVERHEAD + 9])),
        ("an envelope of random bytes", framed(&noise(300))),
    ]
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}
