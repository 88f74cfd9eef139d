//! The ledger: what a stage let through, written down before it was handed on (P8).
//!
//! Each stage has one directory of its own, and so has the operator, for commands that change the ring:
//!
//! - `ledger-NNNNNNNNNNNNNNNNNNNN.jsonl`: records, one JSON object a line. `N` is the number of the first
//!   record in the file. A new file begins when the last one has reached its size; the chain goes on.
//! - `head`: number and hash of the last record, rewritten in place after each commit, so that a cut tail
//!   shows. It is also the lock: one process at a time has a ledger open for writing.
//! - `begin`: the same of the last record that was removed for its age, if any was ([`prune`]).
//!
//! # A record's line
//!
//! ```text
//! {"number":7,"time":"2026-01-31T12:00:00.123Z","stage":"backend", … ,"prev":"<64 hex>","hash":"<64 hex>"}
//! ```
//!
//! `number` is first and rises by one from 1. `prev` is the `hash` of the record before (zeros before the
//! first). `hash` is the SHA-256 of the line's bytes from `{` up to and without `,"hash":`. Lower-case hex
//! only. No line is longer than [`MAX_LINE_BYTES`].
//!
//! # What it can and can't show
//!
//! An edit, a removal, a re-ordering or a cut tail shows in [`verify`]. Somebody who can write the directory
//! and rewrites *everything* after a point, `head` included, is not found by the chain alone; the ledgers of
//! the other three stages ([`cross_check`]) still tell, and so does a checkpoint ([`Witness`]) that was signed
//! before and kept where that somebody can't write. A checkpoint has the Merkle root of one file's records, so
//! that a single record can be proved with a public key alone ([`Proof`]). A commit survives the death of the
//! process at any instant; it is not forced to the disk, so a power cut can lose the last seconds, which then shows
//! as a cut tail.
//!
//! What is not here: rows, parameters, statement texts and secrets (P9): a [`Record`] has no field that
//! could hold them, but for those that a policy asks for by name. Nor sinks, queries or clocks: time is a parameter.

mod chain;
mod checkpoint;
mod cross;
mod files;
mod line;
mod merkle;
mod pack;
mod parse;
mod proof;
mod prune;
mod reader;
mod record;
mod recover;
mod signer;
mod tally;
mod verify;
mod walk;
mod witness;
mod writer;

pub use checkpoint::{Checkpoint, CheckpointError, NotAKey, PublicKey, SigningKey};
pub use cross::{CrossFinding, CrossReport, Disagreement, cross_check};
pub use files::{committed, open_regular};
pub use line::MAX_LINE_BYTES;
pub use pack::{Packed, pack};
pub use proof::{Proof, ProofError, Proved};
pub use prune::{prunable, prune, pruned};
pub use reader::{Seal, TailReader, seal_of, time_of};
pub use record::{Details, Event, Level, Outcome, PATTERN_BYTES, Record, StatementDigest, VALUES};
pub use signer::Signer;
pub use tally::Tally;
pub use verify::{Finding, FindingKind, Report, verify};
pub use witness::{Witness, WitnessFinding, WitnessKind};
pub use writer::{Durability, Ledger, LedgerError, OnFull, ROTATE_BYTES};

#[cfg(test)]
mod tests;
