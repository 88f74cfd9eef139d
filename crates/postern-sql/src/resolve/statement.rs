//! Whole statements: queries, and the utility statements around and beside them.

use super::scope::Level;
use super::value::{Named, Places, Ty, Value};
use super::walk::{R, Walk};
use super::{Access, Action, Object, Place, ResolveError};
use crate::StatementKind;
use crate::tree::Tree;
use crate::{kind, setting};
use pg_query::protobuf::DropBehavior;
use postern_catalog::Relation;
use std::collections::BTreeSet;

const TEXT: u32 = 25;

impl<'a> Walk<'a> {
    /// Resolves a statement; gives its result columns.
    pub(crate) fn statement(&mut self, node: &Tree) -> R<Option<Vec<Named>>> {
        use StatementKind as K;
        let kind = kind::of(node).unwrap_or(K::Other);
        match kind {
            K::Select => self.answered(node, true),
            K::Insert | K::Update | K::Delete | K::Merge => {
                let answers = node.get("returning_clause") != &Tree::Nothing;
                self.answered(node, answers)
            }
            K::Transaction(_) | K::Deallocate | K::CloseCursor | K::Unlisten => Ok(None),
            K::Set | K::SetLocal | K::Reset | K::ResetAll | K::Discard { .. } | K::Show => {
                Ok(self.settings(kind, node))
            }
            K::Listen => {
                self.act(
                    Action::Listen,
                    Object::Channel(node.text("conditionname").to_owned()),
                );
                Ok(None)
            }
            K::Notify => {
                self.act(
                    Action::Notify,
                    Object::Channel(node.text("conditionname").to_owned()),
                );
                Ok(None)
            }
            K::Explain => {
                self.act(Action::Explain, Object::Database);
                let _ = self.statement(node.get("query"))?;
                Ok(Some(vec![text_column("QUERY PLAN")]))
            }
            K::Prepare => {
                for ty in node.get("argtypes").items() {
                    self.type_of(ty)?;
                }
                let _ = self.statement(node.get("query"))?;
                Ok(None)
            }
            // Its rows come by FETCH.
            K::DeclareCursor { .. } => {
                let _ = self.statement(node.get("query"))?;
                Ok(None)
            }
            K::Execute => {
                self.opaque = true;
                self.with_values(node.get("params"))
            }
            K::Fetch => {
                self.opaque = true;
                Ok(None)
            }
            K::Copy { .. } => self.copy(node, kind),
            K::Lock => self.lock(node.get("relations").items()),
            K::Truncate => self.truncate(node),
            K::Call => self.call_procedure(node.get("funccall")),
            K::Do => {
                self.opaque = true;
                self.act(Action::Call, Object::Database);
                Ok(None)
            }
            K::Load | K::Ddl | K::Maintenance => self.definition_change(node),
            K::Other => Err(ResolveError::unsupported("this kind of statement")),
        }
    }

    fn answered(&mut self, node: &Tree, answers: bool) -> R<Option<Vec<Named>>> {
        let columns = self.query(node, None)?;
        if !answers {
            return Ok(None);
        }
        self.answer(&columns)?;
        Ok(Some(columns))
    }

    /// Expressions without any FROM.
    fn with_values(&mut self, values: &Tree) -> R<Option<Vec<Named>>> {
        let level = Level::new(None, self.instances.len());
        let mut reads = Vec::new();
        self.parts(values, &level, Place::Argument.into(), &mut reads)?;
        Ok(None)
    }

    fn settings(&mut self, kind: StatementKind, node: &Tree) -> Option<Vec<Named>> {
        use StatementKind as K;
        match kind {
            K::Show => {
                let name = node.text("name");
                let all = name == "all";
                let setting = if all {
                    "*".to_owned()
                } else {
                    name.to_ascii_lowercase()
                };
                self.act(Action::Select, Object::Setting(setting));
                let names: &[&str] = if all {
                    &["name", "setting", "description"]
                } else {
                    &[name]
                };
                return Some(names.iter().map(|name| text_column(name)).collect());
            }
            K::ResetAll | K::Discard { all: true } => self.act(Action::Set, Object::Setting("*".to_owned())),
            _ => {
                if let Some(change) = setting::of_statement(node) {
                    let name = change.name.unwrap_or_else(|| "*".to_owned());
                    self.act(Action::Set, Object::Setting(name));
                }
            }
        }
        None
    }

