//! Traces: an exchange's way round the ring, with a span for each stage and each hop.
//!
//! Made of records alone, so no stage has a part in it. Not in them: users, tenants and statements that are not named in the
//! policy; whoever may look at traces need not see those.

use super::gather::{Gathered, Gatherer, Nanos};
use super::transport::Exporter;
use super::{number, resource, text};
use crate::courier::Fault;
use crate::feed::Entry;
use crate::http::shown;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use postern_types::{SessionId, Stage, TraceId};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Instant;

/// Who the hops belong to.
const BUS: &str = "postern-bus";

/// A collector of traces.
pub(crate) struct Traces {
    exporter: Exporter,
    /// Name of this machine.
    host: String,
    /// 0 to 1: how many of those exchanges are traced whose clients say nothing of it.
    ratio: f64,
    gatherer: Gatherer,
}

impl Traces {
    /// Not connected yet.
    pub(crate) fn new(exporter: Exporter, host: &str, ratio: f64) -> Traces {
        Traces {
            exporter,
            host: host.to_owned(),
            ratio,
            gatherer: Gatherer::default(),
        }
    }

    /// The connection.
    pub(crate) fn exporter(&mut self) -> &mut Exporter {
        &mut self.exporter
    }

    /// Takes in some records, and hands over the traces that are complete with them.
    ///
    /// # Errors
    /// As [`Exporter::export`].
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        let now = Instant::now();
        for entry in entries {
            self.gatherer.add(entry, now);
        }
        let mut services = BTreeMap::<String, Vec<Span>>::new();
        for ((session, exchange), gathered) in self.gatherer.take(now) {
            if self.is_sampled(&gathered, session, exchange) {
                for (service, span) in spans(session, exchange, &gathered) {
                    services.entry(service).or_default().push(span);
                }
            }
        }
        if services.is_empty() {
            return Ok(());
        }
        let answer = self.exporter.export(request(services, &self.host)).await?;
        if let Some(partial) = answer
            .partial_success
            .filter(|partial| partial.rejected_spans > 0)
        {
            tracing::error!(
                rejected = partial.rejected_spans,
                "the collector refuses spans: {}",
                shown(&partial.error_message)
            );
        }
        Ok(())
    }

    /// The client's word decides where it gave one (W3C Trace Context, section 3.2.2.5.1).
    fn is_sampled(&self, gathered: &Gathered, session: SessionId, exchange: u64) -> bool {
        if let Some((_, _, sampled)) = gathered.named {
            return sampled;
        }
        let [.., a, b, c, d] = TraceId::of_exchange(session, exchange).bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) < self.ratio * (f64::from(u32::MAX) + 1.0)
    }
}

fn request(services: BTreeMap<String, Vec<Span>>, host: &str) -> ExportTraceServiceRequest {
    let of_service = |(service, spans): (String, Vec<Span>)| ResourceSpans {
        resource: Some(resource(&service, host)),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "postern.ring".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: services.into_iter().map(of_service).collect(),
    }
}

/// The spans of an exchange, each with the service that it belongs to. Those of which a ledger said nothing are left out.
fn spans(session: SessionId, exchange: u64, gathered: &Gathered) -> Vec<(String, Span)> {
    let Some((told, took)) = gathered.ended else {
        return Vec::new();
    };
    let (trace, parent) = match &gathered.named {
        Some((trace, parent, _)) => (*trace, parent.clone()),
        None => (TraceId::of_exchange(session, exchange), Vec::new()),
    };
    let maker = Maker {
        trace,
        // A trace of the client may hold several exchanges.
        salt: TraceId::of_exchange(session, exchange),
    };
    let begun = told.saturating_sub(took);
    let mut root = maker.span("query", SpanKind::Server, begun, told);
    root.parent_span_id = parent;
    root.attributes = attributes(session, exchange, gathered);
    if let Some(action) = &gathered.action {
        root.name = gathered.statement.clone().unwrap_or_else(|| action.clone());
    }
    if gathered.lost || gathered.sqlstate.is_some() || gathered.refused {
        root.status = Some(Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        });
    }
    let root_id = root.span_id.clone();
    let mut all = vec![(service(Stage::Frontend), root)];
    for (service, mut span) in maker.inner(begun, told, gathered) {
        span.parent_span_id.clone_from(&root_id);
        all.push((service, span));
    }
    all
}

