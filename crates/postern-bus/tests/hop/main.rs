//! Inlets and outlets against real NATS servers, which are killed and started again under them.

mod limits;
mod permissions;
mod provisioning;
mod relaying;
mod restarts;
mod server;
