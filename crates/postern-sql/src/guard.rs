//! Bounds on a text before it reaches the parser.
//!
//! libpg_query bounds its own stack (it fails with "stack depth limit exceeded" or "memory exhausted") and
//! the decoder of its tree bounds nesting too. The checks here come first all the same: they are linear,
//! and they don't depend on how a C library measures its stack.

use crate::SyntaxError;
use postern_types::SqlState;

/// Limits on one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlLimits {
    /// Most bytes of a text.
    pub max_bytes: usize,
    /// Most parentheses, brackets and CASEs open at once.
    pub max_nesting: usize,
    /// Most statements in one text.
    pub max_statements: usize,
}

impl Default for SqlLimits {
    /// 1 MiB, 200 levels, 1000 statements.
    fn default() -> Self {
        SqlLimits {
            max_bytes: 1024 * 1024,
            max_nesting: 200,
            max_statements: 1000,
        }
    }
}

/// PostgreSQL's `statement_too_complex`.
const TOO_COMPLEX: &str = "54001";

pub(crate) fn too_deep() -> SyntaxError {
    SyntaxError {
        code: SqlState::parse(TOO_COMPLEX).unwrap_or(SqlState::PROGRAM_LIMIT_EXCEEDED),
        message: "the statement is nested too deeply; split it, or use IN, VALUES or a CTE".to_owned(),
        position: None,
    }
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

pub(crate) fn check(text: &str, limits: &SqlLimits) -> Result<(), SyntaxError> {
    if text.len() > limits.max_bytes {
        return Err(too_long());
    }
    // Counting bytes without regard to quotes over-estimates, and needs no lexer: nearly every text is
    // settled here.
    let openers = text.bytes().filter(|b| matches!(b, b'(' | b'[')).count();
    let semicolons = text.bytes().filter(|b| *b == b';').count();
    let cases = text
        .as_bytes()
        .windows(4)
        .filter(|w| w.eq_ignore_ascii_case(b"case"))
        .count();
    if openers.saturating_add(cases) <= limits.max_nesting && semicolons <= limits.max_statements {
        return Ok(());
    }
    check_tokens(text, limits)
}

/// The exact count, by PostgreSQL's own lexer.
fn check_tokens(text: &str, limits: &SqlLimits) -> Result<(), SyntaxError> {
    use pg_query::protobuf::Token;
    // A text the lexer can't read is left to the parser, which gives the proper message and stops at
    // the same byte.
    let Ok(tokens) = pg_query::scan_tokens(text) else {
        return Ok(());
    };
    let mut open = Vec::new();
    let mut semicolons = 0usize;
    let mut substance = false;
    for token in tokens {
        match Token::try_from(token.token) {
            Ok(t @ (Token::Ascii40 | Token::Ascii91 | Token::Case)) => {
                open.push(t);
                substance = true;
            }
            Ok(Token::Ascii41 | Token::Ascii93) => {
                // A CASE that is still open at its closing parenthesis is a syntax error anyway.
                while let Some(Token::Case) = open.pop() {}
            }
            Ok(Token::EndP) => {
                if open.last() == Some(&Token::Case) {
                    open.pop();
                }
            }
            Ok(Token::Ascii59) => {
                semicolons = semicolons.saturating_add(usize::from(substance));
                substance = false;
            }
            Ok(Token::SqlComment | Token::CComment) => {}
            _ => substance = true,
        }
        if open.len() > limits.max_nesting {
            return Err(too_deep());
        }
    }
    if semicolons > limits.max_statements {
        return Err(too_many_statements());
    }
    Ok(())
}
