//! The policy: what the statements of each role may do.
//!
//! A policy is a directory that people review and keep with the application's code: `policy.yaml`, rules in
//! `access.cedar`, named statements in `queries/`, and the catalogue of the database. This crate reads it and
//! judges statements that `postern-sql` has analysed and resolved, settings of a session, and start-up
//! parameters. What is not allowed by something is refused. A role that is judged by lists is judged by names
//! alone; what a view or a function hides from them is up to the rights of the role in the database.
//!
//! Pure: no I/O, no clock. Not here: parsing SQL, reading files, sealing, who is signed in.

mod access;
mod calls;
mod document;
mod functions;
mod judge;
mod load;
mod named;
mod origins;
mod policy;
mod role;
mod settings;
mod tenancy;
mod verdict;
mod word;

#[cfg(test)]
mod tests;

pub use access::ACCESS_SCHEMA;
pub use document::{Mode, PolicyError, Tenancy};
pub use judge::Who;
pub use load::{hash_of, is_policy_file};
pub use named::{Match, NamedIndex, NamedStatement, TenantRule};
pub use origins::origins;
pub use policy::{Policy, PolicyHash, Rights};
pub use role::Limits;
pub use tenancy::{BoundValue, Demand, Source, TenantType};
pub use verdict::{Denial, Finding, Judgement};
pub use word::StatementWord;
