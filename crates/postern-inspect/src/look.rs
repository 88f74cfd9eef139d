//! Looking at one value: whose it is, what is in it, and what is shown of it.

use crate::Violation;
use crate::escape;
use crate::find::{Finder, Finding, Hints, What};
use crate::inspector::{Inspector, Kept, TenantField};
use crate::keep;
use crate::kind::Kind;
use crate::lens::{Column, Lens};
use crate::mask::{self, Form};
use crate::record;
use crate::rules::Action;
use postern_types::KeptValue;
use std::sync::Arc;

/// How often something was found, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts(Vec<(&'static str, u64)>);

impl Alerts {
    /// Names and counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(&mut self, name: &'static str) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.0.push((name, 1)),
        }
    }
}

/// What is shown of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The value.
    Same,
    /// NULL.
    Null,
    /// This in its place.
    Other(Vec<u8>),
}

/// What is known of a stretch of rows before any of them is taken apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowHints {
    /// A name of a tenant column occurs.
    pub(crate) names: bool,
    pub(crate) literals: Hints,
    /// A character may be written as an escape.
    pub(crate) escapes: bool,
}

impl RowHints {
    /// Anything at all.
    pub(crate) fn any(self) -> bool {
        self.names || self.escapes || self.literals.any()
    }
}

/// Looks at values, and remembers what was found.
#[derive(Debug)]
pub(crate) struct Looker<'r> {
    inspector: &'r Inspector,
    pub(crate) alerts: Alerts,
    /// Values that are to be recorded.
    pub(crate) kept: Vec<KeptValue>,
    found: Vec<(Finding, Action)>,
}

impl<'r> Looker<'r> {
    pub(crate) fn new(inspector: &'r Inspector) -> Self {
        Looker {
            inspector,
            alerts: Alerts::default(),
            kept: Vec::new(),
            found: Vec::new(),
        }
    }

    /// What there may be in `bytes`.
    pub(crate) fn hints(&self, lens: &Lens<'_>, bytes: &[u8]) -> RowHints {
        let finder = self.inspector.finder.as_ref();
        let names = self.inspector.names.as_ref().filter(|_| lens.tenant.is_some());
        RowHints {
            names: names.is_some_and(|names| names.occur_in(bytes)),
            literals: finder.map(|finder| finder.hints(bytes)).unwrap_or_default(),
            escapes: finder.is_some() && escape::may_be_in(bytes),
        }
    }

    /// Whether a row with these hints has to be taken apart.
    pub(crate) fn must_open(&self, lens: &Lens<'_>, hints: RowHints) -> bool {
        lens.each_row
            || hints.names
            || self
                .inspector
                .finder
                .as_ref()
                .is_some_and(|finder| finder.must_open(hints.literals))
    }

    /// Whether nothing can be the matter with a value of a column that is only searched, at a glance.
    pub(crate) fn is_harmless(&self, column: &Column<'_>, hints: RowHints, value: &[u8]) -> bool {
        let only_searched = column.kept.is_none()
            && column.masks.is_empty()
            && !column.tenant
            && column.tenant_field.is_none();
        let finder = self.inspector.finder.as_ref();
        only_searched
            && !hints.any()
            && !(column.form.binary && matches!(column.form.kind, Kind::Integer | Kind::Numeric))
            && finder.is_none_or(|finder| finder.finds_nothing_in(value))
    }

