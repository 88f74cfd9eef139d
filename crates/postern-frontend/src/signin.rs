//! Signing in: the client's SCRAM messages are relayed round the ring (design, section 4). This stage holds
//! no verifier and does not decide; it learns no password.
//!
//! PostgreSQL manual, "SASL Authentication" and "Start-up".

use crate::frontend::{Frontend, Seat};
use crate::registry::CancelKey;
use crate::session::{Session, SignInReply};
use crate::stream::ClientStream;
use bytes::BytesMut;
use postern_ledger::{Details, Event, Level, Outcome, Record};
use postern_types::ring::{Opened, RequestBody, SignIn, SignInAnswer};
use postern_types::{InstanceId, Refusal, SessionId, Slot, SqlState};
use postern_wire::{
    NEWEST_MINOR, Startup, TransactionStatus, decode_sasl_initial, frontend_tag, put_authentication_ok,
    put_backend_key_data, put_negotiate_protocol_version, put_parameter_status, put_ready, put_sasl,
    put_sasl_continue, put_sasl_final, sign_in_frame,
};
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a Backend is waited for.
const BACKEND_PATIENCE: Duration = Duration::from_secs(3);
const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// SCRAM has two messages of the client; a third is never asked for.
const STEPS: usize = 2;
/// Minor protocol version from which cancel keys may be long.
const LONG_KEYS: u16 = 2;

/// Why a client was not signed in.
#[derive(Debug)]
pub enum Failure {
    /// It is to be told this.
    Refused(Refusal),
    /// It left.
    Left,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Failure::Left
    }
}

/// A place in the Frontend that is given up when it is dropped, at whatever point the client's task ends.
pub struct Occupied {
    frontend: Rc<Frontend>,
    /// The place.
    pub seat: Rc<Seat>,
    process_id: Option<u32>,
    awaits_ring: bool,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        if let Some(process_id) = self.process_id {
            self.frontend.cancel_keys.borrow_mut().remove(process_id);
        }
        if self.awaits_ring {
            // The ring may open the session yet; the inlet closes it then.
            self.frontend.abandon(&self.seat, Instant::now());
            return;
        }
        let mut session = self.seat.session.borrow_mut();
        session.leave();
        self.frontend.collect_and_commit(&mut session);
        self.frontend.unseat(session.id());
    }
}

/// Signs a client in. What follows the sign-in messages in the stream stays in the session's input. Put a
/// deadline on it.
///
/// # Errors
/// See [`Failure`].
pub async fn sign_in(
    stream: &mut ClientStream,
    startup: Startup,
    client: IpAddr,
    frontend: &Rc<Frontend>,
) -> Result<Occupied, Failure> {
    let (backend, instance) = live_backend(frontend).await?;
    let minor = startup.negotiated_minor();
    let mut out = Vec::new();
    if startup.needs_negotiation() {
        put_negotiate_protocol_version(&mut out, NEWEST_MINOR, &startup.unknown_protocol_options);
    }
    let mechanisms: &[&str] = if stream.is_tls() {
        &[SCRAM_PLUS, SCRAM]
    } else {
        &[SCRAM]
    };
    put_sasl(&mut out, mechanisms);
    stream.write_all(&out).await?;

    let mut input = BytesMut::new();
    let initial = message(stream, &mut input, frontend).await?;
    let (mechanism, first) = first_message(&initial, mechanisms)?;

    let mut place = occupy(frontend, client, backend, instance)?;
    let mut step = SignIn {
        backend_instance: instance,
        user: startup.user,
        database: startup.database,
        parameters: startup.parameters,
        client: client.to_string(),
        tls: stream.is_tls(),
        mechanism,
        message: first,
        state: None,
        window: place.seat.session.borrow().window(),
    };
    for _ in 0..STEPS {
        let (answer, opened) = ask(&mut place, step.clone()).await?;
        match answer {
            SignInAnswer::Continue { message: text, state } => {
                let mut out = Vec::new();
                put_sasl_continue(&mut out, &text);
                stream.write_all(&out).await?;
                step.state = Some(state);
                step.message = message(stream, &mut input, frontend).await?.to_vec();
            }
            SignInAnswer::Accepted { message, ticket } => {
                let settings = match opened {
                    Some(Opened::Ready(settings)) => settings,
                    Some(Opened::Failed(refusal)) => return Err(refusal.into()),
                    None => return Err(internal().into()),
                };
                welcome(&mut place, &step, &message, ticket, &settings, minor)?;
                place.seat.session.borrow_mut().input = input;
                return Ok(place);
            }
            SignInAnswer::Refused(refusal) => {
                refused(&place, &step, &refusal)?;
                return Err(refusal.into());
            }
        }
    }
    Err(internal().into())
}

/// Waits for a Backend that is alive.
async fn live_backend(frontend: &Frontend) -> Result<(Slot, InstanceId), Refusal> {
    let choose = async {
        loop {
            let arrived = frontend.backend_arrived.notified();
            let chosen = frontend.backends.borrow_mut().choose();
            if let Some(chosen) = chosen {
                return chosen;
            }
            arrived.await;
        }
    };
    tokio::time::timeout(BACKEND_PATIENCE, choose).await.map_err(|_| {
        Refusal::fatal(
            SqlState::CANNOT_CONNECT_NOW,
            "the database gate is not ready, try again in a moment",
        )
    })
}

