//! The messages that travel round the ring: the heads of envelope bodies, link by link.
//!
//! Session, exchange, part and sequence number are in the envelope's header, not here. "Payload" is the
//! raw tail of the body (see [`crate::body`]).
//!
//! Sequence numbers: in each direction a session's messages are numbered 1, 2, 3, … without a gap, so that
//! Backend and Frontend can put them in order and drop repeats. While a session signs in, the answer takes
//! the number of its request. Heartbeats have no session and no number.

use crate::{InstanceId, Refusal, Slot, StateDigest, TraceParent};
use serde::{Deserialize, Serialize};

/// A prepared statement or portal that an exchange refers to but does not create, with its text, so that
/// each exchange stands alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Statement or portal.
    pub kind: DefinitionKind,
    /// The name the client gave; empty for the unnamed one.
    pub name: String,
    /// The SQL text it was made from.
    pub sql: String,
    /// Parameter type OIDs given at Parse; 0 is unspecified.
    pub parameter_types: Vec<u32>,
}

/// What a [`Definition`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefinitionKind {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// How far ahead of the Backend a client may send CopyData at the start of a session, in payload bytes.
pub const COPY_IN_WINDOW: u64 = 1024 * 1024;

// ---- Frontend → Query Validator ----------------------------------------------------------------

/// What a Frontend asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which Frontend the answer goes to.
    pub frontend: Slot,
    /// Which Backend is to serve it.
    pub backend: Slot,
    /// What is asked.
    pub body: RequestBody,
}

/// The kinds of [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestBody {
    /// The Frontend is alive; sent to every configured Backend. The header's session is `NONE`.
    Heartbeat,
    /// One step of signing in.
    SignIn(SignIn),
    /// A new exchange. Payload: the client's messages up to and with Sync, Flush or one simple Query.
    Exchange {
        /// Sealed ticket of the session.
        ticket: Vec<u8>,
        /// Statements and portals the payload refers to but does not create.
        definitions: Vec<Definition>,
        /// The trace that the client named, for the records.
        trace: Option<TraceParent>,
    },
    /// More of an exchange that is in COPY IN. Payload: CopyData, CopyDone, CopyFail, Sync, Flush messages.
    CopyData {
        /// Sealed ticket of the session.
        ticket: Vec<u8>,
    },
    /// The client has read on: the Backend may send until this many payload bytes in all since the
    /// session began.
    Grant {
        /// Sealed ticket of the session.
        ticket: Vec<u8>,
        /// Cumulative bytes.
        bytes: u64,
    },
    /// Cancel the exchange in the header if it is still running.
    Cancel {
        /// Sealed ticket of the session.
        ticket: Vec<u8>,
    },
    /// Is the exchange in the header still running? Sent when an answer is slow. It has no sequence
    /// number of its own (0) and may arrive out of order.
    Probe {
        /// Sealed ticket of the session.
        ticket: Vec<u8>,
    },
    /// The client has gone.
    Close {
        /// Sealed ticket of the session.
        ticket: Vec<u8>,
    },
}

/// One SCRAM message of the client, relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The Backend run that shall serve the session.
    pub backend_instance: InstanceId,
    /// User name from the StartupMessage.
    pub user: String,
    /// Database name from the StartupMessage.
    pub database: String,
    /// Other parameters of the StartupMessage (`options` already split).
    pub parameters: Vec<(String, String)>,
    /// Client address as the Frontend saw it.
    pub client: String,
    /// The connection is under TLS.
    pub tls: bool,
    /// SASL mechanism the client chose.
    pub mechanism: String,
    /// The client's SASL message.
    #[serde(with = "serde_bytes")]
    pub message: Vec<u8>,
    /// State the Query Validator sealed to itself in the previous step; `None` in the first.
    pub state: Option<Vec<u8>>,
    /// Bytes of answer the Frontend is ready to take, cumulative, as in `Grant`.
    pub window: u64,
}

// ---- Query Validator → Frontend (sealed blob inside the answer) --------------------------------

/// The Query Validator's word on one step of signing in. The Backend and the Response Validator carry it
/// unopened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInAnswer {
    /// Go on: send this to the client, and send `state` back with the client's next message.
    Continue {
        /// SASL message for the client.
        message: Vec<u8>,
        /// Sealed state.
        state: Vec<u8>,
    },
    /// Signed in, if the Backend opened the session too.
    Accepted {
        /// Last SASL message for the client.
        message: Vec<u8>,
        /// Sealed ticket.
        ticket: Vec<u8>,
    },
    /// Not signed in.
    Refused(Refusal),
}

