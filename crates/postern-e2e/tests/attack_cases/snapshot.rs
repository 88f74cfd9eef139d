//! What is in a database: digests of every table's rows and of everything that statements could define.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// Digests by what they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<String, String>);

/// Every table that is not PostgreSQL's own, temporary ones left out.
const TABLES: &str = "
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND n.nspname !~ '^pg_'";

/// What is defined, in catalogues: name, query of one text column. OIDs of what a case makes and drops again
/// don't count, so the digests are of names and definitions.
const CATALOGUES: &[(&str, &str)] = &[
    ("relations", "SELECT concat_ws(' ', relnamespace::regnamespace, relname, relkind, relowner, relacl, reloptions, relrowsecurity, relforcerowsecurity)
        FROM pg_class WHERE oid >= 16384 AND relnamespace::regnamespace::text !~ '^pg_'"),
    ("columns", "SELECT concat_ws(' ', attrelid::regclass, attnum, attname, atttypid, attnotnull, attacl)
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        WHERE attrelid >= 16384 AND NOT attisdropped AND relnamespace::regnamespace::text !~ '^pg_'"),
    ("defaults", "SELECT concat_ws(' ', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef"),
    ("constraints", "SELECT concat_ws(' ', conrelid::regclass, contypid, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE oid >= 16384"),
    ("schemas", "SELECT concat_ws(' ', nspname, nspowner, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'"),
    ("functions", "SELECT concat_ws(' ', pronamespace::regnamespace, proname, proargtypes, prosrc, prosecdef, proacl, proconfig)
        FROM pg_proc WHERE oid >= 16384 OR proconfig IS NOT NULL"),
    ("types", "SELECT concat_ws(' ', typnamespace::regnamespace, typname, typtype) FROM pg_type
        WHERE oid >= 16384 AND typnamespace::regnamespace::text !~ '^pg_'"),
    ("operators", "SELECT concat_ws(' ', oprnamespace::regnamespace, oprname, oprleft, oprright, oprcode) FROM pg_operator WHERE oid >= 16384"),
    ("casts", "SELECT concat_ws(' ', castsource, casttarget, castcontext) FROM pg_cast WHERE oid >= 16384"),
    ("aggregates", "SELECT aggfnoid::text FROM pg_aggregate WHERE aggfnoid >= 16384"),
    ("rules", "SELECT concat_ws(' ', ev_class::regclass, rulename, pg_get_ruledef(oid)) FROM pg_rewrite WHERE oid >= 16384"),
    ("triggers", "SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal"),
    ("event triggers", "SELECT concat_ws(' ', evtname, evtenabled) FROM pg_event_trigger"),
    ("row security", "SELECT concat_ws(' ', polrelid::regclass, polname, pg_get_expr(polqual, polrelid)) FROM pg_policy"),
    ("large objects", "SELECT concat_ws(' ', loid, pageno, md5(data)) FROM pg_largeobject"),
    ("extensions", "SELECT extname::text FROM pg_extension"),
    ("foreign servers", "SELECT srvname::text FROM pg_foreign_server"),
    ("foreign data wrappers", "SELECT fdwname::text FROM pg_foreign_data_wrapper"),
    ("languages", "SELECT lanname::text FROM pg_language"),
    ("publications", "SELECT pubname::text FROM pg_publication"),
    ("comments", "SELECT description FROM pg_description WHERE objoid >= 16384"),
    ("default privileges", "SELECT defaclacl::text FROM pg_default_acl"),
    ("sequences", "SELECT concat_ws(' ', schemaname, sequencename, last_value) FROM pg_sequences"),
    ("prepared transactions", "SELECT gid FROM pg_prepared_xacts"),
    ("advisory locks", "SELECT concat_ws(' ', classid, objid) FROM pg_locks WHERE locktype = 'advisory'"),
    ("roles", "SELECT concat_ws(' ', rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin, rolpassword) FROM pg_authid"),
    ("memberships", "SELECT concat_ws(' ', roleid::regrole, member::regrole) FROM pg_auth_members"),
    ("settings of roles", "SELECT concat_ws(' ', CASE WHEN setdatabase = 0 THEN 'any' ELSE 'one' END, setrole::regrole, setconfig)
        FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase WHERE setdatabase = 0 OR datname = current_database()"),
    ("settings of the server", "SELECT concat_ws(' ', name, setting) FROM pg_file_settings WHERE sourcefile ~ 'auto.conf'"),
    ("databases", "SELECT datname::text FROM pg_database WHERE datname <> 'direct'"),
    ("tablespaces", "SELECT spcname::text FROM pg_tablespace"),
    ("replication slots", "SELECT slot_name::text FROM pg_replication_slots"),
];

impl Snapshot {
    /// Of the database that the client, a superuser, is connected to.
    pub(crate) async fn take(client: &Client) -> Snapshot {
        let tables = rows(client, TABLES).await;
        let digest = |name: &str, query: &str| {
            format!(
                "SELECT '{name}' || '=' || md5(coalesce(string_agg(x, chr(10) ORDER BY x COLLATE \"C\"), '')) \
                 FROM ({query}) AS x(x)"
            )
        };
        let mut parts: Vec<String> = tables
            .iter()
            .map(|table| {
                digest(
                    &table.replace('\'', "''"),
                    &format!("SELECT t::text FROM ONLY {table} t"),
                )
            })
            .collect();
        parts.extend(CATALOGUES.iter().map(|(name, query)| digest(name, query)));
        let found = settled_rows(client, &parts.join(" UNION ALL ")).await;
        let pairs = found.iter().filter_map(|row| row.rsplit_once('='));
        Snapshot(
            pairs
                .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
                .collect(),
        )
    }

    /// What is not as it was.
    pub(crate) fn changes(&self, after: &Snapshot) -> Vec<String> {
        let names = self.0.keys().chain(after.0.keys());
        let mut changed: Vec<String> = names
            .filter(|name| self.0.get(*name) != after.0.get(*name))
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        changed
    }
}

/// As [`rows`], once more when what is read goes meanwhile: the temporary tables of a session that has just ended are
/// dropped a moment later, and PostgreSQL then can't open what it found in its catalogue (XX000).
async fn settled_rows(client: &Client, sql: &str) -> Vec<String> {
    for _ in 0..20 {
        match try_rows(client, sql).await {
            Err(error) if error.code() == Some(&SqlState::INTERNAL_ERROR) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
        }
    }
    rows(client, sql).await
}

/// The first column of a query, as text.
pub(crate) async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let answer = try_rows(client, sql).await;
    answer.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

async fn try_rows(client: &Client, sql: &str) -> Result<Vec<String>, Error> {
    let answer = client.simple_query(sql).await?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(rows.collect())
}
