//! `f.name` where `f` stands for a function in FROM.
//!
//! Such an `f` is the function's own value when that is no row, so `f.name` is then a call `name(f)`: after
//! `FROM lower('…') f`, `f.run` runs `run(text)`. Names that are columns of what the function gives are told apart here;
//! what is left may be a call. What stands for a table, a sub-select or a CTE is always a row, and is not looked at.

use crate::tree::Tree;

/// Columns of PostgreSQL's functions that give rows, and the column of WITH ORDINALITY.
const COLUMNS: [&str; 12] = [
    "alias",
    "description",
    "dictionaries",
    "dictionary",
    "key",
    "lexeme",
    "ordinality",
    "positions",
    "token",
    "tokid",
    "value",
    "weights",
];

/// They give rows, whatever they are called with.
const OF_ROWS: [&str; 8] = [
    "json_each",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_each",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
];

/// What was seen of it in one statement.
#[derive(Debug, Default)]
pub(crate) struct Dotted<'a> {
    functions: Vec<InFrom<'a>>,
    names: Vec<(&'a str, &'a str)>,
}

#[derive(Debug)]
struct InFrom<'a> {
    alias: &'a str,
    columns: Vec<&'a str>,
}

impl<'a> Dotted<'a> {
    /// Takes note of a node, if it is one of these.
    pub(crate) fn see(&mut self, node: &'a Tree) {
        match node.kind() {
            "RangeFunction" => self.functions.extend(in_from(node)),
            "ColumnRef" => {
                if let [qualifier, name] = node.get("fields").names().as_slice() {
                    self.names.push((qualifier, name));
                }
            }
            _ => {}
        }
    }

    /// Names that may be calls of functions.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &'a str> {
        let may_be_call = |(qualifier, name): &&(&'a str, &'a str)| {
            let function = |f: &&InFrom<'_>| f.alias == *qualifier;
            !COLUMNS.contains(name)
                && (self.functions.iter().filter(function)).any(|f| !f.columns.contains(name))
        };
        self.names.iter().filter(may_be_call).map(|(_, name)| *name)
    }
}

/// `None` for what is always a row.
fn in_from(node: &Tree) -> Option<InFrom<'_>> {
    let call = node.get("functions").items().first()?.items().first()?;
    let names = call.get("funcname").names();
    let function = names.last().copied().unwrap_or_default();
    let alias = node.get("alias");
    let named = match alias.text("aliasname") {
        "" => function,
        alias => alias,
    };
    if OF_ROWS.contains(&function) || node.get("coldeflist") != &Tree::Nothing {
        return None;
    }
    let mut columns = alias.get("colnames").names();
    // The column of a function that gives no row is called like what stands for it.
    columns.push(named);
    Some(InFrom {
        alias: named,
        columns,
    })
}