fn attributes(session: SessionId, exchange: u64, gathered: &Gathered) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("db.system.name", "postgresql"),
        text("postern.session", &session.to_string()),
        number("postern.exchange", exchange),
    ];
    for (key, value) in [
        ("db.operation.name", &gathered.action),
        ("db.query.summary", &gathered.statement),
        ("db.response.status_code", &gathered.sqlstate),
        ("error.type", &gathered.sqlstate),
    ] {
        attributes.extend(value.as_deref().map(|value| text(key, value)));
    }
    attributes.extend(
        gathered
            .rows
            .map(|rows| number("db.response.returned_rows", rows)),
    );
    attributes
}

fn service(stage: Stage) -> String {
    format!("postern-{stage}")
}

struct Maker {
    trace: TraceId,
    salt: TraceId,
}

impl Maker {
    /// A span with an id that is the same when it is sent again.
    fn span(&self, name: &str, kind: SpanKind, start: Nanos, end: Nanos) -> Span {
        let digest = Sha256::new_with_prefix(self.salt.bytes()).chain_update(name);
        Span {
            trace_id: self.trace.bytes().to_vec(),
            span_id: digest.finalize().into_iter().take(8).collect(),
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: start,
            // Clocks of two machines may differ by more than a hop takes.
            end_time_unix_nano: end.max(start),
            ..Span::default()
        }
    }

    fn hop(&self, name: &str, start: Nanos, end: Nanos) -> (String, Span) {
        let mut span = self.span(name, SpanKind::Internal, start, end);
        span.attributes = vec![
            text("messaging.system", "nats"),
            text("messaging.destination.name", name),
        ];
        (BUS.to_owned(), span)
    }

    /// The stages and hops between `begun` and `told`.
    fn inner(&self, begun: Nanos, told: Nanos, gathered: &Gathered) -> Vec<(String, Span)> {
        let mut all = Vec::new();
        let mut stage = |stage: Stage, kind, start, end| {
            all.push((service(stage), self.span(stage.name(), kind, start, end)));
        };
        let [frontend, query, backend, response] = Stage::ALL.map(|stage| gathered.passed(stage));
        let (first, last) = gathered.ran.unwrap_or_default();
        let answered = |since: Nanos| backend.map(|passed| passed.handed_on.saturating_add(since));
        if let Some(passed) = frontend {
            stage(Stage::Frontend, SpanKind::Internal, begun, passed.handed_on);
        }
        if let Some(passed) = query {
            stage(
                Stage::QueryValidator,
                SpanKind::Internal,
                passed.taken,
                passed.handed_on,
            );
        }
        if let (Some(passed), Some(end)) = (backend, answered(last)) {
            stage(Stage::Backend, SpanKind::Client, passed.taken, end);
        }
        let checked = gathered.checked.or(response.map(|passed| passed.handed_on));
        if let (Some(passed), Some(end)) = (response, checked) {
            stage(Stage::ResponseValidator, SpanKind::Internal, passed.taken, end);
        }
        let hops = [
            (
                "dirty-query",
                frontend.map(|f| f.handed_on),
                query.map(|q| q.taken),
            ),
            (
                "clean-query",
                query.map(|q| q.handed_on),
                backend.map(|b| b.taken),
            ),
            ("dirty-resp", answered(first), response.map(|r| r.taken)),
            ("clean-resp", checked, Some(told)),
        ];
        for (name, start, end) in hops {
            if let (Some(start), Some(end)) = (start, end) {
                all.push(self.hop(name, start, end));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
