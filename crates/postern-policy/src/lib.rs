//! The policy: what the statements of each role may do.
//!
//! `policy.yaml` is reviewed by people and kept with the application's code. This crate reads it and judges
//! statements that `postern-sql` has analysed, settings of a session, and start-up parameters. It decides
//! by names alone: it has no catalogue of the database, so what a view or a function hides is up to the
//! rights of the role in the database. What is not listed is refused.
//!
//! Pure: no I/O, no clock. Not here: parsing SQL, sealing, who is signed in.

mod document;
mod functions;
mod judge;
mod policy;
mod settings;
mod word;

#[cfg(test)]
mod tests;

pub use document::PolicyError;
pub use policy::{Limits, Policy, Rights};
pub use word::StatementWord;
