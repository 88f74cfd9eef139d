//! Connections to PostgreSQL, shared by sessions.
//!
//! A session gets the connection it had before if that is free: nothing has to be scrubbed or set then.
//! Otherwise one whose last session is gone, otherwise a new one, otherwise the one unused for longest,
//! otherwise it waits its turn.

use crate::connect::{ConnectError, Connector};
use crate::profile::Profile;
use crate::server::{Io, Server};
use postern_types::{Refusal, SqlState};
use postern_wire::{BackendMessage, TransactionStatus, backend_frame, decode_backend};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Largest message accepted while a connection is scrubbed and set.
const SETTING_MESSAGE_BYTES: u32 = 64 * 1024;
/// How long scrubbing and setting may take.
pub(crate) const ADOPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pool of one Backend.
pub(crate) struct Pool {
    connector: Connector,
    size: usize,
    acquire_timeout: Duration,
    state: Rc<RefCell<State>>,
    /// Counts changes of definitions made through this Backend.
    pub(crate) schema_epoch: Cell<u64>,
}

/// How many connections a pool has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolCounts {
    /// Open or being opened.
    pub(crate) taken: usize,
    /// Of these, in nobody's use.
    pub(crate) idle: usize,
    /// Sessions that wait for one.
    pub(crate) waiting: usize,
}

#[derive(Default)]
struct State {
    /// Longest unused first.
    idle: VecDeque<Server>,
    /// Places given out, whether their connections are idle, in use or being made.
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Handover>>,
}

/// The right to one connection. A connection owns its place, so that it is given back however the
/// connection ends: closed, in doubt, or dropped with a session that was cancelled in between.
pub(crate) struct Place(Weak<RefCell<State>>);

impl Place {
    /// The right to a connection that is no part of any pool.
    pub(crate) fn apart() -> Place {
        Place(Weak::new())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(state) = self.0.upgrade() else { return };
        while let Some(waiter) = next_waiter(&state) {
            match waiter.send(Handover::Place(Place(self.0.clone()))) {
                Ok(()) => return,
                // Nobody waits there any more. This one must not be dropped as a place of its own.
                Err(Handover::Place(mut unwanted)) => unwanted.0 = Weak::new(),
                Err(Handover::Connection(_)) => {}
            }
        }
        let mut state = state.borrow_mut();
        state.taken = state.taken.saturating_sub(1);
    }
}

/// Never borrows the state longer than for this: what is done with the waiter may drop a [`Place`].
fn next_waiter(state: &RefCell<State>) -> Option<oneshot::Sender<Handover>> {
    state.borrow_mut().waiting.pop_front()
}

/// What a waiting session is handed.
enum Handover {
    Connection(Box<Server>),
    /// A place became free: open a connection.
    Place(Place),
}

enum Choice {
    Now(Handover),
    Wait(oneshot::Receiver<Handover>),
}

impl Pool {
    /// A pool of at most `size` connections; opens none yet.
    pub(crate) fn new(connector: Connector, size: usize, acquire_timeout: Duration) -> Self {
        Pool {
            connector,
            size: size.max(1),
            acquire_timeout,
            state: Rc::default(),
            schema_epoch: Cell::new(0),
        }
    }

    /// How many connections there are.
    pub(crate) fn counts(&self) -> PoolCounts {
        let state = self.state.borrow();
        PoolCounts {
            taken: state.taken,
            idle: state.idle.len(),
            waiting: state.waiting.len(),
        }
    }

    /// The connector, for cancelling.
    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// A connection with this profile in force; `preferred` is the number of the one used before. May be
    /// dropped at any time: what it had got is then closed, and its place is free again.
    ///
    /// # Errors
    /// A refusal for the client: no connection became free, the database can't be reached, or the role
    /// can't be taken on.
    pub(crate) async fn acquire(&self, preferred: u64, profile: &Rc<Profile>) -> Result<Server, Refusal> {
        loop {
            let handover = match self.choose(preferred) {
                Choice::Now(handover) => handover,
                Choice::Wait(turn) => match tokio::time::timeout(self.acquire_timeout, turn).await {
                    Ok(Ok(handover)) => handover,
                    Ok(Err(_)) | Err(_) => return Err(no_connection_free()),
                },
            };
            let mut server = match handover {
                Handover::Connection(server) => *server,
                Handover::Place(place) => self.connect(place).await?,
            };
            if !server.is_quiet() {
                // Closed, or said something nobody asked for: in doubt.
                continue;
            }
            if let Some(applied) = &server.applied
                && Rc::ptr_eq(applied, profile)
            {
                return Ok(server);
            }
            let scrub = server.applied.take().is_some() || server.stained;
            return match tokio::time::timeout(ADOPT_TIMEOUT, put_on(&mut server, profile, scrub)).await {
                Ok(result) => result.map(|()| server),
                Err(_) => Err(unreachable_database()),
            };
        }
    }

