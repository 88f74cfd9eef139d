//! The state machine of an answer (PostgreSQL manual, "Message Flow").
//!
//! Limits that are meant: a simple-query statement may return one set of rows only, so a rule that adds a
//! second one is refused; a statement that shows no rows in its text may return none in a simple Query.

use crate::Violation;
use postern_types::{AnswerState, CopyDirection, Expect, Phase, StatementShape};
use postern_wire::{BackendMessage as M, DataRow, Fields, Frame, WireError, backend_tag, decode_backend};

/// State in which an answer ends, and the next one begins, when the database ignores everything up to the
/// next Sync. See the crate's documentation.
pub const SKIPPING: AnswerState = AnswerState {
    step: 0,
    statement: 0,
    phase: Phase::Skipping,
    columns: 0,
    rows: 0,
    step_rows: 0,
    bytes: 0,
    step_bytes: 0,
    description: Vec::new(),
};

/// Longest command tag in bytes; PostgreSQL's own buffer has 64 with the terminator.
const COMMAND_TAG_BYTES: usize = 63;

/// What a legal message means for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The answer goes on.
    More,
    /// NoticeResponse, ParameterStatus or NotificationResponse: legal between any two messages, no progress.
    Aside,
    /// CopyInResponse: the database waits for the client's data.
    CopyIn,
    /// The answer is complete.
    Done,
    /// The answer is complete, and the database ignores everything up to the next Sync.
    Skipping,
    /// An error of severity FATAL or PANIC: the database has ended the session.
    Ended,
}

/// State in which the next answer of the session begins, after an answer that is complete.
pub fn next_start(last: &AnswerState) -> AnswerState {
    if last.phase == Phase::Skipping {
        SKIPPING
    } else {
        AnswerState::default()
    }
}

/// Whether `state`, after [`settle`], is the end of an answer.
pub fn is_complete(state: &AnswerState) -> bool {
    matches!(state.phase, Phase::Done | Phase::Skipping)
}

/// Moves `state` over the steps that are answered by nothing: Flush, the end of the list, and after a failed
/// extended-query message everything up to Sync. Call it on the first state of an answer: an exchange may
/// be complete before any message has come. [`advance`] leaves every state settled.
pub fn settle(state: &mut AnswerState, steps: &[Expect]) {
    if state.phase == Phase::Skipping {
        skip_to_sync(state, steps);
        return;
    }
    while state.phase == Phase::Start {
        match steps.get(index(state.step)) {
            Some(Expect::Flush | Expect::Columns) => state.step = state.step.saturating_add(1),
            Some(_) => return,
            None => {
                state.phase = Phase::Done;
                state.description = Vec::new();
            }
        }
    }
}

fn skip_to_sync(state: &mut AnswerState, steps: &[Expect]) {
    let mut ahead = steps.iter().enumerate().skip(index(state.step));
    let sync = ahead.find(|(_, step)| **step == Expect::Sync);
    match sync.and_then(|(at, _)| u32::try_from(at).ok()) {
        Some(at) => {
            state.step = at;
            state.statement = 0;
            state.phase = Phase::Failed;
            forget_columns(state);
            state.step_rows = 0;
            state.step_bytes = 0;
        }
        None => *state = SKIPPING,
    }
}

