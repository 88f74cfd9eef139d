//! Names of relations, types and schemas looked up in the catalogue by way of the search path.

use super::value::Ty;
use super::walk::{R, Walk};
use super::{Action, Object, ResolveError};
use crate::tree::Tree;
use postern_catalog::{Function, FunctionId, Relation, Type};

const BUILT_IN: &str = "pg_catalog";

impl<'a> Walk<'a> {
    /// The schemas to search, in order. The temporary schema is not among them.
    pub(crate) fn path(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let listed = self.names.search_path;
        // The definition of a view has the schema before every name that is not built in.
        let listed = if self.via == 0 { listed } else { &[] };
        let first = (!listed.iter().any(|schema| schema == BUILT_IN)).then_some(BUILT_IN);
        first.into_iter().chain(listed.iter().map(String::as_str))
    }

    /// A relation by the name in a RangeVar.
    pub(crate) fn relation(&mut self, range: &Tree) -> R<&'a Relation> {
        self.charge(4)?;
        let (schema, name) = (range.text("schemaname"), range.text("relname"));
        let database = range.text("catalogname");
        if !database.is_empty() && database != self.names.catalog.database() {
            return Err(ResolveError::new(
                "0A000",
                format!("cross-database references are not implemented: \"{database}.{schema}.{name}\""),
            ));
        }
        if !schema.is_empty() {
            let found = self.names.catalog.relation(schema, name);
            return found.ok_or_else(|| ResolveError::no_relation(&format!("{schema}.{name}")));
        }
        let catalog = self.names.catalog;
        let found = self.path().find_map(|schema| catalog.relation(schema, name));
        found.ok_or_else(|| ResolveError::no_relation(name))
    }

    /// The type in a TypeName; array bounds and `setof` included.
    pub(crate) fn type_of(&mut self, name: &Tree) -> R<Ty> {
        self.charge(4)?;
        if name.flag("pct_type") {
            return Err(ResolveError::unsupported("a type given by %TYPE"));
        }
        let names = name.get("names").names();
        let found = self.type_named(&names)?;
        let found = found.ok_or_else(|| {
            ResolveError::new("42704", format!("type \"{}\" does not exist", names.join(".")))
        })?;
        if name.get("array_bounds").items().is_empty() {
            return Ok(Ty::Oid(found.oid));
        }
        Ok(self
            .names
            .catalog
            .array_of(found.oid)
            .map_or(Ty::Unknown, Ty::Oid))
    }

    /// A type by a name in parts.
    pub(crate) fn type_named(&mut self, names: &[&str]) -> R<Option<&'a Type>> {
        let catalog = self.names.catalog;
        Ok(match names {
            [name] => self.path().find_map(|schema| catalog.type_named(schema, name)),
            [schema, name] => catalog.type_named(schema, name),
            [database, schema, name] if *database == catalog.database() => catalog.type_named(schema, name),
            _ => None,
        })
    }

    /// The functions that a call by this name with this many arguments may mean. Those hidden by one with the
    /// same arguments, earlier in the search path, are left out.
    pub(crate) fn functions(&mut self, names: &[&str], count: usize) -> R<Vec<&'a Function>> {
        let catalog = self.names.catalog;
        let (name, schemas): (&str, Vec<&str>) = match names {
            [name] => (name, self.path().collect()),
            [schema, name] => (name, vec![schema]),
            [database, schema, name] if *database == catalog.database() => (name, vec![schema]),
            _ => return Ok(Vec::new()),
        };
        let mut found: Vec<&'a Function> = Vec::new();
        for schema in schemas {
            let in_schema = found.len();
            for function in catalog.functions(schema, name) {
                self.charge(2)?;
                let earlier = found.get(..in_schema).unwrap_or_default();
                if function.takes(count) && !earlier.iter().any(|f| f.arguments == function.arguments) {
                    found.push(function);
                }
            }
        }
        Ok(found)
    }

    /// Notes a call.
    pub(crate) fn act_call(&mut self, function: u32) {
        self.act(Action::Call, Object::Function(FunctionId(function)));
    }

    /// Whether a function is one of PostgreSQL's own.
    pub(crate) fn is_built_in(&self, function: u32) -> bool {
        let found = self.names.catalog.function_by_oid(function);
        found.is_some_and(|function| function.schema == BUILT_IN)
    }
}