// ---- Query Validator → Backend -------------------------------------------------------------------

/// A request that the Query Validator has decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clean {
    /// Which Frontend the answer goes to.
    pub frontend: Slot,
    /// What to do.
    pub body: CleanBody,
}

/// The kinds of [`Clean`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanBody {
    /// A Frontend is alive.
    Heartbeat {
        /// Its run, so that the sessions of an earlier run can be dropped.
        instance: InstanceId,
    },
    /// Carry this on to the Frontend, and open a session first if told to.
    SignIn {
        /// Sealed [`SignInAnswer`].
        answer: Vec<u8>,
        /// The session to open.
        open: Option<OpenSession>,
    },
    /// Run an exchange. Payload: PostgreSQL messages, as in [`RequestBody::Exchange`].
    Run {
        /// One for each message of the payload, in order.
        verdicts: Vec<Verdict>,
        /// Text of the statements and portals the payload refers to.
        definitions: Vec<Definition>,
        /// What the answer will look like; the same list as in the contract.
        steps: Vec<crate::Expect>,
        /// Sealed [`crate::Contract`].
        contract: Vec<u8>,
        /// See [`RequestBody::Exchange`].
        trace: Option<TraceParent>,
    },
    /// More of an exchange in COPY IN.
    CopyData,
    /// See [`RequestBody::Grant`].
    Grant {
        /// Cumulative bytes.
        bytes: u64,
    },
    /// See [`RequestBody::Cancel`].
    Cancel,
    /// See [`RequestBody::Probe`].
    Probe,
    /// End the session, roll back, let go of its connection.
    Close,
    /// End the session with an error: its ticket is void.
    Expel(Refusal),
}

/// A session for the Backend to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSession {
    /// The Backend run that must open it; any other refuses.
    pub backend_instance: InstanceId,
    /// The Frontend run that serves it; when that run ends, so does the session.
    pub frontend_instance: InstanceId,
    /// The name given at sign-in.
    pub user: String,
    /// Database the client asked for.
    pub database: String,
    /// PostgreSQL role to take on.
    pub database_role: String,
    /// Value of `postern.tenant` in the database.
    pub tenant: Option<String>,
    /// Settings for the session, as (name, value): search_path and the client's start-up parameters.
    pub settings: Vec<(String, String)>,
    /// First answer window, cumulative bytes.
    pub window: u64,
}

/// The Query Validator's decision on one message of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It may run.
    Allow(Effects),
    /// It may not; answer with this in its place and fail the transaction.
    Refuse(Refusal),
}

/// What a statement leaves behind besides its rows, as far as pooling is concerned. The default is
/// nothing. Filled for Query and Parse/Bind messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// It makes session state: keep the connection until the session ends.
    pub pins: bool,
    /// It changes definitions, so prepared statements may be stale.
    pub changes_schema: bool,
    /// It drops prepared statements.
    pub deallocates: Option<Deallocate>,
    /// It ends the open transaction (COMMIT, ROLLBACK), so it may run in a failed one.
    pub ends_transaction: bool,
    /// It puts every setting back to the connection's own (RESET ALL, DISCARD ALL): role, tenant,
    /// search_path and start-up settings must be set again before the next exchange. It is always the
    /// last statement of its exchange.
    pub resets_settings: bool,
    /// It begins (true) or ends (false) a transaction block. Told with Execute.
    pub block: Option<bool>,
    /// How it is to run. Told with Execute.
    pub guard: Guard,
    /// For Describe of a statement: which of the parameters that the database describes are the client's, in
    /// the client's order, from 0. `None` when all of them are, in the same order.
    pub parameters: Option<Vec<u16>>,
    /// For a simple Query: run these one after the other, in one implicit transaction, in place of its text.
    /// Empty when the text is to run. The client is answered as for a simple Query.
    pub bound: Vec<BoundStatement>,
}

/// How a statement is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// It may change nothing.
    pub read_only: bool,
    /// Longest run in milliseconds, in place of what the session has.
    pub timeout_ms: Option<u32>,
}

impl Guard {
    /// Whether it asks for anything.
    pub fn is_none(&self) -> bool {
        *self == Guard::default()
    }
}

/// A statement of a simple Query with its values apart.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundStatement {
    /// The text.
    pub sql: String,
    /// OIDs of the types of its parameters; 0 is unspecified.
    pub parameter_types: Vec<u32>,
    /// The parameters in text format; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// See [`Effects::block`].
    pub block: Option<bool>,
    /// See [`Effects::guard`].
    pub guard: Guard,
}

