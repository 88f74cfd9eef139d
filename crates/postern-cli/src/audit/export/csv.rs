//! Records as a table (RFC 4180): one line for each, with the same columns in every export.

use super::without_control;
use serde_json::Value;
use std::io::{self, Write};

/// The columns, by the names of the fields. Those of `details` are named without it.
pub(super) const COLUMNS: [&str; 39] = [
    "time",
    "stage",
    "number",
    "level",
    "event",
    "result",
    "session",
    "exchange",
    "actor",
    "tenant",
    "roles",
    "service",
    "action",
    "named",
    "rule",
    "objects",
    "pattern",
    "values",
    "resource",
    "details.sqlstate",
    "details.reason",
    "details.reference",
    "details.rows",
    "details.bytes",
    "details.messages",
    "details.statements",
    "details.parts",
    "details.duration_us",
    "details.backend_us",
    "details.instance",
    "details.client",
    "details.policy",
    "details.epoch",
    "details.would",
    "trace",
    "parent",
    "sampled",
    "prev",
    "hash",
];

/// The line with the names.
pub(super) fn write_head(out: &mut impl Write) -> io::Result<()> {
    let names = COLUMNS.map(|column| column.trim_start_matches("details."));
    write!(out, "{}\r\n", names.join(","))
}

/// One record.
pub(super) fn write(record: &Value, out: &mut impl Write) -> io::Result<()> {
    for (place, column) in COLUMNS.iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        let value = match column.strip_prefix("details.") {
            Some(key) => record.get("details").and_then(|details| details.get(key)),
            None => record.get(column),
        };
        match value {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => write_cell(text, out)?,
            // Numbers that are none of a record's can be negative.
            Some(other) => write_cell(&other.to_string(), out)?,
        }
    }
    out.write_all(b"\r\n")
}

/// Quoted unless it is a word: some programs take more than commas for the end of a cell.
fn write_cell(text: &str, out: &mut impl Write) -> io::Result<()> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-');
    let formula = if is_formula(text) { "'" } else { "" };
    if formula.is_empty() && text.chars().all(is_word) {
        return out.write_all(text.as_bytes());
    }
    let text = without_control(text).replace('"', "\"\"");
    write!(out, "\"{formula}{text}\"")
}

/// Whether a spreadsheet may compute it: by its first character, which some take in its wide form too.
fn is_formula(text: &str) -> bool {
    let first = text.trim_start().chars().next();
    first.is_some_and(|first| {
        matches!(
            first,
            '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}'
        )
    })
}
