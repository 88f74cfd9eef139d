//! The comparison.

use crate::corpus;
use crate::database::Database;
use postern_sql::resolve::{Object, Resolved};
use std::collections::BTreeSet;
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn the_newest_version_agrees() {
    agree(None).await;
}

#[tokio::test]
async fn version_15_agrees() {
    agree(Some(15)).await;
}

async fn agree(major: Option<u32>) {
    let database = Database::start(major);
    let port = database.server.port();
    let settings = format!("host=127.0.0.1 port={port} user=postgres password=secret dbname=demo");
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("SET search_path = app, public; SET constraint_exclusion = off; SET enable_partition_pruning = off")
        .await
        .unwrap();
    let newest = database.catalog.document().server_version >= 180_000;
    let mut wrong = Vec::new();
    let mut compared = 0;
    let texts = corpus::RIGHT.iter().chain(corpus::WRONG);
    for sql in texts.chain(if newest { corpus::NEW } else { &[] }) {
        compared += 1;
        if let Err(how) = compare(&database, &client, sql).await {
            wrong.push(format!("{sql}\n    {how}"));
        }
    }
    assert!(compared >= 150, "{compared}");
    assert!(
        wrong.is_empty(),
        "{} of {compared}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

async fn compare(database: &Database, client: &Client, sql: &str) -> Result<(), String> {
    let ours = database.resolve(sql);
    let theirs = client.prepare(sql).await;
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(ours), Err(theirs)) => {
            let code = theirs
                .code()
                .map(|code| code.code().to_owned())
                .unwrap_or_default();
            return if ours.code.as_str() == code {
                Ok(())
            } else {
                Err(format!(
                    "{} instead of {code}: {ours}; {theirs:?}",
                    ours.code.as_str()
                ))
            };
        }
        (Err(ours), Ok(_)) => return Err(format!("PostgreSQL accepts it: {} {ours}", ours.code.as_str())),
        (Ok(_), Err(theirs)) => return Err(format!("PostgreSQL refuses it: {theirs:?}")),
    };
    let [ours] = ours.as_slice() else {
        return Err(format!("{} statements", ours.len()));
    };
    // What COPY sends is no result of the protocol's.
    let copy = sql.starts_with("COPY");
    let outputs = ours.outputs.clone().filter(|_| !copy).unwrap_or_default();
    let columns = theirs.columns();
    if outputs.len() != columns.len() {
        return Err(format!("{} columns instead of {}", outputs.len(), columns.len()));
    }
    for (output, column) in outputs.iter().zip(columns) {
        if output.name != column.name() {
            return Err(format!("column {} instead of {}", output.name, column.name()));
        }
        let described = output.described.map(|(relation, number)| (relation.0, number));
        let told = column
            .table_oid()
            .map(|oid| (oid, column.column_id().unwrap_or(0)));
        if described != told {
            return Err(format!("{} is {described:?} instead of {told:?}", output.name));
        }
        if output.type_oid.is_some_and(|oid| oid != column.type_().oid()) {
            return Err(format!(
                "{} has type {:?} instead of {}",
                output.name,
                output.type_oid,
                column.type_()
            ));
        }
    }
    let listed = relations(database, ours);
    for relation in planned(client, sql).await? {
        if !listed.contains(&relation) {
            return Err(format!("{relation} is read and not in {listed:?}"));
        }
    }
    Ok(())
}

fn relations(database: &Database, resolved: &Resolved) -> BTreeSet<String> {
    let actions = resolved.actions.iter();
    actions
        .filter_map(|action| match action.object {
            Object::Relation(relation) => Some(database.name(relation.0)),
            _ => None,
        })
        .collect()
}

/// The relations in PostgreSQL's plan.
async fn planned(client: &Client, sql: &str) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    let word = sql
        .split([' ', '('])
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    if !matches!(
        word.to_lowercase().as_str(),
        "select" | "with" | "insert" | "update" | "delete" | "merge" | "values" | "table"
    ) || sql.contains("$1")
    {
        return Ok(found);
    }
    let rows = client
        .simple_query(&format!("EXPLAIN (VERBOSE, FORMAT JSON, COSTS OFF) {sql}"))
        .await;
    let rows = rows.map_err(|error| format!("EXPLAIN: {error:?}"))?;
    for row in rows {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = row {
            let plan: serde_json::Value = serde_json::from_str(row.get(0).unwrap_or_default()).unwrap();
            collect(&plan, &mut found);
        }
    }
    Ok(found)
}

fn collect(plan: &serde_json::Value, found: &mut BTreeSet<String>) {
    match plan {
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        serde_json::Value::Object(fields) => {
            if let (Some(schema), Some(name)) = (fields.get("Schema"), fields.get("Relation Name")) {
                let (schema, name) = (
                    schema.as_str().unwrap_or_default(),
                    name.as_str().unwrap_or_default(),
                );
                found.insert(format!("{schema}.{name}"));
            }
            fields.values().for_each(|value| collect(value, found));
        }
        _ => {}
    }
}
