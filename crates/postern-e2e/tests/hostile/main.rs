//! One part of the ring is hijacked, with its real keys and its real credentials, and tries what it can (P3, P5, P6, P7, P10).
//!
//! Each test takes one part over, plays its attacks one by one and prints a table: the attack, what came of it, the
//! promise that stopped it. What a part can do all the same is in the table as `residual`, and is shown to happen: it
//! proves that the attacks beside it were made in the right way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod answer;
mod backend;
mod changed;
mod credentials;
mod frontend;
mod go_between;
mod handed_on;
mod impostor;
mod nats;
mod query_validator;
mod response_validator;
mod scene;
mod substitution;
mod table;
