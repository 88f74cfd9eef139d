//! Functions of PostgreSQL by name: which a role may call without a rule that names them.
//!
//! What is not known here is refused: functions of later versions too, until a rule or `functions:` names them.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Those that do nothing but give a value, apart from those that begin with `pg_`.
static HARMLESS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("functions/harmless.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
});

/// Functions that reach files, other connections, other sessions, the server's configuration, or run SQL
/// that is given as text.
const REFUSED: [&str; 30] = [
    "set_config",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "table_to_xml",
    "table_to_xmlschema",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xmlschema",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xmlschema",
    "database_to_xml_and_xmlschema",
    "ts_stat",
    "ts_rewrite",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "connectby",
    "loread",
    "lowrite",
    "setval",
    "set_curcfg",
    "set_limit",
    "xpath_table",
    "inet_server_addr",
    "inet_server_port",
];

/// Families by the beginning of their names.
const REFUSED_PREFIXES: [&str; 6] = [
    "lo_",
    "dblink",
    "binary_upgrade_",
    "postgres_fdw_",
    "file_fdw_",
    "be_lo_",
];

/// What begins with `pg_` and is harmless.
const ALLOWED: [&str; 30] = [
    "pg_typeof",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_backend_pid",
    "pg_column_size",
    "pg_column_compression",
    "pg_is_in_recovery",
    "pg_get_serial_sequence",
    "pg_client_encoding",
    "pg_input_is_valid",
    "pg_input_error_info",
    "pg_my_temp_schema",
    "pg_is_other_temp_schema",
    "pg_trigger_depth",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_jit_available",
    "pg_safe_snapshot_blocking_pids",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_unlock_all",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
];

/// What begins with `pg_` and describes the catalogue, for roles that may read it.
const ALLOWED_WITH_CATALOG: [&str; 29] = [
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_get_expr",
    "pg_get_indexdef",
    "pg_get_constraintdef",
    "pg_get_viewdef",
    "pg_get_userbyid",
    "pg_get_keywords",
    "pg_get_partkeydef",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_triggerdef",
    "pg_get_ruledef",
    "pg_get_statisticsobjdef_columns",
    "pg_table_is_visible",
    "pg_type_is_visible",
    "pg_function_is_visible",
    "pg_operator_is_visible",
    "pg_opclass_is_visible",
    "pg_collation_is_visible",
    "pg_encoding_to_char",
    "pg_char_to_encoding",
    "pg_relation_size",
    "pg_total_relation_size",
    "pg_table_size",
    "pg_indexes_size",
    "pg_size_pretty",
    "pg_relation_is_publishable",
];

/// Stable functions that tell what there is in the database and who may do what with it, for roles that may read
/// the catalogue. So do `to_reg…` and `has_…_privilege`.
const TELLING: [&str; 6] = [
    "col_description",
    "obj_description",
    "shobj_description",
    "row_security_active",
    "inet_client_port",
    "aclexplode",
];

/// Whether it gives a value and does nothing else. `catalog` is for roles that may read the catalogue.
pub(crate) fn is_allowed(name: &str, catalog: bool) -> bool {
    if name.starts_with("pg_") {
        return ALLOWED.contains(&name) || (catalog && ALLOWED_WITH_CATALOG.contains(&name));
    }
    HARMLESS.contains(name) || (catalog && is_telling(name))
}

fn is_telling(name: &str) -> bool {
    let privilege = name.starts_with("has_") && name.ends_with("_privilege");
    privilege || name.starts_with("to_reg") || TELLING.contains(&name) || postern_sql::is_name_type(name)
}

/// Of a family that reaches out of the statement, wherever it was installed.
pub(crate) fn is_refused_anywhere(name: &str) -> bool {
    REFUSED.contains(&name) || REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether an immutable or stable function of `pg_catalog` with this name was found to do nothing but give a
/// value. The functions of operators and casts are among them.
pub(crate) fn is_reviewed(name: &str, catalog: bool) -> bool {
    let of_operators = name.starts_with("pg_lsn_") || name.starts_with("pg_snapshot_");
    of_operators || is_allowed(name, catalog)
}
