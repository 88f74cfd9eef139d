//! A recorded statement as a named one: its name, its slots and its lists.

use postern_sql::{Access, SqlLimits, StatementKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A statement that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    /// Its name, unlike any other in the list.
    pub(super) name: String,
    /// The table it is mostly about; the file it goes into is called so.
    pub(super) about: String,
    pub(super) roles: BTreeSet<String>,
    pub(super) sql: String,
    /// Slots of lists: the first and the last of one item.
    pub(super) lists: Vec<(u16, u16)>,
    /// How often it was run.
    pub(super) count: u64,
}

impl Proposal {
    /// The statement as it stands in a file of `queries/`.
    pub(super) fn text(&self) -> String {
        let roles: Vec<&str> = self.roles.iter().map(String::as_str).collect();
        let mut out = format!("-- name: {}\n-- roles: {}\n", self.name, roles.join(", "));
        for (first, last) in &self.lists {
            let slots: Vec<String> = (*first..=*last).map(|slot| format!("${slot}")).collect();
            // Writing to a String can't fail.
            let _ = writeln!(out, "-- list: {}", slots.join(", "));
        }
        out.push_str(&self.sql);
        out.push_str(";\n");
        out
    }
}

/// Makes proposals of recorded statements, given with roles and counts. Statements that differ only in the
/// length of a list are one.
pub(super) fn propose<'a>(
    recorded: impl Iterator<Item = (&'a str, BTreeSet<String>, u64)>,
    taken: impl Fn(&str) -> bool,
) -> Vec<Proposal> {
    let mut by_text: BTreeMap<String, Proposal> = BTreeMap::new();
    for (pattern, roles, count) in recorded {
        let Some((name, about)) = name(pattern) else {
            continue;
        };
        let (sql, lists) = shorten(pattern);
        let proposal = by_text.entry(sql.clone()).or_insert_with(|| Proposal {
            name,
            about,
            roles: BTreeSet::new(),
            sql,
            lists,
            count: 0,
        });
        proposal.roles.extend(roles);
        proposal.count = proposal.count.saturating_add(count);
    }
    let mut used = BTreeSet::new();
    let mut proposals: Vec<Proposal> = by_text.into_values().collect();
    for proposal in &mut proposals {
        let base = proposal.name.clone();
        let mut number = 1u32;
        while taken(&proposal.name) || !used.insert(proposal.name.clone()) {
            number = number.saturating_add(1);
            proposal.name = format!("{base}_{number}");
        }
    }
    proposals
}

/// A name of verb and tables, and the first table. `None` for statements that no name is needed for, or that are
/// not statements any more without their literals.
fn name(pattern: &str) -> Option<(String, String)> {
    let analysis = postern_sql::analyse(pattern, &SqlLimits::default()).ok()?;
    let [statement] = analysis.statements.as_slice() else {
        return None;
    };
    let verb = match statement.kind {
        StatementKind::Select => "get",
        StatementKind::Insert => "add",
        StatementKind::Update => "change",
        StatementKind::Delete => "remove",
        StatementKind::Merge => "merge",
        StatementKind::Copy { .. } => "copy",
        StatementKind::Call => "call",
        _ => return None,
    };
    let mut tables: Vec<_> = statement.tables.iter().collect();
    // What is changed comes first.
    tables.sort_by_key(|table| table.access == Access::Read);
    let mut words: Vec<String> = Vec::new();
    for table in tables {
        let word = plain(&table.name);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.truncate(3);
    let about = words.first().cloned().unwrap_or_else(|| "values".to_owned());
    if words.is_empty() {
        words.push("values".to_owned());
    }
    let mut name = format!("{verb}_{}", words.join("_"));
    name.truncate(48);
    Some((name, about))
}

/// A name of letters, digits and underscores only.
fn plain(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let word: String = lower
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    word.trim_matches('_').to_owned()
}

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(u16),
}

/// Cuts lists of slots down to one item, and numbers the slots in order.
fn shorten(pattern: &str) -> (String, Vec<(u16, u16)>) {
    let pieces = pieces(pattern);
    let mut out: Vec<Piece> = Vec::new();
    // Where a list begins in `out`, and its slots.
    let mut lists: Vec<Vec<u16>> = Vec::new();
    let mut index = 0usize;
    while let Some(piece) = pieces.get(index) {
        index = index.saturating_add(1);
        let Piece::Text(text) = piece else {
            out.push(piece.clone());
            continue;
        };
        out.push(piece.clone());
        let lower = text.trim_end().to_ascii_lowercase();
        let in_list = lower
            .strip_suffix('(')
            .is_some_and(|before| ends_in_word(before, "in"));
        let rows = lower
            .strip_suffix('(')
            .is_some_and(|before| ends_in_word(before, "values"));
        if !in_list && !rows {
            continue;
        }
        let Some((items, after)) = items(&pieces, index) else {
            continue;
        };
        let fits = if in_list {
            items.len() == 1 && items.iter().all(|row| row.len() > 1)
        } else {
            items.len() > 1
                && items
                    .iter()
                    .all(|row| row.len() == items.first().map_or(0, Vec::len))
        };
        if !fits {
            continue;
        }
        let kept: Vec<u16> = match items.first() {
            Some(row) if in_list => row.iter().take(1).copied().collect(),
            Some(row) => row.clone(),
            None => continue,
        };
        for (at, slot) in kept.iter().enumerate() {
            if at > 0 {
                out.push(Piece::Text(", ".to_owned()));
            }
            out.push(Piece::Slot(*slot));
        }
        lists.push(kept);
        index = after;
    }
    number(&out, &lists)
}

