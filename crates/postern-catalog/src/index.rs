//! Ways to find things in a document, and the checks that make finding them safe.

use crate::{CatalogError, Document};
use std::collections::{BTreeSet, HashMap};

/// Positions by schema and name.
#[derive(Debug, Default)]
pub(crate) struct ByName(HashMap<String, HashMap<String, Vec<usize>>>);

impl ByName {
    fn of<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> ByName {
        let mut found: HashMap<String, HashMap<String, Vec<usize>>> = HashMap::new();
        for (at, (schema, name)) in names.enumerate() {
            let schema = match found.get_mut(schema) {
                Some(schema) => schema,
                None => found.entry(schema.to_owned()).or_default(),
            };
            schema.entry(name.to_owned()).or_default().push(at);
        }
        ByName(found)
    }

    pub(crate) fn find(&self, schema: &str, name: &str) -> &[usize] {
        let found = self.0.get(schema).and_then(|names| names.get(name));
        found.map_or(&[], Vec::as_slice)
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) relations: ByName,
    pub(crate) relation_oids: HashMap<u32, usize>,
    pub(crate) functions: ByName,
    pub(crate) function_oids: HashMap<u32, usize>,
    pub(crate) types: ByName,
    pub(crate) type_oids: HashMap<u32, usize>,
    /// Element type to array type.
    pub(crate) arrays: HashMap<u32, u32>,
    pub(crate) operators: ByName,
    /// Outside of `pg_catalog`, by name.
    pub(crate) foreign_operators: HashMap<String, Vec<usize>>,
    /// By target type.
    pub(crate) casts: HashMap<u32, Vec<usize>>,
    pub(crate) descendants: HashMap<u32, Vec<u32>>,
    pub(crate) ancestors: HashMap<u32, Vec<u32>>,
}

impl Index {
    pub(crate) fn of(document: &Document) -> Result<Index, CatalogError> {
        let relation_oids = unique("relations", document.relations.iter().map(|r| r.oid))?;
        let function_oids = unique("functions", document.functions.iter().map(|f| f.oid))?;
        let type_oids = unique("types", document.types.iter().map(|t| t.oid))?;
        let relations = ByName::of(
            document
                .relations
                .iter()
                .map(|r| (r.schema.as_str(), r.name.as_str())),
        );
        let types = ByName::of(
            document
                .types
                .iter()
                .map(|t| (t.schema.as_str(), t.name.as_str())),
        );
        one_each("relation", &relations)?;
        one_each("type", &types)?;
        let arrays = document
            .types
            .iter()
            .filter_map(|t| Some((t.element?, t.oid)))
            .collect();
        let mut foreign_operators: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, operator) in document.operators.iter().enumerate() {
            if operator.schema != "pg_catalog" {
                foreign_operators
                    .entry(operator.name.clone())
                    .or_default()
                    .push(at);
            }
        }
        let mut casts: HashMap<u32, Vec<usize>> = HashMap::new();
        for (at, cast) in document.casts.iter().enumerate() {
            casts.entry(cast.target).or_default().push(at);
        }
        let ancestors = ancestors(document, &relation_oids)?;
        Ok(Index {
            descendants: turned(&ancestors),
            ancestors,
            relations,
            relation_oids,
            functions: ByName::of(
                document
                    .functions
                    .iter()
                    .map(|f| (f.schema.as_str(), f.name.as_str())),
            ),
            function_oids,
            types,
            type_oids,
            arrays,
            operators: ByName::of(
                document
                    .operators
                    .iter()
                    .map(|o| (o.schema.as_str(), o.name.as_str())),
            ),
            foreign_operators,
            casts,
        })
    }
}

fn unique(what: &str, oids: impl Iterator<Item = u32>) -> Result<HashMap<u32, usize>, CatalogError> {
    let mut found = HashMap::new();
    for (at, oid) in oids.enumerate() {
        if found.insert(oid, at).is_some() {
            return Err(CatalogError::Broken(format!("two {what} with OID {oid}")));
        }
    }
    Ok(found)
}

fn one_each(what: &str, names: &ByName) -> Result<(), CatalogError> {
    let twice = names
        .0
        .iter()
        .flat_map(|(schema, names)| names.iter().map(move |(name, found)| (schema, name, found)))
        .find(|(_, _, found)| found.len() > 1);
    match twice {
        Some((schema, name, _)) => Err(CatalogError::Broken(format!(
            "{what} {schema}.{name} is there twice"
        ))),
        None => Ok(()),
    }
}

/// For each relation that has parents, all that it inherits from.
fn ancestors(
    document: &Document,
    oids: &HashMap<u32, usize>,
) -> Result<HashMap<u32, Vec<u32>>, CatalogError> {
    let mut all = HashMap::new();
    for relation in document.relations.iter().filter(|r| !r.parents.is_empty()) {
        let mut found = BTreeSet::new();
        let mut todo = relation.parents.clone();
        while let Some(oid) = todo.pop() {
            let at = oids.get(&oid).ok_or_else(|| {
                let (schema, name) = (&relation.schema, &relation.name);
                CatalogError::Broken(format!("{schema}.{name} inherits from {oid}, which is not there"))
            })?;
            if found.insert(oid) {
                todo.extend(
                    document
                        .relations
                        .get(*at)
                        .map_or(&[][..], |r| r.parents.as_slice()),
                );
            }
        }
        if found.contains(&relation.oid) {
            let (schema, name) = (&relation.schema, &relation.name);
            return Err(CatalogError::Broken(format!(
                "{schema}.{name} inherits from itself"
            )));
        }
        all.insert(relation.oid, found.into_iter().collect());
    }
    Ok(all)
}

fn turned(ancestors: &HashMap<u32, Vec<u32>>) -> HashMap<u32, Vec<u32>> {
    let mut descendants: HashMap<u32, Vec<u32>> = HashMap::new();
    for (child, parents) in ancestors {
        for parent in parents {
            descendants.entry(*parent).or_default().push(*child);
        }
    }
    for children in descendants.values_mut() {
        children.sort_unstable();
    }
    descendants
}