// The values are the client's, and so may the text be.
impl std::fmt::Debug for BoundStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BoundStatement({} values)", self.values.len())
    }
}

/// Which prepared statements a statement drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deallocate {
    /// DEALLOCATE name.
    Named(String),
    /// DEALLOCATE ALL or DISCARD ALL.
    All,
}

// ---- Backend → Response Validator ----------------------------------------------------------------

/// Something for a Frontend that the Response Validator has to check first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirty {
    /// Which Frontend it is for.
    pub frontend: Slot,
    /// What it is.
    pub body: DirtyBody,
}

/// The kinds of [`Dirty`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirtyBody {
    /// The Backend is alive and takes sessions.
    Heartbeat {
        /// Its slot.
        backend: Slot,
        /// Its run.
        instance: InstanceId,
    },
    /// A step of signing in.
    SignIn {
        /// Sealed [`SignInAnswer`].
        answer: Vec<u8>,
        /// `None` when no session was to be opened.
        opened: Option<Opened>,
    },
    /// A part of an answer. Payload: whole PostgreSQL backend messages.
    Part {
        /// Sealed [`crate::Contract`] of the exchange.
        contract: Vec<u8>,
        /// State of the answer before this part, as the Backend claims it.
        state: crate::AnswerState,
        /// Not an answer: NotificationResponse, NoticeResponse or ParameterStatus that came by itself,
        /// under the contract of the exchange that allowed it.
        unsolicited: bool,
        /// Digest of the steps that the Backend ran the exchange by, where they begin with
        /// [`Expect::Columns`](crate::Expect::Columns): it has checked that each Execute is described as they say.
        steps: Option<StateDigest>,
        /// Microseconds since the Backend wrote down that it runs the exchange, for the records.
        since_us: u64,
    },
    /// The client may send this many bytes of CopyData payload in all since the session began.
    Grant {
        /// Cumulative bytes.
        bytes: u64,
    },
    /// Answer to a probe; takes no sequence number (0).
    Probed {
        /// The Backend has not begun it, is at it, or has answered it.
        standing: Standing,
        /// Highest sequence number sent to the Frontend so far.
        sent: u64,
        /// Next sequence number expected from the Frontend.
        expected: u64,
    },
    /// The session is over on the Backend's side.
    Lost(Refusal),
}

/// How far the Backend is with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// No such session here.
    NoSession,
    /// Not arrived yet.
    NotSeen,
    /// Waiting or running.
    Running,
    /// Answered in full.
    Answered,
}

/// Outcome of opening a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opened {
    /// Open; these ParameterStatus values hold for it.
    Ready(Vec<(String, String)>),
    /// Not open.
    Failed(Refusal),
}

// ---- Response Validator → Frontend -----------------------------------------------------------------

/// Something for this Frontend that the Response Validator has checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// See [`DirtyBody::Heartbeat`].
    Heartbeat {
        /// Slot of the Backend.
        backend: Slot,
        /// Run of the Backend.
        instance: InstanceId,
    },
    /// See [`DirtyBody::SignIn`].
    SignIn {
        /// Sealed [`SignInAnswer`].
        answer: Vec<u8>,
        /// See [`DirtyBody::SignIn`].
        opened: Option<Opened>,
    },
    /// A part of an answer. Payload: PostgreSQL messages for the client.
    Part {
        /// Digest of the state before it; must equal `after` of the part before. `None` for unsolicited
        /// messages, which stand outside the chain.
        before: Option<StateDigest>,
        /// Digest of the state after it.
        after: StateDigest,
        /// Number of ParseComplete messages in it, so that the Frontend knows which statements exist.
        parsed: u32,
        /// Payload bytes of the part as the Backend sent it: the Frontend's window counts those, whatever was
        /// left out or masked since.
        sent_bytes: u64,
        /// The exchange now waits for CopyData from the client.
        copy_in: bool,
        /// The answer is complete.
        last: bool,
        /// Close the client's connection after writing it: the answer broke its contract, or the database
        /// ended the session.
        hang_up: bool,
    },
    /// See [`DirtyBody::Grant`].
    Grant {
        /// Cumulative bytes.
        bytes: u64,
    },
    /// See [`DirtyBody::Probed`].
    Probed {
        /// How far the Backend is.
        standing: Standing,
        /// Highest sequence number sent so far.
        sent: u64,
        /// Next sequence number the Backend expects.
        expected: u64,
    },
    /// See [`DirtyBody::Lost`].
    Lost(Refusal),
}
