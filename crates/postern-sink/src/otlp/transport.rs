//! OTLP over gRPC and over HTTP (OTLP specification 1, "OTLP/gRPC" and "OTLP/HTTP").

use crate::courier::{Fault, within};
use crate::dial::dial;
use crate::feed::Entry;
use crate::tls::Tls;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use postern_bus::SecretSource;
use prost::Message as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use tonic::transport::{Channel, Endpoint};

const PROTOBUF: &str = "application/x-protobuf";
/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Most of a collector's own words that are shown.
const SHOWN_CHARS: usize = 200;

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
    /// `host:port`.
    address: String,
    /// Path of the request, for HTTP.
    path: String,
    tls: Option<Tls>,
    /// Sent with each request; read for each connection.
    headers: BTreeMap<String, SecretSource>,
    /// Name of this machine.
    host: String,
    wire: Wire,
}

enum Wire {
    None,
    Grpc(LogsServiceClient<Channel>, HeaderMap),
    Http(SendRequest<Full<Bytes>>, HeaderMap),
}

impl Otlp {
    /// Not connected yet.
    pub(crate) fn new(
        protocol: Protocol,
        address: &str,
        path: &str,
        tls: Option<Tls>,
        headers: BTreeMap<String, SecretSource>,
        host: &str,
    ) -> Otlp {
        Otlp {
            protocol,
            address: address.to_owned(),
            path: path.to_owned(),
            tls,
            headers,
            host: host.to_owned(),
            wire: Wire::None,
        }
    }

    /// Hands some records over; the collector has them when it returns.
    ///
    /// # Errors
    /// When the collector can't be reached, does not answer within 10 seconds, or does not take them.
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        if matches!(self.wire, Wire::None) {
            self.wire = within(self.connect()).await?;
        }
        let request = request_of(entries, &self.host);
        let answer = match &mut self.wire {
            Wire::None => return Ok(()),
            Wire::Grpc(client, headers) => within(by_grpc(client, headers, request)).await?,
            Wire::Http(sender, headers) => within(by_http(sender, headers, &self.path, &request)).await?,
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

    async fn connect(&self) -> Result<Wire, Fault> {
        let headers = self.read_headers()?;
        let alpn: &[u8] = match self.protocol {
            Protocol::Grpc => b"h2",
            Protocol::Http => b"http/1.1",
        };
        let stream = TokioIo::new(dial(&self.address, self.tls.as_ref(), Some(alpn)).await?);
        match self.protocol {
            Protocol::Grpc => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                let endpoint =
                    Endpoint::from_shared(format!("{scheme}://{}", self.address)).map_err(other)?;
                // One connection, which is there already: when it is lost, all begins anew.
                let mut stream = Some(stream);
                let once = tower::service_fn(move |_| {
                    let stream = stream.take();
                    async { stream.ok_or_else(|| std::io::Error::other("the connection was lost")) }
                });
                let channel = endpoint.connect_with_connector(once).await.map_err(other)?;
                Ok(Wire::Grpc(LogsServiceClient::new(channel), headers))
            }
            Protocol::Http => {
                let (sender, connection) = hyper::client::conn::http1::handshake(stream)
                    .await
                    .map_err(other)?;
                // Ends with the connection; what is wrong with it is told by the request.
                tokio::spawn(connection);
                Ok(Wire::Http(sender, headers))
            }
        }
    }

    fn read_headers(&self) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let unusable = |what: &str| Fault::Files(format!("header `{name}`: {what}"));
            let value = value.read().map_err(|error| unusable(&error.to_string()))?;
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| unusable("that is no name of a header"))?;
            let mut value =
                HeaderValue::from_str(value.expose()).map_err(|_| unusable("its value can't be sent"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let host = HeaderValue::from_str(&self.address);
        headers.insert(
            HOST,
            host.map_err(|_| Fault::Files("the address can't be sent".to_owned()))?,
        );
        Ok(headers)
    }
}

fn request_of(entries: &[Entry], host: &str) -> ExportLogsServiceRequest {
    super::request(entries, host, Timestamp::now())
}

async fn by_grpc(
    client: &mut LogsServiceClient<Channel>,
    headers: &HeaderMap,
    request: ExportLogsServiceRequest,
) -> Result<ExportLogsServiceResponse, Fault> {
    let mut headers = headers.clone();
    headers.remove(HOST);
    let metadata = tonic::metadata::MetadataMap::from_headers(headers);
    let request = tonic::Request::from_parts(metadata, tonic::Extensions::default(), request);
    let answer = client.export(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| Fault::Refused(format!("{:?}: {}", status.code(), shown(status.message()))))
}

async fn by_http(
    sender: &mut SendRequest<Full<Bytes>>,
    headers: &HeaderMap,
    path: &str,
    request: &ExportLogsServiceRequest,
) -> Result<ExportLogsServiceResponse, Fault> {
    let body = Full::new(Bytes::from(request.encode_to_vec()));
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(other)?;
    *request.headers_mut() = headers.clone();
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    sender.ready().await.map_err(other)?;
    let answer = sender.send_request(request).await.map_err(other)?;
    let status = answer.status();
    // Read whole in any case: the connection is used again.
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body
        .map_err(|error| Fault::Refused(error.to_string()))?
        .to_bytes();
    if status != StatusCode::OK {
        return Err(Fault::Refused(format!(
            "{status}: {}",
            shown(&String::from_utf8_lossy(&body))
        )));
    }
    ExportLogsServiceResponse::decode(body).map_err(other)
}

fn other(error: impl Error) -> Fault {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Fault::Refused(shown(&text))
}

/// What a collector says, for a log that is shown on a terminal.
fn shown(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_CHARS)
        .collect()
}
