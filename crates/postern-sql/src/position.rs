//! PostgreSQL's words for a text that does not parse, with the position it would give.
//!
//! The parser's binding hands out the message but not the position. LALR(1) parsing reports an error at
//! the first token that can't follow what came before, whatever comes after; so the position is the first
//! token at which the text cut after that token gives the same message. It is found by bisection. Behind
//! each cut stands a character that no statement has, so that no probe ever yields a tree.

use crate::{SyntaxError, guard};
use postern_types::SqlState;

/// Most bytes to parse for a position, all probes together.
const MAX_BYTES_FOR_POSITION: usize = 64 * 1024;

/// Longer messages are cut.
const MAX_MESSAGE_BYTES: usize = 1024;

/// A character that the lexer hands on as it is and that the grammar knows nowhere.
const NOWHERE: &str = " \u{1}";

/// Words and position for an error; the position is that of a byte of `text`, from 0.
pub(crate) fn explain(text: &str, error: &pg_query::Error) -> (SyntaxError, Option<usize>) {
    let message = match error {
        pg_query::Error::Parse(message) => message.clone(),
        pg_query::Error::Decode(_) => return (guard::too_deep(), None),
        // A NUL can't arrive in a protocol string.
        _ => "syntax error in the statement".to_owned(),
    };
    if message.starts_with("stack depth limit exceeded")
        || message.starts_with("memory exhausted")
        || message.starts_with("parse tree is nested too deeply")
    {
        return (guard::too_deep(), None);
    }
    let byte = position(text, &message);
    let unsupported = message.contains("not yet implemented") || message.contains("not supported");
    let error = SyntaxError {
        code: if unsupported {
            SqlState::FEATURE_NOT_SUPPORTED
        } else {
            SqlState::SYNTAX_ERROR
        },
        message: shortened(message),
        position: None,
    };
    (error, byte)
}

/// PostgreSQL quotes an unterminated string to its end; that may be the whole text.
fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push_str("…\"");
    }
    message
}

fn position(text: &str, message: &str) -> Option<usize> {
    if message.ends_with("at end of input") {
        return Some(text.len());
    }
    let (_, quoted) = message.split_once(" at or near \"")?;
    let near = quoted.strip_suffix('"')?;
    // The lexer quotes from the failing token to the end of the text.
    if let Some(start) = text.len().checked_sub(near.len())
        && !message.starts_with("syntax error")
        && text.ends_with(near)
    {
        return Some(start);
    }
    if text.len() > MAX_BYTES_FOR_POSITION {
        return None;
    }
    let tokens = crate::lexer::tokens(text).ok()?;
    let spans: Vec<(usize, usize)> = tokens
        .iter()
        .filter_map(|t| Some((usize::try_from(t.start).ok()?, usize::try_from(t.end).ok()?)))
        .filter(|(start, end)| text.get(*start..*end) == Some(near))
        .collect();
    let probes = usize::BITS.saturating_sub(spans.len().leading_zeros());
    let bytes = usize::try_from(probes).ok()?.checked_mul(text.len())?;
    if bytes > MAX_BYTES_FOR_POSITION {
        return None;
    }
    let fails = |end: usize| {
        text.get(..end).is_some_and(|cut| {
            let probe = [cut, NOWHERE].concat();
            matches!(pg_query::parse(&probe, 0), Err(pg_query::Error::Parse(m)) if m == message)
        })
    };
    let first = spans.partition_point(|(_, end)| !fails(*end));
    Some(spans.get(first)?.0)
}

/// The 1-based character position of a byte offset.
pub(crate) fn characters(text: &str, byte: usize) -> Option<u32> {
    u32::try_from(text.get(..byte)?.chars().count().checked_add(1)?).ok()
}
