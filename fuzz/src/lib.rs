//! What each fuzz target does with its input, and a few inputs to begin with.
//!
//! A target is more than "does not panic": what decodes must encode to something that decodes to the same,
//! and what one reading accepts another reading of the same bytes must not see differently.

mod answers;
mod bodies;
#[cfg(feature = "config")]
mod config;
mod envelopes;
mod scram;
pub mod seeds;
mod wire;

pub use answers::answers;
pub use bodies::ring_bodies;
#[cfg(feature = "config")]
pub use config::config;
pub use envelopes::envelope;
pub use scram::scram;
pub use wire::{wire_backend, wire_frontend, wire_startup};
