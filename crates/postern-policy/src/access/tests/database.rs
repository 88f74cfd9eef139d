//! A small shop, and of PostgreSQL's own objects those that its statements need.

use postern_catalog::{Catalog, Document};
use serde_json::{Value, json};

const INT8: u32 = 20;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const BOOL: u32 = 16;

fn table(oid: u32, schema: &str, name: &str, columns: &[(&str, u32)]) -> Value {
    let columns: Vec<Value> = (1..)
        .zip(columns)
        .map(|(number, (name, kind))| json!({ "number": number, "name": name, "type": kind }))
        .collect();
    json!({ "oid": oid, "schema": schema, "name": name, "kind": "table", "columns": columns, "row_type": oid + 1 })
}

fn with(mut value: Value, more: Value) -> Value {
    for (key, field) in more.as_object().unwrap() {
        value[key] = field.clone();
    }
    value
}

fn function(oid: u32, schema: &str, name: &str, volatility: &str, arguments: &[u32], result: u32) -> Value {
    let language = if schema == "pg_catalog" { "internal" } else { "sql" };
    json!({ "oid": oid, "schema": schema, "name": name, "volatility": volatility, "language": language,
            "arguments": arguments, "result": result })
}

fn base(oid: u32, name: &str) -> Value {
    json!({ "oid": oid, "schema": "pg_catalog", "name": name })
}

fn equals(oid: u32, kind: u32, function: u32) -> Value {
    json!({ "oid": oid, "schema": "pg_catalog", "name": "=", "left": kind, "right": kind, "result": BOOL,
            "function": function })
}

fn document() -> Document {
    let mut relations = vec![
        table(
            1000,
            "shop",
            "orders",
            &[("id", INT8), ("tenant_id", INT8), ("total", INT8), ("note", TEXT)],
        ),
        table(
            1010,
            "shop",
            "customers",
            &[("id", INT8), ("tenant_id", INT8), ("name", TEXT), ("card", TEXT)],
        ),
        table(1020, "shop", "countries", &[("code", TEXT), ("name", TEXT)]),
        table(1030, "hidden", "salaries", &[("id", INT8), ("amount", INT8)]),
        with(
            table(1040, "shop", "pay", &[("amount", INT8)]),
            json!({ "kind": "view", "definition": "SELECT salaries.amount FROM hidden.salaries;" }),
        ),
        table(1050, "shop", "events", &[("at", INT8), ("what", TEXT)]),
        with(
            table(1060, "hidden", "events_old", &[("at", INT8), ("what", TEXT)]),
            json!({ "parents": [1050] }),
        ),
        with(
            table(1070, "shop", "guarded", &[("id", INT8), ("tenant_id", INT8)]),
            json!({ "row_security": true }),
        ),
        table(
            1260,
            "pg_catalog",
            "pg_authid",
            &[("rolname", TEXT), ("rolpassword", TEXT)],
        ),
        table(
            1259,
            "pg_catalog",
            "pg_class",
            &[("oid", INT8), ("relname", TEXT)],
        ),
    ];
    relations.sort_by_key(|relation| relation["oid"].as_u64());
    let rows: Vec<Value> = relations
        .iter()
        .map(|relation| {
            json!({ "oid": relation["row_type"], "schema": relation["schema"], "name": relation["name"],
                    "kind": "composite", "relation": relation["oid"] })
        })
        .collect();
    let mut types = vec![
        base(INT8, "int8"),
        base(INT4, "int4"),
        base(TEXT, "text"),
        base(BOOL, "bool"),
    ];
    types.extend(rows);
    let functions = vec![
        function(65, "pg_catalog", "int4eq", "immutable", &[INT4, INT4], BOOL),
        function(67, "pg_catalog", "texteq", "immutable", &[TEXT, TEXT], BOOL),
        function(468, "pg_catalog", "int8ne", "immutable", &[INT8, INT8], BOOL),
        function(467, "pg_catalog", "int8eq", "immutable", &[INT8, INT8], BOOL),
        function(870, "pg_catalog", "lower", "immutable", &[TEXT], TEXT),
        function(1598, "pg_catalog", "random", "volatile", &[], INT8),
        function(2077, "pg_catalog", "current_setting", "stable", &[TEXT], TEXT),
        function(
            2078,
            "pg_catalog",
            "set_config",
            "volatile",
            &[TEXT, TEXT, BOOL],
            TEXT,
        ),
        with(
            function(2803, "pg_catalog", "count", "immutable", &[], INT8),
            json!({ "kind": "aggregate" }),
        ),
        function(
            2926,
            "pg_catalog",
            "query_to_xml",
            "volatile",
            &[TEXT, BOOL, BOOL, TEXT],
            TEXT,
        ),
        function(
            2923,
            "pg_catalog",
            "table_to_xml",
            "stable",
            &[TEXT, BOOL, BOOL, TEXT],
            TEXT,
        ),
        function(3826, "pg_catalog", "pg_read_file", "volatile", &[TEXT], TEXT),
        function(5001, "shop", "price", "stable", &[INT8], INT8),
        function(5002, "shop", "bump", "volatile", &[INT8], INT8),
        with(
            function(5003, "shop", "as_owner", "stable", &[INT8], INT8),
            json!({ "security_definer": true }),
        ),
        function(5004, "shop", "crosstab", "stable", &[TEXT], INT8),
        with(
            function(5005, "shop", "close_day", "volatile", &[], 2278),
            json!({ "kind": "procedure" }),
        ),
    ];
    serde_json::from_value(json!({
        "version": 1, "server_version": 150004, "database": "shop",
        "schemas": ["pg_catalog", "information_schema", "shop", "hidden"],
        "relations": relations, "functions": functions, "types": types,
        "operators": [with(equals(411, INT8, 468), json!({ "name": "<>" })), equals(96, INT4, 65), equals(98, TEXT, 67), equals(410, INT8, 467)],
        "casts": [], "foreign_keys": [],
    }))
    .unwrap()
}

/// `catalog.json`.
pub(super) fn json() -> String {
    Catalog::new(document()).unwrap().to_json()
}
