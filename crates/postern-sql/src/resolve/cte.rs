//! WITH.

use super::ResolveError;
use super::scope::{Columns, Item, Level};
use super::value::{Named, Value};
use super::walk::{R, Walk};
use crate::tree::Tree;
use std::cell::RefCell;
use std::sync::Arc;

/// A common table expression.
pub(crate) struct Cte<'p> {
    name: String,
    node: &'p Tree,
    state: RefCell<State>,
}

enum State {
    /// Of a WITH RECURSIVE, and not resolved yet.
    Pending,
    /// Being resolved; its columns are known once its first arm is.
    Busy(Option<Arc<Vec<Named>>>),
    Done(Done),
}

#[derive(Clone)]
struct Done {
    columns: Arc<Vec<Named>>,
    /// Its instances, and whether each reference gets copies of them: what holds for one reference to a query
    /// that only reads does not hold for another.
    copied: Option<(usize, usize)>,
}

impl<'p> Walk<'_> {
    /// Resolves a WITH clause into `level`.
    pub(crate) fn with<'t: 'p>(&mut self, clause: &'t Tree, level: &mut Level<'p>) -> R<()> {
        let ctes = clause.get("ctes").items();
        for (at, node) in ctes.iter().enumerate() {
            let name = node.text("ctename");
            self.charge(at)?;
            if level.ctes.iter().any(|cte| cte.name == name) {
                return Err(ResolveError::new(
                    "42712",
                    format!("WITH query name \"{name}\" specified more than once"),
                ));
            }
            let cte = Cte {
                name: name.to_owned(),
                node,
                state: RefCell::new(State::Pending),
            };
            if clause.flag("recursive") {
                level.ctes.push(cte);
            } else {
                // It sees those before it, and not itself.
                let done = self.cte_query(&cte, level, false)?;
                cte.state.replace(State::Done(done));
                level.ctes.push(cte);
            }
        }
        for cte in &level.ctes {
            self.finish_cte(cte, level)?;
        }
        Ok(())
    }

    fn finish_cte(&mut self, cte: &Cte<'_>, level: &Level<'_>) -> R<()> {
        if matches!(*cte.state.borrow(), State::Pending) {
            cte.state.replace(State::Busy(None));
            let done = self.cte_query(cte, level, true)?;
            cte.state.replace(State::Done(done));
        }
        Ok(())
    }

    fn cte_query(&mut self, cte: &Cte<'_>, level: &Level<'_>, recursive: bool) -> R<Done> {
        let node = cte.node.get("ctequery");
        let aliases = cte.node.get("aliascolnames").names();
        let from = self.instances.len();
        let mut itself = false;
        let mut columns = if recursive && is_union(node) {
            let mut arms = Level::new(Some(level), from);
            self.with(node.get("with_clause"), &mut arms)?;
            let arms = arms;
            let first = self.arm(node.get("larg"), &arms)?;
            let first = renamed(first, &aliases)?;
            let seen = first.iter().map(|column| Named {
                name: Arc::clone(&column.name),
                // What is read again is what was found, by then a row of no instance.
                value: Value {
                    described: None,
                    source: None,
                    known: None,
                    ..column.value.clone().loose()
                },
            });
            cte.state.replace(State::Busy(Some(Arc::new(seen.collect()))));
            let uses_before = self.self_references;
            let second = self.arm(node.get("rarg"), &arms)?;
            itself = self.self_references > uses_before;
            let merged = self.merged(vec![first, second], node)?;
            self.after_union(node, merged, &arms)?
        } else {
            renamed(self.query(node, Some(level))?, &aliases)?
        };
        let changes_rows = node.kind() != "SelectStmt";
        let to = self.instances.len();
        if itself || changes_rows {
            for column in &mut columns {
                column.value = column.value.clone().loose();
            }
        }
        self.search_and_cycle(cte.node, level, &mut columns)?;
        Ok(Done {
            columns: Arc::new(columns),
            copied: (!itself && !changes_rows).then_some((from, to)),
        })
    }

    /// The columns that SEARCH and CYCLE add.
    fn search_and_cycle(&mut self, node: &Tree, level: &Level<'_>, columns: &mut Vec<Named>) -> R<()> {
        let reads: Vec<_> = columns
            .iter()
            .flat_map(|column| column.value.reads.as_slice().iter().copied())
            .collect();
        self.charge(reads.len())?;
        let mut add = |name: &str| {
            if !name.is_empty() {
                columns.push(Named::new(
                    name,
                    Value::derived(super::value::Ty::Unknown, reads.clone()),
                ));
            }
        };
        let (search, cycle) = (node.get("search_clause"), node.get("cycle_clause"));
        add(search.text("search_seq_column"));
        add(cycle.text("cycle_mark_column"));
        add(cycle.text("cycle_path_column"));
        for mark in ["cycle_mark_value", "cycle_mark_default"] {
            self.value(cycle.get(mark), level, super::value::Places::NOWHERE)?;
        }
        Ok(())
    }

    /// The CTE that a name without a schema means, as an entry of FROM.
    pub(crate) fn find_cte<'q>(&mut self, name: &str, level: &Level<'_>) -> R<Option<Item<'q>>> {
        let mut at = Some(level);
        while let Some(level) = at {
            self.charge(level.ctes.len().saturating_add(1))?;
            if let Some(cte) = level.ctes.iter().find(|cte| cte.name == name) {
                self.finish_cte(cte, level)?;
                return self.cte_item(cte, name).map(Some);
            }
            at = level.parent;
        }
        Ok(None)
    }

    fn cte_item<'q>(&mut self, cte: &Cte<'_>, name: &str) -> R<Item<'q>> {
        let done = match &*cte.state.borrow() {
            State::Done(done) => done.clone(),
            State::Busy(Some(columns)) => {
                self.self_references = self.self_references.saturating_add(1);
                return Ok(Item::new(Some(name), Columns::List(Arc::clone(columns))));
            }
            State::Busy(None) | State::Pending => {
                return Err(ResolveError::new(
                    "42P19",
                    format!("recursive reference to query \"{name}\" must not appear here"),
                ));
            }
        };
        let Some((from, to)) = done.copied else {
            return Ok(Item::new(Some(name), Columns::List(done.columns)));
        };
        let first = self.copy_instances(from, to)?;
        for instance in self.instances.get_mut(from..to).unwrap_or_default() {
            instance.dead = true;
        }
        for instance in self.instances.get_mut(first..).unwrap_or_default() {
            instance.dead = false;
        }
        let shift = |n: usize| {
            if (from..to).contains(&n) {
                n.saturating_sub(from).saturating_add(first)
            } else {
                n
            }
        };
        self.charge(done.columns.len())?;
        let columns = done.columns.iter().map(|column| Named {
            name: Arc::clone(&column.name),
            value: column.value.moved(&shift),
        });
        Ok(Item::list(Some(name), columns.collect()))
    }
}

/// What may refer to itself.
fn is_union(node: &Tree) -> bool {
    use pg_query::protobuf::SetOperation as S;
    node.kind() == "SelectStmt" && node.number("op") == S::SetopUnion as i64
}

/// Columns under the names that a CTE or a view gives them.
pub(crate) fn renamed(columns: Vec<Named>, names: &[&str]) -> R<Vec<Named>> {
    let mut item = Item::list(None, columns);
    item.rename(names)?;
    match item.columns {
        Columns::List(list) => Ok(Arc::unwrap_or_clone(list)),
        Columns::Relation { .. } => Ok(Vec::new()),
    }
}
