//! A whole ring for tests: a real PostgreSQL, four real NATS servers and the four stage processes, on free
//! ports, gone when the [`Ring`] is dropped.
//!
//! It uses the same code as `postern init` and `postern up` for the ring's directory, commands and streams, so
//! a test runs what an operator runs. Nothing here is part of the product.

mod authority;
pub mod binaries;
mod database;
pub mod demo;
#[cfg(feature = "collectors")]
pub mod hook;
pub mod options;
pub mod port;
pub mod postgres;
pub mod process;
#[cfg(feature = "collectors")]
pub mod receiver;
pub mod ring;
pub mod rsyslog;
pub mod s3;
#[cfg(feature = "collectors")]
mod server;
pub mod shop;
mod template;

pub use authority::Authority;
pub use database::DatabaseTls;
pub use options::{Options, PoolMode, TestUser};
pub use postern_cli::hop::Hop;
pub use postern_cli::nats_auth::NatsAuth;
pub use postern_cli::part::Part;
pub use postern_cli::ring_config::Storage;
pub use postern_types::Stage;
pub use ring::Ring;
pub use rustix::process::Signal;
