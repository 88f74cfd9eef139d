//! What PostgreSQL may answer to one exchange.
//!
//! The Query Validator turns the messages of an exchange into [`Expectations`]; Backend and Response
//! Validator walk the answer with [`advance`], message by message, and refuse what PostgreSQL's protocol
//! does not allow at that point (manual, "Message Flow"). [`check_part`] does that for a whole part of an
//! answer, with row and byte caps, and tells less of errors where the contract says so. [`digest`] links the
//! parts of an answer so that the Frontend can see that none is missing, added or from elsewhere.
//!
//! Trusted: the list of steps and the contract, which the Query Validator sealed. Not trusted: every byte
//! of the answer and the state that the Backend claims to have reached.
//!
//! An [`Inspector`] holds answers to rules of its own as well ([`rules`]): masks, tenants, detectors. A contract can
//! tighten them, never loosen them. [`plan`] is the Query Validator's half of that: what the columns of a
//! statement are made of, once it knows.
//!
//! Not here: SQL, seals, I/O, and who may run what.
//!
//! # The chain of states
//! An answer begins in [`AnswerState::default`], with one exception. When an extended-query message fails
//! and its exchange has no Sync (it ends in Flush, or in a simple Query), PostgreSQL ignores everything up
//! to the next Sync, beyond the end of the exchange. Such an answer ends in the state [`SKIPPING`], and the
//! answer to the next exchange begins in it: it is nothing but ReadyForQuery if that exchange has a Sync,
//! and nothing at all otherwise, ending in [`SKIPPING`] again. [`next_start`] gives the state in which
//! the next answer begins. The Frontend, which sees digests only, requires that an answer begins with the
//! digest of [`SKIPPING`] exactly when the last part of the answer before it had that digest as its
//! `after`, and with the digest of the default state otherwise. So a Backend can't pretend that an exchange
//! was skipped.
//!
//! # COPY IN and Sync
//! PostgreSQL ignores a Sync that arrives while it reads COPY data. A client that copies with an Execute
//! therefore sends two: one with the Execute, which is ignored, and one after CopyDone, which is answered.
//! The steps hold one Sync, and the answer one ReadyForQuery. Whoever forwards COPY data sends that second
//! Sync as part of the exchange when its steps end in Sync, and drops it when the answer is complete already
//! (the COPY failed before the first Sync was read). After an Execute in an exchange that ends in Flush, the
//! Sync begins an exchange of its own.
//!
//! # Refused statements
//! Where a statement is refused, an ErrorResponse stands in for its answer, and it is an ordinary error here:
//! what the contract says about errors applies to it too.

mod advance;
mod cap;
mod check;
mod copy;
mod digest;
mod escape;
mod expect;
mod find;
mod inspector;
mod keep;
mod kind;
mod lens;
mod look;
mod mask;
mod origins;
pub mod plan;
mod record;
mod rows;
pub mod rules;
mod scrub;
mod settings;
mod tenant;
mod violation;

pub use advance::{Progress, SKIPPING, advance, is_complete, next_start, settle};
pub use check::{Checked, check_part, check_unsolicited};
pub use digest::{digest, steps_digest};
pub use expect::{Expectations, NotAnExchange};
pub use inspector::{Inspector, InspectorError, Keys};
pub use keep::{clear_texts, hashes, kept};
pub use look::Alerts;
pub use mask::{MaskKey, ShortKey};
pub use origins::{ORIGINS_VERSION, OriginColumn, OriginRelation, Origins, OriginsDocument, OriginsError};
pub use settings::check_setting;
pub use violation::Violation;

pub use postern_types::{AnswerState, Contract, Expect, Phase, StateDigest, StatementShape};

#[cfg(test)]
mod tests;
