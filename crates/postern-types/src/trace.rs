//! Which trace an exchange belongs to (W3C Trace Context).

use crate::SessionId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identity of a trace: 16 bytes, not all of them zero. Shown as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The trace of an exchange whose client named none: the session's id, with the exchange's number in its second half.
    /// Whoever knows session and exchange knows it.
    pub fn of_exchange(session: SessionId, exchange: u64) -> TraceId {
        TraceId((u128::from_be_bytes(session.0) ^ u128::from(exchange)).to_be_bytes())
    }

    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<TraceId> {
        hex(text.as_bytes()).map(TraceId)
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a client said of the trace that an exchange is a part of. It is the client's word and means nothing to the
/// ring: records carry it, so that they can be found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The client's span, not all zero.
    pub parent: [u8; 8],
    /// The client records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads a `traceparent` header (W3C Trace Context, section 3.2.2): of version 00, or what a later version has in common
    /// with it. `None` for anything else.
    pub fn parse(text: &str) -> Option<TraceParent> {
        let mut fields = text.splitn(5, '-');
        let [version] = hex::<1>(fields.next()?.as_bytes())?;
        let trace = TraceId::parse(fields.next()?)?;
        let parent = hex::<8>(fields.next()?.as_bytes())?;
        let [flags] = hex::<1>(fields.next()?.as_bytes())?;
        let surplus = fields.next().is_some();
        let legal = match version {
            0 => !surplus,
            0xff => false,
            _ => true,
        };
        let there = parent != [0; 8] && trace != TraceId([0; 16]);
        (legal && there).then_some(TraceParent {
            trace,
            parent,
            sampled: flags & 1 == 1,
        })
    }
}

/// Exactly so many bytes as lower-case hex digits.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {

    use super::{TraceId, TraceParent};
    use crate::SessionId;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_of_version_0_is_read() {
        let read = TraceParent::parse(GOOD).unwrap();
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(read.parent, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert!(read.sampled);
        assert!(!TraceParent::parse(&GOOD.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceParent::parse(&format!("01{}-more", GOOD.get(2..).unwrap())).is_some());
    }

    #[test]
    fn nothing_else_is() {
        let ff = GOOD.replacen("00", "ff", 1);
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-more");
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        for text in [
            "",
            "00",
            "-",
            &ff,
            &upper,
            &longer,
            &zero_trace,
            zero_parent,
            GOOD.get(..GOOD.len() - 1).unwrap(),
            GOOD.get(1..).unwrap(),
            &format!("{GOOD}0"),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4b", "4ß"),
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_exchange_has_a_trace_of_its_own() {
        let session = SessionId([7; 16]);
        let of = |exchange| TraceId::of_exchange(session, exchange);
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
        assert_eq!(TraceId::parse(&of(258).to_string()), Some(of(258)));
        assert_eq!(of(0x0102).to_string(), "07070707070707070707070707070605");
    }
}
