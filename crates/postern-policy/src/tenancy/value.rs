//! Whether a value is the tenant.
//!
//! What PostgreSQL would take for another value than is seen here must be refused. A parameter has the type that
//! the client declares, or that PostgreSQL infers from the first place where it is used, which need not be the
//! one that was looked at. So a declared type must be one of the column's family; and where none is declared,
//! an integer must be so small that it means the same as any type of number.

use super::{Demand, Source, TenantType};

/// Below it every whole number is exact as `real`, and its binary form read as a floating-point number is no
/// whole number but zero.
const EXACT_AS_REAL: i64 = 1 << 24;

/// A value that a client binds to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundValue<'a> {
    /// Its bytes; `None` is NULL.
    pub bytes: Option<&'a [u8]>,
    /// In binary rather than text format.
    pub binary: bool,
    /// OID of its type as the client declared it; 0 when it left that to PostgreSQL.
    pub declared: u32,
}

impl Demand {
    /// The parameter that has to be looked at.
    pub fn parameter(&self) -> Option<u16> {
        match self.source {
            Source::Parameter(number) => Some(number),
            Source::Literal(_) => None,
        }
    }

    /// Whether a literal of the statement is the tenant. Not for parameters.
    pub fn holds_for_literal(&self, tenant: &str) -> bool {
        match &self.source {
            Source::Literal(text) => self.same(text, tenant),
            Source::Parameter(_) => false,
        }
    }

    /// Whether a bound value is the tenant, whatever type PostgreSQL takes it for.
    pub fn holds_for(&self, value: &BoundValue<'_>, tenant: &str) -> bool {
        let Some(bytes) = value.bytes else { return false };
        if !(value.declared == 0 || self.kind.types().contains(&value.declared)) {
            return false;
        }
        match (self.kind, value.binary) {
            (TenantType::Text, _) | (_, false) => {
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return false;
                };
                self.same(text, tenant) && (value.declared != 0 || self.is_plain(tenant))
            }
            (TenantType::Integer, true) => {
                let number = match (value.declared, bytes) {
                    (0 | 21, [a, b]) => i64::from(i16::from_be_bytes([*a, *b])),
                    (0 | 23, [a, b, c, d]) => i64::from(i32::from_be_bytes([*a, *b, *c, *d])),
                    (0 | 20, [a, b, c, d, e, f, g, h]) => {
                        i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
                    }
                    _ => return false,
                };
                integer(tenant) == Some(number) && (value.declared != 0 || self.is_plain(tenant))
            }
            (TenantType::Uuid, true) => uuid(tenant).is_some_and(|wanted| wanted.as_slice() == bytes),
        }
    }

    /// Whether a text of the column's type means the tenant.
    fn same(&self, text: &str, tenant: &str) -> bool {
        match self.kind {
            TenantType::Integer => integer(text).is_some() && integer(text) == integer(tenant),
            TenantType::Uuid => uuid(text).is_some() && uuid(text) == uuid(tenant),
            TenantType::Text => text == tenant,
        }
    }

    /// Whether it means the same as every type that PostgreSQL may infer. An integer could be taken for a
    /// floating-point number, which rounds.
    fn is_plain(&self, tenant: &str) -> bool {
        match self.kind {
            TenantType::Integer => integer(tenant).is_some_and(|n| (0..EXACT_AS_REAL).contains(&n)),
            TenantType::Uuid | TenantType::Text => true,
        }
    }
}

impl TenantType {
    /// The types a client may declare.
    fn types(self) -> &'static [u32] {
        match self {
            // smallint, integer, bigint
            TenantType::Integer => &[21, 23, 20],
            TenantType::Uuid => &[2950],
            // text, varchar, char, and unknown
            TenantType::Text => &[25, 1043, 1042, 705],
        }
    }
}

