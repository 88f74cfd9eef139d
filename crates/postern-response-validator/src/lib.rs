//! The Response Validator: decides what may come back.
//!
//! It opens what a Backend has sealed, opens the contract that the Query Validator sealed for the same
//! exchange, checks every message of the answer against it, and seals the answer to the Frontend. It keeps
//! no state of any session: the state of an answer comes with each of its parts, and the digests that go on
//! to the Frontend form a chain there. So any number of Response Validators may share the work, and one
//! that is killed costs nothing: the same parts come again, and the Frontend takes each of them once.
//!
//! - Trusts: its own configuration, and contracts that carry the Query Validator's seal.
//! - Does not trust: the Backend, the bus, and PostgreSQL.
//! - Never has: a route to the database or to a client, a password verifier, a way to make a contract.
//! - Fails like this: an envelope that does not open, or makes no sense, goes no further and is recorded. An
//!   answer that breaks its contract is replaced by a fatal error that tells nothing, and the session
//!   ends. A ledger that can't be written, or a key that is used up, ends the process.
//!
//! [`Validator`] is pure: time is a parameter, and it reads and writes nothing.

mod answers;
mod config;
mod note;
mod relay;
mod run;
mod validator;
mod watch;

pub use answers::{Answers, AnswersError};
pub use config::{Config, Limits};
pub use note::Note;
pub use relay::Relay;
pub use run::run;
pub use validator::{Judged, Refused, Stepped, Validator};
pub use watch::Watch;

#[cfg(test)]
mod tests;
