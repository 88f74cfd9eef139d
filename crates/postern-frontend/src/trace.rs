//! The trace that a client names in a comment of a statement (sqlcommenter: `/*traceparent='00-…-…-01'*/`).
//!
//! Only comments at the very beginning or end of the text are looked at, and only for one key. What is found is told in
//! records and decides nothing, so it does no harm if the end of a string literal looks like a comment.

use postern_types::TraceParent;
use postern_wire::{FrontendMessage, Limits, frontend_messages};

/// Longest comment that is looked at, in bytes.
const COMMENT_BYTES: usize = 1024;

/// The trace that the first statement of an exchange names.
pub(crate) fn named_by(payload: &[u8], limits: &Limits) -> Option<TraceParent> {
    frontend_messages(payload, limits)
        .map_while(Result::ok)
        .find_map(|(message, _)| match message {
            FrontendMessage::Query { sql } | FrontendMessage::Parse { sql, .. } => Some(sql),
            _ => None,
        })
        .and_then(of_text)
}

fn of_text(sql: &str) -> Option<TraceParent> {
    leading(sql)
        .and_then(of_comment)
        .or_else(|| trailing(sql).and_then(of_comment))
}

fn leading(sql: &str) -> Option<&str> {
    let inside = sql.trim_ascii_start().strip_prefix("/*")?;
    let near = inside.get(..inside.floor_char_boundary(COMMENT_BYTES))?;
    near.split_once("*/").map(|(comment, _)| comment)
}

fn trailing(sql: &str) -> Option<&str> {
    let ends = |c: char| c.is_ascii_whitespace() || c == ';';
    let inside = sql.trim_end_matches(ends).strip_suffix("*/")?;
    let near = inside.get(inside.ceil_char_boundary(inside.len().saturating_sub(COMMENT_BYTES))..)?;
    near.rsplit_once("/*").map(|(_, comment)| comment)
}

/// `key='value'` pairs with commas between them.
fn of_comment(comment: &str) -> Option<TraceParent> {
    comment.split(',').find_map(|pair| {
        let value = pair.trim().strip_prefix("traceparent=")?;
        TraceParent::parse(value.strip_prefix('\'')?.strip_suffix('\'')?)
    })
}

#[cfg(test)]
mod tests {
    use super::of_text;
    use proptest::prelude::*;

    const PARENT: &str = "traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'";

    #[test]
    fn the_first_or_last_comment_names_it() {
        for text in [
            format!("/*{PARENT}*/ SELECT 1"),
            format!("  /* {PARENT} */SELECT '/*'"),
            format!("SELECT 1 /*{PARENT}*/"),
            format!("SELECT 1 /*db_driver='x',{PARENT},tracestate='a%3D1'*/ ;\n"),
            format!("/* a note */ SELECT 1 /*{PARENT}*/"),
        ] {
            assert!(of_text(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn nothing_else_does() {
        let far = " ".repeat(2000);
        for text in [
            String::new(),
            "/*".to_owned(),
            "*/".to_owned(),
            "/*/".to_owned(),
            PARENT.to_owned(),
            format!("SELECT /*{PARENT}*/ 1"),
            format!("-- {PARENT}\nSELECT 1"),
            format!("/*{PARENT} SELECT 1"),
            format!("/*x{PARENT}*/ SELECT 1"),
            format!("/*{far}{PARENT}*/ SELECT 1"),
            format!("/*{}*/ SELECT 1", PARENT.replace('\'', "\"")),
        ] {
            assert!(of_text(&text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in "[/*żó ;'=,a-z]{0,40}", more in any::<String>()) {
            let _ = of_text(&text);
            let _ = of_text(&more);
            let around = format!("{more}/*{PARENT}*/");
            prop_assert!(of_text(&around).is_some());
        }
    }
}
