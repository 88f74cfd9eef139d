//! One role of `policy.yaml`: read and checked.

use crate::document::{
    AccessWord, Catalog, LimitsDocument, Mode, PolicyError, RecordParameters, RoleDocument, Tenancy,
};
use crate::word::StatementWord;
use postern_types::ErrorDetail;
use serde_saphyr::Spanned;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// Longest name PostgreSQL keeps, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// One role of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) mode: Mode,
    pub(crate) database_role: String,
    pub(crate) search_path: Vec<String>,
    pub(crate) statements: BTreeSet<StatementWord>,
    pub(crate) schemas: BTreeSet<String>,
    pub(crate) catalog: bool,
    pub(crate) errors: ErrorDetail,
    pub(crate) limits: Limits,
    /// Statements that touch rows must be named ones.
    pub(crate) named: bool,
    /// Judged by access.cedar rather than by the lists.
    pub(crate) cedar: bool,
    pub(crate) require_where: bool,
    pub(crate) require_parameters: bool,
    pub(crate) max_joins: Option<u32>,
    /// Functions it may call although they are not harmless, by schema and name.
    pub(crate) functions: BTreeSet<(String, String)>,
    /// `None` where the role does not say.
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) record_statements: bool,
    /// Values of all parameters are recorded as hashes.
    pub(crate) record_parameters: bool,
}

/// Limits of a role; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most rows in the answer to one exchange.
    pub max_rows: Option<u64>,
    /// Most bytes of rows in the answer to one exchange.
    pub max_bytes: Option<u64>,
    /// Most bytes of one SQL text.
    pub max_statement_bytes: Option<u64>,
    /// Longest run of one statement in milliseconds.
    pub statement_timeout_ms: Option<u32>,
    /// Most statements of one user in a second, all sessions together; as many at once after a pause.
    pub max_statements_per_s: Option<NonZeroU32>,
}

impl Role {
    /// What is wrong goes into `mistakes`; the role is then not used.
    pub(crate) fn new(
        document: Spanned<RoleDocument>,
        defaults: LimitsDocument,
        mistakes: &mut Vec<PolicyError>,
    ) -> Role {
        mistakes.extend(contradictions(&document));
        let role = document.value;
        let mut keep = |checked: Result<(), PolicyError>| mistakes.extend(checked.err());
        keep(check_name(&role.database_role));
        let listed = role.schemas.iter().flatten();
        listed.for_each(|schema| keep(check_name(schema)));
        let schemas: BTreeSet<String> = role.schemas.iter().flatten().map(|s| s.value.clone()).collect();
        let search_path = match role.search_path.as_ref().map(read_search_path).transpose() {
            Ok(path) => path.unwrap_or_default(),
            Err(mistake) => {
                keep(Err(mistake));
                Vec::new()
            }
        };
        let by_lists = role.access != Some(AccessWord::Cedar) && !role.named;
        if matches!(role.mode, Mode::Enforce | Mode::Shadow)
            && by_lists
            && let Some(path) = &role.search_path
            && let Some(missing) = search_path.iter().find(|schema| !schemas.contains(*schema))
        {
            keep(Err(PolicyError::at(
                path,
                format!(
                    "`{missing}` is searched for unqualified names but is not among `schemas`; add it there"
                ),
            )));
        }
        let mut functions = BTreeSet::new();
        for function in role.functions.iter().flatten() {
            match function_name(function) {
                Ok(name) => _ = functions.insert(name),
                Err(mistake) => keep(Err(mistake)),
            }
        }
        Role {
            mode: role.mode,
            database_role: role.database_role.value,
            search_path,
            statements: role.statements.into_iter().flatten().collect(),
            schemas,
            catalog: role.catalog == Some(Catalog::Read),
            errors: role.errors.unwrap_or(ErrorDetail::Full),
            limits: limits(role.limits, defaults),
            named: role.named,
            cedar: role.access == Some(AccessWord::Cedar),
            require_where: role.require_where,
            require_parameters: role.require_parameters,
            max_joins: role.max_joins,
            functions,
            tenancy: role.tenancy,
            record_statements: role.record_statements,
            record_parameters: role.record_parameters == Some(RecordParameters::Hash),
        }
    }

