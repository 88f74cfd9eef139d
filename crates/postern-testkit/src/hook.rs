//! A webhook: a real HTTP server that keeps what it is told, and can fail in the ways webhooks do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub use crate::receiver::Mood;

use crate::server::Server;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// What it was told.
#[derive(Clone, Debug)]
pub struct Call {
    /// The body.
    pub body: String,
    /// The header with the signature.
    pub signature: Option<String>,
    /// When it had come in.
    pub at: Instant,
}

#[derive(Clone)]
struct Shared {
    mood: Arc<Mutex<Mood>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// The webhook; gone when it is dropped.
pub struct Hook {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Shared,
    _server: Server,
}

impl Hook {
    /// Begins.
    ///
    /// # Panics
    /// When it can't.
    pub fn start() -> Hook {
        let shared = Shared {
            mood: Arc::new(Mutex::new(Mood::Good)),
            calls: Arc::default(),
        };
        let accepting = shared.clone();
        let server = Server::start(move |listener| accept(listener, accepting));
        Hook {
            address: server.address,
            shared,
            _server: server,
        }
    }

    /// What it does from now on.
    ///
    /// # Panics
    /// When the server has.
    pub fn feel(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// What it was told and has taken.
    ///
    /// # Panics
    /// When the server has.
    pub fn received(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, shared.clone()));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The connection is to be closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be closed")]
struct Closed;

async fn answer(request: Request<Incoming>, shared: Shared) -> Result<Response<Full<Bytes>>, Closed> {
    let signature = request.headers().get("postern-signature").cloned();
    let signature = signature.map(|value| value.to_str().unwrap().to_owned());
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(|_| Closed)?
        .to_bytes();
    let mood = *shared.mood.lock().unwrap();
    match mood {
        Mood::Good => {
            shared.calls.lock().unwrap().push(Call {
                body: String::from_utf8(body.to_vec()).unwrap(),
                signature,
                at: Instant::now(),
            });
            Ok(Response::new(Full::new(Bytes::new())))
        }
        Mood::Broken => {
            let mut answer = Response::new(Full::new(Bytes::from("out of\u{1b}[31m order")));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(answer)
        }
        Mood::Silent => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Err(Closed)
        }
        Mood::Resets | Mood::Swallows => Err(Closed),
    }
}
