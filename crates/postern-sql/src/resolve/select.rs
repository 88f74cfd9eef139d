//! SELECT, VALUES and set operations.

use super::scope::Level;
use super::value::{Few, Named, Places, Ty, Value};
use super::walk::{R, Walk};
use super::{Action, Inserted, Object, Place, ResolveError};
use crate::tree::Tree;
use pg_query::protobuf::SetOperation;
use postern_catalog::RelationId;

impl<'a> Walk<'a> {
    /// Any statement that can stand in a query: its result columns.
    pub(crate) fn query(&mut self, node: &Tree, parent: Option<&Level<'_>>) -> R<Vec<Named>> {
        self.deeper(|walk| match node.kind() {
            "SelectStmt" => walk.select(node, parent, parent.is_none()),
            "InsertStmt" => walk.insert(node, parent),
            "UpdateStmt" => walk.update(node, parent),
            "DeleteStmt" => walk.delete(node, parent),
            "MergeStmt" => walk.merge(node, parent),
            _ => Err(ResolveError::unsupported("this kind of query")),
        })
    }

    /// An arm of a set operation. It sees the CTEs of the whole.
    pub(crate) fn arm(&mut self, node: &Tree, level: &Level<'_>) -> R<Vec<Named>> {
        let outermost = level.outermost;
        self.deeper(|walk| walk.select(node, Some(level), outermost))
    }

    fn select(&mut self, node: &Tree, parent: Option<&Level<'_>>, outermost: bool) -> R<Vec<Named>> {
        let mut level = Level::new(parent, self.instances.len());
        level.outermost = outermost;
        self.with(node.get("with_clause"), &mut level)?;
        if !node.get("values_lists").items().is_empty() {
            let columns = self.values(node.get("values_lists").items(), &level)?;
            return self.after_union(node, columns, &level);
        }
        if is_set_operation(node) {
            let arms = self.arms(node, &level)?;
            let merged = self.merged(arms, node)?;
            return self.after_union(node, merged, &level);
        }
        self.plain(node, level)
    }

    /// The arms of a chain of set operations. Chains lean to the left and are long; what is not plain, such
    /// as an arm with its own ORDER BY, is resolved on its own.
    fn arms(&mut self, node: &Tree, level: &Level<'_>) -> R<Vec<Vec<Named>>> {
        let mut arms = Vec::new();
        let mut at = node;
        loop {
            arms.push(self.arm(at.get("rarg"), level)?);
            let left = at.get("larg");
            let plain = is_set_operation(left)
                && left.fields().iter().all(|(field, value)| {
                    matches!(
                        *field,
                        "op" | "all" | "larg" | "rarg" | "limit_option" | "group_distinct"
                    ) || value == &Tree::Nothing
                });
            if !plain {
                arms.push(self.arm(left, level)?);
                break;
            }
            if !left.flag("all") {
                self.compared(&arms)?;
            }
            at = left;
        }
        arms.reverse();
        Ok(arms)
    }

    /// Rows of these arms are compared as wholes.
    fn compared(&mut self, arms: &[Vec<Named>]) -> R<()> {
        for column in arms.iter().flatten() {
            self.note(&column.value, Place::Group.into())?;
        }
        Ok(())
    }

    /// The columns of a set operation.
    pub(crate) fn merged(&mut self, arms: Vec<Vec<Named>>, node: &Tree) -> R<Vec<Named>> {
        // UNION somewhere in the chain compares everything before it; to say so of all of it is on the safe
        // side.
        if !is_all_the_way(node) {
            self.compared(&arms)?;
        }
        let width = arms.first().map_or(0, Vec::len);
        if arms.iter().any(|arm| arm.len() != width) {
            return Err(ResolveError::new(
                "42601",
                "each UNION, INTERSECT or EXCEPT query must have the same number of columns".to_owned(),
            ));
        }
        let mut arms = arms.into_iter();
        let mut merged = arms.next().unwrap_or_default();
        // One set of each column for all arms, rather than one for each arm in turn.
        let mut reads: Vec<Vec<_>> = merged.iter().map(|c| c.value.reads.as_slice().to_vec()).collect();
        let mut carriers: Vec<Vec<_>> = merged
            .iter()
            .map(|c| c.value.carriers.as_slice().to_vec())
            .collect();
        for arm in arms {
            for (((column, other), reads), carriers) in
                merged.iter_mut().zip(&arm).zip(&mut reads).zip(&mut carriers)
            {
                let more = (other.value.reads.as_slice(), other.value.carriers.as_slice());
                self.charge(more.0.len().saturating_add(more.1.len()).saturating_add(1))?;
                reads.extend_from_slice(more.0);
                carriers.extend_from_slice(more.1);
                (column.value.reads, column.value.carriers) = (Few::None, Few::None);
                let bare = Value {
                    reads: Few::None,
                    carriers: Few::None,
                    ..other.value.clone()
                };
                column.value = column.value.or(&bare);
            }
        }
        for ((column, reads), carriers) in merged.iter_mut().zip(reads).zip(carriers) {
            column.value.reads = Few::of(reads);
            column.value.carriers = Few::of(carriers);
            column.value.described = None;
        }
        Ok(merged)
    }

