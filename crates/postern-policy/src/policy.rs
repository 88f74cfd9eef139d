//! The policy in memory, and the rights of one user under it.

use crate::document::{self, Catalog, LimitsDocument, Mode, PolicyError, RoleDocument};
use crate::word::StatementWord;
use postern_types::ErrorDetail;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};

/// Longest name PostgreSQL keeps, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// A policy that has been read and checked.
#[derive(Clone, Debug)]
pub struct Policy {
    roles: BTreeMap<String, Role>,
}

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
}

/// What one user may do: each of the user's roles allows what it allows. The database role, the
/// search_path and the limits are those of the first role.
#[derive(Clone, Debug)]
pub struct Rights<'a> {
    pub(crate) first: &'a Role,
    pub(crate) roles: Vec<&'a Role>,
}

impl Policy {
    /// Reads `policy.yaml`.
    ///
    /// # Errors
    /// When it is not YAML, has an unknown field, or contradicts itself.
    pub fn parse(yaml: &str) -> Result<Policy, PolicyError> {
        let document = document::read(yaml)?;
        if document.version.value != 1 {
            return Err(PolicyError::at(
                &document.version,
                "this build reads policies of `version: 1` only",
            ));
        }
        let mut roles = BTreeMap::new();
        for (name, role) in document.roles {
            roles.insert(name, Role::new(role, document.limits)?);
        }
        Ok(Policy { roles })
    }

    /// Names of its roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// The rights of a user with these roles. `None` when there is no role, or one that the policy does not
    /// have: a mistyped role must not leave the user with the rest of them.
    pub fn rights(&self, roles: &[String]) -> Option<Rights<'_>> {
        let roles: Vec<&Role> = roles
            .iter()
            .map(|name| self.roles.get(name))
            .collect::<Option<_>>()?;
        let first = roles.first().copied()?;
        Some(Rights { first, roles })
    }
}

impl Rights<'_> {
    /// Role to take on in the database.
    pub fn database_role(&self) -> &str {
        &self.first.database_role
    }

    /// Schemas to search for unqualified names; empty when the policy leaves it to the database.
    pub fn search_path(&self) -> &[String] {
        &self.first.search_path
    }

    /// Limits of what the user may do.
    pub fn limits(&self) -> Limits {
        self.first.limits
    }

    /// How much of an error the user may be told.
    pub fn error_detail(&self) -> ErrorDetail {
        self.first.errors
    }

    /// May hear what others NOTIFY.
    pub fn may_listen(&self) -> bool {
        self.is_open()
            || self
                .roles
                .iter()
                .any(|role| role.statements.contains(&StatementWord::Listen))
    }

    /// Held to no list.
    pub fn is_open(&self) -> bool {
        self.roles.iter().any(|role| role.mode == Mode::Open)
    }
}

impl Role {
    fn new(document: Spanned<RoleDocument>, defaults: LimitsDocument) -> Result<Role, PolicyError> {
        if document.value.mode == Mode::Open && is_listed(&document.value) {
            return Err(PolicyError::at(
                &document,
                "a role with `mode: open` may run anything, so `statements`, `schemas` and `catalog` \
                 say nothing; remove them or use `mode: enforce`",
            ));
        }
        let role = document.value;
        let name = |text: &Spanned<String>| check_name(text).map(|()| text.value.clone());
        let schemas: BTreeSet<String> = role
            .schemas
            .iter()
            .flatten()
            .map(name)
            .collect::<Result<_, _>>()?;
        let search_path = match &role.search_path {
            Some(path) => read_search_path(path)?,
            None => Vec::new(),
        };
        if role.mode == Mode::Enforce
            && let Some(path) = &role.search_path
            && let Some(missing) = search_path.iter().find(|schema| !schemas.contains(*schema))
        {
            return Err(PolicyError::at(
                path,
                format!(
                    "`{missing}` is searched for unqualified names but is not among `schemas`; add it there"
                ),
            ));
        }
        check_name(&role.database_role)?;
        Ok(Role {
            mode: role.mode,
            database_role: role.database_role.value,
            search_path,
            statements: role.statements.into_iter().flatten().collect(),
            schemas,
            catalog: role.catalog == Some(Catalog::Read),
            errors: role.errors.unwrap_or(ErrorDetail::Full),
            limits: limits(role.limits, defaults),
        })
    }
}

fn is_listed(role: &RoleDocument) -> bool {
    role.statements.is_some() || role.schemas.is_some() || role.catalog.is_some()
}

fn limits(own: LimitsDocument, defaults: LimitsDocument) -> Limits {
    Limits {
        max_rows: own.max_rows.or(defaults.max_rows),
        max_bytes: own.max_bytes.or(defaults.max_bytes),
        max_statement_bytes: own.max_statement_bytes.or(defaults.max_statement_bytes),
        statement_timeout_ms: own.statement_timeout_ms.or(defaults.statement_timeout_ms),
    }
}

/// A schema or role name as PostgreSQL keeps it: upper case is meant literally.
fn check_name(name: &Spanned<String>) -> Result<(), PolicyError> {
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
