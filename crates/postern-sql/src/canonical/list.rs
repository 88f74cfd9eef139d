//! Lists that may have one item or many: `IN ($1, …)` and the rows of VALUES.

use crate::tree::Tree;
use pg_query::protobuf::AExprKind;

/// Most items of a list that does not say.
pub const DEFAULT_LIST_ITEMS: u32 = 1000;

/// Slots of a pattern that repeat: the item of an IN list, or the row of VALUES, in which they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSlots {
    /// Number of the first slot in the item.
    pub first: u16,
    /// Number of the last one.
    pub last: u16,
    /// Most items, at least 1.
    pub max_items: u32,
}

impl ListSlots {
    pub(super) fn has(&self, slot: u16) -> bool {
        (self.first..=self.last).contains(&slot)
    }

    /// How many slots an item has.
    pub(super) fn width(&self) -> u32 {
        u32::from(self.last.saturating_sub(self.first)).saturating_add(1)
    }
}

const IN: i64 = AExprKind::AexprIn as i64;

/// The items of this field of a node, when it is a list that could repeat.
pub(super) fn repeatable<'a>(node: &'a Tree, field: &str) -> Option<&'a [Tree]> {
    let list = match (node.kind(), field) {
        ("AExpr", "rexpr") if node.number("kind") == IN => node.get("rexpr"),
        ("SelectStmt", "values_lists") => node.get("values_lists"),
        _ => return None,
    };
    match list {
        Tree::List(_) | Tree::Node("List", _) => Some(list.items()),
        _ => None,
    }
}
