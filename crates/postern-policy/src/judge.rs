//! The decision on one statement.

use crate::access::{self, Principal};
use crate::document::{Mode, Tenancy};
use crate::policy::Rights;
use crate::role::Role;
use crate::settings;
use crate::verdict::{Denial, Finding, Judgement};
use crate::word::{Listing, listing};
use postern_sql::resolve::{ResolveError, Resolved};
use postern_sql::{Access, Statement, StatementKind, TableUse};
use postern_types::{Refusal, SqlState};

/// Tables of the catalogue with secrets, other sessions' doings, or samples of rows.
pub(crate) const SECRET_CATALOG: [&str; 26] = [
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

pub(crate) fn denied(what: impl std::fmt::Display) -> Refusal {
    Refusal::error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for {what}"),
    )
}

/// Who a statement is judged for, besides the roles.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The name given at sign-in.
    pub user: &'a str,
    /// The user's tenant.
    pub tenant: Option<&'a str>,
}

/// What the client is told by rules that tell nothing about themselves.
fn not_allowed() -> Refusal {
    Refusal::error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        "permission denied: the policy does not allow this statement",
    )
}

impl Rights<'_> {
    /// Decides on one statement by the lists of `policy.yaml` alone: it may run if one of the user's roles
    /// allows all of it.
    ///
    /// # Errors
    /// The refusal for the client, which tells nothing about the rule.
    pub fn judge(&self, statement: &Statement) -> Result<(), Refusal> {
        let nobody = Who {
            user: "",
            tenant: None,
        };
        match self.decide(&nobody, statement, None).outcome {
            Ok(_) => Ok(()),
            Err(denial) => Err(denial.refusal),
        }
    }

    /// Decides on one statement, as if the policy were enforced. `resolved` is needed where
    /// [`Rights::catalog`] gives a catalogue, and is `None` otherwise.
    pub fn decide(
        &self,
        who: &Who<'_>,
        statement: &Statement,
        resolved: Option<Result<&Resolved, &ResolveError>>,
    ) -> Judgement {
        let mut findings = Vec::new();
        let (outcome, role) = match self.outcome(who, statement, resolved, &mut findings) {
            Ok((demands, role)) => (Ok(demands), role),
            Err(denial) => (Err(denial), None),
        };
        Judgement {
            outcome,
            role,
            findings,
        }
    }

    fn outcome(
        &self,
        who: &Who<'_>,
        statement: &Statement,
        resolved: Option<Result<&Resolved, &ResolveError>>,
        findings: &mut Vec<Finding>,
    ) -> Result<(Vec<crate::Demand>, Option<String>), Denial> {
        self.check_for_all(statement).map_err(|refusal| Denial {
            absolute: true,
            ..Denial::new(refusal, "what nobody may change")
        })?;
        if let Some((name, _)) = self.roles.iter().find(|(_, role)| role.mode == Mode::Open) {
            return Ok((Vec::new(), Some((*name).to_owned())));
        }
        let resolved = match resolved {
            Some(Ok(resolved)) => Some(resolved),
            Some(Err(error)) => return Err(unresolved(error)),
            None => None,
        };
        let role = self.by_a_role(who, statement, resolved, findings)?;
        let demands = self.by_tenancy(resolved, findings)?;
        Ok((demands, Some(role)))
    }

    /// The role that lets the statement through; those with `access: cedar` do so together.
    fn by_a_role(
        &self,
        who: &Who<'_>,
        statement: &Statement,
        resolved: Option<&Resolved>,
        findings: &mut Vec<Finding>,
    ) -> Result<String, Denial> {
        let mut first = None;
        for (name, role) in self.roles.iter().filter(|(_, role)| !role.cedar) {
            let judged = self
                .check_role(role, statement)
                .map_err(|refusal| Denial::new(refusal, format!("lists of role {name}")))
                .and_then(|()| constraints(name, role, resolved));
            match judged {
                Ok(()) => {
                    findings.push(Finding::allowed(statement.kind.name(), format!("role {name}")));
                    return Ok((*name).to_owned());
                }
                Err(denial) => {
                    findings.push(Finding::refused(statement.kind.name(), denial.rule.clone()));
                    first.get_or_insert(denial);
                }
            }
        }
        let cedar: Vec<(&str, &Role)> = self
            .roles
            .iter()
            .filter(|(_, role)| role.cedar)
            .copied()
            .collect();
        if let Some((name, _)) = cedar.first() {
            match self.by_access_rules(who, &cedar, statement, resolved, findings) {
                Ok(()) => return Ok((*name).to_owned()),
                Err(denial) => _ = first.get_or_insert(denial),
            }
        }
        Err(first.unwrap_or_else(|| Denial::new(not_allowed(), "no role")))
    }

    fn by_access_rules(
        &self,
        who: &Who<'_>,
        cedar: &[(&str, &Role)],
        statement: &Statement,
        resolved: Option<&Resolved>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Denial> {
        let (Some(rules), Some(catalog), Some(resolved)) = (&self.parts.rules, &self.parts.catalog, resolved)
        else {
            return Err(Denial::new(not_allowed(), "no catalogue"));
        };
        for (name, role) in cedar {
            if role.named && needs_name(statement.kind) {
                return Err(only_named(name));
            }
            constraints(name, role, Some(resolved))?;
        }
        let names: Vec<&str> = cedar.iter().map(|(name, _)| *name).collect();
        let asked = findings.len();
        let case = access::Case {
            rules,
            catalog,
            roles: cedar,
            who: Principal {
                user: who.user,
                roles: &names,
                tenant: who.tenant,
            },
            statement,
            resolved,
        };
        access::decide(&case, findings);
        let against = || findings.iter().skip(asked).filter(|finding| !finding.allowed);
        let Some(first) = against().next() else {
            return Ok(());
        };
        Err(Denial {
            objects: against().map(|finding| finding.what.clone()).collect(),
            ..Denial::new(not_allowed(), first.rule.clone())
        })
    }

    /// Whether the statement keeps to one tenant, and what has to hold of its values for that.
    fn by_tenancy(
        &self,
        resolved: Option<&Resolved>,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<crate::Demand>, Denial> {
        let tenancy = self.tenancy();
        let Some(tenants) = self.parts.tenants.as_ref().filter(|_| tenancy != Tenancy::None) else {
            return Ok(Vec::new());
        };
        let (Some(catalog), Some(resolved)) = (&self.parts.catalog, resolved) else {
            return Err(Denial::new(not_allowed(), "no catalogue"));
        };
        let touched = tenants.touched(resolved, catalog);
        if touched.is_empty() {
            return Ok(Vec::new());
        }
        if matches!(tenancy, Tenancy::Rls | Tenancy::Both) {
            let open: Vec<String> = touched
                .iter()
                .filter(|relation| !relation.row_security)
                .map(|relation| format!("table {}.{}", relation.schema, relation.name))
                .collect();
            if !open.is_empty() {
                let rule = "tenancy: row-level security is not on";
                findings.extend(open.iter().map(|table| Finding::refused(table, rule)));
                return Err(Denial {
                    objects: open,
                    ..Denial::new(not_allowed(), rule)
                });
            }
        }
        if tenancy == Tenancy::Rls {
            // It does not hold for these.
            return tenants
                .refuse_whole(resolved, catalog)
                .map_or(Ok(Vec::new()), |table| {
                    let rule = "tenancy: row-level security does not hold for TRUNCATE";
                    findings.push(Finding::refused(&table, rule));
                    Err(Denial {
                        objects: vec![table],
                        ..Denial::new(not_allowed(), rule)
                    })
                });
        }
        match tenants.prove(resolved, catalog) {
            Ok(demands) => {
                findings.push(Finding::allowed(
                    "rows of other tenants",
                    "tenancy: shown to be out of reach",
                ));
                Ok(demands)
            }
            Err(places) => {
                let rule = "tenancy: not shown to keep to the rows of one tenant";
                findings.extend(places.iter().map(|place| Finding::refused(place, rule)));
                Err(Denial {
                    objects: places,
                    ..Denial::new(not_allowed(), rule)
                })
            }
        }
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
        if role.named && needs_name(statement.kind) {
            return Err(not_allowed());
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
            self.check_call(role, function)?;
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

    pub(crate) fn check_table(&self, role: &Role, table: &TableUse) -> Result<(), Refusal> {
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

/// What a role asks of a statement besides what it touches.
fn constraints(name: &str, role: &Role, resolved: Option<&Resolved>) -> Result<(), Denial> {
    let Some(resolved) = resolved else {
        let asks = role.require_where || role.require_parameters || role.max_joins.is_some();
        return if asks {
            Err(Denial::new(not_allowed(), "no catalogue"))
        } else {
            Ok(())
        };
    };
    let broken = if role.require_where && !resolved.has_where {
        "require_where"
    } else if role.require_parameters && resolved.literals {
        "require_parameters"
    } else if role.max_joins.is_some_and(|most| resolved.joins > most) {
        "max_joins"
    } else {
        return Ok(());
    };
    Err(Denial::new(not_allowed(), format!("{broken} of role {name}")))
}

fn unresolved(error: &ResolveError) -> Denial {
    let refusal = Refusal {
        code: error.code,
        message: error.message.clone(),
        position: error.position,
        fatal: false,
    };
    Denial::new(refusal, "its names can't be resolved")
}

fn only_named(name: &str) -> Denial {
    Denial::new(not_allowed(), format!("named of role {name}"))
}

/// Whether a role that is held to named statements needs a name for this kind. Written as a full list, so that
/// a new kind has to be thought about.
fn needs_name(kind: StatementKind) -> bool {
    use StatementKind as K;
    match kind {
        K::Select
        | K::Insert
        | K::Update
        | K::Delete
        | K::Merge
        | K::Prepare
        | K::Execute
        | K::DeclareCursor { .. }
        // It brings the rows of a cursor without the masks and caps of the statement that declared it.
        | K::Fetch
        | K::Copy { .. }
        | K::Explain
        | K::Lock
        | K::Truncate
        | K::Ddl
        | K::Do
        | K::Call
        | K::Load
        | K::Maintenance
        | K::Other => true,
        K::Transaction(_)
        | K::Set
        | K::SetLocal
        | K::Show
        | K::Reset
        | K::ResetAll
        | K::Discard { .. }
        | K::Deallocate
        | K::CloseCursor
        | K::Listen
        | K::Unlisten
        | K::Notify => false,
    }
}
