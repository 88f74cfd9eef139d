//! Bounds on a text before it reaches the parser.
//!
//! Two things are bounded: how deep the tree can get, because everything that handles it recurses; and how
//! many tokens the parser gets, because a token of SQL becomes up to a few kilobytes of tree. Both are
//! counted on PostgreSQL's own tokens. Most texts are so short and so plain that one look at their bytes
//! settles it ([`is_plain`]).

use crate::SyntaxError;
use crate::depth::Depth;
use crate::fold::{self, Folded};
use pg_query::protobuf::{ScanToken, Token};
use postern_types::SqlState;

/// Limits on one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlLimits {
    /// Most bytes of a text.
    pub max_bytes: usize,
    /// Most parentheses, brackets, CASEs and BEGIN ATOMICs open at once.
    pub max_nesting: usize,
    /// Most operators in one expression without parentheses, and most set operations or joins in one query.
    /// ANDs and ORs are not counted: PostgreSQL keeps them as one flat list.
    pub max_chain: usize,
    /// Most tokens of a text. Literals and parameters in long lists hardly count: see
    /// [`crate::analyse`].
    pub max_tokens: usize,
    /// Most statements in one text.
    pub max_statements: usize,
}

impl Default for SqlLimits {
    /// 1 MiB, 200 levels, chains of 1000, 14,000 tokens, 1000 statements.
    fn default() -> Self {
        SqlLimits {
            max_bytes: 1024 * 1024,
            max_nesting: 200,
            max_chain: 1000,
            max_tokens: 14_000,
            max_statements: 1000,
        }
    }
}

/// What may be parsed.
pub(crate) struct Checked {
    /// The text with its long lists cut short; `None` when it is to be parsed as it is.
    pub(crate) folded: Option<Folded>,
    /// Its tree may be too deep for the stack of the caller.
    pub(crate) deep: bool,
    /// Tokens of the text as it is; not counted, and few, where a look at the bytes settled it.
    pub(crate) tokens: usize,
}

/// A text with at most this many bytes that could make its tree deeper is parsed on the caller's stack.
const PLAIN_DEPTH: usize = 100;
/// A text of at most this many bytes can't have too many tokens.
const PLAIN_BYTES: usize = 16 * 1024;
/// How much is scanned at first: a bomb is known by its beginning.
const FIRST_LOOK_BYTES: usize = 32 * 1024;

const ICONST: i32 = Token::Iconst as i32;
const PARAM: i32 = Token::Param as i32;

/// PostgreSQL's `statement_too_complex`.
const TOO_COMPLEX: &str = "54001";

fn too_complex(message: &str) -> SyntaxError {
    SyntaxError {
        code: SqlState::parse(TOO_COMPLEX).unwrap_or(SqlState::PROGRAM_LIMIT_EXCEEDED),
        message: message.to_owned(),
        position: None,
    }
}

pub(crate) fn too_deep() -> SyntaxError {
    too_complex("statement too complex: it is nested too deeply; split it, or use IN, VALUES or a CTE")
}

fn too_large() -> SyntaxError {
    too_complex(
        "statement too complex: it has too many parts; split it, or use parameters, arrays or COPY for bulk data",
    )
}

pub(crate) fn too_many_statements() -> SyntaxError {
    SyntaxError {
        code: SqlState::PROGRAM_LIMIT_EXCEEDED,
        message: "too many statements in one query; send them in smaller groups".to_owned(),
        position: None,
    }
}

fn too_long() -> SyntaxError {
    SyntaxError {
        code: SqlState::PROGRAM_LIMIT_EXCEEDED,
        message: "the statement is too long; use parameters or COPY for bulk data".to_owned(),
        position: None,
    }
}

pub(crate) fn check(text: &str, limits: &SqlLimits) -> Result<Checked, SyntaxError> {
    if text.len() > limits.max_bytes {
        return Err(too_long());
    }
    if is_plain(text, limits) {
        return Ok(Checked {
            folded: None,
            deep: false,
            tokens: 0,
        });
    }
    let mut length = FIRST_LOOK_BYTES;
    while length < text.len() {
        // A beginning that the lexer can't read may only have been cut inside of a string.
        if let Some(beginning) = text.get(..text.floor_char_boundary(length))
            && let Ok(mut tokens) = crate::lexer::tokens(beginning)
        {
            // The cut may have made another token of the last one.
            tokens.pop();
            bound(beginning, &tokens, limits)?;
        }
        length = length.saturating_mul(16);
    }
    // A text the lexer can't read is left to the parser, which gives the proper message and stops at the
    // same byte.
    let (folded, tokens) = match crate::lexer::tokens(text) {
        Ok(tokens) => (bound(text, &tokens, limits)?, tokens.len()),
        Err(_) => (None, 0),
    };
    Ok(Checked {
        folded,
        deep: true,
        tokens,
    })
}

/// Judges by the bytes alone, without regard to quotes and comments: that counts too many, never too few.
pub(crate) fn is_plain(text: &str, limits: &SqlLimits) -> bool {
    let most = PLAIN_DEPTH.min(limits.max_nesting).min(limits.max_chain);
    let bytes = text.as_bytes();
    if bytes.len() > PLAIN_BYTES.min(limits.max_tokens) {
        return false;
    }
    let symbols = bytes.iter().filter(|b| is_symbol(**b)).count();
    if symbols > most {
        return false;
    }
    let words = bytes
        .split(|b| !(b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80))
        .filter(|word| deepens(word))
        .count();
    symbols.saturating_add(words) <= most
        && bytes.iter().filter(|b| **b == b';').count() <= limits.max_statements
}

/// Whether a byte can be one of an operator, or open something.
fn is_symbol(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b'['
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'<'
            | b'>'
            | b'='
            | b'~'
            | b'!'
            | b'@'
            | b'#'
            | b'%'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b':'
    )
}

/// Whether a word can put a node on top of another without a parenthesis or an operator.
fn deepens(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 17] = [
        b"not",
        b"case",
        b"join",
        b"union",
        b"intersect",
        b"except",
        b"collate",
        b"at",
        b"is",
        b"isnull",
        b"notnull",
        b"like",
        b"ilike",
        b"similar",
        b"between",
        b"in",
        b"atomic",
    ];
    (2..=9).contains(&word.len()) && WORDS.iter().any(|w| word.eq_ignore_ascii_case(w))
}

/// Bounds what these tokens make, and cuts their long lists short.
fn bound(text: &str, tokens: &[ScanToken], limits: &SqlLimits) -> Result<Option<Folded>, SyntaxError> {
    let mut depth = Depth::new(limits);
    let mut semicolons = 0usize;
    let mut substance = false;
    for token in tokens {
        // Most tokens of long texts.
        if matches!(token.token, ICONST | PARAM) {
            substance = true;
            continue;
        }
        let Ok(token) = Token::try_from(token.token) else {
            continue;
        };
        match token {
            Token::SqlComment | Token::CComment => continue,
            Token::Ascii59 => {
                semicolons = semicolons.saturating_add(usize::from(substance));
                substance = false;
            }
            _ => substance = true,
        }
        if semicolons > limits.max_statements {
            return Err(too_many_statements());
        }
        depth.token(token).map_err(|_| too_deep())?;
    }
    depth.finish().map_err(|_| too_deep())?;
    let folded = fold::fold(text, tokens);
    if folded.as_ref().map_or(tokens.len(), |f| f.tokens) > limits.max_tokens {
        return Err(too_large());
    }
    Ok(folded)
}
