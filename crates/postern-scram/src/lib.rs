//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) as PostgreSQL speaks them, for both ends.
//!
//! The crate is pure: it takes and gives messages, and reads neither sockets nor clocks; only
//! [`fresh_nonce`] and [`fresh_salt`] ask the operating system for randomness. It trusts no message: each is
//! bounded before it is read, and whatever is not understood is refused.
//!
//! [`server`] is for the Query Validator, which holds [`Verifier`]s; between its two steps it keeps no
//! memory, so the state can be sealed and carried by others. [`client`] is for the Backend, which signs in
//! to PostgreSQL. [`end_point`] computes what the -PLUS variant binds to.
//!
//! Not in it: users, roles, and the messages that carry SCRAM (postern-wire).

pub mod client;
mod crypto;
pub mod end_point;
mod error;
mod message;
pub mod server;
mod verifier;

pub use crypto::{fresh_nonce, fresh_salt};
pub use error::ScramError;
pub use message::{MAX_MESSAGE_BYTES, Mechanism};
pub use verifier::{DEFAULT_ITERATIONS, InvalidVerifier, OtherSalt, Verifier};

/// Most PBKDF2 rounds that are ever computed here. PostgreSQL's default is 4,096; a server that asks for more
/// than this wants to keep its client busy.
pub const MAX_ITERATIONS: u32 = 10_000_000;

#[cfg(test)]
mod tests;
