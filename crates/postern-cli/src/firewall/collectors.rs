//! Whom the sinks speak to, by `sinks.toml`, and who may ask for metrics. A collector whose address is not known is an error:
//! a rule that lets through more than one address would be none.

use crate::directory::RingDirectory;
use crate::sinks;
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `[firewall]` of `postern.toml`: what the other files don't say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirewallConfig {
    /// Who may ask for the metrics of `sinks.toml` over the network; nobody without it.
    pub monitoring: Vec<IpAddr>,
    /// Addresses of collectors that `sinks.toml` names by a host name, by that name.
    pub collectors: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl FirewallConfig {
    /// Says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == FirewallConfig::default()
    }
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    /// Its name in rules.
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

/// One address of a collector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Collector {
    /// The sink that it is the collector of.
    pub(super) sink: String,
    pub(super) transport: Transport,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// What the sinks have to do with others.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) collectors: BTreeSet<Collector>,
    /// Where metrics are served.
    pub(super) metrics: Option<SocketAddr>,
    /// Who may ask for them over the network.
    pub(super) monitoring: Vec<IpAddr>,
}

/// What of `sinks.toml` matters here.
#[derive(Deserialize)]
struct SinksFile {
    #[serde(default)]
    sinks: BTreeMap<String, Sink>,
    metrics: Option<Metrics>,
}

#[derive(Deserialize)]
struct Metrics {
    listen: SocketAddr,
}

/// Of each sink. Kinds are listed in full: of one that is not known here, nobody knows whom it reaches.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Sink {
    Syslog { address: String },
    Otlp { endpoint: String },
    Traces { endpoint: String },
    Webhook { url: String },
    S3 { endpoint: String },
}

impl Outside {
    /// `None` when there is nothing for `postern-sink` to do.
    ///
    /// # Errors
    /// When a file can't be read, or says of a collector what can't be made a rule of.
    pub(super) fn read(ring: &RingDirectory) -> anyhow::Result<Option<Outside>> {
        if !sinks::is_wanted(ring)? {
            return Ok(None);
        }
        let config = ring.ring_config()?.firewall;
        let file: SinksFile = sinks::read(ring)?
            .try_into()
            .with_context(|| format!("error in {}", ring.sinks_config_file().display()))?;
        let mut collectors = BTreeSet::new();
        for (name, sink) in &file.sinks {
            // It goes into the rules, as a comment. postern-sink takes no other names either.
            let usual = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            ensure!(
                name.len() <= 63 && name.chars().all(usual),
                "{name:?} can't be the name of a sink: take lower-case letters, digits and `-`"
            );
            let found = sink
                .collectors(name, &config)
                .with_context(|| format!("sink `{name}` of sinks.toml"))?;
            collectors.extend(found);
        }
        Ok(Some(Outside {
            collectors,
            metrics: file.metrics.map(|metrics| metrics.listen),
            monitoring: config.monitoring,
        }))
    }
}

impl Sink {
    fn collectors(&self, name: &str, config: &FirewallConfig) -> anyhow::Result<Vec<Collector>> {
        let url = match self {
            Sink::Syslog { address } if address.starts_with("unix:") => return Ok(Vec::new()),
            Sink::Syslog { address } => address,
            Sink::Otlp { endpoint } | Sink::Traces { endpoint } | Sink::S3 { endpoint } => endpoint,
            Sink::Webhook { url } => url,
        };
        let (scheme, rest) = url
            .split_once("://")
            .with_context(|| format!("`{url}` does not begin as an address does"))?;
        let transport = match (self, scheme) {
            (Sink::Syslog { .. }, "tls" | "tcp") => Transport::Tcp,
            (Sink::Syslog { .. }, "udp") => Transport::Udp,
            (
                Sink::Otlp { .. } | Sink::Traces { .. } | Sink::Webhook { .. } | Sink::S3 { .. },
                "https" | "http",
            ) => Transport::Tcp,
            _ => bail!("`{scheme}://` is not a way to its collector"),
        };
        let place = rest.split('/').next().unwrap_or(rest);
        let (host, port) = place
            .rsplit_once(':')
            .with_context(|| format!("`{place}` names no port"))?;
        let port = port.parse().with_context(|| format!("`{place}` names no port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let collector = |address| Collector {
            sink: name.to_owned(),
            transport,
            address,
            port,
        };
        Ok(addresses(host, config)?.into_iter().map(collector).collect())
    }
}

/// The addresses of a host.
fn addresses(host: &str, config: &FirewallConfig) -> anyhow::Result<BTreeSet<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(BTreeSet::from([address]));
    }
    if host == "localhost" {
        return Ok(BTreeSet::from([
            Ipv4Addr::LOCALHOST.into(),
            Ipv6Addr::LOCALHOST.into(),
        ]));
    }
    let listed = config.collectors.get(host).cloned().unwrap_or_default();
    ensure!(
        !listed.is_empty(),
        "its collector is at `{host}`, and rules need addresses; write them into [firewall.collectors] of postern.toml, as \
         \"{host}\" = [\"192.0.2.1\"]"
    );
    Ok(listed)
}
