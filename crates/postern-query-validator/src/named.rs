//! Named statements: what runs in place of what the client wrote (P4).
//!
//! The text that goes on is the policy's. Of the client's messages only values get into what is sent: those of
//! a Bind, put into the order of the policy's parameters, and literals, as parameters in text format. What
//! is told to the client about parameters is in the client's own numbering.

use postern_policy::{Match, NamedStatement, Rights, TenantRule};
use postern_sql::canonical::{Value, whole_statements};
use postern_sql::{Analysis, SqlLimits};
use postern_types::ring::{BoundStatement, Effects, Guard};
use postern_types::{ColumnRule, ColumnRules, Mask, Refusal, SqlState, StatementRules};
use postern_wire::{BindValues, bind_tail};
use std::sync::Arc;

/// One statement of a text, as it runs.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    /// The client's own text, where the statement needs no name.
    own: String,
    /// The named statement that it is.
    named: Option<Match>,
    block: Option<bool>,
    /// A COPY or a DEALLOCATE: the Backend has to see it as it is.
    only_as_text: bool,
}

/// The statements of a text of which at least one is named.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pieces: Vec<Piece>,
}

/// Looks for named statements in a text: one entry for each statement. Empty when there are none to look for.
pub(crate) fn find(rights: &Rights<'_>, text: &str, limits: &SqlLimits) -> Vec<(Option<Match>, String)> {
    if !rights.runs_named() {
        return Vec::new();
    }
    let Ok(Some(statements)) = whole_statements(text, limits) else {
        return Vec::new();
    };
    statements
        .iter()
        .map(|statement| {
            let own = text.get(statement.span.clone()).unwrap_or_default();
            (rights.find_named(&statement.canonical), own.trim().to_owned())
        })
        .collect()
}

impl Run {
    /// `None` where no statement is named: the client's text runs if the policy lets it.
    pub(crate) fn of(found: Vec<(Option<Match>, String)>, analysis: &Analysis) -> Option<Run> {
        if found.iter().all(|(named, _)| named.is_none()) {
            return None;
        }
        let pieces = found
            .into_iter()
            .zip(&analysis.statements)
            .map(|((named, own), statement)| Piece {
                own: if named.is_some() { String::new() } else { own },
                named,
                block: statement.effects.block,
                only_as_text: statement.shape.copy.is_some() || statement.effects.deallocates.is_some(),
            })
            .collect();
        Some(Run { pieces })
    }

    /// Whether the statement of this index is a named one.
    pub(crate) fn is_named(&self, index: usize) -> bool {
        self.pieces.get(index).is_some_and(|piece| piece.named.is_some())
    }

    /// The first named statement.
    pub(crate) fn first(&self) -> Option<Arc<NamedStatement>> {
        let named = self.pieces.iter().find_map(|piece| piece.named.as_ref())?;
        Some(Arc::clone(&named.statement))
    }

    /// The named statements.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Match> {
        self.pieces.iter().filter_map(|piece| piece.named.as_ref())
    }

    /// The only statement of a prepared text, where it is a named one.
    pub(crate) fn single(&self) -> Option<&Match> {
        match self.pieces.as_slice() {
            [piece] => piece.named.as_ref(),
            _ => None,
        }
    }

    /// What a simple Query runs: the text, and the statements with their values apart where the text alone
    /// does not say it.
    ///
    /// # Errors
    /// The refusal for the client.
    pub(crate) fn query(&self, tenant: Option<&str>) -> Result<(String, Vec<BoundStatement>), Refusal> {
        for found in self.named() {
            if let Some(number) = first_parameter(found) {
                return Err(no_parameter(number));
            }
            check_literal(found, tenant)?;
        }
        let texts: Vec<&str> = self.pieces.iter().map(Piece::text).collect();
        // A text may end in a comment.
        let text = texts.join("\n;\n");
        let apart = |piece: &Piece| {
            piece
                .named
                .as_ref()
                .is_some_and(|found| !found.bound.values.is_empty() || !guard(found).is_none())
        };
        if !self.pieces.iter().any(apart) {
            return Ok((text, Vec::new()));
        }
        if self.pieces.iter().any(|piece| piece.only_as_text) {
            return Err(Refusal::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "COPY and DEALLOCATE can't be sent together with this statement; send them alone",
            ));
        }
        let bound = self.pieces.iter().map(|piece| piece.bound(tenant)).collect();
        Ok((text, bound))
    }

    /// What is known of the answer to each statement.
    pub(crate) fn tighten(&self, rules: &mut [StatementRules]) {
        for (piece, rules) in self.pieces.iter().zip(rules) {
            if let Some(found) = &piece.named {
                tighten(found, rules);
            }
        }
    }
}

