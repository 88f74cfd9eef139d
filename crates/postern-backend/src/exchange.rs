//! Runs one exchange: plans it, sends it, and turns what PostgreSQL answers into parts.

use crate::definitions::{note_changes, tells_of_change};
use crate::inbox::Run;
use crate::plan::{self, Context, Judged};
use crate::pool::{ADOPT_TIMEOUT, put_on};
use crate::replies::{Fate, Op, Replies, Reply, Treatment};
use crate::server::Io;
use crate::session::Session;
use crate::statements::Change;
use postern_inspect::{Expectations, SKIPPING, advance, is_complete, settle, steps_digest};
use postern_types::ring::{Deallocate, DirtyBody, Effects, Verdict};
use postern_types::{AnswerState, Expect, Refusal, SqlState, StateDigest};
use postern_wire::{
    BackendMessage, Frame, FrontendMessage, Limits, TransactionStatus, backend_frame, decode_backend,
    frontend_messages,
};
use std::collections::VecDeque;
use std::rc::Rc;

/// The session can't go on; the client is told why.
pub(crate) struct Lost(pub(crate) Refusal);

/// Bytes for PostgreSQL that may wait before no more CopyData is taken.
const MAX_UNWRITTEN: usize = 512 * 1024;

/// Something came that the protocol does not allow. Nothing is known about the connection any more.
pub(crate) fn broken_protocol() -> Lost {
    Lost(Refusal::fatal(
        SqlState::INTERNAL_ERROR,
        "the answer of the database could not be understood",
    ))
}

fn outcome_unknown() -> Lost {
    Lost(Refusal::fatal(
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        "the connection to the database was lost; whether the last statement took effect is unknown",
    ))
}

/// An answer being given.
struct Answer {
    run: Run,
    replies: Replies,
    /// State after everything in `payload`.
    state: AnswerState,
    /// State before `payload`.
    part_state: AnswerState,
    part: u32,
    payload: Vec<u8>,
    /// Counts changes of definitions; its value when the exchange was planned.
    schema_epoch: u64,
    /// Something in `payload` came from PostgreSQL. What the Backend says by itself waits for that, rather
    /// than going ahead as a part of its own.
    from_database: bool,
    /// PostgreSQL has ended the session.
    ended: bool,
    /// Digest of the steps, where the Response Validator goes by columns.
    steps: Option<StateDigest>,
    /// For each message whether a Describe of our own comes before it.
    hidden: Vec<bool>,
}

