//! What a stage must know to reach its two hops.

use crate::secret::SecretSource;
use crate::sign_in::SignIn;
use crate::tls::TlsConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The hop that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InletConfig {
    /// Address of the NATS server, such as `nats://127.0.0.1:4222`.
    pub url: String,
    /// NATS user; also the name of its private inbox.
    pub user: String,
    /// Name of the stream.
    pub stream: String,
    /// Name of the durable consumer.
    pub consumer: String,
    /// How it proves who it is.
    pub sign_in: SignIn,
    /// TLS, and none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// The hop that a stage writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutletConfig {
    /// Address of the NATS server, such as `nats://127.0.0.1:4223`.
    pub url: String,
    /// NATS user; also the name of its private inbox.
    pub user: String,
    /// Name of the stream; every subject it is written under begins with it.
    pub stream: String,
    /// How it proves who it is.
    pub sign_in: SignIn,
    /// TLS, and none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// How one user reaches one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) url: &'a str,
    pub(crate) user: &'a str,
    pub(crate) sign_in: &'a SignIn,
    pub(crate) tls: Option<&'a TlsConfig>,
}

impl InletConfig {
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            url: &self.url,
            user: &self.user,
            sign_in: &self.sign_in,
            tls: self.tls.as_ref(),
        }
    }

    /// The certificates that are read when a connection is made.
    pub fn certificates(&self) -> Vec<&Path> {
        self.tls.iter().flat_map(TlsConfig::certificates).collect()
    }

    /// Where the secrets come from that are read when a connection is made.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        secrets(&self.sign_in, self.tls.as_ref())
    }
}

impl OutletConfig {
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            url: &self.url,
            user: &self.user,
            sign_in: &self.sign_in,
            tls: self.tls.as_ref(),
        }
    }

    /// The certificates that are read when a connection is made.
    pub fn certificates(&self) -> Vec<&Path> {
        self.tls.iter().flat_map(TlsConfig::certificates).collect()
    }

    /// Where the secrets come from that are read when a connection is made.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        secrets(&self.sign_in, self.tls.as_ref())
    }
}

fn secrets<'a>(sign_in: &'a SignIn, tls: Option<&'a TlsConfig>) -> Vec<&'a SecretSource> {
    let mut sources = sign_in.sources();
    sources.extend(tls.map(|tls| &tls.key_file));
    sources
}