/// Takes one message of the answer to `steps`, given by its type byte and its body without the length.
///
/// Row and byte caps, notifications and the values of settings are not judged here; see
/// [`check_part`](crate::check_part).
///
/// # Errors
/// A [`Violation`] when the message is malformed, or not legal at this point. The answer can't be continued
/// then.
pub fn advance(
    state: &mut AnswerState,
    steps: &[Expect],
    tag: u8,
    body: &[u8],
) -> Result<Progress, Violation> {
    settle(state, steps);
    if is_complete(state) {
        return Err(Violation::AfterEnd { tag });
    }
    let message = decode(tag, body)?;
    match &message {
        M::NoticeResponse(_) | M::ParameterStatus { .. } | M::NotificationResponse { .. } => {
            return Ok(Progress::Aside);
        }
        M::Authentication(_)
        | M::BackendKeyData { .. }
        | M::CopyBothResponse(_)
        | M::FunctionCallResponse
        | M::NegotiateProtocolVersion { .. } => return Err(Violation::NeverAllowed { tag }),
        M::ErrorResponse(fields) => return fail(state, steps, fields),
        _ => {}
    }
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(5);
    let input = Input {
        tag,
        bytes,
        body,
        message,
    };
    take(state, steps, &input)?;
    settle(state, steps);
    Ok(match state.phase {
        Phase::Done => Progress::Done,
        Phase::Skipping => Progress::Skipping,
        Phase::CopyIn => Progress::CopyIn,
        _ => Progress::More,
    })
}

/// A message of the answer proper.
struct Input<'a> {
    tag: u8,
    /// Of the whole message.
    bytes: u64,
    body: &'a [u8],
    message: M<'a>,
}

impl Input<'_> {
    fn out_of_turn(&self, state: &AnswerState) -> Violation {
        Violation::OutOfTurn {
            tag: self.tag,
            step: state.step,
        }
    }
}

/// Decodes a message in full.
pub(crate) fn decode(tag: u8, body: &[u8]) -> Result<M<'_>, Violation> {
    // Rows come by the million: no dispatch for them.
    let decoded = match tag {
        backend_tag::DATA_ROW => DataRow::decode(body).map(M::DataRow),
        _ => decode_backend(&Frame { tag, body, raw: body }),
    };
    match decoded {
        Ok(M::CommandComplete { tag: command }) if command.len() > COMMAND_TAG_BYTES => {
            Err(Violation::Malformed { tag })
        }
        Ok(message) => Ok(message),
        Err(WireError::UnknownTag(_)) => Err(Violation::NeverAllowed { tag }),
        Err(_) => Err(Violation::Malformed { tag }),
    }
}

fn take(state: &mut AnswerState, steps: &[Expect], input: &Input<'_>) -> Result<(), Violation> {
    let step = steps.get(index(state.step));
    let step = step.ok_or(Violation::AfterEnd { tag: input.tag })?;
    let start = state.phase == Phase::Start;
    match (step, &input.message) {
        (Expect::Query(statements), _) => in_query(state, steps, statements, input),
        (
            Expect::Execute {
                shape,
                max_rows,
                described,
            },
            _,
        ) => in_execute(state, *shape, *max_rows, *described, input),
        (Expect::DescribeStatement, _) => in_describe(state, Phase::ParametersDescribed, input),
        (Expect::DescribePortal | Expect::HiddenDescribe, _) => {
            in_describe(state, Phase::Start, input)?;
            keep_description(state, steps, input);
            Ok(())
        }
        (Expect::Parse, M::ParseComplete)
        | (Expect::Bind, M::BindComplete)
        | (Expect::Close, M::CloseComplete)
            if start =>
        {
            next_step(state);
            Ok(())
        }
        (Expect::Sync, M::ReadyForQuery(_)) if start || state.phase == Phase::Failed => {
            next_step(state);
            Ok(())
        }
        // `settle` never stops at a Flush, and never at Columns.
        (
            Expect::Columns | Expect::Parse | Expect::Bind | Expect::Close | Expect::Flush | Expect::Sync,
            _,
        ) => Err(input.out_of_turn(state)),
    }
}

/// Describe: RowDescription or NoData, for a statement after ParameterDescription.
fn in_describe(state: &mut AnswerState, ready: Phase, input: &Input<'_>) -> Result<(), Violation> {
    let columns = match &input.message {
        M::ParameterDescription(_) if state.phase == Phase::Start && ready != Phase::Start => {
            state.phase = ready;
            return Ok(());
        }
        M::RowDescription(description) if state.phase == ready => description.len(),
        M::NoData if state.phase == ready => 0,
        _ => return Err(input.out_of_turn(state)),
    };
    next_step(state);
    // That of a statement does not tell the formats of the rows, so it never counts as their description.
    forget_columns(state);
    state.columns = columns;
    Ok(())
}

