//! OpenTelemetry (OTLP 1): logs, traces, and how they get to a collector.
//!
//! A collector that answers has taken what it was sent, so nothing else is needed to confirm it.

mod gather;
mod logs;
mod spans;
mod transport;

pub(crate) use logs::Logs;
pub(crate) use spans::Traces;
pub(crate) use transport::Exporter;
pub use transport::Protocol;

use jiff::Timestamp;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// What speaks.
fn resource(service: &str, host: &str) -> Resource {
    Resource {
        attributes: vec![
            text("service.namespace", "postern"),
            text("service.name", service),
            text("host.name", host),
        ],
        ..Resource::default()
    }
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(string(value)),
        ..KeyValue::default()
    }
}

fn number(key: &str, value: u64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX))),
        }),
        ..KeyValue::default()
    }
}