    /// Judges a value of a column and says what is shown of it.
    ///
    /// # Errors
    /// When it is another tenant's, or something in it stops the answer.
    pub(crate) fn value(
        &mut self,
        lens: &Lens<'_>,
        column: &Column<'_>,
        hints: RowHints,
        value: Option<&[u8]>,
    ) -> Result<Shown, Violation> {
        if let Some(tenant) = &lens.tenant {
            if column.tenant {
                tenant
                    .check(column.form.kind, column.form.binary, value)
                    .map_err(|_| Violation::ForeignTenant)?;
            }
            if let (Some(field), Some(value)) = (column.tenant_field, value) {
                let TenantField::Row(place) = field else {
                    return Err(Violation::ForeignTenant);
                };
                record::check_field(tenant, column.form.binary, value, place)
                    .map_err(|_| Violation::ForeignTenant)?;
            }
            if hints.names
                && column.searched
                && let (Some(names), Some(value)) = (&self.inspector.names, value)
            {
                names
                    .check(tenant, column.form.binary, value)
                    .map_err(|_| Violation::ForeignTenant)?;
            }
        }
        if let Some(kept) = column.kept {
            self.keep(kept, column, value)?;
        }
        let Some(value) = value else {
            return Ok(Shown::Same);
        };
        let mut shown = Shown::Same;
        for mask in &column.masks {
            let now = match &shown {
                Shown::Same => value,
                Shown::Other(bytes) => bytes,
                Shown::Null => break,
            };
            shown = match mask::apply(mask, column.form, now, self.inspector.keys.mask.as_ref()) {
                Some(bytes) => Shown::Other(bytes),
                None => Shown::Null,
            };
        }
        let Some(finder) = self.inspector.finder.as_ref().filter(|_| column.searched) else {
            return Ok(shown);
        };
        self.search(finder, column, hints, value, shown)
    }

    /// Notes a value that is to be recorded.
    fn keep(&mut self, kept: &Kept, column: &Column<'_>, value: Option<&[u8]>) -> Result<(), Violation> {
        let Form { type_oid, binary, .. } = column.form;
        let key = self.inspector.keys.record.as_ref();
        let form = keep::kept(kept.keep, key, type_oid, binary, value).ok_or(Violation::NotRecorded)?;
        let of = Arc::clone(&kept.name);
        self.kept.push(KeptValue { of, form });
        Ok(())
    }

    /// Looks for what is looked for in what is shown; for honey tokens in what is hidden too.
    fn search(
        &mut self,
        finder: &Finder,
        column: &Column<'_>,
        hints: RowHints,
        value: &[u8],
        shown: Shown,
    ) -> Result<Shown, Violation> {
        self.found.clear();
        match &shown {
            Shown::Same => self.find(finder, column, hints, value)?,
            Shown::Null => {}
            Shown::Other(bytes) => {
                let hints = self.hints_of_masked(finder, bytes);
                self.find(finder, column, hints, bytes)?;
            }
        }
        if shown != Shown::Same {
            finder.find_honey(hints.literals, value, &mut self.found);
        }
        let mut masked = false;
        for (finding, action) in &self.found {
            match action {
                Action::Refuse => {
                    return Err(Violation::Found {
                        what: finding.what.name(),
                    });
                }
                Action::Alert => self.alerts.count(finding.what.name()),
                Action::Mask => masked = true,
            }
        }
        if !masked {
            return Ok(shown);
        }
        let bytes = match &shown {
            Shown::Other(bytes) => bytes.as_slice(),
            Shown::Same | Shown::Null => value,
        };
        Ok(self.cover(column, bytes))
    }

    fn hints_of_masked(&self, finder: &Finder, bytes: &[u8]) -> RowHints {
        RowHints {
            names: false,
            literals: finder.hints(bytes),
            escapes: false,
        }
    }