fn ends_in_word(text: &str, word: &str) -> bool {
    let text = text.trim_end();
    let Some(before) = text.strip_suffix(word) else {
        return false;
    };
    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The slots from `start` up to the parenthesis that closes the list, row by row, and where the rest begins.
/// `None` when there is anything else in it.
fn items(pieces: &[Piece], start: usize) -> Option<(Vec<Vec<u16>>, usize)> {
    let mut rows = vec![Vec::new()];
    let mut index = start;
    loop {
        let Some(Piece::Slot(slot)) = pieces.get(index) else {
            return None;
        };
        rows.last_mut()?.push(*slot);
        let after = index.saturating_add(1);
        let Some(Piece::Text(text)) = pieces.get(after) else {
            return None;
        };
        let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        match bare.as_str() {
            "," => {}
            "),(" => rows.push(Vec::new()),
            text if text.starts_with(')') && !text.starts_with("),(") => return Some((rows, after)),
            _ => return None,
        }
        index = after.saturating_add(1);
    }
}

/// Numbers slots by their first appearance.
fn number(pieces: &[Piece], lists: &[Vec<u16>]) -> (String, Vec<(u16, u16)>) {
    let mut numbers: BTreeMap<u16, u16> = BTreeMap::new();
    let mut sql = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => sql.push_str(text),
            Piece::Slot(slot) => {
                let next = u16::try_from(numbers.len()).unwrap_or(u16::MAX).saturating_add(1);
                let number = numbers.entry(*slot).or_insert(next);
                sql.push_str(&format!("${number}"));
            }
        }
    }
    let of = |slot: Option<&u16>| slot.and_then(|slot| numbers.get(slot)).copied();
    let lists = lists
        .iter()
        .filter_map(|slots| Some((of(slots.first())?, of(slots.last())?)))
        .collect();
    (sql, lists)
}

/// Slots and what is between them. A quoted name may have a dollar in it.
fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut quoted = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' {
            quoted = !quoted;
        }
        let begins = c == '$' && !quoted && !text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !begins || !chars.peek().is_some_and(char::is_ascii_digit) {
            text.push(c);
            continue;
        }
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        match digits.parse() {
            Ok(slot) => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Slot(slot));
            }
            Err(_) => text.push_str(&format!("${digits}")),
        }
    }
    pieces.push(Piece::Text(text));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_to_one_item_and_slots_numbered() {
        for (pattern, sql, lists) in [
            (
                "select a from t where b = $1",
                "select a from t where b = $1",
                vec![],
            ),
            (
                "select a from t where b in ($2, $3, $4) and c = $1",
                "select a from t where b in ($1) and c = $2",
                vec![(1, 1)],
            ),
            (
                "insert into t (a, b) values ($1, $2), ($3, $4), ($5, $6) returning a",
                "insert into t (a, b) values ($1, $2) returning a",
                vec![(1, 2)],
            ),
            (
                "insert into t values ($1, $2)",
                "insert into t values ($1, $2)",
                vec![],
            ),
            (
                "select a from t where b in ($1, lower($2))",
                "select a from t where b in ($1, lower($2))",
                vec![],
            ),
            (
                "select min($1, $2) from \"a$1\"",
                "select min($1, $2) from \"a$1\"",
                vec![],
            ),
            (
                "select a from t where b = $2 or c = $2",
                "select a from t where b = $1 or c = $1",
                vec![],
            ),
        ] {
            assert_eq!(shorten(pattern), (sql.to_owned(), lists), "{pattern}");
        }
    }

    #[test]
    fn names_say_what_is_done_to_which_table() {
        let roles = || BTreeSet::from(["app".to_owned()]);
        let recorded = [
            ("select a from shop.orders where b = $1", roles(), 2),
            ("select c from orders", roles(), 1),
            ("select a from t where b in ($1, $2)", roles(), 1),
            (
                "select a from t where b in ($1, $2, $3)",
                BTreeSet::from(["x".to_owned()]),
                5,
            ),
            ("update \"Orders\" set a = $1 where id = $2", roles(), 1),
            ("begin", roles(), 9),
            ("set x = ?", roles(), 9),
        ];
        let proposals = propose(recorded.into_iter(), |name| name == "get_orders");
        let found: Vec<_> = proposals.iter().map(|p| (p.name.as_str(), p.count)).collect();
        assert_eq!(
            found,
            [
                ("get_orders_2", 2),
                ("get_t", 6),
                ("get_orders_3", 1),
                ("change_orders", 1)
            ]
        );
        assert_eq!(
            proposals[1].text(),
            "-- name: get_t\n-- roles: app, x\n-- list: $1\nselect a from t where b in ($1);\n"
        );
    }
}
