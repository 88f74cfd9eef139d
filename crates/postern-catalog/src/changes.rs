//! What changed between two catalogues, in the words of a person who reviews it.

use crate::{Document, Function, Relation};
use std::collections::BTreeMap;

/// Names of what is new, gone or different. Built-in objects are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What was not there before.
    pub added: Vec<String>,
    /// What is not there any more.
    pub removed: Vec<String>,
    /// What is there under the same name, and differs.
    pub changed: Vec<String>,
}

impl Changes {
    pub(crate) fn between(before: &Document, after: &Document) -> Changes {
        let (old, new) = (described(before), described(after));
        let mut changes = Changes::default();
        for (name, what) in &new {
            match old.get(name) {
                None => changes.added.push(name.clone()),
                Some(was) if was != what => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        changes.removed = gone.cloned().collect();
        changes
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

pub(crate) fn is_built_in(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// Each object's name, and a text that differs when the object does. OIDs are left out where they are mere
/// numbers, so that a restored database is the same.
fn described(document: &Document) -> BTreeMap<String, String> {
    let types: BTreeMap<u32, String> = document
        .types
        .iter()
        .map(|t| (t.oid, format!("{}.{}", t.schema, t.name)))
        .collect();
    let named = |oid: &u32| types.get(oid).map_or("?", String::as_str).to_owned();
    let relations: BTreeMap<u32, String> = document
        .relations
        .iter()
        .map(|r| (r.oid, format!("{}.{}", r.schema, r.name)))
        .collect();
    let mut all = BTreeMap::new();
    for relation in document.relations.iter().filter(|r| !is_built_in(&r.schema)) {
        let name = format!("{} {}.{}", relation.kind.name(), relation.schema, relation.name);
        all.insert(name, of_relation(relation, &named, &relations));
    }
    for function in document.functions.iter().filter(|f| !is_built_in(&f.schema)) {
        let arguments: Vec<String> = function.arguments.iter().map(named).collect();
        let name = format!(
            "function {}.{}({})",
            function.schema,
            function.name,
            arguments.join(", ")
        );
        all.insert(name, of_function(function, &named));
    }
    for operator in document.operators.iter().filter(|o| !is_built_in(&o.schema)) {
        let operands = format!("{}, {}", named(&operator.left), named(&operator.right));
        let name = format!("operator {}.{}({operands})", operator.schema, operator.name);
        all.insert(name, named(&operator.result));
    }
    all
}

fn of_relation(
    relation: &Relation,
    named: &impl Fn(&u32) -> String,
    relations: &BTreeMap<u32, String>,
) -> String {
    let columns: Vec<String> = relation
        .columns
        .iter()
        .map(|c| format!("{} {} {}", c.number, c.name, named(&c.type_oid)))
        .collect();
    let mut parents: Vec<&str> = relation
        .parents
        .iter()
        .filter_map(|oid| relations.get(oid).map(String::as_str))
        .collect();
    parents.sort_unstable();
    format!(
        "{columns:?} {parents:?} {:?} {} {} {} {:?} {:?}",
        relation.definition,
        relation.row_security,
        relation.row_security_forced,
        relation.instead_of_triggers,
        relation.rules,
        relation.keys,
    )
}

fn of_function(function: &Function, named: &impl Fn(&u32) -> String) -> String {
    let outputs: Vec<String> = function
        .outputs
        .iter()
        .map(|o| format!("{} {}", o.name, named(&o.type_oid)))
        .collect();
    format!(
        "{:?} {:?} {} {} {} {} {} {} {outputs:?}",
        function.kind,
        function.volatility,
        function.security_definer,
        function.language,
        function.defaults,
        function.variadic,
        named(&function.result),
        function.returns_set,
    )
}
