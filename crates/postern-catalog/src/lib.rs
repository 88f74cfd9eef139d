//! `catalog.json`: what there is in the database, as names are resolved against it.
//!
//! Relations with their columns, functions, types, operators and casts, those of `pg_catalog` and
//! `information_schema` included. The Backend reads it from the system catalogues; `postern catalog` writes
//! it; the Query Validator loads it.
//!
//! The file is trusted as much as the rest of the policy directory: people review it and keep it in git. It
//! is still checked on loading, so that a lookup can't loop or point nowhere. Not here: anything of a
//! session, such as temporary tables; rights; and how names are resolved, which is `postern-sql`'s business.

mod changes;
mod document;
mod function;
mod index;
mod memo;
mod relation;
mod scalar;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use document::{Document, FORMAT_VERSION};
pub use function::{Function, FunctionKind, Output, Volatility};
pub use memo::Memo;
pub use relation::{Column, Constraint, Relation, RelationKind, Rule, RuleEvent};
pub use scalar::{Cast, ForeignKey, Operator, Type, TypeKind};

use index::Index;
use serde::{Deserialize, Serialize};

/// OID of a relation (`pg_class.oid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelationId(pub u32);

/// OID of a function or procedure (`pg_proc.oid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FunctionId(pub u32);

/// Why a file is not a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not JSON of the right shape.
    #[error("line {line}, column {column}: {message}; run `postern catalog` to write the file anew")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Written by another version of Postern.
    #[error(
        "the catalogue has format {found}, and this is for {FORMAT_VERSION}; run `postern catalog` again"
    )]
    Version {
        /// What the file says.
        found: u32,
    },
    /// Something in it contradicts something else.
    #[error("the catalogue contradicts itself: {0}; run `postern catalog` again")]
    Broken(String),
}

/// A loaded catalogue.
#[derive(Debug)]
pub struct Catalog {
    document: Document,
    index: Index,
}

impl Catalog {
    /// Checks a document and makes it searchable.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn new(mut document: Document) -> Result<Catalog, CatalogError> {
        if document.version != FORMAT_VERSION {
            return Err(CatalogError::Version {
                found: document.version,
            });
        }
        document.sort();
        let index = Index::of(&document)?;
        Ok(Catalog { document, index })
    }

    /// Reads `catalog.json`.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn from_json(bytes: &[u8]) -> Result<Catalog, CatalogError> {
        let document = serde_json::from_slice(bytes).map_err(|error| CatalogError::Json {
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })?;
        Catalog::new(document)
    }

    /// The file: one line for each object, in a fixed order, so that a reviewer sees what changed.
    pub fn to_json(&self) -> String {
        self.document.to_json()
    }

    /// Everything in it.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        &self.document.database
    }

    /// Whether there is a schema of this name.
    pub fn has_schema(&self, name: &str) -> bool {
        self.document.schemas.iter().any(|schema| schema == name)
    }

    /// A relation by schema and name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        let at = self.index.relations.find(schema, name).first()?;
        self.document.relations.get(*at)
    }

    /// A relation by OID.
    pub fn relation_by_oid(&self, oid: u32) -> Option<&Relation> {
        self.document.relations.get(*self.index.relation_oids.get(&oid)?)
    }

    /// All relations.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.document.relations.iter()
    }

    /// The functions, procedures and aggregates of this name.
    pub fn functions(&self, schema: &str, name: &str) -> impl Iterator<Item = &Function> {
        let found = self.index.functions.find(schema, name);
        found.iter().filter_map(|at| self.document.functions.get(*at))
    }

    /// A function by OID.
    pub fn function_by_oid(&self, oid: u32) -> Option<&Function> {
        self.document.functions.get(*self.index.function_oids.get(&oid)?)
    }

    /// A type by schema and name.
    pub fn type_named(&self, schema: &str, name: &str) -> Option<&Type> {
        let at = self.index.types.find(schema, name).first()?;
        self.document.types.get(*at)
    }

    /// A type by OID.
    pub fn type_by_oid(&self, oid: u32) -> Option<&Type> {
        self.document.types.get(*self.index.type_oids.get(&oid)?)
    }

    /// The array type over a type.
    pub fn array_of(&self, element: u32) -> Option<u32> {
        self.index.arrays.get(&element).copied()
    }

    /// The operators of this name.
    pub fn operators(&self, schema: &str, name: &str) -> impl Iterator<Item = &Operator> {
        let found = self.index.operators.find(schema, name);
        found.iter().filter_map(|at| self.document.operators.get(*at))
    }

    /// The operators of this name outside of `pg_catalog`, in any schema.
    pub fn foreign_operators(&self, name: &str) -> impl Iterator<Item = &Operator> {
        let found = self
            .index
            .foreign_operators
            .get(name)
            .map_or(&[][..], Vec::as_slice);
        found.iter().filter_map(|at| self.document.operators.get(*at))
    }

    /// The casts to a type that call a function.
    pub fn casts_to(&self, target: u32) -> impl Iterator<Item = &Cast> {
        let found = self.index.casts.get(&target).map_or(&[][..], Vec::as_slice);
        found.iter().filter_map(|at| self.document.casts.get(*at))
    }

    /// The type below all domains.
    pub fn base_type(&self, oid: u32) -> u32 {
        let mut oid = oid;
        // A domain over a domain over …; PostgreSQL can't make a circle, a file could.
        for _ in 0..64 {
            match self.type_by_oid(oid).and_then(|t| t.base) {
                Some(base) => oid = base,
                None => break,
            }
        }
        oid
    }

    /// The relation whose rows a composite type describes.
    pub fn relation_of_type(&self, oid: u32) -> Option<&Relation> {
        self.relation_by_oid(self.type_by_oid(self.base_type(oid))?.relation?)
    }

    /// The relations that inherit from this one, at any distance: children and partitions. Not itself.
    pub fn descendants(&self, oid: u32) -> &[u32] {
        self.index.descendants.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// The relations that this one inherits from, at any distance. Not itself.
    pub fn ancestors(&self, oid: u32) -> &[u32] {
        self.index.ancestors.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// The relations with a foreign key to this one.
    pub fn referencing(&self, oid: u32) -> impl Iterator<Item = u32> {
        let keys = self.document.foreign_keys.iter();
        keys.filter(move |key| key.to == oid).map(|key| key.from)
    }

    /// What changed from `before` to this one, for a person to read.
    pub fn changes_since(&self, before: &Catalog) -> Changes {
        Changes::between(&before.document, &self.document)
    }
}
