//! Names of the columns of a statement's result, as far as its text tells (PostgreSQL's `FigureColname`).

use crate::tree::Tree;

/// `None` where the number of columns is not known.
pub(super) fn of(statement: &Tree) -> Option<Vec<Option<String>>> {
    let targets = match statement.kind() {
        "SelectStmt" => {
            let mut select = statement;
            // A set operation takes the names of its first branch.
            while select.get("larg") != &Tree::Nothing {
                select = select.get("larg");
            }
            if let Some(row) = select.get("values_lists").items().first() {
                let count = row.items().len();
                return Some((1..=count).map(|n| Some(format!("column{n}"))).collect());
            }
            select.get("target_list")
        }
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
            statement.get("returning_clause").get("exprs")
        }
        _ => return None,
    };
    targets.items().iter().map(column).collect()
}

fn column(target: &Tree) -> Option<Option<String>> {
    let value = target.get("val");
    if value.kind() == "ColumnRef" && value.get("fields").items().last().map(Tree::kind) == Some("AStar") {
        return None;
    }
    if value.kind() == "AIndirection"
        && value.get("indirection").items().last().map(Tree::kind) == Some("AStar")
    {
        return None;
    }
    let given = target.text("name");
    if !given.is_empty() {
        return Some(Some(given.to_owned()));
    }
    let last = |list: &Tree| list.names().last().map(|name| (*name).to_owned());
    Some(match value.kind() {
        "ColumnRef" => last(value.get("fields")),
        "FuncCall" => last(value.get("funcname")),
        _ => None,
    })
}
