//! Cuts long lists of constants short before they are parsed.
//!
//! A bulk INSERT or a long IN list is thousands of literals or parameters; each would become nodes of the
//! tree, and none of them says anything that is asked here. After the first [`KEPT`] items of a list, an item
//! that looks like the one before it is left out, and the same goes for rows of VALUES. "Looks like": the
//! same tokens, where one constant is as good as another and signs don't count.
//!
//! Why that changes nothing: in PostgreSQL's grammar (LALR) every such list is `list: list ',' item`. Having
//! read `list ',' item` the parser is in the state in which it was after the item before, so it reads what
//! follows in the same way. No table, function, schema or setting can be in what is left out, for that has
//! tokens other than constants, signs and casts to a type that the item before has, too. The tokens are those
//! of PostgreSQL's own lexer.

use pg_query::protobuf::{ScanToken, Token};
use std::ops::Range;

// The lexer's numbers are compared as they are: a text can have a million tokens.
const OPEN: i32 = Token::Ascii40 as i32;
const CLOSE: i32 = Token::Ascii41 as i32;
const OPEN_BRACKET: i32 = Token::Ascii91 as i32;
const CLOSE_BRACKET: i32 = Token::Ascii93 as i32;
const COMMA: i32 = Token::Ascii44 as i32;
const PLUS: i32 = Token::Ascii43 as i32;
const MINUS: i32 = Token::Ascii45 as i32;
const TYPECAST: i32 = Token::Typecast as i32;
const IDENT: i32 = Token::Ident as i32;

/// Items that stay. No function that is looked into has that many arguments.
const KEPT: usize = 8;

/// Texts with fewer tokens are not worth it.
const MIN_TOKENS: usize = 500;

/// A text with its long lists cut short.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) text: String,
    /// Tokens that are left.
    pub(crate) tokens: usize,
    /// What of the text was left out, in order.
    gaps: Vec<Range<usize>>,
}

impl Folded {
    /// Where a byte of the short text is in the long one.
    pub(crate) fn original(&self, byte: usize) -> usize {
        let mut byte = byte;
        for gap in &self.gaps {
            if gap.start > byte {
                break;
            }
            byte = byte.saturating_add(gap.len());
        }
        byte
    }
}

/// What is between two commas of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Item {
    /// Its tokens.
    first: usize,
    end: usize,
}

/// `None` when there is nothing to cut.
pub(crate) fn fold(text: &str, tokens: &[ScanToken]) -> Option<Folded> {
    // A definition that names the temporary schema anywhere, even in a string, is told by its text.
    if tokens.len() < MIN_TOKENS || text.contains("pg_temp") {
        return None;
    }
    let mut folder = Folder {
        text,
        tokens,
        gaps: Vec::new(),
        left_out: 0,
    };
    folder.rows();
    if folder.gaps.is_empty() {
        return None;
    }
    let mut short = String::new();
    let mut from = 0;
    for gap in &folder.gaps {
        short.push_str(text.get(from..gap.start)?);
        from = gap.end;
    }
    short.push_str(text.get(from..)?);
    Some(Folded {
        text: short,
        tokens: tokens.len().saturating_sub(folder.left_out),
        gaps: folder.gaps,
    })
}

struct Folder<'a> {
    text: &'a str,
    tokens: &'a [ScanToken],
    gaps: Vec<Range<usize>>,
    left_out: usize,
}

