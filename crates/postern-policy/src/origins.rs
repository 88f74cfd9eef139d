//! `origins.json`, made from the catalogue: which columns of views, partitions and inheriting tables show the columns
//! that rules about answers name.

use postern_catalog::{Catalog, Relation, RelationKind};
use postern_inspect::{ORIGINS_VERSION, OriginColumn, OriginRelation, OriginsDocument};
use postern_sql::SqlLimits;
use postern_sql::resolve::{self, Names, Origin, Output};

/// First OID of an object that a user made.
const FIRST_USER_OID: u32 = 16384;

/// The document for this catalogue. Of a view that can't be resolved every column is unknown.
pub fn origins(catalog: &Catalog) -> OriginsDocument {
    let users = |oid: &u32| *oid >= FIRST_USER_OID;
    let types = &catalog.document().types;
    OriginsDocument {
        version: ORIGINS_VERSION,
        relations: catalog
            .relations()
            .filter(|relation| users(&relation.oid) && relation.kind != RelationKind::Sequence)
            .map(|relation| origin_relation(catalog, relation))
            .collect(),
        text_types: types
            .iter()
            .filter(|known| users(&known.oid) && known.name == "citext")
            .map(|known| known.oid)
            .collect(),
        arrays: types
            .iter()
            .filter_map(|array| Some((array.oid, array.element?)))
            .filter(|(array, _)| users(array))
            .collect(),
    }
}

fn origin_relation(catalog: &Catalog, relation: &Relation) -> OriginRelation {
    let columns = if relation.kind.is_view() {
        view_columns(catalog, relation)
    } else {
        table_columns(catalog, relation)
    };
    OriginRelation {
        oid: relation.oid,
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        row_type: relation.row_type,
        columns,
    }
}

/// A partition, or a table that inherits, has its parents' columns by name.
fn table_columns(catalog: &Catalog, relation: &Relation) -> Vec<OriginColumn> {
    let ancestors = || catalog.ancestors(relation.oid).iter();
    let inherited = |name: &str| {
        let parents = ancestors().filter_map(|oid| catalog.relation_by_oid(*oid));
        let column = |parent: &Relation| {
            let column = parent.columns.iter().find(|column| column.name == name)?;
            Some((parent.oid, column.number))
        };
        parents.filter_map(column).collect()
    };
    let columns = relation.columns.iter().map(|column| OriginColumn {
        number: column.number,
        name: column.name.clone(),
        shows: inherited(&column.name),
        ..OriginColumn::default()
    });
    columns.collect()
}

/// The columns of a view lead to those of tables as the columns of a statement do.
fn view_columns(catalog: &Catalog, relation: &Relation) -> Vec<OriginColumn> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let text = format!(
        "SELECT * FROM {}.{}",
        quoted(&relation.schema),
        quoted(&relation.name)
    );
    let names = Names {
        catalog,
        search_path: &[],
    };
    let resolved = resolve::resolve(&text, &names, &SqlLimits::default()).ok();
    let outputs = resolved.and_then(|mut all| all.pop()?.outputs);
    let outputs = outputs.filter(|outputs| outputs.len() == relation.columns.len());
    let column = |(place, column): (usize, &postern_catalog::Column)| {
        let output = outputs.as_ref().and_then(|outputs| outputs.get(place));
        let named = OriginColumn {
            number: column.number,
            name: column.name.clone(),
            ..OriginColumn::default()
        };
        with_origin(catalog, named, output)
    };
    relation.columns.iter().enumerate().map(column).collect()
}

fn with_origin(catalog: &Catalog, mut column: OriginColumn, output: Option<&Output>) -> OriginColumn {
    match output.map(|output| &output.origin) {
        None => column.unknown = true,
        Some(Origin::Constant) => {}
        Some(Origin::Direct {
            relation,
            column: number,
        }) => {
            column.shows = with_parents(catalog, relation.0, *number);
        }
        Some(Origin::Derived(from)) => {
            let parents = from
                .iter()
                .flat_map(|(relation, number)| with_parents(catalog, relation.0, *number));
            column.derived = parents.collect();
        }
    }
    column
}

/// A column of a table, and those of the tables it inherits from.
fn with_parents(catalog: &Catalog, relation: u32, number: i16) -> Vec<(u32, i16)> {
    let mut all = vec![(relation, number)];
    let table = catalog.relation_by_oid(relation);
    let own = table.and_then(|table| table.columns.iter().find(|column| column.number == number));
    if let (Some(table), Some(own)) = (table, own) {
        let parents = table_columns(catalog, table)
            .into_iter()
            .find(|column| column.name == own.name);
        all.extend(parents.into_iter().flat_map(|column| column.shows));
    }
    all
}
