//! `frontend.toml`.

use crate::door::Rules;
use crate::session::SessionLimits;
use crate::statements::StatementLimits;
use postern_bus::{InletConfig, OutletConfig, SecretSource};
use postern_runtime::sandbox::{Needs, SandboxError, SandboxMode, Sandboxed};
use postern_runtime::{KeysConfig, LedgerConfig};
use postern_types::{Network, Rate, Slot};
use postern_wire::Limits;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of one Frontend.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontendConfig {
    /// Name of this Frontend in subjects, such as `frontend-0`.
    pub slot: Slot,
    /// Backends it may send sessions to.
    pub backends: Vec<Slot>,
    /// Address on which clients connect.
    pub listen: SocketAddr,
    /// Networks that clients may come from.
    #[serde(default = "everywhere")]
    pub client_networks: Vec<Network>,
    /// Whether clients may, must or can't use TLS.
    #[serde(default)]
    pub tls_mode: TlsMode,
    /// PEM file with the certificate that clients see, and its chain. Read again when it or the key changes.
    pub tls_certificate_file: Option<PathBuf>,
    /// Where to find the certificate's private key, PEM.
    pub tls_key_file: Option<SecretSource>,
    /// Keys of this stage and its peers.
    pub keys: KeysConfig,
    /// Where answers come from (NATS-4).
    pub inlet: InletConfig,
    /// Where requests go (NATS-1).
    pub outlet: OutletConfig,
    /// Where records go.
    pub ledger: LedgerConfig,
    /// Limits.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Whether a comment at the beginning or end of a statement may name the trace it belongs to (`traceparent`, as
    /// sqlcommenter writes it). It is the client's word; records carry it.
    #[serde(default)]
    pub trace_comments: bool,
    /// How much the stage insists on its sandbox.
    #[serde(default)]
    pub sandbox: SandboxMode,
}

impl Sandboxed for FrontendConfig {
    fn sandbox(&self) -> SandboxMode {
        self.sandbox
    }

    fn needs(&self) -> Result<Needs, SandboxError> {
        let needs = Needs::of_stage(&self.keys, &self.inlet, &self.outlet, &self.ledger)?;
        let mut needs = needs.listening_on(self.listen.port());
        if let Some(certificate) = &self.tls_certificate_file {
            needs = needs.reading_again(certificate, &self.keys);
        }
        match &self.tls_key_file {
            Some(key) => needs.knowing_again(key, &self.keys),
            None => Ok(needs),
        }
    }
}

fn everywhere() -> Vec<Network> {
    Network::EVERYWHERE.to_vec()
}

/// A configuration by which nobody could sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`client_networks` is empty, so that nobody could connect; leave it out to let everybody connect")]
pub struct NoNetworks;

impl FrontendConfig {
    /// Who may come in at all.
    ///
    /// # Errors
    /// When there is no network that clients may come from.
    pub fn door(&self) -> Result<Rules, NoNetworks> {
        if self.client_networks.is_empty() {
            return Err(NoNetworks);
        }
        Ok(self.limits.door(self.client_networks.clone()))
    }
}

/// TLS towards clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// When the client asks for it.
    #[default]
    Prefer,
    /// No sign-in without it.
    Require,
    /// Never.
    Disable,
}

/// What clients may use up. Every value must be above 0.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Signed-in sessions.
    pub sessions: usize,
    /// Connections that have not signed in yet.
    pub connections_before_sign_in: usize,
    /// ... of one address.
    pub connections_before_sign_in_per_address: usize,
    /// New connections of one address each second, in the long run. All of an IPv6 network /64 are one address.
    pub connections_per_s_per_address: u32,
    /// ... at once.
    pub connections_burst_per_address: u32,
    /// Time from connecting to being signed in.
    pub sign_in_timeout_ms: u64,
    /// Prepared statements a session may have remembered; beyond, the one unused for longest is forgotten.
    pub statements: usize,
    /// Bytes of SQL text and names of these.
    pub statement_bytes: usize,
    /// Exchanges a session may have under way.
    pub exchanges: usize,
    /// Bytes of these.
    pub exchange_bytes: usize,
    /// Bytes of answer a session may have under way.
    pub answer_window_bytes: u64,
    /// Longest Query message.
    pub query_bytes: u32,
    /// Longest Parse message.
    pub parse_bytes: u32,
    /// Longest Bind message, at most 8 MiB.
    pub bind_bytes: u32,
    /// Longest CopyData message.
    pub copy_data_bytes: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let wire = Limits::default();
        LimitsConfig {
            sessions: 1000,
            connections_before_sign_in: 200,
            connections_before_sign_in_per_address: 200,
            connections_per_s_per_address: 1000,
            connections_burst_per_address: 2000,
            sign_in_timeout_ms: 10_000,
            statements: 5000,
            statement_bytes: 8 * 1024 * 1024,
            exchanges: 256,
            exchange_bytes: 8 * 1024 * 1024,
            answer_window_bytes: 2 * 1024 * 1024,
            query_bytes: wire.query_bytes,
            parse_bytes: wire.parse_bytes,
            bind_bytes: wire.bind_bytes,
            copy_data_bytes: wire.copy_data_bytes,
        }
    }
}

/// A limit that can't work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`limits.{name}` must be from {least} to {most}")]
pub struct InvalidLimit {
    name: &'static str,
    least: u64,
    most: u64,
}

