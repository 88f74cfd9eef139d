//! `origins.json`: where in the database the columns are that rules name.
//!
//! PostgreSQL tells of each column of an answer the table and the attribute number it comes from, or the view and
//! its attribute. This file says which of those are the columns that a rule names, those of views, partitions and
//! inheriting tables that show them included. It is made from the policy's `catalog.json`; the Response Validator
//! reads it, because it must not link what reads SQL.

use crate::rules::ColumnName;
use postern_types::ColumnId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Version of the file.
pub const ORIGINS_VERSION: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginsDocument {
    /// [`ORIGINS_VERSION`].
    pub version: u32,
    /// Tables, views, materialised views and foreign tables.
    pub relations: Vec<OriginRelation>,
    /// Types that users made of which any text is a value (as citext), by OID.
    #[serde(default)]
    pub text_types: Vec<u32>,
    /// Array types as (array, element).
    #[serde(default)]
    pub arrays: Vec<(u32, u32)>,
}

impl OriginsDocument {
    /// The file: a line for each relation, so that a reviewer sees what changed.
    pub fn to_json(&self) -> String {
        let relations: Vec<String> = self.relations.iter().map(line).collect();
        format!(
            "{{\"version\": {},\n\"text_types\": {},\n\"arrays\": {},\n\"relations\": [\n{}\n]}}\n",
            self.version,
            line(&self.text_types),
            line(&self.arrays),
            relations.join(",\n")
        )
    }
}

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginRelation {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// OID of the type of its rows; 0 is unknown.
    #[serde(default)]
    pub row_type: u32,
    /// Its columns in order, without dropped ones.
    pub columns: Vec<OriginColumn>,
}

/// A column of a table or view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginColumn {
    /// Attribute number.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Columns of tables that it shows unchanged: of a view its base, of a partition its parent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<(u32, i16)>,
    /// Columns of tables that it is computed from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<(u32, i16)>,
    /// What it is made of could not be found out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}

/// The JSON of a value in one line. Plain numbers and strings always have one.
fn line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginsError {
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
        "the file has version {0}, and this build reads version {ORIGINS_VERSION}; run `postern catalog` again"
    )]
    Version(u32),
    /// Two entries for the same thing.
    #[error("the file tells of {0} twice; run `postern catalog` again")]
    Twice(String),
}

/// What is known of a column.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) shows: Vec<ColumnId>,
    pub(crate) derived: Vec<ColumnId>,
    pub(crate) unknown: bool,
}

/// The file, ready for look-ups. The default knows nothing.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub(crate) columns: HashMap<ColumnId, Known>,
    names: HashMap<ColumnName, ColumnId>,
    /// The columns of a row in order, by the type of the row.
    pub(crate) rows: HashMap<u32, Vec<ColumnId>>,
    /// Elements of array types.
    pub(crate) elements: HashMap<u32, u32>,
    pub(crate) text_types: Vec<u32>,
}

impl Origins {
    /// Reads `origins.json`.
    ///
    /// # Errors
    /// See [`OriginsError`].
    pub fn from_json(bytes: &[u8]) -> Result<Origins, OriginsError> {
        let document = serde_json::from_slice(bytes).map_err(|error| OriginsError::Json {
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })?;
        Origins::new(document)
    }

    /// Makes a document searchable.
    ///
    /// # Errors
    /// `Version` and `Twice`.
    pub fn new(document: OriginsDocument) -> Result<Origins, OriginsError> {
        if document.version != ORIGINS_VERSION {
            return Err(OriginsError::Version(document.version));
        }
        let mut origins = Origins {
            elements: document.arrays.into_iter().collect(),
            text_types: document.text_types,
            ..Origins::default()
        };
        for relation in document.relations {
            origins.add(relation)?;
        }
        Ok(origins)
    }

    fn add(&mut self, relation: OriginRelation) -> Result<(), OriginsError> {
        let mut row = Vec::new();
        for column in relation.columns {
            let id = ColumnId {
                relation: relation.oid,
                attribute: column.number,
            };
            let name = ColumnName {
                schema: relation.schema.clone(),
                table: relation.name.clone(),
                column: column.name.clone(),
            };
            let ids = |list: Vec<(u32, i16)>| {
                let id = |(relation, attribute)| ColumnId { relation, attribute };
                list.into_iter().map(id).collect()
            };
            let known = Known {
                name: column.name,
                shows: ids(column.shows),
                derived: ids(column.derived),
                unknown: column.unknown,
            };
            let twice = self.names.insert(name.clone(), id).is_some();
            if self.columns.insert(id, known).is_some() || twice {
                return Err(OriginsError::Twice(name.to_string()));
            }
            row.push(id);
        }
        if relation.row_type != 0 {
            self.rows.insert(relation.row_type, row);
        }
        Ok(())
    }

    /// The column of this name.
    pub fn column(&self, name: &ColumnName) -> Option<ColumnId> {
        self.names.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let document = OriginsDocument {
            version: ORIGINS_VERSION,
            relations: vec![OriginRelation {
                oid: 20_000,
                schema: "public".into(),
                name: "odd \"name\"".into(),
                row_type: 20_002,
                columns: vec![OriginColumn {
                    number: 3,
                    name: "c".into(),
                    shows: vec![(1, 2)],
                    derived: vec![(3, 4)],
                    unknown: true,
                }],
            }],
            text_types: vec![20_010],
            arrays: vec![(20_003, 20_002)],
        };
        let json = document.to_json();
        assert_eq!(serde_json::from_str::<OriginsDocument>(&json).unwrap(), document);
        let name = ColumnName {
            schema: "public".into(),
            table: "odd \"name\"".into(),
            column: "c".into(),
        };
        let origins = Origins::from_json(json.as_bytes()).unwrap();
        assert_eq!(
            origins.column(&name),
            Some(ColumnId {
                relation: 20_000,
                attribute: 3
            })
        );
    }

    #[test]
    fn another_version_a_repetition_and_an_unknown_field_are_refused() {
        assert_eq!(
            Origins::from_json(br#"{"version":2,"relations":[]}"#).unwrap_err(),
            OriginsError::Version(2)
        );
        let unknown = Origins::from_json(b"{\"version\":1,\n\"relations\":[],\"x\":1}").unwrap_err();
        assert!(matches!(unknown, OriginsError::Json { line: 2, .. }), "{unknown}");
        let column = r#"{"number":1,"name":"a"}"#;
        let twice = format!(
            r#"{{"version":1,"relations":[{{"oid":1,"schema":"s","name":"t","columns":[{column},{column}]}}]}}"#
        );
        assert_eq!(
            Origins::from_json(twice.as_bytes()).unwrap_err(),
            OriginsError::Twice("s.t.a".into())
        );
    }
}