    /// ORDER BY, LIMIT and locking of a set operation or VALUES: only result columns can be named.
    pub(crate) fn after_union(
        &mut self,
        node: &Tree,
        columns: Vec<Named>,
        level: &Level<'_>,
    ) -> R<Vec<Named>> {
        for sort in node.get("sort_clause").items() {
            self.sort_operator(sort)?;
            if !self.result_column(sort.get("node"), &columns, Place::Order)? {
                // Anything but a result column is an error in PostgreSQL.
                if let Some(name) = single_name(sort.get("node")) {
                    return Err(ResolveError::no_column(&format!("\"{name}\"")));
                }
                return Err(ResolveError::new(
                    "0A000",
                    "invalid UNION/INTERSECT/EXCEPT ORDER BY clause".to_owned(),
                ));
            }
        }
        self.limits(node, columns, level)
    }

    /// LIMIT and OFFSET.
    fn limits(&mut self, node: &Tree, columns: Vec<Named>, level: &Level<'_>) -> R<Vec<Named>> {
        let mut limited = false;
        for limit in ["limit_count", "limit_offset"] {
            let limit = node.get(limit);
            limited |= limit != &Tree::Nothing;
            self.value(limit, level, Place::Condition.into())?;
        }
        if limited {
            return Ok(columns.into_iter().map(loosened).collect());
        }
        Ok(columns)
    }

