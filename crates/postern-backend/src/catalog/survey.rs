//! How a database guards itself, as far as the Backend's login role can see it. Read by `postern doctor`, which knows
//! what to make of it; nothing is judged here.

use super::{objects, run};
use crate::server::Server;
use anyhow::Context as _;
use serde_json::{Value, json};

const SERVER: &str = "
SELECT json_strip_nulls(json_build_object(
    'server_version', current_setting('server_version_num')::int,
    'ssl', current_setting('ssl')::bool,
    'connection_tls', (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl),
    'password_encryption', current_setting('password_encryption'),
    'log_connections', current_setting('log_connections'),
    'login', session_user,
    'owned', (
        SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
        WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = session_user),
    'hba_readable', has_table_privilege('pg_hba_file_rules', 'select')
        AND has_function_privilege('pg_hba_file_rules()', 'execute')))";

/// The login role and all that it may take on.
const ROLES: &str = "
WITH RECURSIVE reachable(oid) AS (
    SELECT oid FROM pg_roles WHERE rolname = session_user
    UNION SELECT m.roleid FROM pg_auth_members m JOIN reachable ON m.member = reachable.oid)
SELECT json_build_object(
    'name', r.rolname,
    'superuser', r.rolsuper,
    'bypassrls', r.rolbypassrls,
    'createrole', r.rolcreaterole,
    'createdb', r.rolcreatedb,
    'replication', r.rolreplication,
    'inherit', r.rolinherit)
FROM pg_roles r JOIN reachable USING (oid)";

const TABLES: &str = "
WITH RECURSIVE reachable(oid) AS (
    SELECT oid FROM pg_roles WHERE rolname = session_user
    UNION SELECT m.roleid FROM pg_auth_members m JOIN reachable ON m.member = reachable.oid)
SELECT json_strip_nulls(json_build_object(
    'schema', n.nspname,
    'name', c.relname,
    'owner', pg_get_userbyid(c.relowner),
    'is_view', c.relkind IN ('v', 'm'),
    'row_security', c.relrowsecurity,
    'row_security_forced', c.relforcerowsecurity,
    'columns', coalesce((
        SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
    'grants', coalesce((
        SELECT json_object_agg(r.rolname, p.held)
        FROM reachable JOIN pg_roles r USING (oid) CROSS JOIN LATERAL (
            SELECT json_agg(lower(w.word)) AS held
            FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) w(word)
            WHERE has_table_privilege(r.oid, c.oid, w.word)) p
        WHERE p.held IS NOT NULL), '{}')))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Schemas in which everybody may make things.
const OPEN_SCHEMAS: &str = "
SELECT to_json(nspname::text) FROM pg_namespace
WHERE nspname !~ '^pg_' AND has_schema_privilege('public', oid, 'CREATE')";

const HBA: &str = "
SELECT json_strip_nulls(json_build_object(
    'line', line_number, 'type', type, 'database', database, 'user', user_name,
    'address', address, 'netmask', netmask, 'method', auth_method, 'error', error))
FROM pg_hba_file_rules";

/// Reads all of it; the transaction and an empty search path are there.
///
/// # Errors
/// When the database refuses, or answers something unexpected.
pub(super) async fn read(server: &mut Server) -> anyhow::Result<Value> {
    let about: Vec<Value> = objects(server, SERVER).await?;
    let about = about
        .into_iter()
        .next()
        .context("the database does not say what it is")?;
    let roles: Vec<Value> = objects(server, ROLES).await?;
    let tables: Vec<Value> = objects(server, TABLES).await?;
    let open_schemas: Vec<Value> = objects(server, OPEN_SCHEMAS).await?;
    let hba: Option<Vec<Value>> = match about.get("hba_readable").and_then(Value::as_bool) {
        Some(true) => Some(objects(server, HBA).await?),
        _ => None,
    };
    run(server, "COMMIT").await?;
    Ok(json!({
        "server": about,
        "roles": roles,
        "tables": tables,
        "open_schemas": open_schemas,
        "hba": hba,
    }))
}
