//! From files to an index: every mistake is told.

use super::annotation::{Annotations, At, Mistakes, Tenant, pairs};
use super::{NamedIndex, NamedStatement, TenantRule};
use crate::document::PolicyError;
use postern_sql::canonical::{ListSlots, Pattern, PatternError, Written, written};
use postern_sql::{SqlLimits, StatementKind, SyntaxError};
use postern_types::{Keep, Mask};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn files(
    files: &[(impl AsRef<str>, impl AsRef<str>)],
    roles: &[&str],
) -> Result<NamedIndex, Vec<PolicyError>> {
    let mut statements = Vec::new();
    let mut mistakes = Vec::new();
    for (path, text) in files {
        let mut of_file = Mistakes::new(path.as_ref());
        match written(text.as_ref()) {
            Ok(found) => {
                for one in &found {
                    statements.extend(statement(path.as_ref(), one, roles, &mut of_file).map(Arc::new));
                }
            }
            Err(error) => {
                let line = line_of(text.as_ref(), &error);
                of_file.add(line, error.message);
            }
        }
        mistakes.append(&mut of_file.found);
    }
    mistakes.extend(doubles(&statements));
    if mistakes.is_empty() {
        Ok(NamedIndex::of(statements))
    } else {
        Err(mistakes)
    }
}

/// The line of a text that an error is at, from 1.
fn line_of(text: &str, error: &SyntaxError) -> u64 {
    let characters = error.position.map_or(0, |position| position.saturating_sub(1));
    let passed = text.chars().take(usize::try_from(characters).unwrap_or(0));
    let ends = passed.filter(|c| *c == '\n').count();
    u64::try_from(ends).unwrap_or(0).saturating_add(1)
}

fn statement(
    file: &str,
    written: &Written,
    roles: &[&str],
    mistakes: &mut Mistakes<'_>,
) -> Option<NamedStatement> {
    let before = mistakes.found.len();
    let annotations = Annotations::read(&written.before, mistakes);
    if written.sql.is_empty() {
        let annotated = written.before.iter().find(|comment| !pairs(comment).is_empty());
        if let Some(comment) = annotated {
            mistakes.add(comment.line, "these annotations have no statement behind them");
        }
        return None;
    }
    for comment in &written.inside {
        if !pairs(comment).is_empty() {
            mistakes.add(
                comment.line,
                "an annotation stands in front of its statement; move it there",
            );
        }
    }
    let name = required(
        annotations.name.as_ref(),
        "-- name: get_user_by_id",
        written,
        mistakes,
    );
    let of_roles = required(annotations.roles.as_ref(), "-- roles: app", written, mistakes);
    if let Some(of_roles) = &annotations.roles {
        for role in of_roles
            .value
            .iter()
            .filter(|role| !roles.contains(&role.as_str()))
        {
            mistakes.add(
                of_roles.line,
                format!("policy.yaml has no role `{role}`; mend the name or add the role there"),
            );
        }
    }
    let pattern = pattern(&annotations.lists, written, mistakes)?;
    let columns = Columns {
        outputs: pattern.canonical().outputs(),
    };
    let masks = annotations
        .masks
        .as_ref()
        .map(|masks| columns.masks(masks, mistakes))
        .unwrap_or_default();
    let tenant = annotations
        .tenant
        .as_ref()
        .and_then(|tenant| columns.tenant(tenant, &pattern, mistakes));
    let types = annotations
        .types
        .as_ref()
        .map(|types| check_types(types, &pattern, mistakes))
        .unwrap_or_default();
    let record = annotations
        .record
        .as_ref()
        .map(|record| check_record(record, &pattern, mistakes))
        .unwrap_or_default();
    let read_only = annotations.read_only.as_ref().is_some_and(|flag| flag.value);
    if let Some(flag) = annotations.read_only.as_ref().filter(|flag| flag.value) {
        check_read_only(flag.line, &pattern, mistakes);
    }
    if mistakes.found.len() != before {
        return None;
    }
    Some(NamedStatement {
        name: name?,
        roles: of_roles?,
        sql: written.sql.clone(),
        max_rows: annotations.max_rows.map(|at| at.value),
        max_bytes: annotations.max_bytes.map(|at| at.value),
        masks,
        outputs: columns.outputs,
        tenant,
        timeout_ms: annotations.timeout_ms.map(|at| at.value),
        read_only,
        types,
        record,
        file: file.to_owned(),
        line: written.line,
        pattern,
    })
}

fn required<T: Clone>(
    value: Option<&At<T>>,
    example: &str,
    written: &Written,
    mistakes: &mut Mistakes<'_>,
) -> Option<T> {
    if value.is_none() {
        mistakes.add(
            written.line,
            format!("the statement needs an annotation in front of it such as `{example}`"),
        );
    }
    value.map(|at| at.value.clone())
}

fn pattern(lists: &[At<ListSlots>], written: &Written, mistakes: &mut Mistakes<'_>) -> Option<Pattern> {
    let slots = lists.iter().map(|at| at.value.clone()).collect();
    match Pattern::new(&written.sql, slots, &SqlLimits::default()) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let line = match &error {
                PatternError::Syntax(error) => {
                    let inside = line_of(&written.sql, error).saturating_sub(1);
                    written.line.saturating_add(inside)
                }
                PatternError::List { first, .. } => lists
                    .iter()
                    .find(|at| at.value.first == *first)
                    .map_or(written.line, |at| at.line),
                _ => written.line,
            };
            mistakes.add(line, error.to_string());
            None
        }
    }
}

