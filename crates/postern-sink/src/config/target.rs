//! From what is configured to what carries records, and what can't work on the way.

use super::{OtlpConfig, S3Config, SyslogConfig, TracesConfig, WebhookConfig};
use crate::http::Place;
use crate::otlp::{Exporter, Logs, Protocol, Traces};
use crate::s3::{Keys, Store, Vault};
use crate::syslog::{Framing, Transport};
use crate::tls::{Tls, TlsConfig};
use crate::webhook::Webhook;
use anyhow::{Context as _, ensure};
use jiff::SignedDuration;
use postern_bus::SecretSource;
use rusty_s3::{Bucket, UrlStyle};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

impl OtlpConfig {
    pub(super) fn target(&self, host: &str) -> anyhow::Result<Logs> {
        let place = place("endpoint", &self.endpoint, self.tls.as_ref(), &self.headers)?;
        Ok(Logs::new(exporter(self.protocol, place, "/v1/logs")?, host))
    }
}

impl TracesConfig {
    pub(super) fn target(&self, host: &str) -> anyhow::Result<Traces> {
        ensure!(
            (0.0..=1.0).contains(&self.sample_ratio),
            "`sample_ratio` is 0 to 1"
        );
        let place = place("endpoint", &self.endpoint, self.tls.as_ref(), &self.headers)?;
        let exporter = exporter(self.protocol, place, "/v1/traces")?;
        Ok(Traces::new(exporter, host, self.sample_ratio))
    }
}

/// What sends to a collector of OpenTelemetry, by HTTP to this path if it has none of its own.
fn exporter(protocol: Protocol, mut place: Place, path: &str) -> anyhow::Result<Exporter> {
    ensure!(
        protocol == Protocol::Http || place.path.is_empty(),
        "`endpoint` of gRPC has no path"
    );
    if place.path.is_empty() {
        path.clone_into(&mut place.path);
    }
    Ok(Exporter::new(protocol, place))
}

impl WebhookConfig {
    pub(super) fn target(&self) -> anyhow::Result<Webhook> {
        let mut place = place("url", &self.url, self.tls.as_ref(), &self.headers)?;
        if place.path.is_empty() {
            place.path = "/".to_owned();
        }
        let repeat_after = Duration::from_secs(self.repeat_after_s.into());
        Ok(Webhook::new(
            place,
            self.format,
            self.secret_file.clone(),
            repeat_after,
        ))
    }
}

impl S3Config {
    pub(super) fn target(&self) -> anyhow::Result<Vault> {
        let place = place("endpoint", &self.endpoint, self.tls.as_ref(), &BTreeMap::new())?;
        ensure!(
            matches!(place.path.as_str(), "" | "/"),
            "`endpoint` has no path; the bucket's name is in `bucket`"
        );
        let (host, _) = host_and_port(&place.address)?;
        ensure!(
            place.tls.is_some() || is_this_machine(host),
            "over http:// anybody on the way to `{host}` could use what is sent; take https://"
        );
        let of_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        ensure!(
            (3..=63).contains(&self.bucket.len())
                && self.bucket.chars().all(of_bucket)
                && self.bucket.starts_with(|c: char| c.is_ascii_alphanumeric()),
            "`bucket` has 3 to 63 lower-case letters, digits, `.` and `-`, and begins with none of the latter two"
        );
        let usual = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '%');
        ensure!(
            self.prefix.chars().all(usual) && !self.prefix.starts_with('/'),
            "`prefix` has letters, digits and marks, and no `/` at its beginning"
        );
        let prefix = match self.prefix.trim_end_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let endpoint = self.endpoint.parse().context("`endpoint` is no URL")?;
        let bucket = Bucket::new(endpoint, UrlStyle::Path, self.bucket.clone(), self.region.clone());
        let store = Store {
            bucket: bucket.context("`endpoint` or `bucket`")?,
            prefix,
            keys: Keys {
                access: self.access_key_file.clone(),
                secret: self.secret_key_file.clone(),
                session_token: self.session_token_file.clone(),
            },
            mode: self.mode,
            retain: SignedDuration::from_hours(i64::from(self.retain_days.get()) * 24),
            every: Duration::from_secs(self.every_s.get().into()),
        };
        let path = "/".to_owned();
        Ok(Vault::new(Place { path, ..place }, store))
    }
}

/// Where a URL of HTTP leads; its path is empty if it has none.
fn place(
    field: &str,
    url: &str,
    tls: Option<&TlsConfig>,
    headers: &BTreeMap<String, SecretSource>,
) -> anyhow::Result<Place> {
    let (scheme, rest) = url
        .split_once("://")
        .with_context(|| format!("`{field}` is http://host:port or https://host:port, and perhaps a path"))?;
    let (address, path) = match rest.split_once('/') {
        Some((address, path)) => (address, format!("/{path}")),
        None => (rest, String::new()),
    };
    let (name, _) = host_and_port(address)?;
    ensure!(
        scheme != "http" || headers.is_empty() || is_this_machine(name),
        "`headers` are secrets: over http:// anybody on the way to `{name}` could read them; take https://"
    );
    let tls = match (scheme, tls) {
        ("http", None) => None,
        ("http", Some(_)) => anyhow::bail!("`tls` is for https:// only, and would not be heeded"),
        ("https", Some(tls)) => Some(Tls::new(tls, name)?),
        ("https", None) => anyhow::bail!("https:// needs a `tls` with `ca_file`"),
        _ => anyhow::bail!("`{scheme}://` is not a way to a collector"),
    };
    Ok(Place {
        address: address.to_owned(),
        path,
        tls,
        headers: headers.clone(),
    })
}

/// What is sent there does not leave this machine.
fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl SyslogConfig {
    pub(super) fn transport(&self) -> anyhow::Result<Transport> {
        ensure!(self.facility <= 23, "`facility` is 0 to 23");
        if let Some(path) = self.address.strip_prefix("unix:") {
            ensure!(
                Path::new(path).is_absolute(),
                "`unix:` is followed by an absolute path, such as unix:/dev/log"
            );
            self.without_tls()?;
            return Ok(Transport::Unix(path.into()));
        }
        let (scheme, address) = self
            .address
            .split_once("://")
            .context("`address` is tls://host:port, tcp://host:port, udp://host:port or unix:/path")?;
        let (host, _) = host_and_port(address)?;
        match scheme {
            "udp" => {
                self.without_tls()?;
                Ok(Transport::Udp(address.to_owned()))
            }
            "tcp" => {
                self.without_tls()?;
                Ok(Transport::Tcp(address.to_owned(), self.framing))
            }
            "tls" => {
                ensure!(
                    self.framing == Framing::OctetCounting,
                    "tls:// has octet counting only (RFC 5425)"
                );
                let tls = self.tls.as_ref().context("tls:// needs a `tls` with `ca_file`")?;
                Ok(Transport::Tls(address.to_owned(), Tls::new(tls, host)?))
            }
            other => anyhow::bail!("`{other}://` is not a way to a Syslog collector"),
        }
    }

    fn without_tls(&self) -> anyhow::Result<()> {
        ensure!(
            self.tls.is_none(),
            "`tls` is for tls:// only, and would not be heeded"
        );
        Ok(())
    }
}

pub(super) fn host_and_port(address: &str) -> anyhow::Result<(&str, u16)> {
    let (host, port) = address
        .rsplit_once(':')
        .with_context(|| format!("`{address}` names no port"))?;
    let port = port
        .parse()
        .with_context(|| format!("`{address}` names no port"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}
