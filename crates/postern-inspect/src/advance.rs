//! The state machine of an answer (PostgreSQL manual, "Message Flow").
//!
//! Limits that are meant: a simple-query statement may return one set of rows only, so a rule that adds a
//! second one is refused; a statement that shows no rows in its text may return none in a simple Query.

use crate::{Violation, row};
use postern_types::{AnswerState, CopyDirection, Expect, Phase, StatementShape};

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
};

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
        let sync = steps
            .iter()
            .enumerate()
            .skip(index(state.step))
            .find(|(_, step)| **step == Expect::Sync);
        match sync.and_then(|(at, _)| u32::try_from(at).ok()) {
            Some(at) => {
                state.step = at;
                state.phase = Phase::Failed;
                state.columns = 0;
                state.step_rows = 0;
            }
            None => *state = SKIPPING,
        }
        return;
    }
    while state.phase == Phase::Start {
        match steps.get(index(state.step)) {
            Some(Expect::Flush) => state.step = state.step.saturating_add(1),
            Some(_) => return,
            None => state.phase = Phase::Done,
        }
    }
}

/// Takes one message of the answer to `steps`, given by its type byte and its body without the length.
///
/// Row and byte caps, notifications and the values of settings are not judged here; see
/// [`check_part`](crate::check_part).
///
/// # Errors
/// A [`Violation`] when the message is not legal at this point. The answer can't be continued then.
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
    match tag {
        b'N' | b'S' | b'A' => return Ok(Progress::Aside),
        // Authentication, BackendKeyData, CopyBoth, FunctionCallResponse, NegotiateProtocolVersion.
        b'R' | b'K' | b'W' | b'V' | b'v' => return Err(Violation::NeverAllowed { tag }),
        b'E' => return fail(state, steps, body),
        _ => {}
    }
    let step = steps.get(index(state.step)).ok_or(Violation::AfterEnd { tag })?;
    match step {
        Expect::Query(statements) => in_query(state, statements, tag, body)?,
        Expect::Parse => only(state, b'1', tag)?,
        Expect::Bind => only(state, b'2', tag)?,
        Expect::Close => only(state, b'3', tag)?,
        Expect::DescribeStatement => in_describe(state, Phase::ParametersDescribed, tag, body)?,
        Expect::DescribePortal => in_describe(state, Phase::Start, tag, body)?,
        Expect::Execute {
            shape,
            max_rows,
            described,
        } => {
            in_execute(state, *shape, *max_rows, *described, tag, body)?;
        }
        // `settle` never stops at a Flush.
        Expect::Flush => return Err(out_of_turn(state, tag)),
        Expect::Sync => match (state.phase, tag) {
            (Phase::Start | Phase::Failed, b'Z') => next_step(state),
            _ => return Err(out_of_turn(state, tag)),
        },
    }
    settle(state, steps);
    Ok(match state.phase {
        Phase::Done => Progress::Done,
        Phase::Skipping => Progress::Skipping,
        Phase::CopyIn => Progress::CopyIn,
        _ => Progress::More,
    })
}

/// Parse, Bind and Close: one message of one type answers them.
fn only(state: &mut AnswerState, wanted: u8, tag: u8) -> Result<(), Violation> {
    if state.phase != Phase::Start || tag != wanted {
        return Err(out_of_turn(state, tag));
    }
    next_step(state);
    Ok(())
}

/// Describe: RowDescription or NoData, for a statement after ParameterDescription.
fn in_describe(state: &mut AnswerState, ready: Phase, tag: u8, body: &[u8]) -> Result<(), Violation> {
    match tag {
        b't' if state.phase == Phase::Start && ready == Phase::ParametersDescribed => {
            state.phase = Phase::ParametersDescribed;
        }
        b'T' if state.phase == ready => {
            let columns = described_columns(body)?;
            next_step(state);
            state.columns = columns;
        }
        b'n' if state.phase == ready => {
            next_step(state);
            state.columns = 0;
        }
        _ => return Err(out_of_turn(state, tag)),
    }
    Ok(())
}

/// Execute: rows without a description, then CommandComplete, PortalSuspended or EmptyQueryResponse.
fn in_execute(
    state: &mut AnswerState,
    shape: StatementShape,
    max_rows: u32,
    described: bool,
    tag: u8,
    body: &[u8],
) -> Result<(), Violation> {
    match (tag, state.phase) {
        (b'D', Phase::Start | Phase::Rows) if shape.rows => {
            let known = described || state.phase == Phase::Rows;
            let columns = take_row(state, known, body)?;
            if max_rows != 0 && state.step_rows > u64::from(max_rows) {
                return Err(Violation::ExecuteLimit { limit: max_rows });
            }
            state.columns = columns;
            state.phase = Phase::Rows;
        }
        (b's', Phase::Start | Phase::Rows) if shape.rows && max_rows != 0 => {
            // The database stops exactly at the limit, never before it.
            if state.step_rows != u64::from(max_rows) {
                return Err(Violation::ExecuteLimit { limit: max_rows });
            }
            end_execute(state);
        }
        (b'I', Phase::Start) if shape == StatementShape::default() => end_execute(state),
        (b'C', phase) if may_complete(phase, shape) => end_execute(state),
        _ => in_copy(state, shape, tag, body)?,
    }
    Ok(())
}