fn occupy(
    frontend: &Rc<Frontend>,
    client: IpAddr,
    backend: Slot,
    instance: InstanceId,
) -> Result<Occupied, Refusal> {
    let id = SessionId::random().map_err(|_| internal())?;
    let session = Session::new(id, backend, instance, frontend.session_limits, Instant::now());
    Ok(Occupied {
        frontend: Rc::clone(frontend),
        seat: frontend.seat(session, client),
        process_id: None,
        awaits_ring: false,
    })
}

/// Reads one password message.
async fn message(
    stream: &mut ClientStream,
    input: &mut BytesMut,
    frontend: &Frontend,
) -> Result<BytesMut, Failure> {
    loop {
        let frame = sign_in_frame(input, &frontend.session_limits.wire).map_err(|error| Refusal {
            fatal: true,
            ..error.refusal()
        })?;
        if let Some(frame) = frame {
            if frame.tag == frontend_tag::TERMINATE {
                return Err(Failure::Left);
            }
            let length = frame.raw.len();
            let mut message = input.split_to(length);
            return Ok(message.split_off(length.min(5)));
        }
        input.reserve(1024);
        if stream.read_buf(input).await? == 0 {
            return Err(Failure::Left);
        }
    }
}

/// The mechanism and SCRAM message of a SASLInitialResponse.
fn first_message(body: &[u8], offered: &[&str]) -> Result<(String, Vec<u8>), Refusal> {
    let violation = |message: &str| Refusal::fatal(SqlState::PROTOCOL_VIOLATION, message);
    let initial = decode_sasl_initial(body).map_err(|error| Refusal {
        fatal: true,
        ..error.refusal()
    })?;
    if !offered.contains(&initial.mechanism) {
        return Err(violation(
            "the client chose a SASL mechanism that was not offered",
        ));
    }
    let data = initial
        .data
        .ok_or_else(|| violation("the client sent no first SCRAM message"))?;
    Ok((initial.mechanism.to_owned(), data.to_vec()))
}

/// Sends one step round the ring and waits for the reply.
async fn ask(place: &mut Occupied, step: SignIn) -> Result<(SignInAnswer, Option<Opened>), Failure> {
    {
        let mut session = place.seat.session.borrow_mut();
        session.send(RequestBody::SignIn(step));
        place.frontend.collect(&mut session);
    }
    place.awaits_ring = true;
    let seat = Rc::clone(&place.seat);
    let reply = poll_fn(|cx| {
        let mut session = seat.session.borrow_mut();
        match session.take_reply(Instant::now()) {
            Some(reply) => Poll::Ready(Some(reply)),
            None if session.ended() => Poll::Ready(None),
            None => {
                seat.wake_me(cx);
                Poll::Pending
            }
        }
    })
    .await;
    place.awaits_ring = false;
    match reply {
        None => Err(internal().into()),
        Some(SignInReply::Answer(answer, opened)) => Ok((answer, opened)),
        Some(SignInReply::Lost) => Err(Failure::Refused(Refusal::fatal(
            SqlState::CANNOT_CONNECT_NOW,
            "the database gate lost its way to the database while signing in, try again",
        ))),
    }
}

/// Tells the client that it is signed in.
fn welcome(
    place: &mut Occupied,
    step: &SignIn,
    last: &[u8],
    ticket: Vec<u8>,
    settings: &[(String, String)],
    minor: u16,
) -> Result<(), Refusal> {
    let frontend = Rc::clone(&place.frontend);
    let seat = Rc::clone(&place.seat);
    let mut session = seat.session.borrow_mut();
    let key = frontend
        .cancel_keys
        .borrow_mut()
        .register(session.id(), minor >= LONG_KEYS);
    let CancelKey { process_id, key } = key.map_err(|_| internal())?;
    place.process_id = Some(process_id);
    let mut out = Vec::new();
    put_sasl_final(&mut out, last);
    put_authentication_ok(&mut out);
    for (name, value) in settings {
        put_parameter_status(&mut out, name, value);
    }
    put_backend_key_data(&mut out, process_id, &key);
    put_ready(&mut out, TransactionStatus::Idle);
    // Before `open`, which may add what the ring sent right after the reply.
    session.output.push_own(out);
    session.open(ticket, Instant::now());
    let record = Record {
        session: Some(session.id()),
        actor: Some(&step.user),
        details: Details {
            client: Some(seat.client),
            ..Details::default()
        },
        ..Record::new(Event::SessionOpen)
    };
    frontend.record(&record);
    frontend.commit().map_err(|_| internal())
}

fn refused(place: &Occupied, step: &SignIn, refusal: &Refusal) -> Result<(), Refusal> {
    let record = Record {
        level: Level::Warn,
        session: Some(place.seat.session.borrow().id()),
        actor: Some(&step.user),
        result: Outcome::Refused,
        details: Details {
            sqlstate: Some(refusal.code),
            client: Some(place.seat.client),
            ..Details::default()
        },
        ..Record::new(Event::SignIn)
    };
    place.frontend.record(&record);
    place.frontend.commit().map_err(|_| internal())
}

fn internal() -> Refusal {
    Refusal::fatal(
        SqlState::INTERNAL_ERROR,
        "the database gate could not complete the sign-in, try again",
    )
}
