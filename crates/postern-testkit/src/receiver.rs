//! A receiver of OpenTelemetry logs and traces, made of the official protobuf definitions and a real HTTP server. It can fail in
//! the ways collectors do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::server::Server;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
pub use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    Http,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
        })
    }
}

/// What it does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes it.
    Good,
    /// Says that something is wrong with itself.
    Broken,
    /// Says nothing.
    Silent,
    /// Closes the connection as soon as there is one.
    Resets,
    /// Takes it in, and closes the connection instead of an answer.
    Swallows,
}

/// What has arrived, and what is to happen next.
#[derive(Clone)]
struct Shared {
    mood: Arc<Mutex<Mood>>,
    arrived: Arc<Mutex<Vec<(String, String)>>>,
    tokens: Arc<Mutex<Vec<Option<String>>>>,
    spans: Arc<Mutex<Vec<(String, Span)>>>,
}

/// The receiver; gone when it is dropped.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Shared,
    _server: Server,
}

impl Receiver {
    /// One that shows this certificate (`STEM.crt`, `STEM.key`) if there is one.
    ///
    /// # Panics
    /// When it can't begin.
    pub fn start(protocol: Protocol, certificate: Option<&Path>) -> Receiver {
        let shared = Shared {
            mood: Arc::new(Mutex::new(Mood::Good)),
            arrived: Arc::default(),
            tokens: Arc::default(),
            spans: Arc::default(),
        };
        let tls = certificate.map(|stem| acceptor(stem, protocol));
        let accepting = shared.clone();
        let server = Server::start(move |listener| accept(listener, protocol, tls, accepting));
        Receiver {
            address: server.address,
            shared,
            _server: server,
        }
    }

    /// What it does from now on.
    ///
    /// # Panics
    /// When the receiver has.
    pub fn feel(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Service and body of each log record, in the order of their arrival.
    ///
    /// # Panics
    /// When the receiver has.
    pub fn received(&self) -> Vec<(String, String)> {
        self.shared.arrived.lock().unwrap().clone()
    }

    /// How many log records have arrived.
    ///
    /// # Panics
    /// When the receiver has.
    pub fn count(&self) -> usize {
        self.shared.arrived.lock().unwrap().len()
    }

    /// Service and span, in the order of their arrival.
    ///
    /// # Panics
    /// When the receiver has.
    pub fn spans(&self) -> Vec<(String, Span)> {
        self.shared.spans.lock().unwrap().clone()
    }

    /// The `authorization` of each request that was taken.
    ///
    /// # Panics
    /// When the receiver has.
    pub fn tokens(&self) -> Vec<Option<String>> {
        self.shared.tokens.lock().unwrap().clone()
    }
}

fn acceptor(stem: &Path, protocol: Protocol) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(stem.with_extension("crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(stem.with_extension("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    config.alpn_protocols = vec![match protocol {
        Protocol::Grpc => b"h2".to_vec(),
        Protocol::Http => b"http/1.1".to_vec(),
    }];
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, protocol: Protocol, tls: Option<TlsAcceptor>, shared: Shared) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if *shared.mood.lock().unwrap() == Mood::Resets {
            stream.set_zero_linger().unwrap();
            continue;
        }
        let (tls, shared) = (tls.clone(), shared.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, protocol, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, protocol, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, protocol: Protocol, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    match protocol {
        Protocol::Grpc => {
            let (logs, traces) = (
                LogsServiceServer::new(shared.clone()),
                TraceServiceServer::new(shared),
            );
            let service = TowerToHyperService::new(Either { logs, traces });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(stream, service).await;
        }
        Protocol::Http => {
            let service = hyper::service::service_fn(move |request| by_http(request, shared.clone()));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(stream, service).await;
        }
    }
}

/// Why there is no answer to be given.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be closed")]
struct Closed;

async fn by_http(request: Request<Incoming>, shared: Shared) -> Result<Response<Full<Bytes>>, Closed> {
    let path = request.uri().path().to_owned();
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let token = request.headers().get("authorization").cloned();
    let token = token.map(|token| token.to_str().unwrap().to_owned());
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(|_| Closed)?
        .to_bytes();
    let (mood, answer) = match path.as_str() {
        "/v1/logs" => {
            let logs = ExportLogsServiceRequest::decode(body).unwrap();
            let mood = shared.take(token, || shared.keep(&logs)).await;
            (mood, ExportLogsServiceResponse::default().encode_to_vec())
        }
        "/v1/traces" => {
            let traces = ExportTraceServiceRequest::decode(body).unwrap();
            let mood = shared.take(token, || shared.keep_spans(&traces)).await;
            (mood, ExportTraceServiceResponse::default().encode_to_vec())
        }
        _ => return Err(Closed),
    };
    match mood {
        Mood::Good => Ok(Response::new(Full::new(Bytes::from(answer)))),
        Mood::Broken => {
            let mut answer = Response::new(Full::new(Bytes::from("out of\u{1b}[31m order")));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(answer)
        }
        _ => Err(Closed),
    }
}

#[tonic::async_trait]
impl LogsService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.answer(&request, || self.keep(request.get_ref())).await
    }
}

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.answer(&request, || self.keep_spans(request.get_ref())).await
    }
}

