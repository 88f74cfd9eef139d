//! What a policy says of a text.

use postern_policy::{Denial, Finding, Policy, Source, Who};
use postern_sql::canonical::whole_statements;
use postern_sql::resolve::{Names, ResolveError, analyse_and_resolve};
use postern_sql::{Analysis, SqlLimits, StatementKind};

/// What a policy says of a whole text: it runs if all of its statements may.
pub(super) struct Opinion {
    /// One for each statement.
    pub(super) statements: Vec<StatementOpinion>,
    /// Why the text was refused before any statement of it was looked at.
    pub(super) refused: Option<String>,
}

/// What it says of one statement.
pub(super) struct StatementOpinion {
    pub(super) kind: StatementKind,
    /// It may run, by this.
    pub(super) allowed: Option<String>,
    /// The named statement that it is.
    pub(super) named: Option<String>,
    pub(super) denial: Option<Denial>,
    pub(super) findings: Vec<Finding>,
    /// What is demanded of its values.
    pub(super) demands: Vec<String>,
}

impl Opinion {
    /// Whether the text may run, as far as that can be told without its parameters.
    pub(super) fn allowed(&self) -> bool {
        self.refused.is_none() && self.statements.iter().all(|one| one.allowed.is_some())
    }

    /// The rule that decided against it.
    pub(super) fn against(&self) -> Option<String> {
        let denied = || self.statements.iter().find_map(|one| one.denial.as_ref());
        self.refused
            .clone()
            .or_else(|| denied().map(|denial| denial.rule.clone()))
    }
}

/// Judges a text as if the policy were enforced. `None` when the policy lacks one of the roles.
pub(super) fn of(
    policy: &Policy,
    user: &str,
    roles: &[String],
    tenant: Option<&str>,
    text: &str,
) -> Option<Opinion> {
    let rights = policy.rights(roles)?;
    let limits = SqlLimits::default();
    let refused = |why: String| {
        Some(Opinion {
            statements: Vec::new(),
            refused: Some(why),
        })
    };
    if let Err(refusal) = rights.judge_length(text) {
        return refused(refusal.to_string());
    }
    let (analysis, resolved) = match rights.catalog() {
        None => match postern_sql::analyse(text, &limits) {
            Ok(analysis) => (analysis, None),
            Err(error) => return refused(format!("{}: {error}", error.code)),
        },
        Some(catalog) => {
            let names = Names {
                catalog,
                search_path: rights.search_path(),
            };
            match analyse_and_resolve(text, &names, &limits) {
                Ok((analysis, resolved)) => (analysis, Some(resolved)),
                Err(error) => return refused(format!("{}: {error}", error.code)),
            }
        }
    };
    let named = named(&rights, text, &analysis, &limits);
    let who = Who { user, tenant };
    let missing = ResolveError {
        code: postern_types::SqlState::INTERNAL_ERROR,
        message: "the statement was not resolved".to_owned(),
        position: None,
    };
    let statements = analysis.statements.iter().zip(named).enumerate();
    let statements = statements.map(|(index, (statement, named))| {
        let resolved = resolved.as_ref().map(|resolved| match resolved {
            Ok(all) => all.get(index).ok_or(&missing),
            Err(error) => Err(error),
        });
        let judged = rights.decide(&who, statement, resolved);
        let absolute = judged.outcome.as_ref().is_err_and(|denial| denial.absolute);
        if let Some(name) = named.filter(|_| !absolute) {
            return StatementOpinion {
                kind: statement.kind,
                allowed: Some(format!("named statement {name}")),
                named: Some(name),
                denial: None,
                findings: Vec::new(),
                demands: Vec::new(),
            };
        }
        let (allowed, demands, denial) = match judged.outcome {
            Ok(demands) => {
                let met = |demand: &postern_policy::Demand| match &demand.source {
                    Source::Literal(_) => demand.holds_for_literal(tenant.unwrap_or_default()),
                    Source::Parameter(_) => true,
                };
                if demands.iter().all(met) {
                    let by = judged.role.map(|role| format!("role {role}"));
                    let parameters = demands.iter().filter_map(postern_policy::Demand::parameter);
                    (
                        by,
                        parameters.map(|n| format!("${n} is the user's tenant")).collect(),
                        None,
                    )
                } else {
                    let denial = Denial {
                        refusal: postern_types::Refusal::error(
                            postern_types::SqlState::INSUFFICIENT_PRIVILEGE,
                            "permission denied",
                        ),
                        rule: "tenancy: a value is not the tenant of the session".to_owned(),
                        objects: Vec::new(),
                        absolute: false,
                    };
                    (None, Vec::new(), Some(denial))
                }
            }
            Err(denial) => (None, Vec::new(), Some(denial)),
        };
        StatementOpinion {
            kind: statement.kind,
            allowed,
            named: None,
            denial,
            findings: judged.findings,
            demands,
        }
    });
    Some(Opinion {
        statements: statements.collect(),
        refused: None,
    })
}

/// Names of the named statements among those of a text, one entry for each.
fn named(
    rights: &postern_policy::Rights<'_>,
    text: &str,
    analysis: &Analysis,
    limits: &SqlLimits,
) -> Vec<Option<String>> {
    let mut found = vec![None; analysis.statements.len()];
    if rights.runs_named()
        && let Ok(Some(statements)) = whole_statements(text, limits)
    {
        for (name, statement) in found.iter_mut().zip(&statements) {
            *name = rights
                .find_named(&statement.canonical)
                .map(|found| found.statement.name.clone());
        }
    }
    found
}
