//! One client session: takes its exchanges in order, runs each on a connection, and lets go of the
//! connection when nothing of the session is left on it.

use crate::config::PoolMode;
use crate::exchange::{self, Lost};
use crate::inbox::{Ending, Inbox, Run, Work};
use crate::outbox::{Outbox, Outgoing};
use crate::pool::{Pool, wash};
use crate::profile::{Profile, is_pinned};
use crate::server::{Io, Server};
use crate::statements::SessionStatements;
use postern_types::ring::{Dirty, DirtyBody, OpenSession, Opened};
use postern_types::{Refusal, SessionId, Slot, SqlState};
use postern_wire::{BackendMessage, TransactionStatus, backend_frame, decode_backend};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// How long washing a connection may take before it is thrown away instead.
const WASH_TIMEOUT: Duration = Duration::from_secs(5);

/// What every session of a Backend shares.
pub(crate) struct Shared {
    /// Connections.
    pub(crate) pool: Pool,
    /// The way out.
    pub(crate) outbox: Outbox,
    /// When connections go back.
    pub(crate) pool_mode: PoolMode,
    /// Name of the one database served.
    pub(crate) database: String,
    /// Bytes gathered before a part is sent.
    pub(crate) part_bytes: usize,
    /// Largest message taken from PostgreSQL.
    pub(crate) message_bytes: u32,
}

impl Shared {
    /// Statements prepared until now may be stale.
    pub(crate) fn definitions_changed(&self) {
        let epoch = &self.pool.schema_epoch;
        epoch.set(epoch.get().saturating_add(1));
    }
}

/// A session and what it holds.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) frontend: Slot,
    pub(crate) shared: Rc<Shared>,
    pub(crate) inbox: Rc<Inbox>,
    pub(crate) profile: Rc<Profile>,
    pub(crate) statements: SessionStatements,
    pub(crate) server: Option<Server>,
    /// Number of the connection used last.
    pub(crate) preferred: u64,
    /// It has made session state on its connection.
    pub(crate) pinned: bool,
    /// The last exchange left PostgreSQL without a Sync.
    pub(crate) unsynced: bool,
    /// PostgreSQL ignores everything up to the next Sync.
    pub(crate) skipping: bool,
    /// Its open transaction has changed definitions.
    pub(crate) changes_schema: bool,
    /// RESET ALL or DISCARD ALL took the session's settings off; they are put on before the next exchange.
    pub(crate) reapply: bool,
    /// Payload bytes sent in all.
    pub(crate) sent_bytes: u64,
    /// CopyData bytes taken in all, and granted in all.
    pub(crate) copy_taken: u64,
    pub(crate) copy_granted: u64,
    /// Sealed contract of the newest exchange, under which unsolicited messages travel.
    pub(crate) contract: Vec<u8>,
    /// Number of the newest exchange.
    pub(crate) exchange: u64,
    /// A CancelRequest on its way; the connection must not go to another session before it has arrived.
    pub(crate) cancelling: Option<tokio::task::JoinHandle<()>>,
}

impl Session {
    /// A session that is not open yet.
    pub(crate) fn new(
        id: SessionId,
        frontend: Slot,
        open: &OpenSession,
        shared: Rc<Shared>,
        inbox: Rc<Inbox>,
    ) -> Self {
        Session {
            id,
            frontend,
            shared,
            inbox,
            profile: Rc::new(Profile::new(open)),
            statements: SessionStatements::default(),
            server: None,
            preferred: 0,
            pinned: false,
            unsynced: false,
            skipping: false,
            changes_schema: false,
            reapply: false,
            sent_bytes: 0,
            copy_taken: 0,
            copy_granted: postern_types::ring::COPY_IN_WINDOW,
            contract: Vec::new(),
            exchange: 0,
            cancelling: None,
        }
    }

    /// Opens the session, serves it, and cleans up after it.
    pub(crate) async fn run(mut self, open: OpenSession, answer: Vec<u8>, sequence: u64, exchange: u64) {
        let opened = self.open(&open).await;
        let ready = matches!(opened, Opened::Ready(_));
        self.shared.outbox.send(Outgoing {
            session: self.id,
            sequence,
            exchange,
            part: 0,
            head: Dirty {
                frontend: self.frontend.clone(),
                body: DirtyBody::SignIn {
                    answer,
                    opened: Some(opened),
                },
            },
            payload: Vec::new(),
            pending: None,
        });
        if ready && let Err(lost) = self.serve().await {
            self.say_why(lost);
        }
        self.finish().await;
    }

