//! The rows of COPY TO STDOUT: taken apart, and put together again (manual, "COPY", "File Formats").
//!
//! PostgreSQL sends each row as one CopyData; whatever is not one whole row is refused. The header of the binary
//! format comes together with the first row, the trailer by itself.

use crate::Violation;
use postern_types::{CopyKind, CopyRules};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
const TRAILER: &[u8; 2] = b"\xff\xff";

/// A row of a COPY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// What comes before the row: the header of the binary format.
    pub(crate) head: &'a [u8],
    /// The values; `None` is NULL. Empty for a line that is no row.
    pub(crate) fields: Vec<Option<Vec<u8>>>,
    /// What comes after the row: the trailer of the binary format, or a line break.
    pub(crate) tail: &'a [u8],
    /// It is a row.
    pub(crate) is_row: bool,
}

/// Takes one CopyData apart. `first` is the first of its COPY.
///
/// # Errors
/// When it is not one whole row (or header, or trailer) in this form.
pub(crate) fn take_apart<'a>(rules: &CopyRules, first: bool, data: &'a [u8]) -> Result<Line<'a>, Violation> {
    match rules.format {
        CopyKind::Binary => binary(first, data),
        _ if first && rules.header => Some(Line {
            head: data,
            ..Line::default()
        }),
        CopyKind::Text => text(rules, data),
        CopyKind::Csv => csv(rules, data),
    }
    .ok_or(Violation::CopyForm)
}

/// Whether a CopyData of a binary COPY must come through whatever becomes of the rows, and how much of it: the
/// header, or the trailer.
pub(crate) fn frame(first: bool, data: &[u8]) -> &[u8] {
    if data == TRAILER {
        return data;
    }
    let head = if first { header(data) } else { None };
    head.map(|(head, _)| head).unwrap_or_default()
}

fn binary(first: bool, data: &[u8]) -> Option<Line<'_>> {
    let (head, data) = if first { header(data)? } else { (&[][..], data) };
    if data == TRAILER {
        return Some(Line {
            head,
            tail: data,
            ..Line::default()
        });
    }
    let (count, mut rest) = data.split_first_chunk::<2>()?;
    let count = u16::from_be_bytes(*count);
    let mut fields = Vec::with_capacity(usize::from(count).min(rest.len()));
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (field, after) = match i32::from_be_bytes(*length) {
            -1 => (None, after),
            length => {
                let (field, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                (Some(field.to_vec()), after)
            }
        };
        fields.push(field);
        rest = after;
    }
    rest.is_empty().then_some(Line {
        head,
        fields,
        tail: &[],
        is_row: true,
    })
}

/// The header of the binary format and what follows it.
fn header(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = data.strip_prefix(SIGNATURE)?.split_first_chunk::<4>()?;
    let (extension, rest) = rest.split_first_chunk::<4>()?;
    let rest = rest.get(usize::try_from(u32::from_be_bytes(*extension)).ok()?..)?;
    data.split_at_checked(data.len().checked_sub(rest.len())?)
}

fn text<'a>(rules: &CopyRules, data: &'a [u8]) -> Option<Line<'a>> {
    let line = data.strip_suffix(b"\n")?;
    let mut fields = Vec::new();
    let mut raw = Vec::new();
    let mut value = Vec::new();
    let mut bytes = line.iter().copied();
    loop {
        let next = bytes.next();
        match next {
            Some(b'\n') => return None,
            Some(b) if b == rules.delimiter => {}
            None => {}
            Some(b'\\') => {
                let escaped = bytes.next()?;
                raw.extend_from_slice(&[b'\\', escaped]);
                value.push(unescaped(escaped));
                continue;
            }
            Some(b) => {
                raw.push(b);
                value.push(b);
                continue;
            }
        }
        let null = raw == rules.null.as_bytes();
        fields.push((!null).then(|| std::mem::take(&mut value)));
        raw.clear();
        value.clear();
        if next.is_none() {
            break;
        }
    }
    Some(Line {
        head: &[],
        fields,
        tail: b"\n",
        is_row: true,
    })
}

fn unescaped(escape: u8) -> u8 {
    match escape {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

fn csv<'a>(rules: &CopyRules, data: &'a [u8]) -> Option<Line<'a>> {
    let line = data.strip_suffix(b"\n")?;
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = if rest.first() == Some(&rules.quote) {
            let (value, after) = csv_quoted(rules, rest.get(1..)?)?;
            (Some(value), after)
        } else {
            let end = rest
                .iter()
                .position(|b| *b == rules.delimiter)
                .unwrap_or(rest.len());
            let (raw, after) = rest.split_at_checked(end)?;
            if raw.contains(&rules.quote) || raw.contains(&b'\n') {
                return None;
            }
            ((raw != rules.null.as_bytes()).then(|| raw.to_vec()), after)
        };
        fields.push(field);
        match after.split_first() {
            None => break,
            Some((b, after)) if *b == rules.delimiter => rest = after,
            Some(_) => return None,
        }
    }
    Some(Line {
        head: &[],
        fields,
        tail: b"\n",
        is_row: true,
    })
}

/// A quoted value after its opening quote, and what follows the closing one.
fn csv_quoted<'a>(rules: &CopyRules, text: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let (b, after) = rest.split_first()?;
        match after.first() {
            Some(next) if *b == rules.escape && (*next == rules.quote || *next == rules.escape) => {
                value.push(*next);
                rest = after.get(1..)?;
            }
            _ if *b == rules.quote => return Some((value, after)),
            _ => {
                value.push(*b);
                rest = after;
            }
        }
    }
}

impl Line<'_> {
    /// The body of a CopyData with this row. `None` when a value has no form in it.
    pub(crate) fn put_together(&self, rules: &CopyRules) -> Option<Vec<u8>> {
        let mut out = self.head.to_vec();
        if self.is_row {
            match rules.format {
                CopyKind::Binary => put_binary(&mut out, &self.fields)?,
                CopyKind::Text => put_text(&mut out, rules, &self.fields),
                CopyKind::Csv => put_csv(&mut out, rules, &self.fields),
            }
        }
        out.extend_from_slice(self.tail);
        Some(out)
    }
}

fn put_binary(out: &mut Vec<u8>, fields: &[Option<Vec<u8>>]) -> Option<()> {
    out.extend_from_slice(&u16::try_from(fields.len()).ok()?.to_be_bytes());
    for field in fields {
        match field {
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                out.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
    Some(())
}

fn put_text(out: &mut Vec<u8>, rules: &CopyRules, fields: &[Option<Vec<u8>>]) {
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.push(rules.delimiter);
        }
        let Some(value) = field else {
            out.extend_from_slice(rules.null.as_bytes());
            continue;
        };
        for b in value {
            let letter = match b {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                b if *b == rules.delimiter => *b,
                b => {
                    out.push(*b);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }
}

fn put_csv(out: &mut Vec<u8>, rules: &CopyRules, fields: &[Option<Vec<u8>>]) {
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.push(rules.delimiter);
        }
        let Some(value) = field else {
            out.extend_from_slice(rules.null.as_bytes());
            continue;
        };
        // Always quoted: so it is never taken for NULL, nor for the end of the data.
        out.push(rules.quote);
        for b in value {
            if *b == rules.quote || *b == rules.escape {
                out.push(rules.escape);
            }
            out.push(*b);
        }
        out.push(rules.quote);
    }
}

#[cfg(test)]
#[path = "tests/copied.rs"]
mod tests;
