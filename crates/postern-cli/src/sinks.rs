//! `sinks.toml`: where the audit records go besides the ledgers. `postern-sink` reads it; here it is made, and looked at
//! for whether there is anything to run.

use crate::directory::RingDirectory;
use anyhow::Context as _;
use postern_types::Author;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// What `postern init` writes: nothing to run, and how to change that.
pub(crate) const FIRST_SINKS_FILE: &str = "\
# Where the audit records go besides the ledgers in audit/. `postern up` runs postern-sink when a sink or metrics are named here.
# Each record is sent at least once and in the order of its ledger; what a collector has not taken waits in the ledger.
# Paths are relative to this file.

# Name of this machine in messages; default: what the kernel says.
# hostname = \"shop-1\"

# required, strict, best-effort or off, as in the stages' files.
sandbox = \"required\"

# Syslog (RFC 5424), by tls://, tcp://, udp:// or unix:. The message is the record as it is in the ledger. A collector that
# cuts messages at 8 KiB (rsyslog does, unless its maxMessageSize says otherwise) cuts long records.
# [sinks.siem]
# kind = \"syslog\"
# address = \"tls://siem.example:6514\"
# tls = { ca_file = \"keys/sinks/ca.crt\" }
#
# OpenTelemetry logs (OTLP), by grpc or http. A header's value is a secret: a file, { env = \"NAME\" } or a command.
# [sinks.otel]
# kind = \"otlp\"
# protocol = \"grpc\"
# endpoint = \"https://otel.example:4317\"
# tls = { ca_file = \"keys/sinks/ca.crt\" }
# headers = { authorization = \"keys/sinks/token\" }
#
# A webhook, told of alerts only: format is postern, slack or alertmanager. Alerts that are alike are told once in
# repeat_after_s. With secret_file, the header postern-signature is t=SECONDS,v1=HEX: the HMAC-SHA-256 of SECONDS.BODY.
# [sinks.pager]
# kind = \"webhook\"
# url = \"https://hooks.example:443/postern\"
# tls = { ca_file = \"keys/sinks/ca.crt\" }
# secret_file = \"keys/sinks/webhook.secret\"
# format = \"postern\"
# repeat_after_s = 300
#
# Traces (OTLP): each query's way round the ring. sample_ratio says how many, where the client names no trace of its own.
# [sinks.traces]
# kind = \"traces\"
# protocol = \"grpc\"
# endpoint = \"http://127.0.0.1:4317\"
# sample_ratio = 1.0
#
# Object storage (S3) with Object Lock gets the signed checkpoints: nobody can change or remove what it has before its time.
# The bucket must have been made with Object Lock; the key needs s3:PutObject and s3:PutObjectRetention.
# [sinks.vault]
# kind = \"s3\"
# endpoint = \"https://s3.example:443\"
# tls = { ca_file = \"keys/sinks/ca.crt\" }
# bucket = \"audit\"
# region = \"eu-central-1\"
# prefix = \"shop/\"
# access_key_file = \"keys/sinks/s3.id\"
# secret_key_file = \"keys/sinks/s3.key\"
# retain_days = 400
#
# Metrics for Prometheus, health and readiness of each stage: /STAGE/metrics, /STAGE/health, /STAGE/ready. There is no
# password: only those who watch should reach it.
# [metrics]
# listen = \"127.0.0.1:9464\"
#
# [sinks.local]
# kind = \"syslog\"
# address = \"unix:/dev/log\"
";

/// The names of the sinks in `sinks.toml`. A ring without the file has none.
///
/// # Errors
/// When the file can't be read, or is not TOML.
pub(crate) fn names(ring: &RingDirectory) -> anyhow::Result<Vec<String>> {
    let table = read(ring)?;
    let sinks = table.get("sinks").and_then(toml::Value::as_table);
    Ok(sinks
        .map(|sinks| sinks.keys().cloned().collect())
        .unwrap_or_default())
}

/// Those of [`names`] that get records: not those that get checkpoints only.
///
/// # Errors
/// As [`names`].
pub(crate) fn of_records(ring: &RingDirectory) -> anyhow::Result<Vec<String>> {
    let table = read(ring)?;
    let sinks = table.get("sinks").and_then(toml::Value::as_table);
    let gets_records = |sink: &toml::Value| sink.get("kind").and_then(toml::Value::as_str) != Some("s3");
    let of_records = sinks.into_iter().flatten().filter(|(_, sink)| gets_records(sink));
    Ok(of_records.map(|(name, _)| name.clone()).collect())
}

