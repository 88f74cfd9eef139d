//! The Query Validator: decides who is who, and what may run.
//!
//! It opens what the Frontend sealed and trusts nothing in it but the seal: which session, user or Frontend
//! a request is about is taken from a ticket that the Query Validator sealed to itself at sign-in. It keeps
//! no session state; between two requests it remembers only verdicts on texts it has seen before, so that
//! any instance can be killed and another carries on.
//!
//! What it seals goes to the Backend (requests with a verdict), and through it to the Response Validator
//! (contracts) and the Frontend (sign-in answers). It has no route to a client or to the database. What is
//! malformed, forged or stale is dropped and recorded, and never answered; what a signed-in client may not
//! do is refused in words the client sees. Nothing here panics on what comes in, and no parameter value, row or
//! secret reaches a log or the ledger.

mod answers;
mod binding;
mod config;
mod end_points;
mod exchange;
mod lockout;
mod named;
mod names;
mod pace;
mod policy_watch;
mod record;
mod rewrite;
mod setup;
mod sign_in;
mod stage;
mod ticket;
mod users;
mod values;
mod verdicts;
mod wiring;

#[cfg(test)]
mod tests;

pub use config::QueryValidatorConfig;
pub use end_points::EndPoints;
pub use lockout::{InvalidLockout, LockoutConfig};
pub use record::Recorder;
pub use setup::{Keys, Settings, SetupError};
pub use stage::{Output, Validator};
pub use users::{User, Users};
pub use wiring::run;