/// A simple Query: its statements one after the other, then ReadyForQuery.
fn in_query(
    state: &mut AnswerState,
    statements: &[StatementShape],
    tag: u8,
    body: &[u8],
) -> Result<(), Violation> {
    let Some(shape) = statements.get(index(state.statement)).copied() else {
        return after_statements(state, statements, tag);
    };
    match (tag, state.phase) {
        (b'Z', Phase::Failed) => next_step(state),
        (b'T', Phase::Start) if shape.rows => {
            state.columns = described_columns(body)?;
            state.phase = Phase::Rows;
        }
        (b'D', Phase::Rows) => {
            take_row(state, true, body)?;
        }
        (b'C', phase) if may_complete(phase, shape) => {
            state.statement = state.statement.saturating_add(1);
            state.phase = Phase::Start;
            state.columns = 0;
            state.step_rows = 0;
        }
        _ => in_copy(state, shape, tag, body)?,
    }
    Ok(())
}

/// A simple Query of which every statement is answered. A query without statements is answered by
/// EmptyQueryResponse, which counts as its one statement.
fn after_statements(
    state: &mut AnswerState,
    statements: &[StatementShape],
    tag: u8,
) -> Result<(), Violation> {
    let empty_unanswered = statements.is_empty() && state.statement == 0;
    match (tag, state.phase) {
        (b'Z', Phase::Failed) => next_step(state),
        (b'Z', Phase::Start) if !empty_unanswered => next_step(state),
        (b'I', Phase::Start) if empty_unanswered => state.statement = 1,
        _ => return Err(out_of_turn(state, tag)),
    }
    Ok(())
}

/// COPY inside a simple Query or an Execute.
fn in_copy(state: &mut AnswerState, shape: StatementShape, tag: u8, body: &[u8]) -> Result<(), Violation> {
    match (tag, state.phase, shape.copy) {
        (b'G', Phase::Start, Some(CopyDirection::In)) => state.phase = Phase::CopyIn,
        (b'H', Phase::Start, Some(CopyDirection::Out)) => state.phase = Phase::CopyOut,
        (b'd', Phase::CopyOut, Some(CopyDirection::Out)) => count_row(state, body),
        (b'c', Phase::CopyOut, Some(CopyDirection::Out)) => state.phase = Phase::CopyOutDone,
        _ => return Err(out_of_turn(state, tag)),
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
fn fail(state: &mut AnswerState, steps: &[Expect], body: &[u8]) -> Result<Progress, Violation> {
    if crate::scrub::is_fatal(body)? {
        state.phase = Phase::Done;
        return Ok(Progress::Ended);
    }
    if state.phase == Phase::Failed {
        return Err(out_of_turn(state, b'E'));
    }
    state.columns = 0;
    state.step_rows = 0;
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

/// Counts a DataRow after checking its shape; gives its number of columns.
fn take_row(state: &mut AnswerState, known: bool, body: &[u8]) -> Result<u16, Violation> {
    let found = row::columns(body).ok_or(Violation::Malformed { tag: b'D' })?;
    if known && found != state.columns {
        return Err(Violation::Columns {
            expected: state.columns,
            found,
        });
    }
    state.step_rows = state.step_rows.saturating_add(1);
    count_row(state, body);
    Ok(found)
}

/// Adds a DataRow or CopyData to the totals, with its type byte and length field. The database sends one
/// CopyData for each row (and one for a header line or a binary trailer), so both count as a row.
fn count_row(state: &mut AnswerState, body: &[u8]) {
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(5);
    state.rows = state.rows.saturating_add(1);
    state.bytes = state.bytes.saturating_add(bytes);
}

fn described_columns(body: &[u8]) -> Result<u16, Violation> {
    let count = body.first_chunk::<2>().map(|count| u16::from_be_bytes(*count));
    count
        .filter(|count| *count <= i16::MAX.unsigned_abs())
        .ok_or(Violation::Malformed { tag: b'T' })
}

fn end_execute(state: &mut AnswerState) {
    next_step(state);
    state.columns = 0;
}

fn next_step(state: &mut AnswerState) {
    state.step = state.step.saturating_add(1);
    state.statement = 0;
    state.phase = Phase::Start;
    state.step_rows = 0;
}

fn out_of_turn(state: &AnswerState, tag: u8) -> Violation {
    Violation::OutOfTurn {
        tag,
        step: state.step,
    }
}

/// A step number as an index; one that does not fit is past the end of every list.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
