//! The values of a Bind message (PostgreSQL manual, section 54.7 "Bind"), as far as the policy asks for them.

use postern_policy::Denial;
use postern_types::{Refusal, SqlState};

/// The values that a Bind brings. Borrowed from the message; nothing is copied.
pub(crate) struct Values<'a> {
    /// One for all parameters, one for each, or none when all are text.
    formats: Vec<bool>,
    values: Vec<Option<&'a [u8]>>,
}

impl<'a> Values<'a> {
    /// Reads what stands behind the names in a Bind message; `None` when that is malformed.
    pub(crate) fn of(tail: &'a [u8]) -> Option<Values<'a>> {
        let mut rest = tail;
        let count = number(&mut rest)?;
        let mut formats = Vec::with_capacity(usize::from(count).min(tail.len()));
        for _ in 0..count {
            formats.push(match number(&mut rest)? {
                0 => false,
                1 => true,
                _ => return None,
            });
        }
        let count = number(&mut rest)?;
        let mut values = Vec::with_capacity(usize::from(count).min(tail.len()));
        for _ in 0..count {
            let (length, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            let value = match i32::from_be_bytes(*length) {
                -1 => None,
                length => {
                    let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    rest = after;
                    Some(value)
                }
            };
            values.push(value);
        }
        if formats.len() > 1 && formats.len() != values.len() {
            return None;
        }
        Some(Values { formats, values })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// A value by its index from 0, and whether it is in binary format. `None` when there is no such
    /// parameter; NULL has no bytes.
    pub(crate) fn get(&self, index: usize) -> Option<(Option<&'a [u8]>, bool)> {
        let value = self.values.get(index)?;
        let binary = match self.formats.as_slice() {
            [] => false,
            [one] => *one,
            each => *each.get(index)?,
        };
        Some((*value, binary))
    }
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    let (bytes, after) = rest.split_first_chunk::<2>()?;
    *rest = after;
    Some(u16::from_be_bytes(*bytes))
}

/// A literal or a parameter that must be the session's tenant is not.
pub(crate) fn misbound() -> Denial {
    Denial {
        refusal: Refusal::error(
            SqlState::INSUFFICIENT_PRIVILEGE,
            "permission denied: the policy does not allow this statement",
        ),
        rule: "tenancy: a value is not the tenant of the session".to_owned(),
        objects: Vec::new(),
        absolute: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tail of a Bind message.
    fn tail(formats: &[u16], values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u16::try_from(formats.len()).unwrap().to_be_bytes());
        formats.iter().for_each(|format| out.extend(format.to_be_bytes()));
        out.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            match value {
                None => out.extend((-1i32).to_be_bytes()),
                Some(bytes) => {
                    out.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
                    out.extend(*bytes);
                }
            }
        }
        out.extend([0, 0]);
        out
    }

    #[test]
    fn values_are_found_with_their_formats() {
        let values: [Option<&[u8]>; 3] = [Some(b"7"), None, Some(b"")];
        for (formats, binary) in [
            (vec![], [false; 3]),
            (vec![1], [true; 3]),
            (vec![0, 1, 1], [false, true, true]),
        ] {
            let bytes = tail(&formats, &values);
            let read = Values::of(&bytes).unwrap();
            for index in 0..3 {
                assert_eq!(read.get(index), Some((values[index], binary[index])));
            }
            assert_eq!(read.get(3), None);
        }
    }

    #[test]
    fn what_is_malformed_has_no_values() {
        assert!(Values::of(&tail(&[2], &[Some(b"7")])).is_none());
        assert!(Values::of(&tail(&[0, 0], &[Some(b"7")])).is_none());
        assert!(Values::of(&[0, 0, 0, 1, 0, 0, 0, 9, b'7']).is_none());
        assert!(Values::of(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]).is_none());
        assert!(Values::of(&[0]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(values) = Values::of(&bytes) {
                for index in 0..5 {
                    let _ = values.get(index);
                }
            }
        }
    }
}