impl Piece {
    fn text(&self) -> &str {
        match &self.named {
            Some(found) => &found.sql,
            None => &self.own,
        }
    }

    fn bound(&self, tenant: Option<&str>) -> BoundStatement {
        let Some(found) = &self.named else {
            return BoundStatement {
                sql: self.own.clone(),
                parameter_types: Vec::new(),
                values: Vec::new(),
                block: self.block,
                guard: Guard::default(),
            };
        };
        let value = |(at, value): (usize, &Value)| match value {
            _ if found.tenant == Some(at) => tenant.map(str::to_owned),
            Value::Literal(literal) => literal.text.clone(),
            // There are none in a simple Query.
            Value::Parameter(_) => None,
        };
        BoundStatement {
            sql: found.sql.clone(),
            parameter_types: types(found, &[]),
            values: found.bound.values.iter().enumerate().map(value).collect(),
            block: self.block,
            guard: guard(found),
        }
    }
}

/// How a named statement is to run.
pub(crate) fn guard(found: &Match) -> Guard {
    Guard {
        read_only: found.statement.read_only,
        timeout_ms: found.statement.timeout_ms,
    }
}

/// The types for the Parse of the policy's text: `declared` are the client's, for the client's parameters.
///
/// # Errors
/// When the client declares parameters that its statement does not have, or another type than the policy.
pub(crate) fn parameter_types(found: &Match, declared: &[u32]) -> Result<Vec<u32>, Refusal> {
    let own = found.bound.own_parameters();
    if declared.len() > own {
        return Err(no_parameter(own.saturating_add(1)));
    }
    let contradicts = |(value, policy): (&Value, &u32)| match value {
        Value::Parameter(number) => {
            let client = of_client(declared, *number);
            client != 0 && *policy != 0 && client != *policy
        }
        Value::Literal(_) => false,
    };
    if found.bound.values.iter().zip(&found.types).any(contradicts) {
        return Err(Refusal::error(
            SqlState::INSUFFICIENT_PRIVILEGE,
            "permission denied: a parameter of this statement is declared with a type that is not allowed here",
        ));
    }
    Ok(types(found, declared))
}

/// Type by type: the policy's, or the client's, or that of the literal.
pub(crate) fn types(found: &Match, declared: &[u32]) -> Vec<u32> {
    let one = |(at, (value, policy)): (usize, (&Value, &u32))| match value {
        _ if *policy != 0 => *policy,
        // Its text is the ticket's, so it has no type but that of its place.
        _ if found.tenant == Some(at) => 0,
        Value::Parameter(number) => of_client(declared, *number),
        Value::Literal(literal) => literal.kind.type_oid(),
    };
    let values = found.bound.values.iter().zip(&found.types);
    values.enumerate().map(one).collect()
}

fn of_client(declared: &[u32], number: u16) -> u32 {
    let at = usize::from(number).checked_sub(1);
    at.and_then(|at| declared.get(at)).copied().unwrap_or(0)
}

/// Where a client that asks for its parameters finds them among those of the policy's text. `None` when they
/// are the same.
pub(crate) fn order(found: &Match) -> Option<Vec<u16>> {
    let values = &found.bound.values;
    let own: Vec<u16> = (1..=found.bound.own_parameters())
        .filter_map(|number| {
            let number = u16::try_from(number).ok()?;
            let at = values
                .iter()
                .position(|value| *value == Value::Parameter(number))?;
            u16::try_from(at).ok()
        })
        .collect();
    let same = own.len() == values.len() && own.iter().copied().eq((0..=u16::MAX).take(own.len()));
    (!same).then_some(own)
}

/// The tail of a Bind for the policy's text. `None` when it is the client's as it came.
///
/// # Errors
/// The refusal for the client.
pub(crate) fn bind(
    found: &Match,
    statement: &str,
    tail: &[u8],
    tenant: Option<&str>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let client = BindValues::new(tail).map_err(|error| error.refusal())?;
    let own = found.bound.own_parameters();
    if client.len() != own {
        return Err(Refusal::error(
            SqlState::PROTOCOL_VIOLATION,
            format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {own}",
                client.len()
            ),
        ));
    }
    check_literal(found, tenant)?;
    if order(found).is_none() && found.tenant.is_none() {
        return Ok(None);
    }
    let given: Vec<(bool, Option<&[u8]>)> = client.iter().collect();
    let mut values = Vec::with_capacity(found.bound.values.len());
    for (at, value) in found.bound.values.iter().enumerate() {
        let value = match value {
            Value::Literal(literal) => (false, literal.text.as_deref().map(str::as_bytes)),
            Value::Parameter(number) => {
                let place = usize::from(*number).checked_sub(1);
                place
                    .and_then(|place| given.get(place))
                    .copied()
                    .unwrap_or((false, None))
            }
        };
        if found.tenant == Some(at) {
            let tenant = tenant.ok_or_else(another_tenant)?;
            if !is_tenant(value, tenant) {
                return Err(another_tenant());
            }
            // Whatever type the database takes it for, it is the tenant.
            values.push((false, Some(tenant.as_bytes())));
        } else {
            values.push(value);
        }
    }
    bind_tail(&values, client.result_formats())
        .map(Some)
        .map_err(|error| Refusal::error(SqlState::PROGRAM_LIMIT_EXCEEDED, error.to_string()))
}