/// Whether there is anything for `postern-sink` to do: a sink, or metrics to serve.
///
/// # Errors
/// As [`names`].
pub(crate) fn is_wanted(ring: &RingDirectory) -> anyhow::Result<bool> {
    Ok(!names(ring)?.is_empty() || read(ring)?.contains_key("metrics"))
}

/// The file as a table; an empty one where there is no file.
///
/// # Errors
/// As [`names`].
pub(crate) fn read(ring: &RingDirectory) -> anyhow::Result<toml::Table> {
    let path = ring.sinks_config_file();
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("can't read {}", path.display()))?,
    };
    text.parse()
        .with_context(|| format!("error in {}", path.display()))
}

/// The last record of each ledger that a sink's collector has confirmed; one is left out where there is none.
pub(crate) fn confirmed(ring: &RingDirectory, sink: &str) -> BTreeMap<Author, u64> {
    let text = fs::read_to_string(ring.join("audit/sent").join(format!("{sink}.json")));
    let marks: serde_json::Value = text
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let number = |author: Author| Some((author, marks.get(author.name())?.get("number")?.as_u64()?));
    Author::ALL.into_iter().filter_map(number).collect()
}

/// How far a sink's collector is with one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// The last record of the ledger.
    pub(crate) committed: u64,
    /// The last record that the collector has confirmed.
    pub(crate) confirmed: u64,
    /// Records that it has not confirmed.
    pub(crate) behind: u64,
}

/// How far the collector of a sink is with each ledger.
///
/// # Errors
/// When the head of a ledger can't be read: then nobody knows.
pub(crate) fn progress(ring: &RingDirectory, sink: &str) -> anyhow::Result<BTreeMap<Author, Progress>> {
    // In this order, so that what is confirmed meanwhile was committed.
    let confirmed = confirmed(ring, sink);
    let of = |author: Author| {
        let committed = postern_ledger::committed(&ring.ledger(author))
            .with_context(|| format!("can't tell how far the ledger of {author} is"))?;
        let confirmed = confirmed.get(&author).copied().unwrap_or_default();
        let progress = Progress {
            committed,
            confirmed,
            behind: committed.saturating_sub(confirmed),
        };
        Ok((author, progress))
    };
    Author::ALL.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_types::Stage;

    #[test]
    fn a_sink_is_run_when_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path());
        assert!(names(&ring).unwrap().is_empty());
        let write = |text: &str| fs::write(ring.sinks_config_file(), text).unwrap();
        write(FIRST_SINKS_FILE);
        assert!(!is_wanted(&ring).unwrap());
        // The examples are good ones.
        write(
            &FIRST_SINKS_FILE
                .replace("# [", "[")
                .replace("# kind", "kind")
                .replace("# address", "address"),
        );
        assert_eq!(
            names(&ring).unwrap(),
            ["local", "otel", "pager", "siem", "traces", "vault"]
        );
        assert!(!of_records(&ring).unwrap().contains(&"vault".to_owned()));
        assert_eq!(of_records(&ring).unwrap().len(), 5);
        assert!(is_wanted(&ring).unwrap());
        write("[metrics]\nlisten = '127.0.0.1:9464'\n");
        assert!(names(&ring).unwrap().is_empty() && is_wanted(&ring).unwrap());
        write("sinks");
        assert!(names(&ring).unwrap_err().to_string().contains("sinks.toml"));
    }

    #[test]
    fn what_was_confirmed_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let ring = RingDirectory::new(directory.path());
        assert!(confirmed(&ring, "siem").is_empty());
        fs::create_dir_all(ring.join("audit/sent")).unwrap();
        let text = r#"{"backend":{"number":7,"hash":"ab"},"frontend":{"number":9,"hash":"cd"}}"#;
        fs::write(ring.join("audit/sent/siem.json"), text).unwrap();
        let right = BTreeMap::from([(Stage::Frontend.into(), 9), (Stage::Backend.into(), 7)]);
        assert_eq!(confirmed(&ring, "siem"), right);
        fs::write(ring.join("audit/sent/siem.json"), "{").unwrap();
        assert!(confirmed(&ring, "siem").is_empty());
    }
}