    fn find(
        &mut self,
        finder: &Finder,
        column: &Column<'_>,
        hints: RowHints,
        value: &[u8],
    ) -> Result<(), Violation> {
        if matches!(column.form.kind, Kind::Integer | Kind::Numeric) && column.form.binary {
            if let Some(decimal) = record::decimal(column.form.kind, value) {
                finder.find(Hints::default(), decimal.as_bytes(), &mut self.found);
            }
            return Ok(());
        }
        finder.find(hints.literals, value, &mut self.found);
        if hints.escapes && escape::may_be_in(value) {
            // What is written as an escape is found in a copy; there is no place in the value to cover.
            let plain = escape::plain(value);
            let mut hidden = Vec::new();
            finder.find(finder.hints(&plain), &plain, &mut hidden);
            let times =
                |found: &[(Finding, Action)], what| found.iter().filter(|(f, _)| f.what == what).count();
            for (finding, action) in &hidden {
                if times(&hidden, finding.what) <= times(&self.found, finding.what) {
                    continue;
                }
                match action {
                    Action::Alert => self.alerts.count(finding.what.name()),
                    Action::Mask | Action::Refuse => {
                        return Err(Violation::Found {
                            what: finding.what.name(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Covers what was found, byte by byte: the value keeps its length, and JSON stays JSON.
    fn cover(&self, column: &Column<'_>, value: &[u8]) -> Shown {
        if matches!(column.form.kind, Kind::Integer | Kind::Numeric) {
            return Shown::Null;
        }
        let mut out = value.to_vec();
        for (finding, action) in &self.found {
            if *action != Action::Mask {
                continue;
            }
            let number = column.form.kind.is_json() && is_json_number(value, finding);
            let (start, end) = whole_escapes(value, finding.start, finding.end);
            let keep = if finding.what == What::Detector(crate::rules::Detector::Card) && !number {
                4
            } else {
                0
            };
            let last = end.saturating_sub(keep);
            for (at, b) in out.iter_mut().enumerate().take(last).skip(start) {
                if is_frame(value, at) {
                    continue;
                }
                *b = match number {
                    true if at == start => b'1',
                    true => b'0',
                    false => b'*',
                };
            }
        }
        Shown::Other(out)
    }
}

/// Whether what was found is a number of JSON by itself, and not in a string.
fn is_json_number(value: &[u8], finding: &Finding) -> bool {
    let before = value
        .get(..finding.start)
        .unwrap_or_default()
        .trim_ascii_end()
        .last();
    let after = value
        .get(finding.end..)
        .unwrap_or_default()
        .trim_ascii_start()
        .first();
    matches!(before, None | Some(b':' | b'[' | b',')) && matches!(after, None | Some(b',' | b']' | b'}'))
}

/// A quote, or one of the backslashes before it: the frame of JSON, and of the text forms of arrays and rows.
fn is_frame(value: &[u8], at: usize) -> bool {
    let mut rest = value.get(at..).unwrap_or_default().iter();
    rest.find(|b| **b != b'\\') == Some(&b'"')
}

/// Widens a place so that it neither begins nor ends inside an escape.
fn whole_escapes(value: &[u8], start: usize, end: usize) -> (usize, usize) {
    let backslashes = |at: usize| {
        let before = value.get(..at).unwrap_or_default();
        before.iter().rev().take_while(|b| **b == b'\\').count()
    };
    let mut start = start;
    // An escape by number: the place may begin at any of its digits.
    for back in 0..=4usize {
        let Some(at) = start.checked_sub(back) else { break };
        if backslashes(at) % 2 == 1 {
            let is_unit = value.get(at) == Some(&b'u');
            if back == 0 || is_unit {
                start = at.saturating_sub(1);
            }
            break;
        }
    }
    let end = if backslashes(end) % 2 == 1 {
        end.saturating_add(1).min(value.len())
    } else {
        end
    };
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_covered_whole_or_not_at_all() {
        let value = br#"{"a":"x\nSECRET\u00e9!\\"}"#;
        let text = |range: (usize, usize)| std::str::from_utf8(&value[range.0..range.1]).unwrap().to_owned();
        let at = |needle: &str| std::str::from_utf8(value).unwrap().find(needle).unwrap();
        assert_eq!(text(whole_escapes(value, at("nSEC"), at("\\u00"))), "\\nSECRET");
        assert_eq!(
            text(whole_escapes(value, at("SECRET"), at("\\u00") + 1)),
            "SECRET\\u"
        );
        assert_eq!(text(whole_escapes(value, at("00e9"), at("!"))), "\\u00e9");
        assert_eq!(text(whole_escapes(value, at("!"), at("\"}"))), "!\\\\");
    }
}
