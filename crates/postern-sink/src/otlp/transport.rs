//! OTLP over gRPC and over HTTP (OTLP specification 1, "OTLP/gRPC" and "OTLP/HTTP").

use crate::courier::{Fault, within};
use crate::dial::dial;
use crate::http::{Http, Place, other, shown};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
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
pub(crate) struct Exporter {
    protocol: Protocol,
    place: Place,
    wire: Wire,
}

enum Wire {
    None,
    Grpc(Channel, HeaderMap),
    Http(Http),
}

/// A request of one of OTLP's services.
pub(crate) trait Signal: prost::Message + Sized {
    /// What a collector answers.
    type Answer: prost::Message + Default;

    /// Sends it by gRPC.
    fn by_grpc(channel: Channel, request: tonic::Request<Self>) -> impl Future<Output = Answered<Self>>;
}

type Answered<S> = Result<tonic::Response<<S as Signal>::Answer>, tonic::Status>;

impl Signal for ExportLogsServiceRequest {
    type Answer = ExportLogsServiceResponse;

    async fn by_grpc(channel: Channel, request: tonic::Request<Self>) -> Answered<Self> {
        LogsServiceClient::new(channel).export(request).await
    }
}

impl Signal for ExportTraceServiceRequest {
    type Answer = ExportTraceServiceResponse;

    async fn by_grpc(channel: Channel, request: tonic::Request<Self>) -> Answered<Self> {
        TraceServiceClient::new(channel).export(request).await
    }
}

impl Exporter {
    /// Not connected yet.
    pub(crate) fn new(protocol: Protocol, place: Place) -> Exporter {
        Exporter {
            protocol,
            place,
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

    /// Hands a request over; the collector has it when it answers.
    ///
    /// # Errors
    /// When the collector can't be reached, does not answer within 10 seconds, or does not take it.
    pub(crate) async fn export<S: Signal>(&mut self, request: S) -> Result<S::Answer, Fault> {
        self.connect().await?;
        match &mut self.wire {
            Wire::None => Ok(S::Answer::default()),
            Wire::Grpc(channel, headers) => within(by_grpc(channel.clone(), headers, request)).await,
            Wire::Http(http) => within(by_http(http, &request)).await,
        }
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
                Ok(Wire::Grpc(channel, headers))
            }
        }
    }
}

async fn by_grpc<S: Signal>(channel: Channel, headers: &HeaderMap, request: S) -> Result<S::Answer, Fault> {
    let metadata = tonic::metadata::MetadataMap::from_headers(headers.clone());
    let request = tonic::Request::from_parts(metadata, tonic::Extensions::default(), request);
    let answer = S::by_grpc(channel, request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| Fault::Refused(format!("{:?}: {}", status.code(), shown(status.message()))))
}

async fn by_http<S: Signal>(http: &mut Http, request: &S) -> Result<S::Answer, Fault> {
    let protobuf = (CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    let answer = http.post(&[protobuf], request.encode_to_vec()).await?;
    S::Answer::decode(answer).map_err(other)
}