/// A literal in the tenant's place must be the tenant.
///
/// # Errors
/// 42501.
pub(crate) fn check_literal(found: &Match, tenant: Option<&str>) -> Result<(), Refusal> {
    let Some(at) = found.tenant else {
        return Ok(());
    };
    let tenant = tenant.ok_or_else(another_tenant)?;
    match found.bound.values.get(at) {
        Some(Value::Parameter(_)) => Ok(()),
        Some(Value::Literal(literal)) if literal.text.as_deref() == Some(tenant) => Ok(()),
        Some(Value::Literal(_)) | None => Err(another_tenant()),
    }
}

/// Whether a client that means the tenant could have sent this, for some type of the parameter: the text, or a
/// whole number or a UUID in binary.
fn is_tenant((binary, value): (bool, Option<&[u8]>), tenant: &str) -> bool {
    let Some(value) = value else { return false };
    if value == tenant.as_bytes() {
        return true;
    }
    if !binary {
        return false;
    }
    let number = match value.len() {
        2 => value.try_into().ok().map(i16::from_be_bytes).map(i64::from),
        4 => value.try_into().ok().map(i32::from_be_bytes).map(i64::from),
        8 => value.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    };
    if let Some(number) = number {
        return number.to_string() == tenant;
    }
    value.len() == 16 && is_uuid(value, tenant)
}

/// Whether `text` is these sixteen bytes in the usual spelling.
fn is_uuid(value: &[u8], text: &str) -> bool {
    let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let spelled: Option<Vec<&str>> = groups.into_iter().map(|group| digits.get(group)).collect();
    spelled.is_some_and(|groups| groups.join("-").eq_ignore_ascii_case(text))
}

fn first_parameter(found: &Match) -> Option<usize> {
    found.bound.values.iter().find_map(|value| match value {
        Value::Parameter(number) => Some(usize::from(*number)),
        Value::Literal(_) => None,
    })
}

/// PostgreSQL's own answer.
fn no_parameter(number: usize) -> Refusal {
    let code = SqlState::parse("42P02").unwrap_or(SqlState::SYNTAX_ERROR);
    Refusal::error(code, format!("there is no parameter ${number}"))
}

fn another_tenant() -> Refusal {
    Refusal::error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        "permission denied: the statement is not about the tenant of this session",
    )
}

/// Puts what the policy says of a named statement's answer on top of what is known already.
fn tighten(found: &Match, rules: &mut StatementRules) {
    let named = &found.statement;
    rules.max_rows = lower(rules.max_rows, named.max_rows);
    rules.max_bytes = lower(rules.max_bytes, named.max_bytes);
    let Some(outputs) = &named.outputs else { return };
    let tenant = match named.tenant {
        Some(TenantRule::Column(column)) => Some(usize::from(column)),
        Some(TenantRule::Slot(_)) | None => None,
    };
    if named.masks.is_empty() && tenant.is_none() {
        return;
    }
    let mut columns = match std::mem::take(&mut rules.columns) {
        ColumnRules::Listed(columns) => columns,
        ColumnRules::Unknown | ColumnRules::Plain => vec![ColumnRule::default(); outputs.len()],
    };
    for (column, mask) in &named.masks {
        if let Some(rule) = columns.get_mut(usize::from(*column))
            && rule.mask != Some(Mask::Null)
        {
            rule.mask = Some(mask.clone());
        }
    }
    if let Some(rule) = tenant.and_then(|column| columns.get_mut(column)) {
        rule.tenant = true;
    }
    rules.columns = ColumnRules::Listed(columns);
}

fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What is told with an Execute of a statement.
pub(crate) fn of_execute(effects: &Effects, run: Option<&Run>) -> Effects {
    Effects {
        block: effects.block,
        guard: run.and_then(Run::single).map(guard).unwrap_or_default(),
        ..Effects::default()
    }
}