    fn choose(&self, preferred: u64) -> Choice {
        let mut state = self.state.borrow_mut();
        let ownerless = |s: &Server| s.applied.as_ref().is_none_or(|p| Rc::strong_count(p) == 1);
        let position = state
            .idle
            .iter()
            .position(|s| s.id == preferred)
            .or_else(|| state.idle.iter().position(ownerless));
        if let Some(server) = position.and_then(|i| state.idle.remove(i)) {
            return Choice::Now(Handover::Connection(Box::new(server)));
        }
        if state.taken < self.size {
            state.taken += 1;
            return Choice::Now(Handover::Place(Place(Rc::downgrade(&self.state))));
        }
        if let Some(server) = state.idle.pop_front() {
            return Choice::Now(Handover::Connection(Box::new(server)));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        Choice::Wait(receiver)
    }

    async fn connect(&self, place: Place) -> Result<Server, Refusal> {
        self.connector.connect(place).await.map_err(|error| {
            tracing::error!(%error, "cannot connect to the database");
            match error {
                ConnectError::Refused(code) if code == "53300" => Refusal::error(
                    SqlState::TOO_MANY_CONNECTIONS,
                    "the database has no connection to spare; try again",
                ),
                _ => unreachable_database(),
            }
        })
    }

    /// Takes back a connection that is idle, not in a transaction, and owes nothing; closes any other.
    pub(crate) fn release(&self, server: Server) {
        if server.status != TransactionStatus::Idle || server.stained || server.unwritten() > 0 {
            return;
        }
        let mut handover = Handover::Connection(Box::new(server));
        while let Some(waiter) = next_waiter(&self.state) {
            match waiter.send(handover) {
                Ok(()) => return,
                Err(back) => handover = back,
            }
        }
        if let Handover::Connection(server) = handover {
            self.state.borrow_mut().idle.push_back(*server);
        }
    }
}

fn no_connection_free() -> Refusal {
    Refusal::error(
        SqlState::TOO_MANY_CONNECTIONS,
        "no database connection became free in time; try again",
    )
}

fn unreachable_database() -> Refusal {
    Refusal::error(
        SqlState::CANNOT_CONNECT,
        "the database can't be reached at the moment; try again",
    )
}

/// Puts a session's profile in force, after scrubbing the connection if asked to, and waits until
/// PostgreSQL has confirmed it.
///
/// # Errors
/// When it is not confirmed; the connection must then be thrown away.
pub(crate) async fn put_on(server: &mut Server, profile: &Rc<Profile>, scrub: bool) -> Result<(), Refusal> {
    server.applied = None;
    profile.put(scrub, &mut server.write).map_err(|_| bad_profile())?;
    // The batch used the unnamed statement.
    server.statements.forget_unnamed();
    confirm(server, server.status).await?;
    server.applied = Some(Rc::clone(profile));
    Ok(())
}

/// Runs DISCARD ALL after a session that made session state, and waits for the confirmation.
///
/// # Errors
/// When anything but success comes back; the connection must then be thrown away.
pub(crate) async fn wash(server: &mut Server) -> Result<(), Refusal> {
    if server.status != TransactionStatus::Idle {
        put_query(server, "ROLLBACK")?;
        confirm(server, TransactionStatus::Idle).await?;
    }
    put_query(server, "DISCARD ALL")?;
    confirm(server, TransactionStatus::Idle).await?;
    server.statements.forget_all();
    server.applied = None;
    server.stained = false;
    Ok(())
}

fn bad_profile() -> Refusal {
    Refusal::error(
        SqlState::INVALID_AUTHORIZATION,
        "the database did not accept the role or the settings of this session",
    )
}

fn put_query(server: &mut Server, sql: &str) -> Result<(), Refusal> {
    postern_wire::put_query(&mut server.write, sql).map_err(|_| unreachable_database())
}

/// Reads up to ReadyForQuery; any ErrorResponse is a failure, and so is another transaction status than
/// this.
async fn confirm(server: &mut Server, before: TransactionStatus) -> Result<(), Refusal> {
    loop {
        while let Some(frame) =
            backend_frame(&server.read, SETTING_MESSAGE_BYTES).map_err(|_| unreachable_database())?
        {
            let length = frame.raw.len();
            match decode_backend(&frame).map_err(|_| unreachable_database())? {
                BackendMessage::ErrorResponse(fields) => {
                    tracing::error!(
                        code = fields.get(b'C').unwrap_or("?"),
                        "a session's role or settings were refused by the database"
                    );
                    return Err(bad_profile());
                }
                BackendMessage::ParameterStatus { name, value } => {
                    let (name, value) = (name.to_owned(), value.to_owned());
                    server.parameters.insert(name, value);
                }
                BackendMessage::ReadyForQuery(status) => {
                    server.status = status;
                    server.consume(length);
                    return if status == before {
                        Ok(())
                    } else {
                        Err(unreachable_database())
                    };
                }
                _ => {}
            }
            server.consume(length);
        }
        match server.io(true).await {
            Ok(Io::Read | Io::Written) => {}
            Ok(Io::Closed) | Err(_) => return Err(unreachable_database()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(state: &Rc<RefCell<State>>) -> Place {
        state.borrow_mut().taken += 1;
        Place(Rc::downgrade(state))
    }

    #[test]
    fn a_place_is_free_again_however_it_is_dropped() {
        let state = Rc::<RefCell<State>>::default();
        drop(place(&state));
        assert_eq!(state.borrow().taken, 0);
        // Handed to a session that is gone before it looks.
        let (sender, receiver) = oneshot::channel();
        state.borrow_mut().waiting.push_back(sender);
        drop(place(&state));
        assert_eq!(state.borrow().taken, 1, "the waiting session has it");
        drop(receiver);
        assert_eq!(state.borrow().taken, 0);
    }

    #[test]
    fn a_place_goes_to_the_first_session_that_still_waits() {
        let state = Rc::<RefCell<State>>::default();
        let (gone, receiver) = oneshot::channel();
        drop(receiver);
        let (waits, mut turn) = oneshot::channel();
        state.borrow_mut().waiting.extend([gone, waits]);
        drop(place(&state));
        assert!(matches!(turn.try_recv(), Ok(Handover::Place(_))));
        assert_eq!(
            state.borrow().taken,
            0,
            "and is free again once it is done with it"
        );
    }
}
