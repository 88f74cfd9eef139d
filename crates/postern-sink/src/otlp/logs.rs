//! Logs: what a record looks like there. The body is the record's line as it is in the ledger; attributes tell what is
//! searched for most.

use super::{nanoseconds, number, resource, string, text, transport::Exporter};
use crate::courier::Fault;
use crate::feed::Entry;
use crate::http::shown;
use crate::record::Fields;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use postern_types::Author;

/// Severity numbers of the logs data model, as its appendix maps those of Syslog.
const INFO: i32 = 9;
const WARN: i32 = 13;
const ALERT: i32 = 19;

/// A collector of logs.
pub(crate) struct Logs {
    exporter: Exporter,
    /// Name of this machine.
    host: String,
}

impl Logs {
    /// Not connected yet.
    pub(crate) fn new(exporter: Exporter, host: &str) -> Logs {
        Logs {
            exporter,
            host: host.to_owned(),
        }
    }

    /// The connection.
    pub(crate) fn exporter(&mut self) -> &mut Exporter {
        &mut self.exporter
    }

    /// Hands some records over; the collector has them when it returns.
    ///
    /// # Errors
    /// As [`Exporter::export`].
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        let request = request(entries, &self.host, Timestamp::now());
        let answer = self.exporter.export(request).await?;
        if let Some(partial) = answer
            .partial_success
            .filter(|partial| partial.rejected_log_records > 0)
        {
            // To send them again would change nothing (OTLP specification, "Partial Success").
            tracing::error!(
                rejected = partial.rejected_log_records,
                "the collector refuses records, which stay in the ledgers alone: {}",
                shown(&partial.error_message)
            );
        }
        Ok(())
    }
}

/// What is sent for some records; those of a ledger keep their order.
fn request(entries: &[Entry], host: &str, now: Timestamp) -> ExportLogsServiceRequest {
    let observed = nanoseconds(now);
    let of_stage = |stage: Author| {
        let own = entries.iter().filter(|entry| entry.stage == stage);
        let log_records: Vec<_> = own.map(|entry| log_record(entry, observed)).collect();
        (!log_records.is_empty()).then(|| ResourceLogs {
            resource: Some(resource(&format!("postern-{stage}"), host)),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "postern.audit".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        })
    };
    ExportLogsServiceRequest {
        resource_logs: Author::ALL.into_iter().filter_map(of_stage).collect(),
    }
}

fn log_record(entry: &Entry, observed_time_unix_nano: u64) -> LogRecord {
    let line = String::from_utf8_lossy(&entry.line);
    let fields = Fields::of_entry(entry.what, &line);
    let mut attributes = vec![
        number("postern.number", fields.number),
        text("postern.result", &fields.result),
    ];
    let names = [
        ("postern.session", &fields.session),
        ("user.name", &fields.actor),
        ("postern.tenant", &fields.tenant),
        ("postern.action", &fields.action),
        ("postern.reason", &fields.details.reason),
        ("postern.reference", &fields.details.reference),
        ("error.type", &fields.details.sqlstate),
        ("client.address", &fields.details.client),
    ];
    attributes.extend(
        names
            .iter()
            .filter_map(|(key, value)| Some(text(key, value.as_deref()?))),
    );
    attributes.extend(
        fields
            .exchange
            .map(|exchange| number("postern.exchange", exchange)),
    );
    let trace_id = fields
        .trace_id()
        .map_or_else(Vec::new, |trace| trace.bytes().to_vec());
    LogRecord {
        // 0 says that it is not known.
        time_unix_nano: fields.time.parse().map_or(0, nanoseconds),
        observed_time_unix_nano,
        severity_number: match &*fields.level {
            "info" => INFO,
            "warn" => WARN,
            _ => ALERT,
        },
        severity_text: fields.level.as_ref().to_owned(),
        event_name: ["postern.", &fields.event].concat(),
        body: Some(string(&line)),
        attributes,
        trace_id,
        ..LogRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_types::Stage;

    #[test]
    fn a_record_becomes_a_log_record() {
        let line = r#"{"number":7,"time":"2026-11-23T10:00:00.123Z","level":"alert","event":"answer.alert","session":"ab","exchange":3,"actor":"ann","result":"refused","details":{"reason":"honey","client":"10.0.0.1","sqlstate":"42501"}}"#;
        let entry = |stage, line: &str| Entry {
            stage,
            line: bytes::Bytes::copy_from_slice(line.as_bytes()),
            what: crate::feed::What::Record,
        };
        let entries = [
            entry(Stage::Backend.into(), line),
            entry(Stage::Frontend.into(), "{}"),
            entry(Stage::Backend.into(), "no record"),
        ];
        let request = request(&entries, "shop-1", Timestamp::UNIX_EPOCH);
        let services: Vec<_> = request.resource_logs.iter().map(|logs| &logs.resource).collect();
        assert_eq!(services.len(), 2, "those of a stage go together");
        let backend = &request.resource_logs[1];
        let resource = &backend.resource.as_ref().unwrap().attributes;
        assert!(resource.contains(&text("service.name", "postern-backend")));
        assert!(resource.contains(&text("host.name", "shop-1")));
        let [alert, nonsense] = backend.scope_logs[0].log_records.as_slice() else {
            panic!("two records")
        };
        assert_eq!(alert.body, Some(string(line)));
        assert_eq!(alert.time_unix_nano, 1_795_428_000_123_000_000);
        assert_eq!(
            (alert.severity_number, alert.severity_text.as_str()),
            (ALERT, "alert")
        );
        assert_eq!(alert.event_name, "postern.answer.alert");
        for attribute in [
            number("postern.number", 7),
            number("postern.exchange", 3),
            text("postern.session", "ab"),
            text("user.name", "ann"),
            text("postern.reason", "honey"),
            text("client.address", "10.0.0.1"),
            text("error.type", "42501"),
        ] {
            assert!(alert.attributes.contains(&attribute), "{attribute:?}");
        }
        assert_eq!(nonsense.body, Some(string("no record")));
        assert_eq!((nonsense.time_unix_nano, nonsense.severity_number), (0, ALERT));
    }
}