/// A whole number as PostgreSQL writes it: decimal, without blanks or a plus sign. It would take more, such as
/// `0x1F` and `1_000`; there is no need for that here.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A UUID in the usual form, in upper or lower case.
fn uuid(text: &str) -> Option<[u8; 16]> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    if text.len() != 36 {
        return None;
    }
    let mut digits = Vec::with_capacity(32);
    for (index, c) in text.chars().enumerate() {
        if HYPHENS.contains(&index) {
            if c != '-' {
                return None;
            }
            continue;
        }
        digits.push(u8::try_from(c.to_digit(16)?).ok()?);
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        if let [high, low] = pair {
            *byte = high << 4 | low;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(kind: TenantType) -> Demand {
        Demand {
            kind,
            source: Source::Parameter(1),
        }
    }

    fn text(bytes: &str, declared: u32) -> BoundValue<'_> {
        BoundValue {
            bytes: Some(bytes.as_bytes()),
            binary: false,
            declared,
        }
    }

    fn binary(bytes: &[u8], declared: u32) -> BoundValue<'_> {
        BoundValue {
            bytes: Some(bytes),
            binary: true,
            declared,
        }
    }

    #[test]
    fn an_integer_is_compared_as_a_number_of_its_own_type() {
        let holds =
            |value: BoundValue<'_>, tenant: &str| demand(TenantType::Integer).holds_for(&value, tenant);
        assert!(holds(text("7", 0), "7"));
        assert!(holds(text("007", 23), "7"));
        assert!(holds(binary(&7i16.to_be_bytes(), 0), "7"));
        assert!(holds(binary(&7i32.to_be_bytes(), 23), "7"));
        assert!(holds(binary(&7i64.to_be_bytes(), 20), "7"));
        for (value, tenant) in [
            (text("8", 0), "7"),
            (text("7 ", 0), "7"),
            (text("7.0", 0), "7"),
            (text("", 0), ""),
            (text("acme", 0), "acme"),
            // Another type: PostgreSQL would compare something else.
            (text("7", 701), "7"),
            (text("7", 25), "7"),
            (binary(&7f64.to_be_bytes(), 701), "7"),
            (binary(&7i32.to_be_bytes(), 20), "7"),
            (binary(&8i32.to_be_bytes(), 23), "7"),
            (binary(&[7], 0), "7"),
        ] {
            assert!(!holds(value, tenant), "{value:?}");
        }
    }

    #[test]
    fn a_number_that_could_be_rounded_needs_a_declared_type() {
        let holds =
            |value: BoundValue<'_>, tenant: &str| demand(TenantType::Integer).holds_for(&value, tenant);
        // As real it is 16777216, another tenant.
        assert!(!holds(text("16777217", 0), "16777217"));
        assert!(holds(text("16777217", 20), "16777217"));
        // These bytes are 1.0 as real, another tenant.
        let one = 1f32.to_be_bytes();
        let tenant = i32::from_be_bytes(one).to_string();
        assert!(!holds(binary(&one, 0), &tenant));
        assert!(holds(binary(&one, 23), &tenant));
        assert!(!holds(text("-1", 0), "-1"));
    }

    #[test]
    fn a_uuid_is_compared_as_bytes_and_a_text_as_it_is() {
        let tenant = "12345678-9abc-def0-1234-56789abcdef0";
        let bytes: Vec<u8> = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0].repeat(2);
        let uuid = demand(TenantType::Uuid);
        assert!(uuid.holds_for(&text(&tenant.to_uppercase(), 2950), tenant));
        assert!(uuid.holds_for(&binary(&bytes, 0), tenant));
        assert!(!uuid.holds_for(&binary(&bytes[..15], 0), tenant));
        assert!(!uuid.holds_for(&text(tenant, 25), tenant));
        assert!(!uuid.holds_for(&text("acme", 0), "acme"));
        let plain = demand(TenantType::Text);
        assert!(plain.holds_for(&text("acme", 0), "acme"));
        assert!(plain.holds_for(&binary(b"acme", 25), "acme"));
        assert!(!plain.holds_for(&text("Acme", 0), "acme"));
        assert!(!plain.holds_for(&text("acme", 19), "acme"));
        assert!(!plain.holds_for(&binary(&[0xff], 0), "acme"));
    }

    #[test]
    fn null_is_nobody() {
        let null = BoundValue {
            bytes: None,
            binary: false,
            declared: 0,
        };
        assert!(!demand(TenantType::Text).holds_for(&null, ""));
    }

    #[test]
    fn a_literal_is_the_tenant_or_not() {
        let literal = |text: &str| Demand {
            kind: TenantType::Integer,
            source: Source::Literal(text.to_owned()),
        };
        assert!(literal("7").holds_for_literal("7"));
        assert!(!literal("8").holds_for_literal("7"));
        assert!(!demand(TenantType::Integer).holds_for_literal("7"));
        assert_eq!(literal("7").parameter(), None);
        assert_eq!(demand(TenantType::Text).parameter(), Some(1));
    }
}