/// The columns of a statement's answer.
struct Columns {
    outputs: Option<Vec<Option<String>>>,
}

impl Columns {
    fn position(&self, column: &str) -> Result<u16, String> {
        let Some(outputs) = &self.outputs else {
            return Err(format!(
                "where column `{column}` is can't be told; name the columns instead of `*`, and give the \
                 statement an answer if it has none"
            ));
        };
        let mut found = outputs
            .iter()
            .enumerate()
            .filter(|(_, name)| name.as_deref() == Some(column));
        let (Some((position, _)), None) = (found.next(), found.next()) else {
            return Err(format!(
                "the answer must have one column `{column}`; give a column that name with AS"
            ));
        };
        u16::try_from(position).map_err(|_| format!("column `{column}` is too far to the right"))
    }

    fn masks(&self, masks: &At<Vec<(String, Mask)>>, mistakes: &mut Mistakes<'_>) -> Vec<(u16, Mask)> {
        let mut found: Vec<(u16, Mask)> = Vec::new();
        for (column, mask) in &masks.value {
            match self.position(column) {
                Ok(position) if found.iter().any(|(known, _)| *known == position) => {
                    mistakes.add(masks.line, format!("column `{column}` is masked twice; keep one"));
                }
                Ok(position) => found.push((position, mask.clone())),
                Err(message) => mistakes.add(masks.line, message),
            }
        }
        found
    }

    fn tenant(
        &self,
        tenant: &At<Tenant>,
        pattern: &Pattern,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<TenantRule> {
        match &tenant.value {
            Tenant::Column(column) => match self.position(column) {
                Ok(position) => Some(TenantRule::Column(position)),
                Err(message) => {
                    mistakes.add(tenant.line, message);
                    None
                }
            },
            Tenant::Slot(slot) if *slot > pattern.slots() => {
                mistakes.add(tenant.line, format!("the statement has no slot ${slot}"));
                None
            }
            Tenant::Slot(slot)
                if pattern
                    .lists()
                    .iter()
                    .any(|list| list.first <= *slot && *slot <= list.last) =>
            {
                mistakes.add(
                    tenant.line,
                    format!("${slot} is in a list; compare the tenant outside of it"),
                );
                None
            }
            Tenant::Slot(slot) => Some(TenantRule::Slot(*slot)),
        }
    }
}

fn check_record(
    record: &At<Vec<(u16, Keep)>>,
    pattern: &Pattern,
    mistakes: &mut Mistakes<'_>,
) -> Vec<(u16, Keep)> {
    let mut known: Vec<(u16, Keep)> = Vec::new();
    for (slot, keep) in &record.value {
        if *slot > pattern.slots() {
            mistakes.add(record.line, format!("the statement has no slot ${slot}"));
        } else if known.iter().any(|(one, _)| one == slot) {
            mistakes.add(record.line, format!("${slot} is recorded twice; keep one"));
        } else {
            known.push((*slot, *keep));
        }
    }
    known
}

fn check_types(types: &At<Vec<u32>>, pattern: &Pattern, mistakes: &mut Mistakes<'_>) -> Vec<u32> {
    if types.value.len() != usize::from(pattern.slots()) {
        mistakes.add(
            types.line,
            format!(
                "`types` names {} types, and the statement has {} slots",
                types.value.len(),
                pattern.slots()
            ),
        );
    }
    types.value.clone()
}

/// What is said to only read must be a SELECT, and so must everything inside of it. What a function does is
/// left to the database, which runs the statement in a read-only transaction.
fn check_read_only(line: u64, pattern: &Pattern, mistakes: &mut Mistakes<'_>) {
    let statement = pattern.statement();
    let reads = |kind: &StatementKind| matches!(kind, StatementKind::Select | StatementKind::Show);
    if !reads(&statement.kind) || !statement.parts.iter().all(reads) {
        mistakes.add(line, "`read_only` is for statements that only SELECT");
    }
}

/// Names that are used twice, and statements that are there twice for one role.
fn doubles(statements: &[Arc<NamedStatement>]) -> Vec<PolicyError> {
    let mut mistakes = Vec::new();
    let mut names: HashMap<&str, &NamedStatement> = HashMap::new();
    let mut texts: HashMap<[u8; 32], Vec<&NamedStatement>> = HashMap::new();
    for named in statements {
        let mut add = |message: String| {
            mistakes.push(PolicyError {
                line: Some(named.line),
                ..PolicyError::of(&named.file, message)
            });
        };
        if let Some(other) = names.insert(&named.name, named) {
            add(format!(
                "the name `{}` is taken by {}:{}; choose another",
                named.name, other.file, other.line
            ));
        }
        let same = texts.entry(named.pattern.canonical().digest()).or_default();
        for other in same.iter() {
            if let Some(role) = named.roles.iter().find(|role| other.roles.contains(role)) {
                add(format!(
                    "role `{role}` has this very statement as `{}` in {}:{}; keep one of them",
                    other.name, other.file, other.line
                ));
            }
        }
        same.push(named);
    }
    mistakes
}
