//! `sinks.toml`.

mod target;

use crate::courier::Target;
use crate::otlp::Protocol;
use crate::s3::LockMode;
use crate::syslog::{Framing, Header, Syslog};
use crate::tls::TlsConfig;
use crate::webhook::Format;
use anyhow::{Context as _, ensure};
use postern_bus::SecretSource;
use postern_runtime::sandbox::{Needs, SandboxError, SandboxMode, Sandboxed};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use target::host_and_port;

/// Where the stages of a ring have their keys: nothing above that is read as a whole.
const LINK_KEYS: &str = "keys/link";

/// Where records go. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinksConfig {
    /// Directory with the ledgers, one folder for each stage.
    #[serde(default = "default_audit_directory")]
    pub audit_directory: PathBuf,
    /// Directory in which each sink remembers how far its collector is.
    #[serde(default = "default_positions_directory")]
    pub positions_directory: PathBuf,
    /// Name of this machine in messages; the kernel's, when it is not there.
    #[serde(default)]
    pub hostname: Option<String>,
    /// How much the process insists on its sandbox.
    #[serde(default)]
    pub sandbox: SandboxMode,
    /// Where metrics and health of the stages are served; nowhere without it.
    #[serde(default)]
    pub metrics: Option<MetricsConfig>,
    /// By name: lower-case letters, digits, `-`.
    #[serde(default)]
    pub sinks: BTreeMap<String, SinkConfig>,
}

/// Metrics and health of the stages, by HTTP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address that only those who watch can reach, such as `127.0.0.1:9464`.
    pub listen: SocketAddr,
}

/// One sink.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SinkConfig {
    /// A Syslog collector.
    Syslog(SyslogConfig),
    /// A collector of logs of OpenTelemetry.
    Otlp(OtlpConfig),
    /// A collector of traces of OpenTelemetry.
    Traces(TracesConfig),
    /// A webhook, which is told of alerts only.
    Webhook(WebhookConfig),
    /// Object storage with Object Lock, which gets checkpoints only.
    S3(S3Config),
}

/// A collector of OpenTelemetry logs (OTLP 1).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// `https://host:port` or `http://host:port`; for `http` with a path, `/v1/logs` when there is none.
    pub endpoint: String,
    /// For `https://`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Headers of each request, such as `authorization`, by name; each value is a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretSource>,
}

/// A collector of OpenTelemetry traces (OTLP 1). Traces are made of records that are written while the sink runs; what it
/// misses is not made up for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// As for `otlp`; `/v1/traces` when there is no path.
    pub endpoint: String,
    /// For `https://`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Headers of each request, such as `authorization`, by name; each value is a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretSource>,
    /// How many of the exchanges are traced, 0 to 1. Where a client names a trace, it decides.
    #[serde(default = "default_sample_ratio")]
    pub sample_ratio: f64,
}

fn default_sample_ratio() -> f64 {
    1.0
}

/// A Syslog collector (RFC 5424).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// `tls://host:port`, `tcp://host:port`, `udp://host:port` or `unix:/path`.
    pub address: String,
    /// How messages are told apart over `tcp://`.
    #[serde(default)]
    pub framing: Framing,
    /// 0 to 23; 13 is "log audit".
    #[serde(default = "default_facility")]
    pub facility: u8,
    /// For `tls://`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

/// A webhook.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// `https://host:port/path` or `http://host:port/path`.
    pub url: String,
    /// What bodies look like.
    #[serde(default)]
    pub format: Format,
    /// Where to find the secret that bodies are signed with; without it they are not.
    #[serde(default)]
    pub secret_file: Option<SecretSource>,
    /// Alerts of the same event, reason, user and tenant at the same stage are told once in this time, in seconds; the
    /// next one says how many there were.
    #[serde(default = "default_repeat_after_s")]
    pub repeat_after_s: u32,
    /// For `https://`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Headers of each request, such as `authorization`, by name; each value is a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretSource>,
}

/// Object storage (S3) whose buckets have Object Lock: each new checkpoint is stored where nobody can change or remove it
/// before its time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// `https://host:port` or `http://host:port`. The bucket's name goes into the path.
    pub endpoint: String,
    /// The bucket; it must have been made with Object Lock.
    pub bucket: String,
    /// Its region.
    #[serde(default = "default_region")]
    pub region: String,
    /// Goes before the names of objects, such as `shop/`.
    #[serde(default)]
    pub prefix: String,
    /// Where to find the access key.
    pub access_key_file: SecretSource,
    /// Where to find its secret.
    pub secret_key_file: SecretSource,
    /// Where to find the token of a session, if the key is of one.
    #[serde(default)]
    pub session_token_file: Option<SecretSource>,
    /// How long an object stays as it is, in days.
    pub retain_days: NonZeroU32,
    /// Who may change that.
    #[serde(default)]
    pub mode: LockMode,
    /// What is new is stored once in this time, in seconds.
    #[serde(default = "default_every_s")]
    pub every_s: NonZeroU32,
    /// For `https://`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_every_s() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(59)
}

fn default_repeat_after_s() -> u32 {
    300
}

fn default_audit_directory() -> PathBuf {
    "audit".into()
}

fn default_positions_directory() -> PathBuf {
    "audit/sent".into()
}

fn default_facility() -> u8 {
    13
}

impl SinksConfig {
    /// The sinks that get records, by name.
    pub(crate) fn sinks_of_records(&self) -> Vec<String> {
        let all = self.sinks.iter();
        let those = all.filter(|(_, sink)| !matches!(sink, SinkConfig::S3(_)));
        those.map(|(name, _)| name.clone()).collect()
    }

