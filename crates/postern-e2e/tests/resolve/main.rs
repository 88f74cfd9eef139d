//! Names as Postern resolves them, against names as PostgreSQL resolves them.
//!
//! A database is made, `postern catalog` describes it, and every statement of a corpus is given to both. They
//! have to agree on whether it is right (and on the SQLSTATE if not), on the names, types, tables and numbers
//! of result columns as RowDescription tells them, and no relation may be in PostgreSQL's plan that the
//! resolver does not list.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod corpus;
mod database;
mod oracle;
mod tenancy;
mod uses;