impl Folder<'_> {
    fn kind(&self, at: usize) -> Option<i32> {
        Some(self.tokens.get(at)?.token)
    }

    fn span(&self, at: usize) -> Option<Range<usize>> {
        let token = self.tokens.get(at)?;
        Some(usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?)
    }

    /// Goes through all innermost parentheses and brackets; rows that follow each other are items, too.
    fn rows(&mut self) {
        let mut at = 0;
        let mut run: Option<(Item, usize)> = None;
        while at < self.tokens.len() {
            if !matches!(self.kind(at), Some(OPEN | OPEN_BRACKET)) {
                at = at.saturating_add(1);
                continue;
            }
            let Some(end) = self.flat(at) else {
                at = at.saturating_add(1);
                run = None;
                continue;
            };
            let row = Item { first: at, end };
            let follows = run.filter(|(last, _)| {
                last.end.checked_add(1) == Some(row.first)
                    && self.kind(last.end) == Some(COMMA)
                    && self.alike(*last, row)
            });
            let count = follows.map_or(1, |(_, count)| count.saturating_add(1));
            match follows {
                Some((last, _)) if count > KEPT => self.leave_out(last.end, end),
                _ => self.items(at, end),
            }
            run = Some((row, count));
            at = end;
        }
    }

    /// The token after the closer, or the end of the text, if there are only constants, signs, casts and
    /// commas before it.
    fn flat(&self, opener: usize) -> Option<usize> {
        let mut at = opener.checked_add(1)?;
        while at < self.tokens.len() {
            match self.kind(at)? {
                CLOSE | CLOSE_BRACKET => return at.checked_add(1),
                COMMA | PLUS | MINUS => {}
                TYPECAST => {
                    at = at.checked_add(1)?;
                    // A type is one word here.
                    let word = self.kind(at)? == IDENT || self.tokens.get(at)?.keyword_kind > 0;
                    if !word {
                        return None;
                    }
                }
                token if is_constant(token) => {}
                _ => return None,
            }
            at = at.checked_add(1)?;
        }
        Some(self.tokens.len())
    }

    /// Cuts the items of one flat list.
    fn items(&mut self, opener: usize, end: usize) {
        let mut last: Option<Item> = None;
        let mut count = 0usize;
        let mut first = opener.saturating_add(1);
        for at in opener.saturating_add(1)..end {
            let closes = at.saturating_add(1) == end;
            if !closes && self.kind(at) != Some(COMMA) {
                continue;
            }
            let item = Item { first, end: at };
            let alike = item.first < item.end && last.is_some_and(|last| self.alike(last, item));
            count = if alike { count.saturating_add(1) } else { 1 };
            if count > KEPT
                && let Some(last) = last
            {
                self.leave_out(last.end, at);
            }
            last = Some(item);
            first = at.saturating_add(1);
        }
    }

    /// Leaves out tokens from a comma to before `end`.
    fn leave_out(&mut self, comma: usize, end: usize) {
        let Some(start) = self.span(comma).map(|span| span.start) else {
            return;
        };
        let Some(stop) = end
            .checked_sub(1)
            .and_then(|last| self.span(last))
            .map(|span| span.end)
        else {
            return;
        };
        self.left_out = self.left_out.saturating_add(end.saturating_sub(comma));
        match self.gaps.last_mut() {
            Some(gap) if gap.end == start => gap.end = stop,
            _ => self.gaps.push(start..stop),
        }
    }

    /// Signs are passed over: -1 is as good as 1.
    fn alike(&self, a: Item, b: Item) -> bool {
        let unsigned =
            |item: Item| (item.first..item.end).filter(|at| !matches!(self.kind(*at), Some(PLUS | MINUS)));
        let mut others = unsigned(b);
        unsigned(a).all(|a| others.next().is_some_and(|b| self.same(a, b))) && others.next().is_none()
    }

    fn same(&self, a: usize, b: usize) -> bool {
        match (self.kind(a), self.kind(b)) {
            (Some(a), Some(b)) if is_constant(a) && is_constant(b) => true,
            (Some(x), Some(y)) if x == y => {
                let text = |at| self.span(at).and_then(|span| self.text.get(span));
                text(a).is_some() && text(a) == text(b)
            }
            _ => false,
        }
    }
}

fn is_constant(token: i32) -> bool {
    const CONSTANTS: [i32; 8] = [
        Token::Iconst as i32,
        Token::Fconst as i32,
        Token::Sconst as i32,
        Token::Param as i32,
        Token::NullP as i32,
        Token::TrueP as i32,
        Token::FalseP as i32,
        Token::Default as i32,
    ];
    CONSTANTS.contains(&token)
}
