//! OTLP over gRPC and over HTTP (OTLP specification 1, "OTLP/gRPC" and "OTLP/HTTP").

use crate::courier::{Fault, within};
use crate::dial::dial;
use crate::feed::Entry;
use crate::http::{Http, Place, other, shown};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use prost::Message as _;
use serde::Deserialize;
use tonic::transport::{Channel, Endpoint};

const PROTOBUF: &str = "application/x-protobuf";

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// OTLP/gRPC, usually at port 4317.
    Grpc,
    /// OTLP/HTTP with binary protobuf, usually at port 4318.
    Http,
}

/// A collector, and the connection to it.
pub(crate) struct Otlp {
    protocol: Protocol,
    place: Place,
    /// Name of this machine.
    host: String,
    wire: Wire,
}

enum Wire {
    None,
    Grpc(LogsServiceClient<Channel>, HeaderMap),
    Http(Http),
}

impl Otlp {
    /// Not connected yet.
    pub(crate) fn new(protocol: Protocol, place: Place, host: &str) -> Otlp {
        Otlp {
            protocol,
            place,
            host: host.to_owned(),
            wire: Wire::None,
        }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// When the collector can't be reached, or is not who it should be.
    pub(crate) async fn connect(&mut self) -> Result<(), Fault> {
        if matches!(self.wire, Wire::None) {
            self.wire = within(self.open()).await?;
        }
        Ok(())
    }

    /// Hands some records over; the collector has them when it returns.
    ///
    /// # Errors
    /// When the collector can't be reached, does not answer within 10 seconds, or does not take them.
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        self.connect().await?;
        let request = super::request(entries, &self.host, Timestamp::now());
        let answer = match &mut self.wire {
            Wire::None => return Ok(()),
            Wire::Grpc(client, headers) => within(by_grpc(client, headers, request)).await?,
            Wire::Http(http) => within(by_http(http, &request)).await?,
        };
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

    /// Lets go of a connection that has failed.
    pub(crate) fn drop_connection(&mut self) {
        self.wire = Wire::None;
    }

    async fn open(&self) -> Result<Wire, Fault> {
        match self.protocol {
            Protocol::Http => Ok(Wire::Http(self.place.connect().await?)),
            Protocol::Grpc => {
                let headers = self.place.read_headers()?;
                let Place { address, tls, .. } = &self.place;
                let stream = TokioIo::new(dial(address, tls.as_ref(), Some(b"h2")).await?);
                let scheme = if tls.is_some() { "https" } else { "http" };
                let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(other)?;
                // One connection, which is there already: when it is lost, all begins anew.
                let mut stream = Some(stream);
                let once = tower::service_fn(move |_| {
                    let stream = stream.take();
                    async { stream.ok_or_else(|| std::io::Error::other("the connection was lost")) }
                });
                let channel = endpoint.connect_with_connector(once).await.map_err(other)?;
                Ok(Wire::Grpc(LogsServiceClient::new(channel), headers))
            }
        }
    }
}

async fn by_grpc(
    client: &mut LogsServiceClient<Channel>,
    headers: &HeaderMap,
    request: ExportLogsServiceRequest,
) -> Result<ExportLogsServiceResponse, Fault> {
    let metadata = tonic::metadata::MetadataMap::from_headers(headers.clone());
    let request = tonic::Request::from_parts(metadata, tonic::Extensions::default(), request);
    let answer = client.export(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| Fault::Refused(format!("{:?}: {}", status.code(), shown(status.message()))))
}

async fn by_http(
    http: &mut Http,
    request: &ExportLogsServiceRequest,
) -> Result<ExportLogsServiceResponse, Fault> {
    let protobuf = (CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    let answer = http.post(&[protobuf], request.encode_to_vec()).await?;
    ExportLogsServiceResponse::decode(answer).map_err(other)
}
