//! Whether a value belongs to the tenant.
//!
//! A column that holds the tenant is compared as a whole. In every other value the names of tenant columns are
//! searched for, and a hit that is a key (`"tenant_id":` in JSON, `"tenant_id"=>` in hstore, `<tenant_id>` in XML,
//! or a key of hstore's binary format) must have the tenant as its value. A key is told by what stands around it
//! and not by parsing what it is in: so depth costs nothing, and JSON in a string in an array in a record is
//! searched as well as JSON itself. What looks like a key of another tenant stops the answer even where it is a
//! quotation in somebody's text.

use crate::escape;
use crate::kind::Kind;
use crate::rules::TenantRules;
use memchr::memmem::Finder;

/// Most quotes and backslashes in a row that are followed: six strings in one another.
const QUOTING: usize = 64;
/// Most white space around a colon that is followed, in bytes.
const SPACE: usize = 1024;

/// A value, or its absence, that is another tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// The tenant of a session in the forms that values have.
#[derive(Clone, Debug)]
pub(crate) struct Tenant<'a> {
    text: Option<&'a str>,
    integer: Option<i64>,
    uuid: Option<[u8; 16]>,
    refuse_null: bool,
}

impl<'a> Tenant<'a> {
    /// `None` is a session without a tenant, to which no row belongs.
    pub(crate) fn new(text: Option<&'a str>, refuse_null: bool) -> Tenant<'a> {
        let integer = text.and_then(|text| text.parse().ok().filter(|n: &i64| n.to_string() == text));
        Tenant {
            text,
            integer,
            uuid: text.and_then(uuid),
            refuse_null,
        }
    }

    /// Judges NULL.
    fn null(&self) -> Result<(), Foreign> {
        if self.refuse_null || self.text.is_none() {
            Err(Foreign)
        } else {
            Ok(())
        }
    }

    /// Judges the value of a column that holds the tenant.
    pub(crate) fn check(&self, kind: Kind, binary: bool, value: Option<&[u8]>) -> Result<(), Foreign> {
        let (Some(value), Some(text)) = (value, self.text) else {
            return if value.is_none() {
                self.null()
            } else {
                Err(Foreign)
            };
        };
        let own = match kind {
            Kind::Padded => value.trim_ascii_end() == text.trim_end().as_bytes(),
            Kind::Integer if binary => integer(value).is_some_and(|n| Some(n) == self.integer),
            Kind::Uuid if binary => self.uuid.is_some_and(|own| value == own),
            Kind::Uuid => {
                value == text.as_bytes() || self.uuid.is_some_and(|own| Some(own) == uuid_of(value))
            }
            Kind::Text | Kind::Other => value == text.as_bytes(),
            // Their binary forms are not known here; none of them is the text by chance.
            _ => !binary && value == text.as_bytes(),
        };
        if own { Ok(()) } else { Err(Foreign) }
    }

    /// Judges a value of JSON and the like, from its first byte on.
    fn check_written(&self, value: &[u8]) -> Result<(), Foreign> {
        let quoting = quoting(value, 0)?;
        let (quotes, rest) = value.split_at_checked(quoting).ok_or(Foreign)?;
        if quotes.is_empty() {
            let word = rest.iter().take_while(|b| is_word(**b)).count();
            let word = rest.get(..word).unwrap_or_default();
            if word.eq_ignore_ascii_case(b"null") {
                return self.null();
            }
            return match self.text {
                Some(text) if !word.is_empty() && word == text.as_bytes() => Ok(()),
                _ => Err(Foreign),
            };
        }
        let text = self.text.ok_or(Foreign)?;
        // What opened the string closes it.
        let plain = rest
            .strip_prefix(text.as_bytes())
            .is_some_and(|rest| rest.starts_with(quotes));
        if plain || (quotes == b"\"" && escape::string_is(rest, text)) {
            Ok(())
        } else {
            Err(Foreign)
        }
    }
}

/// The names of tenant columns, to be searched for one after the other: there are few of them, and nothing is faster
/// than a search for one word. That one name is part of another does no harm: only what is a whole key counts.
#[derive(Clone, Debug)]
pub(crate) struct TenantNames(Vec<(String, Finder<'static>)>);

impl TenantNames {
    /// Prepares the search.
    pub(crate) fn new(rules: &TenantRules) -> TenantNames {
        let search = |name: &String| (name.clone(), Finder::new(name).into_owned());
        TenantNames(rules.columns.iter().map(search).collect())
    }

    /// Whether this is the name of a tenant column.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Whether anything in `bytes` has to be looked at.
    pub(crate) fn occur_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|(_, name)| name.find(bytes).is_some()) || escape::may_be_in(bytes)
    }

    /// Judges every key with one of the names in `value`.
    pub(crate) fn check(&self, tenant: &Tenant<'_>, binary: bool, value: &[u8]) -> Result<(), Foreign> {
        if escape::may_be_in(value) {
            let plain = escape::plain(value);
            return self.check_plain(tenant, binary, &plain);
        }
        self.check_plain(tenant, binary, value)
    }

    fn check_plain(&self, tenant: &Tenant<'_>, binary: bool, value: &[u8]) -> Result<(), Foreign> {
        for (name, search) in &self.0 {
            for start in search.find_iter(value) {
                check_key(tenant, binary, value, start, start.saturating_add(name.len()))?;
            }
        }
        Ok(())
    }
}

/// Judges the name at `start..end`, if it is a key.
fn check_key(
    tenant: &Tenant<'_>,
    binary: bool,
    value: &[u8],
    start: usize,
    end: usize,
) -> Result<(), Foreign> {
    let (before, after) = (
        value.get(..start).unwrap_or_default(),
        value.get(end..).unwrap_or_default(),
    );
    let length = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
    if binary && before.last_chunk() == Some(&length.to_be_bytes()) {
        // A key of hstore_send: its length, the key, the length of the value or -1, the value.
        let (length, rest) = after.split_first_chunk::<4>().ok_or(Foreign)?;
        return match i32::from_be_bytes(*length) {
            -1 => tenant.null(),
            length => {
                let length = usize::try_from(length).map_err(|_| Foreign)?;
                tenant.check(Kind::Text, false, Some(rest.get(..length).ok_or(Foreign)?))
            }
        };
    }
    if let [.., b'<'] = before
        && let [b'>', content @ ..] = after
    {
        let length = memchr::memchr(b'<', content).ok_or(Foreign)?;
        return tenant.check(Kind::Text, false, content.get(..length));
    }
    if before.last() == Some(&b'"') {
        let quotes = quoting(after, 0)?;
        let at = space(after, quotes);
        let colon = match after.get(at..) {
            _ if quotes == 0 => return Ok(()),
            Some([b':', ..]) => at.saturating_add(1),
            Some([b'=', b'>', ..]) => at.saturating_add(2),
            _ => return Ok(()),
        };
        let written = after.get(space(after, colon)..).unwrap_or_default();
        return tenant.check_written(written);
    }
    Ok(())
}

/// The length of the run of quotes and backslashes at `at`.
fn quoting(text: &[u8], at: usize) -> Result<usize, Foreign> {
    let run = text.get(at..).unwrap_or_default().iter();
    let length = run
        .take(QUOTING)
        .take_while(|b| matches!(b, b'"' | b'\\'))
        .count();
    if length == QUOTING {
        Err(Foreign)
    } else {
        Ok(length)
    }
}

/// The place after the white space at `at`, which in a string in a string may be written as `\n`.
fn space(text: &[u8], at: usize) -> usize {
    let mut at = at;
    for _ in 0..SPACE {
        let rest = text.get(at..).unwrap_or_default();
        at = at.saturating_add(match rest {
            [b' ' | b'\t' | b'\n' | b'\r', ..] => 1,
            [b'\\', b'n' | b't' | b'r', ..] => 2,
            _ => return at,
        });
    }
    at
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'.') || b >= 0x80
}

fn integer(value: &[u8]) -> Option<i64> {
    Some(match value.len() {
        2 => i64::from(i16::from_be_bytes(*value.first_chunk()?)),
        4 => i64::from(i32::from_be_bytes(*value.first_chunk()?)),
        8 => i64::from_be_bytes(*value.first_chunk()?),
        _ => return None,
    })
}

fn uuid_of(value: &[u8]) -> Option<[u8; 16]> {
    uuid(std::str::from_utf8(value).ok()?)
}

/// A UUID as PostgreSQL prints it, in either case.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let dashes = text.len() == 36
        && [8, 13, 18, 23]
            .iter()
            .all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let mut digits = text.bytes().filter(|b| *b != b'-');
    let mut out = [0; 16];
    for byte in &mut out {
        let high = char::from(digits.next()?).to_digit(16)?;
        let low = char::from(digits.next()?).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    (dashes && digits.next().is_none()).then_some(out)
}

#[cfg(test)]
#[path = "tests/tenants.rs"]
mod tests;
