//! The Backend: the only stage that speaks to PostgreSQL, and the only one with credentials for it.
//!
//! It trusts what the Query Validator sealed (which statements may run, as whom) and nothing a client or a
//! Frontend says. It never sees a client socket, a password verifier or a policy. It runs what it is told
//! at most once, in the order of the session, on a connection whose role and settings PostgreSQL has
//! confirmed, and it throws a connection away when in doubt.
//!
//! Not here: SQL parsing, masks, detectors. What a statement leaves behind on its connection is the Query
//! Validator's word.

pub mod catalog;
pub mod config;
mod connect;
mod definitions;
mod ended;
mod exchange;
mod inbox;
mod intake;
mod outbox;
mod plan;
mod pool;
mod profile;
mod replies;
mod server;
mod session;
mod stage;
mod statements;
mod tls;

pub use stage::run;