/// Both services at one port.
#[derive(Clone)]
struct Either {
    logs: LogsServiceServer<Shared>,
    traces: TraceServiceServer<Shared>,
}

impl tower::Service<Request<Incoming>> for Either {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path().contains("TraceService") {
            self.traces.call(request)
        } else {
            self.logs.call(request)
        }
    }
}

impl Shared {
    async fn answer<Q, A: Default>(
        &self,
        request: &tonic::Request<Q>,
        keep: impl FnOnce(),
    ) -> Result<tonic::Response<A>, tonic::Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        match self.take(token, keep).await {
            Mood::Good => Ok(tonic::Response::new(A::default())),
            _ => Err(tonic::Status::unavailable("out of\u{1b}[31m order")),
        }
    }

    async fn take(&self, token: Option<String>, keep: impl FnOnce()) -> Mood {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Good => {
                self.tokens.lock().unwrap().push(token);
                keep();
            }
            Mood::Silent => tokio::time::sleep(Duration::from_secs(3600)).await,
            Mood::Broken | Mood::Resets => {}
            Mood::Swallows => keep(),
        }
        mood
    }

    fn keep(&self, request: &ExportLogsServiceRequest) {
        let mut arrived = self.arrived.lock().unwrap();
        for logs in &request.resource_logs {
            let service = service_of(logs.resource.as_ref());
            let records = logs.scope_logs.iter().flat_map(|scope| &scope.log_records);
            arrived.extend(records.map(|record| {
                let body = record.body.as_ref().and_then(text_of).unwrap();
                (service.clone(), body)
            }));
        }
    }

    fn keep_spans(&self, request: &ExportTraceServiceRequest) {
        let mut arrived = self.spans.lock().unwrap();
        for spans in &request.resource_spans {
            let service = service_of(spans.resource.as_ref());
            let spans = spans.scope_spans.iter().flat_map(|scope| &scope.spans);
            arrived.extend(spans.map(|span| (service.clone(), span.clone())));
        }
    }
}

fn service_of(resource: Option<&Resource>) -> String {
    let attributes = &resource.unwrap().attributes;
    let service = attributes.iter().find(|one| one.key == "service.name");
    service.map(string_of).unwrap()
}

fn string_of(attribute: &KeyValue) -> String {
    attribute.value.as_ref().and_then(text_of).unwrap()
}

fn text_of(value: &AnyValue) -> Option<String> {
    match &value.value {
        Some(Value::StringValue(text)) => Some(text.clone()),
        _ => None,
    }
}