/// Keeps a RowDescription for the rows to come, where the steps ask for it.
fn keep_description(state: &mut AnswerState, steps: &[Expect], input: &Input<'_>) {
    if steps.first() == Some(&Expect::Columns) && matches!(input.message, M::RowDescription(_)) {
        state.description.clear();
        state.description.extend_from_slice(input.body);
    }
}

fn forget_columns(state: &mut AnswerState) {
    state.columns = 0;
    state.description.clear();
}

/// Execute: rows without a description, then CommandComplete, PortalSuspended or EmptyQueryResponse.
fn in_execute(
    state: &mut AnswerState,
    shape: StatementShape,
    max_rows: u32,
    described: bool,
    input: &Input<'_>,
) -> Result<(), Violation> {
    match (&input.message, state.phase) {
        (M::DataRow(row), Phase::Start | Phase::Rows) if shape.rows => {
            if !described && state.phase == Phase::Start {
                // Nobody has told the number of columns; the first row does.
                forget_columns(state);
                state.columns = row.len();
            }
            take_row(state, row, input)?;
            if max_rows != 0 && state.step_rows > u64::from(max_rows) {
                return Err(Violation::ExecuteLimit { limit: max_rows });
            }
            state.phase = Phase::Rows;
        }
        (M::PortalSuspended, Phase::Start | Phase::Rows) if shape.rows && max_rows != 0 => {
            // The database stops exactly at the limit, never before it.
            if state.step_rows != u64::from(max_rows) {
                return Err(Violation::ExecuteLimit { limit: max_rows });
            }
            end_execute(state, described);
        }
        (M::EmptyQueryResponse, Phase::Start) if shape == StatementShape::default() => {
            end_execute(state, described);
        }
        (M::CommandComplete { .. }, phase) if may_complete(phase, shape) => end_execute(state, described),
        _ => in_copy(state, shape, input)?,
    }
    Ok(())
}

/// A simple Query: its statements one after the other, then ReadyForQuery.
fn in_query(
    state: &mut AnswerState,
    steps: &[Expect],
    statements: &[StatementShape],
    input: &Input<'_>,
) -> Result<(), Violation> {
    if state.phase == Phase::Failed {
        return ready(state, input);
    }
    let Some(shape) = statements.get(index(state.statement)).copied() else {
        return after_statements(state, statements, input);
    };
    match (&input.message, state.phase) {
        (M::RowDescription(description), Phase::Start) if shape.rows => {
            state.columns = description.len();
            state.phase = Phase::Rows;
            keep_description(state, steps, input);
        }
        (M::DataRow(row), Phase::Rows) => take_row(state, row, input)?,
        (M::CommandComplete { .. }, phase) if may_complete(phase, shape) => {
            state.statement = state.statement.saturating_add(1);
            state.phase = Phase::Start;
            forget_columns(state);
            state.step_rows = 0;
            state.step_bytes = 0;
        }
        _ => in_copy(state, shape, input)?,
    }
    Ok(())
}

/// A simple Query of which every statement is answered. A query without statements is answered by
/// EmptyQueryResponse, which counts as its one statement.
fn after_statements(
    state: &mut AnswerState,
    statements: &[StatementShape],
    input: &Input<'_>,
) -> Result<(), Violation> {
    if statements.is_empty() && state.statement == 0 {
        return match (&input.message, state.phase) {
            (M::EmptyQueryResponse, Phase::Start) => {
                state.statement = 1;
                Ok(())
            }
            _ => Err(input.out_of_turn(state)),
        };
    }
    match state.phase {
        Phase::Start => ready(state, input),
        _ => Err(input.out_of_turn(state)),
    }
}

