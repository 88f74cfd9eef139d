//! PostgreSQL's words for a text that does not parse, with the position it would give.
//!
//! The parser's binding hands out the message but not the position. LALR(1) parsing reports an error at
//! the first token that can't follow what came before, whatever comes after; so the position is the first
//! token at which the text cut after that token gives the same message. It is found by bisection.

use crate::{SyntaxError, guard};
use postern_types::SqlState;

/// Longer texts get no position: each probe parses again.
const MAX_BYTES_FOR_POSITION: usize = 32 * 1024;

pub(crate) fn explain(text: &str, error: &pg_query::Error) -> SyntaxError {
    let message = match error {
        pg_query::Error::Parse(message) => message.clone(),
        pg_query::Error::Decode(_) => return guard::too_deep(),
        // A NUL can't arrive in a protocol string.
        _ => "syntax error in the statement".to_owned(),
    };
    if message.starts_with("stack depth limit exceeded")
        || message.starts_with("memory exhausted")
        || message.starts_with("parse tree is nested too deeply")
    {
        return guard::too_deep();
    }
    let position = position(text, &message);
    let unsupported = message.contains("not yet implemented") || message.contains("not supported");
    SyntaxError {
        code: if unsupported {
            SqlState::FEATURE_NOT_SUPPORTED
        } else {
            SqlState::SYNTAX_ERROR
        },
        message,
        position,
    }
}

fn position(text: &str, message: &str) -> Option<u32> {
    if message.ends_with("at end of input") {
        return characters(text, text.len());
    }
    let (_, quoted) = message.split_once(" at or near \"")?;
    let near = quoted.strip_suffix('"')?;
    // The lexer quotes from the failing token to the end of the text.
    if let Some(start) = text.len().checked_sub(near.len())
        && !message.starts_with("syntax error")
        && text.ends_with(near)
    {
        return characters(text, start);
    }
    if text.len() > MAX_BYTES_FOR_POSITION {
        return None;
    }
    let tokens = pg_query::scan_tokens(text).ok()?;
    let spans: Vec<(usize, usize)> = tokens
        .iter()
        .filter_map(|t| Some((usize::try_from(t.start).ok()?, usize::try_from(t.end).ok()?)))
        .filter(|(start, end)| text.get(*start..*end) == Some(near))
        .collect();
    let fails = |end: usize| {
        text.get(..end).is_some_and(
            |cut| matches!(pg_query::parse(cut, 0), Err(pg_query::Error::Parse(m)) if m == message),
        )
    };
    let first = spans.partition_point(|(_, end)| !fails(*end));
    characters(text, spans.get(first)?.0)
}

/// The 1-based character position of a byte offset.
fn characters(text: &str, byte: usize) -> Option<u32> {
    u32::try_from(text.get(..byte)?.chars().count().checked_add(1)?).ok()
}
