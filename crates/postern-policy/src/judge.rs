//! The decision on one statement.

use crate::document::Mode;
use crate::policy::{Rights, Role};
use crate::word::{Listing, StatementWord, listing};
use crate::{functions, settings};
use postern_sql::{Access, FunctionUse, Statement, StatementKind, TableUse};
use postern_types::{Refusal, SqlState};

/// Tables of the catalogue with secrets, other sessions' doings, or samples of rows.
const SECRET_CATALOG: [&str; 26] = [
    "pg_authid",
    "pg_shadow",
    "pg_user_mapping",
    "pg_user_mappings",
    "pg_foreign_server",
    "pg_subscription",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_stat_activity",
    "pg_stat_statements",
    "pg_stat_ssl",
    "pg_stat_gssapi",
    "pg_stat_replication",
    "pg_stat_subscription",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_cursors",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_db_role_setting",
];

fn denied(what: impl std::fmt::Display) -> Refusal {
    Refusal::error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for {what}"),
    )
}

impl Rights<'_> {
    /// Decides on one statement: it may run if one of the user's roles allows all of it.
    ///
    /// # Errors
    /// The refusal for the client, which tells nothing about the rule.
    pub fn judge(&self, statement: &Statement) -> Result<(), Refusal> {
        self.check_for_all(statement)?;
        let mut first = None;
        for role in &self.roles {
            match self.check_role(role, statement) {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    first.get_or_insert(refusal);
                }
            }
        }
        Err(first.unwrap_or_else(|| denied("statement")))
    }

    /// Decides on the length of a text, before it is parsed.
    ///
    /// # Errors
    /// 54000 when it is longer than the policy allows.
    pub fn judge_length(&self, text: &str) -> Result<(), Refusal> {
        match self.limits().max_statement_bytes {
            Some(limit) if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit => Err(Refusal::error(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the statement is longer than is allowed here; use parameters for its values",
            )),
            _ => Ok(()),
        }
    }

    fn check_for_all(&self, statement: &Statement) -> Result<(), Refusal> {
        for change in &statement.settings {
            settings::check(self, None, change)?;
        }
        // An UPDATE of this view is a set_config.
        let by_update = |table: &TableUse| table.access == Access::Write && table.name == "pg_settings";
        if statement.tables.iter().any(by_update) {
            return Err(denied("view pg_settings"));
        }
        Ok(())
    }

    fn check_role(&self, role: &Role, statement: &Statement) -> Result<(), Refusal> {
        if role.mode == Mode::Open {
            return Ok(());
        }
        for kind in std::iter::once(&statement.kind).chain(&statement.parts) {
            check_kind(role, *kind)?;
        }
        for change in &statement.settings {
            settings::check(self, Some(role), change)?;
        }
        if statement.kind == StatementKind::Show && !settings::may_show(&statement.shown) {
            return Err(denied("parameter"));
        }
        for table in &statement.tables {
            self.check_table(role, table)?;
        }
        for function in &statement.functions {
            check_function(role, function)?;
        }
        for schema in &statement.schemas {
            let fine = matches!(schema.as_str(), "pg_catalog" | "information_schema")
                || role.schemas.contains(schema);
            if !fine {
                return Err(denied(format_args!("schema {schema}")));
            }
        }
        Ok(())
    }

    fn check_table(&self, role: &Role, table: &TableUse) -> Result<(), Refusal> {
        let refusal = || Err(denied(format_args!("table {}", table.name)));
        // Nothing is gained by naming the database, and nothing is known about another one.
        if table.catalog.is_some() {
            return refusal();
        }
        let schema = match table.schema.as_deref() {
            // pg_catalog is searched before everything else, and its names begin so.
            None if table.name.starts_with("pg_") => "pg_catalog",
            None => {
                let path = self.search_path();
                let fine = !path.is_empty() && path.iter().all(|schema| role.schemas.contains(schema));
                return if fine { Ok(()) } else { refusal() };
            }
            Some(schema) => schema,
        };
        let fine = match schema {
            "pg_catalog" | "information_schema" => {
                role.catalog && table.access == Access::Read && !SECRET_CATALOG.contains(&table.name.as_str())
            }
            schema => role.schemas.contains(schema),
        };
        if fine { Ok(()) } else { refusal() }
    }
}

fn check_kind(role: &Role, kind: StatementKind) -> Result<(), Refusal> {
    let allowed = match listing(kind) {
        Listing::Word(word) => role.statements.contains(&word),
        Listing::Free => true,
        Listing::Never => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Refusal::error(
            SqlState::INSUFFICIENT_PRIVILEGE,
            "permission denied: this kind of statement is not allowed here",
        ))
    }
}

fn check_function(role: &Role, function: &FunctionUse) -> Result<(), Refusal> {
    // It is a SET in another form: what it sets is judged with the settings.
    let sets = function.name == "set_config" && role.statements.contains(&StatementWord::Set);
    let built_in = sets || functions::is_allowed(&function.name, role.catalog);
    let allowed = match function.schema.as_deref() {
        None | Some("pg_catalog") => built_in,
        Some("information_schema") => role.catalog,
        Some(schema) => role.schemas.contains(schema),
    };
    if allowed {
        Ok(())
    } else {
        Err(denied(format_args!("function {}", function.name)))
    }
}