    fn values(&mut self, rows: &[Tree], level: &Level<'_>) -> R<Vec<Named>> {
        let mut columns: Vec<Value> = Vec::new();
        let mut reads = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let row = self.row(row.items(), level, Places::NOWHERE)?;
            if number == 0 {
                reads = vec![Vec::new(); row.len()];
                columns = vec![Value::default(); row.len()];
            }
            if row.len() != columns.len() {
                return Err(ResolveError::new(
                    "42601",
                    "VALUES lists must all be the same length".to_owned(),
                ));
            }
            for ((column, reads), value) in columns.iter_mut().zip(&mut reads).zip(row) {
                self.charge(value.reads.as_slice().len().saturating_add(1))?;
                reads.extend_from_slice(value.reads.as_slice());
                let bare = Value {
                    reads: Few::None,
                    carriers: Few::None,
                    direct: None,
                    described: None,
                    source: None,
                    ..value
                };
                *column = if number == 0 { bare } else { column.or(&bare) };
            }
        }
        let folded = self.folded;
        let named = columns.into_iter().zip(reads).enumerate();
        Ok(named
            .map(|(at, (mut column, reads))| {
                column.reads = Few::of(reads);
                if folded {
                    column.known = None;
                }
                Named::new(&format!("column{}", at.saturating_add(1)), column)
            })
            .collect())
    }

    /// A SELECT with FROM and WHERE.
    fn plain<'p>(&mut self, node: &Tree, mut level: Level<'p>) -> R<Vec<Named>>
    where
        'a: 'p,
    {
        let around = std::mem::replace(&mut self.reads_relation, false);
        self.entries_of_from(node.get("from_clause").items(), &mut level)?;
        let reads_relation = std::mem::replace(&mut self.reads_relation, around);
        let mut columns = self.targets(node.get("target_list").items(), &level)?;
        let condition = node.get("where_clause");
        let looks_at_columns = self.condition(condition, &level)?;
        if reads_relation && !looks_at_columns {
            self.has_where = false;
        }
        self.bind_where(condition, &level)?;
        let plain_groups = self.groups(node.get("group_clause").items(), &columns, &level)?;
        self.condition(node.get("having_clause"), &level)?;
        for window in node.get("window_clause").items() {
            self.window(window, &level)?;
        }
        let distinct = node.get("distinct_clause").items();
        let mut distinct_on = false;
        for by in distinct {
            if by == &Tree::Nothing {
                for column in &columns {
                    self.note(&column.value, Place::Group.into())?;
                }
            } else {
                distinct_on = true;
                self.named_or_expression(by, &columns, &level, Place::Group)?;
            }
        }
        for sort in node.get("sort_clause").items() {
            self.sort_operator(sort)?;
            self.named_or_expression(sort.get("node"), &columns, &level, Place::Order)?;
        }
        self.locks(node.get("locking_clause").items(), &level)?;
        if level.windowed.get() || distinct_on || !plain_groups {
            columns = columns.into_iter().map(loosened).collect();
        }
        self.limits(node, columns, &level)
    }

    /// A WHERE, HAVING or the like; says whether it looks at a column.
    pub(crate) fn condition(&mut self, node: &Tree, level: &Level<'_>) -> R<bool> {
        let value = self.value(node, level, Place::Condition.into())?;
        Ok(!value.reads.as_slice().is_empty())
    }

    /// ORDER BY and DISTINCT ON: result columns by name or number first, then any expression.
    fn named_or_expression(&mut self, node: &Tree, columns: &[Named], level: &Level<'_>, at: Place) -> R<()> {
        if !self.result_column(node, columns, at)? {
            self.value(node, level, at.into())?;
        }
        Ok(())
    }

    /// Whether it is the name or the number of a result column; notes its use.
    fn result_column(&mut self, node: &Tree, columns: &[Named], at: Place) -> R<bool> {
        self.charge(columns.len())?;
        if let Some(number) = position(node) {
            let column = usize::try_from(number)
                .ok()
                .and_then(|n| columns.get(n.checked_sub(1)?));
            let column = column.ok_or_else(|| {
                ResolveError::new("42P10", format!("position {number} is not in select list"))
            })?;
            self.note(&column.value, at.into())?;
            return Ok(true);
        }
        let Some(name) = single_name(node) else {
            return Ok(false);
        };
        let mut found = false;
        for column in columns.iter().filter(|column| &*column.name == name) {
            self.note(&column.value, at.into())?;
            found = true;
        }
        Ok(found)
    }

    /// GROUP BY: columns of FROM first, then result columns. Says whether there are no grouping sets.
    fn groups(&mut self, nodes: &[Tree], columns: &[Named], level: &Level<'_>) -> R<bool> {
        let mut plain = true;
        let mut todo: Vec<&Tree> = nodes.iter().collect();
        while let Some(node) = todo.pop() {
            self.charge(1)?;
            match node.kind() {
                "GroupingSet" => {
                    plain = false;
                    todo.extend(node.get("content").items());
                }
                "RowExpr" if node.get("row_format") != &Tree::Nothing && !plain => {
                    todo.extend(node.get("args").items());
                }
                _ => {
                    if let Some(name) = single_name(node)
                        && self.find_column_here(name, level)?.is_some()
                    {
                        self.value(node, level, Place::Group.into())?;
                        continue;
                    }
                    self.named_or_expression(node, columns, level, Place::Group)?;
                }
            }
        }
        Ok(plain)
    }

    /// FOR UPDATE and its weaker forms.
    fn locks(&mut self, clauses: &[Tree], level: &Level<'_>) -> R<()> {
        for clause in clauses {
            let named = clause.get("locked_rels").items();
            let mut relations = Vec::new();
            for name in named {
                let name = name.text("relname");
                let item = self.find_item(name, level)?;
                let item = item.ok_or_else(|| {
                    ResolveError::new(
                        "42P01",
                        format!("relation \"{name}\" in FOR UPDATE clause not found in FROM clause"),
                    )
                })?;
                match &item.columns {
                    super::scope::Columns::Relation { relation, .. } => relations.push(relation.oid),
                    super::scope::Columns::List(_) => relations.clear(),
                }
            }
            if relations.len() < named.len() || named.is_empty() {
                let all = self.instances.get(level.start..).unwrap_or_default();
                relations = all.iter().map(|instance| instance.relation).collect();
            }
            self.charge(relations.len())?;
            for relation in relations {
                self.act(Action::Lock, Object::Relation(RelationId(relation)));
            }
        }
        Ok(())
    }

    /// WINDOW and OVER.
    pub(crate) fn window(&mut self, window: &Tree, level: &Level<'_>) -> R<()> {
        let at = Place::Window.into();
        for by in window.get("partition_clause").items() {
            self.value(by, level, at)?;
        }
        for sort in window.get("order_clause").items() {
            self.sort_operator(sort)?;
            self.value(sort.get("node"), level, at)?;
        }
        for offset in ["start_offset", "end_offset"] {
            self.value(window.get(offset), level, at)?;
        }
        Ok(())
    }

    /// ORDER BY … USING operator.
    pub(crate) fn sort_operator(&mut self, sort: &Tree) -> R<()> {
        let operator = sort.get("use_op").names();
        if operator.is_empty() {
            return Ok(());
        }
        self.operator(&operator, &Ty::Unknown, &Ty::Unknown).map(|_| ())
    }
}

fn loosened(column: Named) -> Named {
    Named {
        name: column.name,
        value: Value {
            // A row may be missing, so nothing is certain to be known but where it is from.
            known: column
                .value
                .known
                .clone()
                .filter(|known| *known != Inserted::Unknown),
            ..column.value.loose()
        },
    }
}

fn is_set_operation(node: &Tree) -> bool {
    let op = node.number("op");
    op != 0 && op != SetOperation::SetopNone as i64
}

fn is_all_the_way(node: &Tree) -> bool {
    let mut at = node;
    while is_set_operation(at) {
        if !at.flag("all") {
            return false;
        }
        at = at.get("larg");
    }
    true
}

/// A name without a table.
fn single_name(node: &Tree) -> Option<&str> {
    match node.get("fields").items() {
        [field] if node.kind() == "ColumnRef" && field.kind() == "String" => Some(field.text("sval")),
        _ => None,
    }
}

/// A whole number that stands for a result column.
fn position(node: &Tree) -> Option<i64> {
    let value = node.get("val");
    (node.kind() == "AConst" && value.kind() == "Integer").then(|| value.number("ival"))
}