fn ready(state: &mut AnswerState, input: &Input<'_>) -> Result<(), Violation> {
    match &input.message {
        M::ReadyForQuery(_) => {
            next_step(state);
            Ok(())
        }
        _ => Err(input.out_of_turn(state)),
    }
}

/// COPY inside a simple Query or an Execute.
fn in_copy(state: &mut AnswerState, shape: StatementShape, input: &Input<'_>) -> Result<(), Violation> {
    match (&input.message, state.phase, shape.copy) {
        (M::CopyInResponse(_), Phase::Start, Some(CopyDirection::In)) => state.phase = Phase::CopyIn,
        (M::CopyOutResponse(_), Phase::Start, Some(CopyDirection::Out)) => state.phase = Phase::CopyOut,
        (M::CopyData(_), Phase::CopyOut, Some(CopyDirection::Out)) => count_row(state, input),
        (M::CopyDone, Phase::CopyOut, Some(CopyDirection::Out)) => state.phase = Phase::CopyOutDone,
        _ => return Err(input.out_of_turn(state)),
    }
    Ok(())
}

/// Whether CommandComplete may come now. A COPY to or from the client can't complete before it began.
fn may_complete(phase: Phase, shape: StatementShape) -> bool {
    match phase {
        Phase::Start => shape.copy.is_none(),
        Phase::Rows => shape.rows,
        Phase::CopyIn => shape.copy == Some(CopyDirection::In),
        Phase::CopyOutDone => shape.copy == Some(CopyDirection::Out),
        Phase::ParametersDescribed | Phase::CopyOut | Phase::Failed | Phase::Done | Phase::Skipping => false,
    }
}

/// ErrorResponse. In a simple Query and at Sync it is followed by ReadyForQuery; after any other message
/// the database skips to Sync.
fn fail(state: &mut AnswerState, steps: &[Expect], fields: &Fields<'_>) -> Result<Progress, Violation> {
    if matches!(fields.severity(), Some("FATAL" | "PANIC")) {
        state.phase = Phase::Done;
        return Ok(Progress::Ended);
    }
    if state.phase == Phase::Failed {
        let (tag, step) = (backend_tag::ERROR_RESPONSE, state.step);
        return Err(Violation::OutOfTurn { tag, step });
    }
    forget_columns(state);
    state.step_rows = 0;
    state.step_bytes = 0;
    state.phase = match steps.get(index(state.step)) {
        Some(Expect::Query(_) | Expect::Sync) => Phase::Failed,
        _ => Phase::Skipping,
    };
    settle(state, steps);
    Ok(if state.phase == Phase::Skipping {
        Progress::Skipping
    } else {
        Progress::More
    })
}

fn take_row(state: &mut AnswerState, row: &DataRow<'_>, input: &Input<'_>) -> Result<(), Violation> {
    if row.len() != state.columns {
        return Err(Violation::Columns {
            expected: state.columns,
            found: row.len(),
        });
    }
    count_row(state, input);
    Ok(())
}

/// Adds a DataRow or CopyData to the totals. The database sends one CopyData for each row (and one for a
/// header line or a binary trailer), so both count as a row.
fn count_row(state: &mut AnswerState, input: &Input<'_>) {
    state.rows = state.rows.saturating_add(1);
    state.step_rows = state.step_rows.saturating_add(1);
    state.bytes = state.bytes.saturating_add(input.bytes);
    state.step_bytes = state.step_bytes.saturating_add(input.bytes);
}

/// A described portal may be executed again, so its number of columns stays.
fn end_execute(state: &mut AnswerState, described: bool) {
    next_step(state);
    if !described {
        forget_columns(state);
    }
}

fn next_step(state: &mut AnswerState) {
    state.step = state.step.saturating_add(1);
    state.statement = 0;
    state.phase = Phase::Start;
    state.step_rows = 0;
    state.step_bytes = 0;
}

/// A step number as an index; one that does not fit is past the end of every list.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
