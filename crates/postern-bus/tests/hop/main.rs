//! Inlets and outlets against real NATS servers, which are killed and started again under them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in functions that tests share"
)]

mod admission;
mod limits;
mod permissions;
mod provisioning;
mod relaying;
mod restarts;
mod server;