/// Runs an exchange of a session to its end.
///
/// # Errors
/// `Lost` when the session can't go on.
pub(crate) async fn run(session: &mut Session, run: Run) -> Result<(), Lost> {
    session.contract.clone_from(&run.contract);
    let limits = Limits {
        query_bytes: u32::MAX >> 1,
        parse_bytes: u32::MAX >> 1,
        ..Limits::default()
    };
    let payload = run.payload.clone();
    let messages: Vec<(FrontendMessage<'_>, &[u8])> = frontend_messages(&payload, &limits)
        .collect::<Result<_, _>>()
        .map_err(|_| broken_exchange())?;
    if messages.len() != run.verdicts.len() || messages.is_empty() {
        return Err(broken_exchange());
    }
    // The answer is told by its steps, so they must be those of these very messages.
    let only: Vec<FrontendMessage<'_>> = messages.iter().map(|(message, _)| *message).collect();
    let hidden = Expectations::retrace(&only, &run.steps).ok_or_else(broken_exchange)?;
    let by_columns = run.steps.first() == Some(&Expect::Columns);
    let steps = by_columns.then(|| steps_digest(&run.steps));
    let verdicts = run.verdicts.clone();
    let judged: Vec<Judged<'_>> = messages
        .iter()
        .zip(&verdicts)
        .map(|((message, raw), verdict)| (*message, *raw, verdict))
        .collect();

    let start = if session.skipping {
        SKIPPING
    } else {
        AnswerState::default()
    };
    let mut answer = Answer {
        run,
        replies: Replies::default(),
        state: start.clone(),
        part_state: start,
        part: 0,
        payload: Vec::new(),
        schema_epoch: 0,
        from_database: false,
        ended: false,
        steps,
        hidden,
    };
    settle(&mut answer.state, &answer.run.steps);

    if session.server.is_none() {
        if let Some(refusal) = refused_before_anything(&judged) {
            return answer_locally(session, answer, Some(refusal));
        }
        if judged
            .iter()
            .all(|(message, ..)| matches!(message, FrontendMessage::Sync))
        {
            return answer_locally(session, answer, None);
        }
        if let Err(refusal) = take_connection(session, answer.run.exchange).await? {
            return answer_locally(session, answer, Some(refusal));
        }
    }
    if session.reapply && !session.unsynced {
        put_profile_on_again(session).await?;
    }
    begin(session, &mut answer, &judged)?;
    drive(session, &mut answer).await?;
    if !is_complete(&answer.state) {
        return Err(broken_exchange());
    }
    conclude(session, &mut answer, &verdicts);
    Ok(())
}

/// After RESET ALL or DISCARD ALL: role, tenant and settings are set again before anything else runs.
async fn put_profile_on_again(session: &mut Session) -> Result<(), Lost> {
    let profile = Rc::clone(&session.profile);
    if let Some(server) = session
        .server
        .as_mut()
        .filter(|s| s.status != TransactionStatus::Failed)
    {
        let applied = tokio::time::timeout(ADOPT_TIMEOUT, put_on(server, &profile, false)).await;
        if !matches!(applied, Ok(Ok(()))) {
            return Err(outcome_unknown());
        }
        session.reapply = false;
    }
    Ok(())
}

fn broken_exchange() -> Lost {
    Lost(Refusal::fatal(
        SqlState::PROTOCOL_VIOLATION,
        "the messages of this query do not fit together",
    ))
}

/// Outside a transaction, a refusal that comes first needs no database: nothing is there to fail.
fn refused_before_anything(judged: &[Judged<'_>]) -> Option<Refusal> {
    let ends_ready = judged
        .last()
        .is_some_and(|(m, ..)| matches!(m, FrontendMessage::Sync | FrontendMessage::Query { .. }));
    match judged.first() {
        Some((_, _, Verdict::Refuse(refusal))) if ends_ready => Some(refusal.clone()),
        _ => None,
    }
}

/// Gets a connection, unless the exchange is cancelled or the session ends meanwhile.
async fn take_connection(session: &mut Session, exchange: u64) -> Result<Result<(), Refusal>, Lost> {
    let shared = Rc::clone(&session.shared);
    let inbox = Rc::clone(&session.inbox);
    let acquire = shared.pool.acquire(session.preferred, &session.profile);
    tokio::pin!(acquire);
    loop {
        tokio::select! {
            server = &mut acquire => {
                return Ok(server.map(|server| {
                    session.preferred = server.id;
                    session.reapply = false;
                    session.server = Some(server);
                }));
            }
            () = inbox.wake.notified() => {
                if inbox.is_ending() {
                    inbox.wake.notify_one();
                    return Err(Lost(Refusal::fatal(SqlState::ADMIN_SHUTDOWN, "the session has ended")));
                }
                if inbox.take_cancel(exchange) {
                    return Ok(Err(Refusal::error(
                        SqlState::QUERY_CANCELED,
                        "canceling statement due to user request",
                    )));
                }
            }
        }
    }
}

/// Gives an answer that needs no database: an error, or nothing, and ReadyForQuery.
fn answer_locally(session: &mut Session, mut answer: Answer, refusal: Option<Refusal>) -> Result<(), Lost> {
    let mut bytes = Vec::new();
    if let Some(refusal) = refusal {
        postern_wire::put_refusal(&mut bytes, &refusal);
    }
    postern_wire::put_ready(&mut bytes, TransactionStatus::Idle);
    let mut rest = bytes.as_slice();
    while let Ok(Some(frame)) = backend_frame(rest, u32::MAX >> 1) {
        advance(&mut answer.state, &answer.run.steps, frame.tag, frame.body)
            .map_err(|_| broken_exchange())?;
        rest = rest.get(frame.raw.len()..).unwrap_or_default();
    }
    answer.payload = bytes;
    session.skipping = false;
    send_part(session, &mut answer);
    Ok(())
}

/// Plans the exchange and puts it into the connection's buffer.
fn begin(session: &mut Session, answer: &mut Answer, judged: &[Judged<'_>]) -> Result<(), Lost> {
    let Some(server) = &mut session.server else {
        return Err(outcome_unknown());
    };
    let effects = |v: &Verdict| match v {
        Verdict::Allow(effects) => effects.clone(),
        Verdict::Refuse(_) => Effects::default(),
    };
    if judged.iter().any(|(_, _, verdict)| effects(verdict).pins) {
        session.pinned = true;
        server.stained = true;
    }
    if matches!(judged.first(), Some((FrontendMessage::Query { .. }, ..))) {
        // A simple Query drops the unnamed statement, whatever becomes of it.
        server.statements.forget_unnamed();
        session.statements.apply(Change::DropStatement(String::new()));
    }
    let ops = if session.skipping {
        skip_to_sync(judged, &mut server.write)
    } else {
        answer.schema_epoch = session.shared.pool.schema_epoch.get();
        let context = Context {
            session: &session.statements,
            server: &mut server.statements,
            status: server.status,
            schema_epoch: answer.schema_epoch,
            definitions: &answer.run.definitions,
            hidden: &answer.hidden,
        };
        plan::plan(judged, context, &mut server.write)
    };
    if let Some(op) = ops.back()
        && op.reply == Reply::Execute
        && matches!(op.treatment, Treatment::Refuse(_))
        && matches!(judged.first(), Some((FrontendMessage::Query { .. }, ..)))
    {
        // A refused simple Query: the poison is an extended message and needs its own Sync.
        return begin_refused_query(session, answer, ops);
    }
    answer.replies = Replies::new(ops);
    Ok(())
}

fn begin_refused_query(
    session: &mut Session,
    answer: &mut Answer,
    mut ops: VecDeque<Op>,
) -> Result<(), Lost> {
    let Some(server) = &mut session.server else {
        return Err(outcome_unknown());
    };
    postern_wire::put_sync(&mut server.write);
    ops.push_back(Op::new(Reply::Sync, Treatment::Forward));
    answer.replies = Replies::new(ops);
    Ok(())
}

/// While PostgreSQL skips to Sync, only the Sync is sent.
fn skip_to_sync(judged: &[Judged<'_>], out: &mut Vec<u8>) -> VecDeque<Op> {
    let has_sync = judged
        .iter()
        .any(|(message, ..)| matches!(message, FrontendMessage::Sync));
    if !has_sync {
        return VecDeque::new();
    }
    postern_wire::put_sync(out);
    VecDeque::from([Op::new(Reply::Sync, Treatment::Forward)])
}

/// Sends, receives and passes on until the answer is complete.
async fn drive(session: &mut Session, answer: &mut Answer) -> Result<(), Lost> {
    loop {
        let blocked = pump(session, answer)?;
        if answer.replies.done() || answer.ended {
            send_part(session, answer);
            return if answer.ended { Err(ended()) } else { Ok(()) };
        }
        feed_copy(session, answer)?;
        let quiet = session.inbox.pending.is_clear() && answer.from_database;
        if !answer.payload.is_empty() && (quiet || answer.payload.len() >= session.shared.part_bytes) {
            send_part(session, answer);
        }
        wait(session, answer, blocked).await?;
    }
}

fn ended() -> Lost {
    Lost(Refusal::fatal(
        SqlState::ADMIN_SHUTDOWN,
        "the database ended the connection of this session",
    ))
}

/// Waits until there is something to do.
async fn wait(session: &mut Session, answer: &mut Answer, blocked: bool) -> Result<(), Lost> {
    let Some(server) = &mut session.server else {
        return Err(outcome_unknown());
    };
    tokio::select! {
        biased;
        () = session.inbox.wake.notified() => {}
        io = server.io(!blocked) => match io {
            Ok(Io::Read | Io::Written) => return Ok(()),
            Ok(Io::Closed) | Err(_) => {
                send_part(session, answer);
                session.drop_server();
                return Err(outcome_unknown());
            }
        },
    }
    if session.inbox.is_ending() {
        // The client has gone: nobody waits for the answer. `serve` gives the reason, `finish` cancels.
        session.inbox.wake.notify_one();
        return Err(Lost(Refusal::fatal(
            SqlState::ADMIN_SHUTDOWN,
            "the session has ended",
        )));
    }
    if session.inbox.take_cancel(answer.run.exchange) && session.cancelling.is_none() {
        let key = server.cancel_key.clone();
        let shared = Rc::clone(&session.shared);
        session.cancelling = Some(tokio::task::spawn_local(async move {
            shared.pool.connector().cancel(&key).await
        }));
    }
    Ok(())
}

/// Hands on the client's CopyData as fast as PostgreSQL takes it.
fn feed_copy(session: &mut Session, answer: &Answer) -> Result<(), Lost> {
    while session
        .server
        .as_ref()
        .is_some_and(|s| s.unwritten() < MAX_UNWRITTEN)
    {
        let Some(payload) = session.inbox.pop_copy(answer.run.exchange) else {
            break;
        };
        let limits = Limits::default();
        for message in frontend_messages(&payload, &limits) {
            match message {
                Ok((
                    FrontendMessage::CopyData(_)
                    | FrontendMessage::CopyDone
                    | FrontendMessage::CopyFail { .. }
                    | FrontendMessage::Sync
                    | FrontendMessage::Flush,
                    _,
                )) => {}
                _ => return Err(broken_exchange()),
            }
        }
        if let Some(server) = &mut session.server {
            server.write.extend_from_slice(&payload);
        }
        session.took_copy(payload.len());
    }
    Ok(())
}

/// Moves messages of PostgreSQL into the part. Returns whether the client's window is used up.
fn pump(session: &mut Session, answer: &mut Answer) -> Result<bool, Lost> {
    loop {
        while let Some(bytes) = answer.replies.next_local() {
            emit(answer, bytes)?;
        }
        if answer.replies.done() || answer.ended {
            return Ok(false);
        }
        let sent = session.sent_bytes.saturating_add(answer.payload.len() as u64);
        if sent >= session.inbox.window.get() {
            if !answer.payload.is_empty() {
                send_part(session, answer);
            }
            return Ok(true);
        }
        if answer.payload.len() >= session.shared.part_bytes {
            send_part(session, answer);
        }
        if !take_message(session, answer)? {
            return Ok(false);
        }
    }
}

/// Takes one message of PostgreSQL, if a whole one is there.
fn take_message(session: &mut Session, answer: &mut Answer) -> Result<bool, Lost> {
    let Some(server) = &mut session.server else {
        return Err(outcome_unknown());
    };
    let frame = match backend_frame(&server.read, session.shared.message_bytes) {
        Ok(Some(frame)) => frame,
        Ok(None) => return Ok(false),
        Err(_) => {
            return Err(Lost(Refusal::fatal(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "a row of the answer is larger than this gate lets through",
            )));
        }
    };
    let length = frame.raw.len();
    match frame.tag {
        b'Z' | b'S' => match decode_backend(&frame) {
            Ok(BackendMessage::ReadyForQuery(status)) => server.status = status,
            Ok(BackendMessage::ParameterStatus { name, value }) => {
                let (name, value) = (name.to_owned(), value.to_owned());
                server.parameters.insert(name, value);
            }
            _ => return Err(broken_protocol()),
        },
        b'E' if tells_of_change(&frame) => session.shared.definitions_changed(),
        _ => {}
    }
    let fate = answer.replies.take(frame.tag).map_err(|unexpected| {
        tracing::error!(session = %session.id, tag = unexpected.0, "unexpected message of the database");
        broken_protocol()
    })?;
    match fate {
        Fate::Forward => {
            let progress = advance(&mut answer.state, &answer.run.steps, frame.tag, frame.body);
            match progress {
                Ok(postern_inspect::Progress::Ended) => answer.ended = true,
                Ok(_) => {}
                Err(violation) => {
                    tracing::error!(session = %session.id, %violation, "the database's answer does not fit");
                    return Err(broken_protocol());
                }
            }
            answer.payload.extend_from_slice(frame.raw);
            answer.from_database = true;
        }
        Fate::Drop => {}
        Fate::Parameters(order) => {
            let bytes = described(&frame, &order)?;
            server.consume(length);
            return emit(answer, &bytes).map(|()| true);
        }
        Fate::Replace(refusal) => {
            let mut bytes = Vec::new();
            postern_wire::put_refusal(&mut bytes, &refusal);
            server.consume(length);
            emit(answer, &bytes)?;
            return Ok(true);
        }
    }
    server.consume(length);
    apply_changes(session, answer);
    Ok(true)
}

/// A ParameterDescription in the client's terms.
fn described(frame: &Frame<'_>, order: &[u16]) -> Result<Vec<u8>, Lost> {
    let Ok(BackendMessage::ParameterDescription(types)) = decode_backend(frame) else {
        return Err(broken_protocol());
    };
    let types: Vec<u32> = types.iter().collect();
    let own: Vec<u32> = order
        .iter()
        .map(|at| types.get(usize::from(*at)).copied())
        .collect::<Option<_>>()
        .ok_or_else(broken_protocol)?;
    let mut bytes = Vec::new();
    postern_wire::put_parameter_description(&mut bytes, own).map_err(|_| broken_protocol())?;
    Ok(bytes)
}

fn emit(answer: &mut Answer, bytes: &[u8]) -> Result<(), Lost> {
    let frame = backend_frame(bytes, u32::MAX >> 1)
        .ok()
        .flatten()
        .ok_or_else(broken_protocol)?;
    advance(&mut answer.state, &answer.run.steps, frame.tag, frame.body).map_err(|_| broken_protocol())?;
    answer.payload.extend_from_slice(bytes);
    Ok(())
}

fn apply_changes(session: &mut Session, answer: &mut Answer) {
    for (change, server_change) in answer.replies.take_changes() {
        if let Some(change) = change {
            session.statements.apply(change);
        }
        if let (Some(change), Some(server)) = (server_change, &mut session.server) {
            server.statements.apply(change, answer.schema_epoch);
        }
    }
}

/// Sends what has been gathered as one part.
fn send_part(session: &mut Session, answer: &mut Answer) {
    let payload = std::mem::take(&mut answer.payload);
    answer.from_database = false;
    let state = std::mem::replace(&mut answer.part_state, answer.state.clone());
    if payload.is_empty() && answer.part > 0 {
        return;
    }
    session.sent_bytes = session.sent_bytes.saturating_add(payload.len() as u64);
    let body = DirtyBody::Part {
        contract: answer.run.contract.clone(),
        state,
        unsolicited: false,
        steps: answer.steps,
        since_us: u64::try_from(answer.run.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    session.send(body, answer.run.exchange, answer.part, payload);
    answer.part = answer.part.saturating_add(1);
}

/// The statement is DISCARD ALL (the only one that makes session state and drops every statement).
fn discards_all(verdict: &Verdict) -> bool {
    let Verdict::Allow(effects) = verdict else {
        return false;
    };
    effects.pins && effects.deallocates == Some(Deallocate::All)
}

/// What is true after the exchange.
fn conclude(session: &mut Session, answer: &mut Answer, verdicts: &[Verdict]) {
    apply_changes(session, answer);
    session.skipping = answer.state.phase == postern_types::Phase::Skipping;
    session.unsynced = !matches!(
        answer.run.steps.last(),
        Some(postern_types::Expect::Sync | postern_types::Expect::Query(_))
    ) || session.skipping;
    let allowed = || {
        verdicts
            .iter()
            .filter_map(|v| if let Verdict::Allow(e) = v { Some(e) } else { None })
    };
    note_changes(session, allowed().any(|e| e.changes_schema));
    if !answer.replies.has_failed() && allowed().any(|e| e.resets_settings) {
        // It was the last statement of the exchange (the Query Validator sees to that).
        session.reapply = true;
        if let Some(server) = &mut session.server {
            server.applied = None;
        }
    }
    if verdicts.iter().any(discards_all)
        && !answer.replies.has_failed()
        && let Some(server) = &mut session.server
        && server.status == TransactionStatus::Idle
    {
        // DISCARD ALL has removed all session state, and the role with it.
        session.pinned = false;
        server.stained = false;
    }
}
