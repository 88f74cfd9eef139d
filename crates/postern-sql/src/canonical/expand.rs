//! The text of a pattern with its lists repeated.
//!
//! It is cut at its `$n` and at the items of its lists once, when the pattern is read. What is put together
//! later are these cuts and numbers: nothing of a client gets into it.

use super::list::ListSlots;
use super::pattern::PatternError;
use pg_query::protobuf::{ScanToken, Token};
use std::fmt::Write;
use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(u16),
    /// The item of the list of this index, repeated with a comma.
    List(usize, Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expansion {
    sql: String,
    pieces: Vec<Piece>,
}

const OPEN: i32 = Token::Ascii40 as i32;
const CLOSE: i32 = Token::Ascii41 as i32;
const PARAM: i32 = Token::Param as i32;
const IN: i32 = Token::InP as i32;
const VALUES: i32 = Token::Values as i32;

/// A token of the text.
struct Lexeme {
    kind: i32,
    span: Range<usize>,
}

/// What of the text repeats, for the list of this index.
struct Item {
    list: usize,
    span: Range<usize>,
}

impl Expansion {
    pub(super) fn of(sql: &str, lists: &[ListSlots]) -> Result<Expansion, PatternError> {
        let mut expansion = Expansion {
            sql: sql.to_owned(),
            pieces: Vec::new(),
        };
        if lists.is_empty() {
            return Ok(expansion);
        }
        let tokens = crate::lexer::tokens(sql).map_err(|_| PatternError::NotOne)?;
        let tokens: Vec<Lexeme> = tokens.iter().filter_map(lexeme).collect();
        let mut items = Vec::new();
        for (index, list) in lists.iter().enumerate() {
            let span = item(sql, &tokens, list).ok_or(PatternError::List {
                first: list.first,
                last: list.last,
            })?;
            items.push(Item { list: index, span });
        }
        items.sort_by_key(|item| item.span.start);
        let cutter = Cutter { sql, tokens: &tokens };
        let mut from = 0;
        for Item { list, span } in items {
            cutter.cut(from..span.start, &mut expansion.pieces);
            let mut inner = Vec::new();
            cutter.cut(span.clone(), &mut inner);
            expansion.pieces.push(Piece::List(list, inner));
            from = span.end;
        }
        cutter.cut(from..sql.len(), &mut expansion.pieces);
        Ok(expansion)
    }

    pub(super) fn text(&self, lists: &[ListSlots], counts: &[u32]) -> String {
        if self.pieces.is_empty() || counts.iter().all(|count| *count == 1) {
            return self.sql.clone();
        }
        let mut out = String::new();
        put(&self.pieces, lists, counts, 0, &mut out);
        out
    }
}

fn put(pieces: &[Piece], lists: &[ListSlots], counts: &[u32], row: u32, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Slot(slot) => {
                // Writing to a String does not fail.
                let _ = write!(out, "${}", number(lists, counts, *slot, row));
            }
            Piece::List(list, inner) => {
                for row in 0..counts.get(*list).copied().unwrap_or(1) {
                    if row > 0 {
                        out.push_str(", ");
                    }
                    put(inner, lists, counts, row, out);
                }
            }
        }
    }
}

/// The number that a slot gets, in the item `row` of its list if it is in one.
pub(super) fn number(lists: &[ListSlots], counts: &[u32], slot: u16, row: u32) -> u32 {
    let mut number = u32::from(slot);
    for (list, count) in lists.iter().zip(counts) {
        if list.has(slot) {
            number = number.saturating_add(list.width().saturating_mul(row));
        } else if list.last < slot {
            let more = count.saturating_sub(1);
            number = number.saturating_add(list.width().saturating_mul(more));
        }
    }
    number
}

fn lexeme(token: &ScanToken) -> Option<Lexeme> {
    Some(Lexeme {
        kind: token.token,
        span: usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?,
    })
}

fn slot(sql: &str, token: &Lexeme) -> Option<u16> {
    if token.kind != PARAM {
        return None;
    }
    sql.get(token.span.clone())?.strip_prefix('$')?.parse().ok()
}

/// What of the text is the item: between the parentheses of IN, or the row of VALUES with its own.
fn item(sql: &str, tokens: &[Lexeme], list: &ListSlots) -> Option<Range<usize>> {
    let at = tokens
        .iter()
        .position(|token| slot(sql, token).is_some_and(|slot| list.has(slot)))?;
    let (open, of) = enclosing(tokens, at)?;
    let close = closing(tokens, open)?;
    let (first, last) = (tokens.get(open)?, tokens.get(close)?);
    Some(if of == IN {
        first.span.end..last.span.start
    } else {
        first.span.start..last.span.end
    })
}

/// The innermost parenthesis around a token that stands right behind IN or VALUES, and which of the two.
fn enclosing(tokens: &[Lexeme], at: usize) -> Option<(usize, i32)> {
    let mut closed = 0usize;
    for open in (1..at).rev() {
        match tokens.get(open)?.kind {
            CLOSE => closed = closed.saturating_add(1),
            OPEN if closed > 0 => closed = closed.saturating_sub(1),
            OPEN => {
                let before = tokens.get(open.checked_sub(1)?)?.kind;
                if matches!(before, IN | VALUES) {
                    return Some((open, before));
                }
            }
            _ => {}
        }
    }
    None
}

fn closing(tokens: &[Lexeme], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            OPEN => depth = depth.saturating_add(1),
            CLOSE => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

struct Cutter<'a> {
    sql: &'a str,
    tokens: &'a [Lexeme],
}

impl Cutter<'_> {
    /// Cuts a part of the text at its slots.
    fn cut(&self, part: Range<usize>, pieces: &mut Vec<Piece>) {
        let mut from = part.start;
        for token in self.tokens {
            let inside = part.start <= token.span.start && token.span.end <= part.end;
            if inside && let Some(slot) = slot(self.sql, token) {
                self.text(from..token.span.start, pieces);
                pieces.push(Piece::Slot(slot));
                from = token.span.end;
            }
        }
        self.text(from..part.end, pieces);
    }

    fn text(&self, part: Range<usize>, pieces: &mut Vec<Piece>) {
        if let Some(text) = self.sql.get(part).filter(|text| !text.is_empty()) {
            pieces.push(Piece::Text(text.to_owned()));
        }
    }
}
