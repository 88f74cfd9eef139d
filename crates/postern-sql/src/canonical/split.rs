//! A file of statements, cut apart, with the comments in front of each.

use crate::{Failure, SyntaxError, position};
use pg_query::protobuf::Token;
use std::ops::Range;

/// A comment as it is written, without the end of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its line, from 1.
    pub line: u64,
    /// With its `--` or `/*`.
    pub text: String,
}

/// A statement as it is written. At the end of a file there may be comments with no statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Comments in front of it.
    pub before: Vec<Comment>,
    /// Comments inside of it, or behind it on its last line.
    pub inside: Vec<Comment>,
    /// From its first token to its last, without the semicolon; empty for none.
    pub sql: String,
    /// Line of its first token, from 1.
    pub line: u64,
}

const SQL_COMMENT: i32 = Token::SqlComment as i32;
const C_COMMENT: i32 = Token::CComment as i32;
const SEMICOLON: i32 = Token::Ascii59 as i32;
const OPEN: i32 = Token::Ascii40 as i32;
const CLOSE: i32 = Token::Ascii41 as i32;

/// Cuts a file at the semicolons that are not in parentheses. Its statements are not parsed.
///
/// # Errors
/// When PostgreSQL's lexer can't read it: a string or comment without an end, mostly.
pub fn written(text: &str) -> Result<Vec<Written>, SyntaxError> {
    let tokens = crate::lexer::tokens(text).map_err(|error| unreadable(text, &error))?;
    let mut splitter = Splitter {
        text,
        lines: Lines::new(text),
        done: Vec::new(),
        current: Written::default(),
        span: None,
        depth: 0,
        last_end: None,
    };
    for token in &tokens {
        if let (Ok(start), Ok(end)) = (usize::try_from(token.start), usize::try_from(token.end)) {
            splitter.token(token.token, start..end);
        }
    }
    splitter.end();
    Ok(splitter.done)
}

fn unreadable(text: &str, error: &pg_query::Error) -> SyntaxError {
    let (error, byte): Failure = match error {
        pg_query::Error::Scan(message) => position::explain(text, &pg_query::Error::Parse(message.clone())),
        other => position::explain(text, other),
    };
    SyntaxError {
        position: byte.and_then(|byte| position::characters(text, byte)),
        ..error
    }
}

struct Splitter<'a> {
    text: &'a str,
    lines: Lines<'a>,
    done: Vec<Written>,
    current: Written,
    span: Option<Range<usize>>,
    depth: usize,
    /// Line of the semicolon that ended the statement before.
    last_end: Option<u64>,
}

impl Splitter<'_> {
    fn token(&mut self, kind: i32, span: Range<usize>) {
        let line = self.lines.line(span.start);
        match kind {
            SQL_COMMENT | C_COMMENT => {
                let text = self.text.get(span).unwrap_or_default().trim_end().to_owned();
                let comment = Comment { line, text };
                match self.done.last_mut() {
                    Some(before) if self.span.is_none() && self.last_end == Some(line) => {
                        before.inside.push(comment);
                    }
                    _ if self.span.is_some() => self.current.inside.push(comment),
                    _ => self.current.before.push(comment),
                }
            }
            SEMICOLON if self.depth == 0 => {
                if self.span.is_some() {
                    self.end();
                    self.last_end = Some(line);
                }
            }
            _ => {
                match kind {
                    OPEN => self.depth = self.depth.saturating_add(1),
                    CLOSE => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                match &mut self.span {
                    Some(known) => known.end = span.end,
                    None => {
                        self.current.line = line;
                        self.span = Some(span);
                    }
                }
            }
        }
    }

    fn end(&mut self) {
        let mut written = std::mem::take(&mut self.current);
        if let Some(span) = self.span.take() {
            written.sql = self.text.get(span).unwrap_or_default().to_owned();
        }
        self.depth = 0;
        if !written.sql.is_empty() || !written.before.is_empty() {
            self.done.push(written);
        }
    }
}

/// Counts lines as it goes along.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Lines { text, at: 0, line: 1 }
    }

    /// Of a byte; not before the last one asked for.
    fn line(&mut self, byte: usize) -> u64 {
        let passed = self.text.as_bytes().get(self.at..byte).unwrap_or_default();
        let ends = passed.iter().filter(|b| **b == b'\n').count();
        self.line = self.line.saturating_add(u64::try_from(ends).unwrap_or(u64::MAX));
        self.at = self.at.max(byte);
        self.line
    }
}