    /// How the rows of other tenants are kept away; a role that does not say has to prove it.
    pub(crate) fn tenancy(&self, tenants: bool) -> Tenancy {
        if !tenants || self.mode == Mode::Open {
            return Tenancy::None;
        }
        self.tenancy.unwrap_or(Tenancy::Prove)
    }

    /// Its rules ask for names that are resolved against the catalogue.
    pub(crate) fn needs_catalog(&self) -> bool {
        self.mode != Mode::Open
            && (self.cedar || self.require_where || self.require_parameters || self.max_joins.is_some())
    }
}

/// Keys of a role that say nothing beside each other.
fn contradictions(document: &Spanned<RoleDocument>) -> Option<PolicyError> {
    let role = &document.value;
    let listed = role.statements.is_some() || role.schemas.is_some();
    let ruled = role.access.is_some()
        || role.named
        || role.require_where
        || role.require_parameters
        || role.max_joins.is_some()
        || role.functions.is_some();
    if role.mode == Mode::Open && (listed || role.catalog.is_some()) {
        return Some(PolicyError::at(
            document,
            "a role with `mode: open` may run anything, so `statements`, `schemas` and `catalog` \
             say nothing; remove them or use `mode: enforce`",
        ));
    }
    if role.mode == Mode::Open && (ruled || role.tenancy.is_some_and(|t| t != Tenancy::None)) {
        return Some(PolicyError::at(
            document,
            "a role with `mode: open` may run anything, so its other rules say nothing; remove them or use \
             `mode: learn`, `shadow` or `enforce`",
        ));
    }
    if role.access == Some(AccessWord::Cedar) && listed {
        return Some(PolicyError::at(
            document,
            "a role with `access: cedar` is judged by access.cedar, so `statements` and `schemas` say \
             nothing; remove them or use `access: lists`",
        ));
    }
    None
}

/// SCHEMA.NAME, or NAME for a function of PostgreSQL.
fn function_name(text: &Spanned<String>) -> Result<(String, String), PolicyError> {
    let (schema, name) = text.value.split_once('.').unwrap_or(("pg_catalog", &text.value));
    let fine =
        |part: &str| !part.is_empty() && part.len() <= MAX_NAME_BYTES && !part.contains(['.', '(', ' ']);
    if fine(schema) && fine(name) {
        Ok((schema.to_owned(), name.to_owned()))
    } else {
        Err(PolicyError::at(
            text,
            "a function is written SCHEMA.NAME, without arguments; without a schema it is one of PostgreSQL's",
        ))
    }
}

fn limits(own: LimitsDocument, defaults: LimitsDocument) -> Limits {
    Limits {
        max_rows: own.max_rows.or(defaults.max_rows),
        max_bytes: own.max_bytes.or(defaults.max_bytes),
        max_statement_bytes: own.max_statement_bytes.or(defaults.max_statement_bytes),
        statement_timeout_ms: own.statement_timeout_ms.or(defaults.statement_timeout_ms),
        max_statements_per_s: own.max_statements_per_s.or(defaults.max_statements_per_s),
    }
}

/// A schema or role name as PostgreSQL keeps it: upper case is meant literally.
pub(crate) fn check_name(name: &Spanned<String>) -> Result<(), PolicyError> {
    let text = &name.value;
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.contains('\0') {
        return Err(PolicyError::at(name, "a name has 1 to 63 bytes"));
    }
    if text.starts_with("pg_") || text == "information_schema" {
        return Err(PolicyError::at(
            name,
            format!("`{text}` belongs to PostgreSQL; for reading the catalogue use `catalog: read`"),
        ));
    }
    Ok(())
}

/// A list of plain names separated by commas. Quoting and `$user` are not offered: what is written here
/// must mean the same to people, to this policy and to PostgreSQL.
fn read_search_path(path: &Spanned<String>) -> Result<Vec<String>, PolicyError> {
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && name.len() <= MAX_NAME_BYTES
            && !name.starts_with("pg_")
    };
    path.value
        .split(',')
        .map(|name| {
            let name = name.trim();
            plain(name).then(|| name.to_owned()).ok_or_else(|| {
                PolicyError::at(
                    path,
                    "search_path is one or more plain lower-case schema names, separated by commas",
                )
            })
        })
        .collect()
}