    fn copy(&mut self, node: &Tree, kind: StatementKind) -> R<Option<Vec<Named>>> {
        if matches!(kind, StatementKind::Copy { client: false, .. }) {
            self.act(Action::Copy, Object::Database);
        }
        let query = node.get("query");
        if query != &Tree::Nothing {
            self.act(Action::Copy, Object::Database);
            let answers = query.kind() == "SelectStmt" || query.get("returning_clause") != &Tree::Nothing;
            return self.answered(query, answers);
        }
        let range = node.get("relation");
        let incoming = node.flag("is_from");
        let mut level = Level::new(None, self.instances.len());
        let columns = node.get("attlist").names();
        if incoming {
            use postern_catalog::RuleEvent;
            // COPY does not run rules.
            let events: &[(RuleEvent, Action)] = &[];
            let target = self.target(range, events)?;
            self.act_on(Action::Copy, target.named);
            self.act_on(Action::Insert, target.named);
            if target.named.oid != target.base.oid {
                return Err(ResolveError::new(
                    "42809",
                    format!("cannot copy to view \"{}\"", target.named.name),
                ));
            }
            self.copied_in(&target, &columns)?;
            let item = self.relation_item(target.named, true, Access::Insert)?;
            level.items.push(item);
            self.condition(node.get("where_clause"), &level)?;
            // The entry for WHERE reads nothing that is not being copied.
            self.instances.truncate(self.instances.len().saturating_sub(1));
            return Ok(None);
        }
        let relation = self.relation(range)?;
        self.act_on(Action::Copy, relation);
        self.act_on(Action::Select, relation);
        // COPY TO leaves out what inherits.
        let item = self.relation_item(relation, true, Access::Read)?;
        if item.relation.is_some_and(|r| r.kind.is_view()) {
            self.act_through(Action::Select, relation)?;
        }
        let mut named = Vec::new();
        if columns.is_empty() {
            self.note_whole(&item);
            named = item.all(0);
        }
        for name in columns {
            let value = item.column(name, 0)?;
            let value = value.ok_or_else(|| {
                let relation = &relation.name;
                ResolveError::new(
                    "42703",
                    format!("column \"{name}\" of relation \"{relation}\" does not exist"),
                )
            })?;
            named.push(Named::new(name, value));
        }
        self.answer(&named)?;
        Ok(Some(named))
    }

