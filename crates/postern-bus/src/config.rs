//! What a stage must know to reach its two hops.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The hop that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InletConfig {
    /// Address of the NATS server, such as `nats://127.0.0.1:4222`.
    pub url: String,
    /// NATS user; also the name of its private inbox.
    pub user: String,
    /// File with the password of that user.
    pub password_file: PathBuf,
    /// Name of the stream.
    pub stream: String,
    /// Name of the durable consumer.
    pub consumer: String,
}

/// The hop that a stage writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutletConfig {
    /// Address of the NATS server, such as `nats://127.0.0.1:4223`.
    pub url: String,
    /// NATS user; also the name of its private inbox.
    pub user: String,
    /// File with the password of that user.
    pub password_file: PathBuf,
    /// Name of the stream; every subject it is written under begins with it.
    pub stream: String,
}
