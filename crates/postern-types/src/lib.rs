//! What every part of Postern must agree on: identifiers, the links of the ring, and the messages that
//! travel inside sealed envelopes.
//!
//! This crate is pure: no I/O, no async, no clock, no cryptography. It trusts nothing; every decoder here
//! is total and refuses trailing or missing bytes. It holds no policy and no PostgreSQL protocol.

mod author;
pub mod body;
mod contract;
mod id;
mod kept;
mod link;
mod mask;
mod network;
mod rate;
mod refusal;
mod resequence;
pub mod ring;
mod ticket;
mod trace;

pub use author::Author;
pub use contract::{
    AnswerState, ColumnId, ColumnRule, ColumnRules, Contract, CopyDirection, CopyKind, CopyRules,
    ErrorDetail, Expect, OverCap, Phase, StateDigest, StatementRules, StatementShape,
};
pub use id::{InstanceId, InvalidSlot, SessionId, Slot};
pub use kept::{Keep, KeptForm, KeptValue, NoSuchKeep};
pub use link::{Link, Stage};
pub use mask::{Mask, NoSuchMask, Rounding};
pub use network::{InvalidNetwork, Network};
pub use rate::{Bucket, Rate};
pub use refusal::{Refusal, SqlState};
pub use resequence::{Arrival, Resequencer};
pub use ticket::Ticket;
pub use trace::{TraceId, TraceParent};