    /// The name of this machine.
    fn host(&self) -> String {
        match &self.hostname {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

impl SinkConfig {
    /// What it carries records to.
    ///
    /// # Errors
    /// When it can't work as it is configured.
    pub(crate) fn target(&self, name: &str, all: &SinksConfig) -> anyhow::Result<Target> {
        let usual = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !name.is_empty() && name.len() <= 63 && name.chars().all(usual),
            "`{name}` can't be the name of a sink: take lower-case letters, digits and `-`"
        );
        match self {
            SinkConfig::Syslog(syslog) => {
                let header = Header::new(syslog.facility, &all.host());
                let transport = syslog.transport().with_context(|| format!("sink `{name}`"))?;
                Ok(Target::Syslog(Box::new(Syslog::new(header, transport))))
            }
            SinkConfig::Otlp(otlp) => {
                let otlp = otlp
                    .target(&all.host())
                    .with_context(|| format!("sink `{name}`"))?;
                Ok(Target::Logs(Box::new(otlp)))
            }
            SinkConfig::Traces(traces) => {
                let traces = traces
                    .target(&all.host())
                    .with_context(|| format!("sink `{name}`"))?;
                Ok(Target::Traces(Box::new(traces)))
            }
            SinkConfig::Webhook(webhook) => {
                let webhook = webhook.target().with_context(|| format!("sink `{name}`"))?;
                Ok(Target::Webhook(Box::new(webhook)))
            }
            SinkConfig::S3(s3) => {
                let vault = s3.target().with_context(|| format!("sink `{name}`"))?;
                Ok(Target::S3(Box::new(vault)))
            }
        }
    }

    /// How the collector is reached, as far as the sandbox is concerned.
    fn reach(&self) -> Reach<'_> {
        match self {
            SinkConfig::Syslog(syslog) => match syslog.address.split_once("://") {
                Some(("tcp" | "tls", address)) => Reach::Tcp(address),
                Some((_, address)) => Reach::Name(address),
                None => Reach::Here,
            },
            SinkConfig::Otlp(otlp) => Reach::of_url(&otlp.endpoint),
            SinkConfig::Traces(traces) => Reach::of_url(&traces.endpoint),
            SinkConfig::Webhook(webhook) => Reach::of_url(&webhook.url),
            SinkConfig::S3(s3) => Reach::of_url(&s3.endpoint),
        }
    }

    fn tls(&self) -> Option<&TlsConfig> {
        match self {
            SinkConfig::Syslog(syslog) => syslog.tls.as_ref(),
            SinkConfig::Otlp(otlp) => otlp.tls.as_ref(),
            SinkConfig::Traces(traces) => traces.tls.as_ref(),
            SinkConfig::Webhook(webhook) => webhook.tls.as_ref(),
            SinkConfig::S3(s3) => s3.tls.as_ref(),
        }
    }

    fn secrets(&self) -> Vec<&SecretSource> {
        let key = self.tls().and_then(|tls| tls.key_file.as_ref());
        match self {
            SinkConfig::Syslog(_) => key.into_iter().collect(),
            SinkConfig::Otlp(otlp) => key.into_iter().chain(otlp.headers.values()).collect(),
            SinkConfig::Traces(traces) => key.into_iter().chain(traces.headers.values()).collect(),
            SinkConfig::Webhook(webhook) => {
                let own = key.into_iter().chain(&webhook.secret_file);
                own.chain(webhook.headers.values()).collect()
            }
            SinkConfig::S3(s3) => {
                let own = [&s3.access_key_file, &s3.secret_key_file];
                key.into_iter().chain(own).chain(&s3.session_token_file).collect()
            }
        }
    }
}

/// Where a collector is.
enum Reach<'a> {
    /// At this host and port, by TCP.
    Tcp(&'a str),
    /// At this host and port, by something that the sandbox does not hold it to; its name may have to be looked up.
    Name(&'a str),
    /// On this machine.
    Here,
}

impl<'a> Reach<'a> {
    fn of_url(url: &'a str) -> Reach<'a> {
        match url.split_once("://") {
            Some((_, rest)) => Reach::Tcp(rest.split('/').next().unwrap_or(rest)),
            None => Reach::Here,
        }
    }
}

impl Sandboxed for SinksConfig {
    fn sandbox(&self) -> SandboxMode {
        self.sandbox
    }

    fn needs(&self) -> Result<Needs, SandboxError> {
        let split = |address| host_and_port(address).map_err(|_| SandboxError::NoPort(String::from(address)));
        let mut needs = Needs::default()
            .reading(&self.audit_directory)
            .reading(postern_bus::NO_CERTIFICATES)
            .writing(&self.positions_directory);
        if let Some(metrics) = self.metrics {
            needs = needs.listening_on(metrics.listen.port());
        }
        for sink in self.sinks.values() {
            needs = match sink.reach() {
                Reach::Tcp(address) => {
                    let (host, port) = split(address)?;
                    needs.connecting_to(host, port)
                }
                Reach::Name(address) => needs.looking_up(split(address)?.0),
                Reach::Here => needs,
            };
            let certificates = sink
                .tls()
                .into_iter()
                .flat_map(|tls| [Some(tls.ca_file.as_path()), tls.certificate_file.as_deref()]);
            let secrets = sink.secrets();
            let files = certificates.chain(secrets.iter().map(|secret| secret.path()));
            for file in files.flatten() {
                needs = needs.reading_directory_of(file, Some(Path::new(LINK_KEYS)));
            }
            for secret in secrets.iter().filter(|secret| secret.path().is_none()) {
                needs = needs.knowing(secret)?;
            }
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests;
