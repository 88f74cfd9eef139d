//! The shape of the file.

use crate::{Cast, ForeignKey, Function, Operator, Relation, Type};
use serde::{Deserialize, Serialize};

/// Version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Everything in a catalogue, as it is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// PostgreSQL's `server_version_num`, such as 150004.
    pub server_version: u32,
    /// Name of the database.
    pub database: String,
    /// Names of all schemas but temporary and TOAST ones.
    pub schemas: Vec<String>,
    /// Tables, views and their like.
    pub relations: Vec<Relation>,
    /// Functions, procedures and aggregates.
    pub functions: Vec<Function>,
    /// Types.
    pub types: Vec<Type>,
    /// Operators.
    pub operators: Vec<Operator>,
    /// Casts that call functions.
    pub casts: Vec<Cast>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
}

impl Document {
    /// One order for the same database, whoever wrote the file.
    pub(crate) fn sort(&mut self) {
        self.schemas.sort();
        self.schemas.dedup();
        self.relations
            .sort_by(|a, b| (&a.schema, &a.name, a.oid).cmp(&(&b.schema, &b.name, b.oid)));
        for relation in &mut self.relations {
            relation.columns.sort_by_key(|column| column.number);
            relation.parents.sort_unstable();
        }
        self.functions.sort_by(|a, b| {
            (&a.schema, &a.name, &a.arguments, a.oid).cmp(&(&b.schema, &b.name, &b.arguments, b.oid))
        });
        self.types
            .sort_by(|a, b| (&a.schema, &a.name, a.oid).cmp(&(&b.schema, &b.name, b.oid)));
        self.operators
            .sort_by(|a, b| (&a.schema, &a.name, a.oid).cmp(&(&b.schema, &b.name, b.oid)));
        self.casts.sort_by_key(|cast| (cast.source, cast.target));
        self.foreign_keys.sort();
        self.foreign_keys.dedup();
    }

    /// One line for each object.
    pub(crate) fn to_json(&self) -> String {
        let mut out = format!(
            "{{\n\"version\":{},\n\"server_version\":{},\n\"database\":{},\n\"schemas\":{}",
            self.version,
            self.server_version,
            json(&self.database),
            json(&self.schemas)
        );
        list(&mut out, "relations", &self.relations);
        list(&mut out, "functions", &self.functions);
        list(&mut out, "types", &self.types);
        list(&mut out, "operators", &self.operators);
        list(&mut out, "casts", &self.casts);
        list(&mut out, "foreign_keys", &self.foreign_keys);
        out.push_str("\n}\n");
        out
    }
}

fn list<T: Serialize>(out: &mut String, name: &str, items: &[T]) {
    out.push_str(",\n\"");
    out.push_str(name);
    out.push_str("\":[");
    for (number, item) in items.iter().enumerate() {
        out.push_str(if number == 0 { "\n" } else { ",\n" });
        out.push_str(&json(item));
    }
    out.push(']');
}

/// Strings, numbers, lists and structs of them always have a JSON form.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
