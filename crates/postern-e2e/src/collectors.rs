//! Real collectors beside a ring.

use postern_testkit::Ring;
use postern_testkit::receiver::{Protocol, Receiver};
use postern_testkit::rsyslog::{Rsyslog, Way};

/// One of each kind, and what `sinks.toml` says of them.
///
/// # Errors
/// When rsyslog can't be started.
pub fn collectors(ring: &Ring) -> anyhow::Result<((Rsyslog, Receiver), String)> {
    let syslog = Rsyslog::start(&ring.files().join("collector"), Way::Tcp)?;
    let otlp = Receiver::start(Protocol::Grpc, None);
    let sinks = format!(
        "[sinks.siem]\nkind = \"syslog\"\naddress = \"{}\"\n[sinks.otel]\nkind = \"otlp\"\nprotocol = \"grpc\"\nendpoint = \"http://{}\"\n",
        syslog.address(),
        otlp.address
    );
    Ok(((syslog, otlp), sinks))
}
