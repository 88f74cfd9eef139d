//! Takes the places in the text out of a tree.

use super::MAX_LEVELS;
use crate::tree::Tree;

/// Fields that say where in the text something stands. One of these names with a value that is not a number
/// is something else, such as the LOCATION of a tablespace.
const POSITIONS: [&str; 11] = [
    "location",
    "arg_location",
    "conninfo_location",
    "list_end",
    "list_start",
    "name_location",
    "payload_location",
    "rexpr_list_end",
    "rexpr_list_start",
    "stmt_len",
    "stmt_location",
];

fn is_position(name: &str, value: &Tree) -> bool {
    matches!(value, Tree::Number(_)) && POSITIONS.contains(&name)
}

/// A copy without positions; `None` when it has too many levels.
pub(super) fn strip(tree: &Tree) -> Option<Tree> {
    copy(tree, 0)
}

fn copy(tree: &Tree, level: usize) -> Option<Tree> {
    if level > MAX_LEVELS {
        return None;
    }
    let below = level.saturating_add(1);
    Some(match tree {
        Tree::List(items) => Tree::List(
            items
                .iter()
                .map(|item| copy(item, below))
                .collect::<Option<_>>()?,
        ),
        Tree::Node(kind, fields) => Tree::Node(
            kind,
            fields
                .iter()
                .filter(|(name, value)| !is_position(name, value))
                .map(|(name, value)| Some((*name, copy(value, below)?)))
                .collect::<Option<_>>()?,
        ),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => tree.clone(),
    })
}

/// The number of a parameter; 0 for anything else, and for a number that no Bind can have.
pub(super) fn parameter(node: &Tree) -> u16 {
    match node.kind() {
        "ParamRef" => u16::try_from(node.number("number")).unwrap_or(0),
        _ => 0,
    }
}

/// The parameters in a tree, ascending, each once; `None` when there is one that no Bind can have.
pub(super) fn parameters(tree: &Tree) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    collect(tree, &mut found)?;
    found.sort_unstable();
    found.dedup();
    Some(found)
}

fn collect(tree: &Tree, found: &mut Vec<u16>) -> Option<()> {
    if tree.kind() == "ParamRef" {
        let number = parameter(tree);
        found.push(number);
        return (number != 0).then_some(());
    }
    match tree {
        Tree::List(items) => items.iter().try_for_each(|item| collect(item, found)),
        Tree::Node(_, fields) => fields.iter().try_for_each(|(_, value)| collect(value, found)),
        _ => Some(()),
    }
}
