//! How a COPY TO STDOUT is written: its options (manual, "COPY", "Parameters").

use crate::StatementKind;
use crate::tree::Tree;
use postern_types::{CopyDirection, CopyKind, CopyRules};
use std::collections::BTreeMap;

/// The form of a COPY TO STDOUT; `None` for other statements, and where an option is not known here or has a value that
/// PostgreSQL would refuse: then nobody can tell rows apart.
pub(crate) fn written(kind: StatementKind, node: &Tree) -> Option<CopyRules> {
    let to_client = StatementKind::Copy {
        direction: CopyDirection::Out,
        client: true,
    };
    if kind != to_client {
        return None;
    }
    let mut options = BTreeMap::new();
    for option in node.get("options").items() {
        let name = option.text("defname");
        if options.insert(name, option.get("arg")).is_some() {
            return None;
        }
    }
    let format = match options.remove("format").map(text) {
        None => CopyKind::Text,
        Some(name) => match name?.as_str() {
            "text" => CopyKind::Text,
            "csv" => CopyKind::Csv,
            "binary" => CopyKind::Binary,
            _ => return None,
        },
    };
    let mut rules = CopyRules::new(format);
    let mut escape = None;
    for (name, value) in options {
        match name {
            "delimiter" => rules.delimiter = byte(value)?,
            "quote" => rules.quote = byte(value)?,
            "escape" => escape = Some(byte(value)?),
            "null" => rules.null = text(value)?,
            "header" => rules.header = flag(value)?,
            // More is put into quotes than must be, which reads the same.
            "force_quote" => {}
            "encoding" if is_utf8(&text(value)?) => {}
            _ => return None,
        }
    }
    // Without an ESCAPE of its own, a quote stands before a quote.
    rules.escape = escape.unwrap_or(rules.quote);
    Some(rules)
}

fn text(value: &Tree) -> Option<String> {
    (value.kind() == "String").then(|| value.text("sval").to_owned())
}

fn byte(value: &Tree) -> Option<u8> {
    match text(value)?.as_bytes() {
        [one] if one.is_ascii() => Some(*one),
        _ => None,
    }
}

/// A flag as `defGetBoolean` of PostgreSQL reads it.
fn flag(value: &Tree) -> Option<bool> {
    match value.kind() {
        "Boolean" => Some(value.flag("boolval")),
        "Integer" => match value.number("ival") {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        "String" => match value.text("sval").to_ascii_lowercase().as_str() {
            "true" | "on" => Some(true),
            "false" | "off" => Some(false),
            _ => None,
        },
        "" if value == &Tree::Nothing => Some(true),
        _ => None,
    }
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8")
}