impl LimitsConfig {
    /// The bounds of one session.
    ///
    /// # Errors
    /// When a limit is out of its range.
    pub fn checked(&self) -> Result<SessionLimits, InvalidLimit> {
        const MIB: u64 = 1024 * 1024;
        let within = |name, value: u64, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(InvalidLimit { name, least, most })
            }
        };
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        within("sessions", size(self.sessions), 1, 100_000)?;
        let before = size(self.connections_before_sign_in);
        within("connections_before_sign_in", before, 1, 100_000)?;
        let each = size(self.connections_before_sign_in_per_address);
        within("connections_before_sign_in_per_address", each, 1, 100_000)?;
        let per_s = self.connections_per_s_per_address.into();
        within("connections_per_s_per_address", per_s, 1, 1_000_000)?;
        let burst = self.connections_burst_per_address.into();
        within("connections_burst_per_address", burst, 1, 1_000_000)?;
        within("sign_in_timeout_ms", self.sign_in_timeout_ms, 100, 600_000)?;
        within("statements", size(self.statements), 1, 1_000_000)?;
        within("statement_bytes", size(self.statement_bytes), 1024, 1024 * MIB)?;
        within("exchanges", size(self.exchanges), 1, 100_000)?;
        within("exchange_bytes", size(self.exchange_bytes), 1024, 1024 * MIB)?;
        within(
            "answer_window_bytes",
            self.answer_window_bytes,
            512 * 1024,
            1024 * MIB,
        )?;
        within("query_bytes", self.query_bytes.into(), 1024, 8 * MIB)?;
        within("parse_bytes", self.parse_bytes.into(), 1024, 8 * MIB)?;
        within("bind_bytes", self.bind_bytes.into(), 1024, 8 * MIB)?;
        within("copy_data_bytes", self.copy_data_bytes.into(), 1024, 1024 * MIB)?;
        Ok(SessionLimits {
            wire: Limits {
                query_bytes: self.query_bytes,
                parse_bytes: self.parse_bytes,
                bind_bytes: self.bind_bytes,
                copy_data_bytes: self.copy_data_bytes,
                ..Limits::default()
            },
            statements: StatementLimits {
                count: self.statements,
                bytes: self.statement_bytes,
            },
            exchanges: self.exchanges,
            exchange_bytes: self.exchange_bytes,
            answer_window: self.answer_window_bytes,
            trace_comments: false,
        })
    }

    /// Who may come in at all.
    pub fn door(&self, networks: Vec<Network>) -> Rules {
        Rules {
            networks,
            rate: Rate {
                per_s: self.connections_per_s_per_address,
                burst: self.connections_burst_per_address,
            },
            waiting: self.connections_before_sign_in,
            waiting_of_address: self.connections_before_sign_in_per_address,
        }
    }

    /// See `sign_in_timeout_ms`.
    pub fn sign_in_timeout(&self) -> Duration {
        Duration::from_millis(self.sign_in_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
slot = "frontend-0"
backends = ["backend-0"]
listen = "127.0.0.1:6432"
tls_mode = "require"
tls_certificate_file = "tls/server.crt"
tls_key_file = "tls/server.key"
[keys]
file = "keys/link/frontend/keys.toml"
[inlet]
url = "nats://127.0.0.1:4225"
user = "frontend"
stream = "clean-resp"
consumer = "frontend-0"
sign_in = { method = "password", password_file = "keys/in" }
[outlet]
url = "nats://127.0.0.1:4222"
user = "frontend"
stream = "dirty-query"
sign_in = { method = "nkey", seed_file = "keys/out" }
[ledger]
directory = "audit/frontend"
"#;

    fn parse(text: &str) -> Result<FrontendConfig, postern_runtime::ConfigError> {
        postern_runtime::parse_config(std::path::Path::new("frontend.toml"), text)
    }

    #[test]
    fn limits_have_defaults_that_are_within_their_ranges() {
        let config = parse(SAMPLE).unwrap();
        assert_eq!(config.tls_mode, TlsMode::Require);
        assert_eq!(config.limits, LimitsConfig::default());
        assert!(config.limits.checked().is_ok());
    }

    #[test]
    fn everybody_may_connect_unless_networks_are_named() {
        assert_eq!(
            parse(SAMPLE).unwrap().door().unwrap().networks,
            Network::EVERYWHERE
        );
        let with = |networks: &str| parse(&format!("client_networks = {networks}\n{SAMPLE}"));
        let named = with("[\"10.0.0.0/8\"]").unwrap().door().unwrap();
        assert_eq!(named.networks, ["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(with("[]").unwrap().door(), Err(NoNetworks));
        let error = with("[\"10.0.0.1/8\"]").unwrap_err().to_string();
        assert!(error.contains("is 10.0.0.0/8 meant?"), "{error}");
    }

    #[test]
    fn unknown_names_and_useless_limits_are_refused() {
        assert!(parse(&format!("{SAMPLE}\n[limits]\nsession = 3\n")).is_err());
        let config = parse(&format!("{SAMPLE}\n[limits]\nexchanges = 0\n")).unwrap();
        let error = config.limits.checked().unwrap_err();
        assert!(error.to_string().contains("`limits.exchanges`"), "{error}");
    }
}
