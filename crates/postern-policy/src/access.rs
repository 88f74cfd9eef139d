//! Rules for roles that write their own SQL: `access.cedar`.
//!
//! Trusts the names that `postern-sql` has resolved against the catalogue, and nothing else about a
//! statement. Not here: resolving, tenants, the lists of `policy.yaml`.

mod class;
mod decide;
mod names;
mod rules;

#[cfg(test)]
mod tests;

pub(crate) use decide::{Case, decide};
pub use rules::SCHEMA as ACCESS_SCHEMA;
pub(crate) use rules::{FILE, Principal, Rules};
