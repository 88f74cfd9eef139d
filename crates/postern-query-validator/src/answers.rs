//! What the contract says of the answer to a statement, by the rules about answers.

use postern_inspect::plan::{Made, Output, PlanRefusal, Planned, Planner};
use postern_sql::Statement;
use postern_sql::resolve::{Action, Object, Origin, Place, Resolved};
use postern_types::{ColumnId, ColumnRules, CopyDirection, Refusal, SqlState, StatementRules};

/// What is known of the answer to one statement for a user with these roles. `resolved` is `None` where names are not resolved;
/// then nothing is known.
///
/// # Errors
/// The refusal where the rules refuse the statement.
pub(crate) fn rules(
    planner: &Planner,
    resolved: Option<&Resolved>,
    statement: &Statement,
    roles: &[String],
) -> Result<StatementRules, Refusal> {
    Ok(StatementRules {
        columns: columns(planner, resolved, statement, roles)?,
        copy: statement.copy.clone(),
        ..StatementRules::default()
    })
}

fn columns(
    planner: &Planner,
    resolved: Option<&Resolved>,
    statement: &Statement,
    roles: &[String],
) -> Result<ColumnRules, Refusal> {
    let copy = statement.shape.copy == Some(CopyDirection::Out);
    if !planner.goes_by_columns() || !(statement.shape.rows || copy) {
        return Ok(ColumnRules::Unknown);
    }
    let Some(resolved) = resolved else {
        return Ok(ColumnRules::Unknown);
    };
    if resolved.opaque {
        return Ok(ColumnRules::Unknown);
    }
    let planned = Planned {
        outputs: resolved
            .outputs
            .as_ref()
            .map(|outputs| outputs.iter().map(output).collect()),
        reads: resolved.uses.iter().map(used).collect(),
        conditions: conditions(resolved),
        copy,
    };
    planner
        .plan(&planned, &[], roles)
        .map_err(|refusal| refused(&refusal))
}

fn output(output: &postern_sql::resolve::Output) -> Output<'_> {
    let id = |relation: u32, attribute| ColumnId { relation, attribute };
    Output {
        name: &output.name,
        type_oid: output.type_oid.unwrap_or(0),
        made: match &output.origin {
            Origin::Direct { relation, column } => Made::Of(id(relation.0, *column)),
            Origin::Derived(from) => Made::From(
                from.iter()
                    .map(|(relation, column)| id(relation.0, *column))
                    .collect(),
            ),
            Origin::Constant => Made::From(Vec::new()),
        },
    }
}

fn used(used: &postern_sql::resolve::ColumnUse) -> ColumnId {
    ColumnId {
        relation: used.relation.0,
        attribute: used.column,
    }
}

/// The columns that decide which rows come, how many, and in what order. EXPLAIN shows none of them and tells of all.
fn conditions(resolved: &Resolved) -> Vec<ColumnId> {
    let explains = resolved
        .actions
        .iter()
        .any(|used| used.action == Action::Explain && used.object == Object::Database);
    let decides = |place: Place| match place {
        Place::Condition | Place::Join | Place::Order | Place::Group | Place::Window => true,
        // Of an argument nothing is known but that it is one; what comes of it is an output or a condition too.
        Place::Output | Place::Value | Place::Argument => explains,
    };
    let all = resolved.uses.iter().filter(|used| decides(used.place));
    all.map(used).collect()
}

fn refused(refusal: &PlanRefusal) -> Refusal {
    let text = match refusal {
        PlanRefusal::Derived | PlanRefusal::Condition => "permission denied for a column of this statement",
        PlanRefusal::Copy => "permission denied: name the columns of this COPY",
    };
    Refusal::error(SqlState::INSUFFICIENT_PRIVILEGE, text)
}