    /// Tells the client why its session ends, unless the client ended it.
    fn say_why(&self, lost: Lost) {
        let refusal = match self.inbox.ending.borrow().clone() {
            Some(Ending::Closed) => return,
            Some(Ending::Expelled(refusal)) => refusal,
            None => lost.0,
        };
        tracing::info!(session = %self.id, code = %refusal.code, "session lost");
        self.send(DirtyBody::Lost(refusal), self.exchange, 0, Vec::new());
    }

    async fn open(&mut self, open: &OpenSession) -> Opened {
        if open.database != self.shared.database {
            let message = format!("database \"{}\" does not exist", open.database);
            let code = SqlState::parse("3D000").unwrap_or(SqlState::INVALID_AUTHORIZATION);
            return Opened::Failed(Refusal::fatal(code, message));
        }
        if let Some((name, _)) = open.settings.iter().find(|(name, _)| is_pinned(name)) {
            let message = format!("parameter \"{name}\" has one value here");
            return Opened::Failed(Refusal::fatal(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        match self.shared.pool.acquire(0, &self.profile).await {
            Ok(server) => {
                let parameters = reported(&server.parameters, &open.user);
                self.preferred = server.id;
                self.server = Some(server);
                self.let_go().await;
                Opened::Ready(parameters)
            }
            Err(mut refusal) => {
                refusal.fatal = true;
                Opened::Failed(refusal)
            }
        }
    }

    async fn serve(&mut self) -> Result<(), Lost> {
        loop {
            let ending = self.inbox.ending.borrow().clone();
            match ending {
                Some(Ending::Closed) => return Ok(()),
                Some(Ending::Expelled(refusal)) => return Err(Lost(refusal)),
                None => {}
            }
            match self.inbox.pop() {
                Some(Work::Run(run)) => {
                    self.exchange(*run).await?;
                    self.inbox.answered.set(self.exchange);
                }
                // Left over from a COPY that has ended: PostgreSQL ignores it too.
                Some(Work::CopyData { payload, .. }) => self.took_copy(payload.len()),
                None => self.idle().await?,
            }
        }
    }

    async fn exchange(&mut self, run: Run) -> Result<(), Lost> {
        self.exchange = run.exchange;
        exchange::run(self, run).await?;
        if self
            .server
            .as_ref()
            .is_some_and(|s| s.status == TransactionStatus::Idle)
            // Until the next Sync the status is from before, and the transaction is still open.
            && !self.unsynced
        {
            self.statements.transaction_ended();
        }
        let hold = self.pinned || self.unsynced || self.shared.pool_mode == PoolMode::Session;
        if !hold {
            self.let_go().await;
        }
        Ok(())
    }

    /// Returns the connection to the pool if it is outside a transaction.
    async fn let_go(&mut self) {
        if let Some(cancelling) = self.cancelling.take() {
            let _ = cancelling.await;
        }
        if let Some(server) = self.server.take_if(|s| s.status == TransactionStatus::Idle) {
            self.shared.pool.release(server);
        }
    }

    /// Waits for work; a connection that is held may speak meanwhile.
    async fn idle(&mut self) -> Result<(), Lost> {
        let Some(server) = &mut self.server else {
            self.inbox.wake.notified().await;
            return Ok(());
        };
        let io = tokio::select! {
            biased;
            () = self.inbox.wake.notified() => return Ok(()),
            io = server.io(true) => io,
        };
        let closed = matches!(io, Ok(Io::Closed) | Err(_));
        self.unsolicited()?;
        if closed {
            self.drop_server();
            return Err(Lost(Refusal::fatal(
                SqlState::CONNECTION_FAILURE,
                "the database closed the connection of this session",
            )));
        }
        Ok(())
    }

    /// Passes on what PostgreSQL said between two exchanges.
    fn unsolicited(&mut self) -> Result<(), Lost> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let mut payload = Vec::new();
        loop {
            let frame = match backend_frame(&server.read, self.shared.message_bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Err(exchange::broken_protocol()),
            };
            let length = frame.raw.len();
            match decode_backend(&frame) {
                Ok(BackendMessage::ParameterStatus { name, value }) => {
                    payload.extend_from_slice(frame.raw);
                    let (name, value) = (name.to_owned(), value.to_owned());
                    server.parameters.insert(name, value);
                }
                Ok(BackendMessage::NoticeResponse(_) | BackendMessage::NotificationResponse { .. }) => {
                    payload.extend_from_slice(frame.raw);
                }
                Ok(BackendMessage::ErrorResponse(fields)) => {
                    // Only a FATAL one comes unasked: a timeout, a shutdown, pg_terminate_backend.
                    let code = fields
                        .get(b'C')
                        .and_then(SqlState::parse)
                        .unwrap_or(SqlState::ADMIN_SHUTDOWN);
                    let message = match code {
                        SqlState::IDLE_IN_TRANSACTION_TIMEOUT => {
                            "terminating connection due to idle-in-transaction timeout"
                        }
                        _ => "the database ended the connection of this session",
                    };
                    self.drop_server();
                    return Err(Lost(Refusal::fatal(code, message)));
                }
                _ => return Err(exchange::broken_protocol()),
            }
            server.consume(length);
        }
        if !payload.is_empty() {
            let body = DirtyBody::Part {
                contract: self.contract.clone(),
                state: postern_types::AnswerState::default(),
                unsolicited: true,
                steps: None,
                since_us: 0,
            };
            self.sent_bytes = self.sent_bytes.saturating_add(payload.len() as u64);
            self.send(body, self.exchange, 0, payload);
        }
        Ok(())
    }

    /// Sends the next message of the session.
    pub(crate) fn send(&self, body: DirtyBody, exchange: u64, part: u32, payload: Vec<u8>) {
        let sequence = self.inbox.sent.get().saturating_add(1);
        self.inbox.sent.set(sequence);
        self.shared.outbox.send(Outgoing {
            session: self.id,
            sequence,
            exchange,
            part,
            head: Dirty {
                frontend: self.frontend.clone(),
                body,
            },
            payload,
            pending: Some(Rc::clone(&self.inbox.pending)),
        });
    }

    /// Counts CopyData that has been dealt with and grants more when half of the window is used.
    pub(crate) fn took_copy(&mut self, bytes: usize) {
        use postern_types::ring::COPY_IN_WINDOW;
        self.copy_taken = self.copy_taken.saturating_add(bytes as u64);
        let wanted = self.copy_taken.saturating_add(COPY_IN_WINDOW);
        if wanted.saturating_sub(self.copy_granted) >= COPY_IN_WINDOW / 2 {
            self.copy_granted = wanted;
            self.send(DirtyBody::Grant { bytes: wanted }, self.exchange, 0, Vec::new());
        }
    }

    pub(crate) fn drop_server(&mut self) {
        self.server = None;
    }

    /// Leaves nothing behind: what runs is cancelled, session state is washed off, and a connection that
    /// can't be washed is closed.
    async fn finish(&mut self) {
        if self.changes_schema {
            // Its transaction is rolled back, and with it the definitions that statements were made from.
            self.shared.definitions_changed();
        }
        let Some(mut server) = self.server.take() else {
            return;
        };
        if self.inbox.answered.get() != self.exchange || self.unsynced {
            // Something may still be running.
            let key = server.cancel_key.clone();
            let shared = Rc::clone(&self.shared);
            tokio::task::spawn_local(async move { shared.pool.connector().cancel(&key).await });
            drop(server);
            return;
        }
        if let Some(cancelling) = self.cancelling.take() {
            let _ = cancelling.await;
        }
        match tokio::time::timeout(WASH_TIMEOUT, wash(&mut server)).await {
            Ok(Ok(())) => self.shared.pool.release(server),
            _ => drop(server),
        }
    }
}

/// The ParameterStatus values a client is told at sign-in. It signed in under its own name; that of the Backend's login
/// role is none of its business.
fn reported(parameters: &BTreeMap<String, String>, user: &str) -> Vec<(String, String)> {
    let told = |(name, value): (&String, &String)| match name.as_str() {
        "session_authorization" => (name.clone(), user.to_owned()),
        _ => (name.clone(), value.clone()),
    };
    parameters.iter().map(told).collect()
}