    fn copied_in(&mut self, target: &super::write::Target<'a>, columns: &[&str]) -> R<()> {
        use super::{Inserted, Written};
        let instance = self.instance(target.base, Access::Insert, true);
        let mut numbers = BTreeSet::new();
        for name in columns {
            let column = target.named.column(name).ok_or_else(|| {
                let relation = &target.named.name;
                ResolveError::new(
                    "42703",
                    format!("column \"{name}\" of relation \"{relation}\" does not exist"),
                )
            })?;
            numbers.insert(column.number);
        }
        let all = target.base.columns.iter().map(|column| column.number);
        let mut written = Vec::new();
        for number in all {
            let given = columns.is_empty() || numbers.contains(&number);
            if given {
                self.writes(target, Action::Insert, number);
            }
            let value = if given {
                Inserted::Unknown
            } else {
                Inserted::Default
            };
            written.push(Written {
                column: number,
                values: vec![value],
            });
        }
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.written = written;
        }
        Ok(())
    }

    /// LOCK TABLE locks what inherits and what is behind views as well.
    fn lock(&mut self, relations: &[Tree]) -> R<Option<Vec<Named>>> {
        for range in relations {
            let relation = self.relation(range)?;
            self.act_on(Action::Lock, relation);
            if relation.kind.is_view() {
                self.act_through(Action::Lock, relation)?;
            } else if range.flag("inh") {
                self.act_below(Action::Lock, relation)?;
            }
        }
        Ok(None)
    }

    fn truncate(&mut self, node: &Tree) -> R<Option<Vec<Named>>> {
        let mut todo = Vec::new();
        for range in node.get("relations").items() {
            let relation = self.relation(range)?;
            self.act_on(Action::Truncate, relation);
            if range.flag("inh") {
                self.act_below(Action::Truncate, relation)?;
                todo.extend_from_slice(self.names.catalog.descendants(relation.oid));
            }
            todo.push(relation.oid);
        }
        if node.number("behavior") != DropBehavior::DropCascade as i64 {
            return Ok(None);
        }
        // CASCADE empties what refers to these by foreign keys, at any distance.
        let catalog = self.names.catalog;
        let mut seen: BTreeSet<u32> = todo.iter().copied().collect();
        while let Some(oid) = todo.pop() {
            self.charge(
                catalog
                    .document()
                    .foreign_keys
                    .len()
                    .saturating_div(8)
                    .saturating_add(1),
            )?;
            for from in catalog.referencing(oid) {
                if let Some(relation) = catalog.relation_by_oid(from).filter(|_| seen.insert(from)) {
                    self.act_on(Action::Truncate, relation);
                    self.act_below(Action::Truncate, relation)?;
                    todo.push(from);
                    todo.extend(catalog.descendants(from).iter().filter(|oid| seen.insert(**oid)));
                }
            }
        }
        Ok(None)
    }

    /// Notes an action on everything that inherits from a relation.
    fn act_below(&mut self, action: Action, relation: &Relation) -> R<()> {
        let catalog = self.names.catalog;
        let children = catalog.descendants(relation.oid);
        self.charge(children.len())?;
        let outer = std::mem::replace(&mut self.via, relation.oid);
        for child in children.iter().filter_map(|oid| catalog.relation_by_oid(*oid)) {
            self.act_on(action, child);
        }
        self.via = outer;
        Ok(())
    }

    fn call_procedure(&mut self, call: &Tree) -> R<Option<Vec<Named>>> {
        self.opaque = true;
        let level = Level::new(None, self.instances.len());
        let mut reads = Vec::new();
        self.function_call(call, &level, Places::NOWHERE, &mut reads)?;
        Ok(None)
    }

    /// Anything that changes definitions. Queries inside of it are resolved; what else it names, it changes.
    fn definition_change(&mut self, node: &Tree) -> R<Option<Vec<Named>>> {
        self.act(Action::Ddl, Object::Database);
        match node.kind() {
            "SelectStmt" => {
                // SELECT INTO.
                let columns = self.query(node, None)?;
                self.stored(&columns)?;
                self.made(into(node).get("rel"));
                return Ok(None);
            }
            "CreateTableAsStmt" => {
                let query = node.get("query");
                if query.kind() == "ExecuteStmt" {
                    self.opaque = true;
                    self.with_values(query.get("params"))?;
                } else {
                    let columns = self.query(query, None)?;
                    self.stored(&columns)?;
                }
                self.made(node.get("into").get("rel"));
                return Ok(None);
            }
            "ViewStmt" => {
                let columns = self.query(node.get("query"), None)?;
                self.stored(&columns)?;
                self.made(node.get("view"));
                return Ok(None);
            }
            _ => {}
        }
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            self.charge(1)?;
            match node {
                Tree::List(items) => todo.extend(items),
                Tree::Node("RangeVar", _) => self.made(node),
                // DROP and COMMENT name things by lists of strings.
                Tree::Node("List", _) => {
                    self.listed(&node.names());
                    todo.extend(node.items());
                }
                Tree::Node("FuncCall", _) => {
                    let names = node.get("funcname").names();
                    let count = node.get("args").items().len();
                    for function in self.functions(&names, count)? {
                        self.act_call(function.oid);
                    }
                    todo.push(node.get("args"));
                }
                Tree::Node(_, fields) => todo.extend(fields.iter().map(|(_, value)| value)),
                Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => {}
            }
        }
        Ok(None)
    }

    /// A name in parts, if there is a relation of that name.
    fn listed(&mut self, names: &[&str]) {
        let catalog = self.names.catalog;
        let found = match names {
            [name] => self.path().find_map(|schema| catalog.relation(schema, name)),
            [.., schema, name] => catalog.relation(schema, name),
            [] => None,
        };
        if let Some(relation) = found {
            self.act_on(Action::Ddl, relation);
        }
    }

    /// What a definition names: a relation that is there, or the schema where it would be.
    fn made(&mut self, range: &Tree) {
        match self.relation(range) {
            Ok(relation) => self.act_on(Action::Ddl, relation),
            Err(_) => {
                let schema = range.text("schemaname");
                let schema = match schema {
                    "" => self
                        .path()
                        .find(|schema| *schema != "pg_catalog")
                        .unwrap_or_default(),
                    schema => schema,
                };
                let schema = schema.to_owned();
                self.act(Action::Ddl, Object::Schema(schema));
            }
        }
    }

    /// Rows that go into a new table are written.
    fn stored(&mut self, columns: &[Named]) -> R<()> {
        for column in columns {
            self.note(&column.value, Place::Value.into())?;
        }
        Ok(())
    }
}

fn text_column(name: &str) -> Named {
    Named::new(name, Value::derived(Ty::Oid(TEXT), Vec::new()))
}

/// The INTO of a SELECT; in a set operation it is in the leftmost arm.
fn into(select: &Tree) -> &Tree {
    let mut node = select;
    while node.get("into_clause") == &Tree::Nothing && node.get("larg") != &Tree::Nothing {
        node = node.get("larg");
    }
    node.get("into_clause")
}
