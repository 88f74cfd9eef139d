//! HTTP/1.1 requests to one collector, over one connection at a time (RFC 9112).

use crate::courier::Fault;
use crate::dial::dial;
use crate::tls::Tls;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use postern_bus::SecretSource;
use std::collections::BTreeMap;
use std::error::Error;

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Most of a collector's own words that are shown.
const SHOWN_CHARS: usize = 200;

/// Headers of each request by name; their values are secrets, and read for each connection.
pub(crate) type Headers = BTreeMap<String, SecretSource>;

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `host:port`.
    pub(crate) address: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) headers: Headers,
}

/// A connection that requests are sent on.
pub(crate) struct Http {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
    path: Uri,
}

impl Place {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers there, or not who should; when a header can't be had.
    pub(crate) async fn connect(&self) -> Result<Http, Fault> {
        let mut headers = self.read_headers()?;
        let host = HeaderValue::from_str(&self.address);
        headers.insert(HOST, host.map_err(other)?);
        let stream = dial(&self.address, self.tls.as_ref(), Some(b"http/1.1")).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(other)?;
        // Ends with the connection; what is wrong with it is told by the request.
        tokio::spawn(connection);
        let path = self.path.parse().map_err(other)?;
        Ok(Http {
            sender,
            headers,
            path,
        })
    }

    /// The headers as they are to be sent.
    ///
    /// # Errors
    /// When one can't be had, or can't be sent.
    pub(crate) fn read_headers(&self) -> Result<HeaderMap, Fault> {
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
        Ok(headers)
    }
}

impl Http {
    /// Sends a body with more headers, and gives back the body of the answer.
    ///
    /// # Errors
    /// When there is no answer, or not one of success (status 2xx).
    pub(crate) async fn post(
        &mut self,
        more: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<Bytes, Fault> {
        self.send(Method::POST, self.path.clone(), more, body).await
    }

    /// The same with any method, to any path. Headers in `more` take the place of others.
    ///
    /// # Errors
    /// As for [`Http::post`].
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: Uri,
        more: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<Bytes, Fault> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        *request.headers_mut() = self.headers.clone();
        for (name, value) in more {
            request.headers_mut().insert(name, value.clone());
        }
        self.sender.ready().await.map_err(other)?;
        let answer = self.sender.send_request(request).await.map_err(other)?;
        let status: StatusCode = answer.status();
        // Read whole in any case: the connection is used again.
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body
            .map_err(|error| Fault::Refused(shown(&error.to_string())))?
            .to_bytes();
        if !status.is_success() {
            let words = shown(&String::from_utf8_lossy(&body));
            return Err(Fault::Refused(format!("{status}: {words}")));
        }
        Ok(body)
    }
}

/// An error with all of its causes.
pub(crate) fn other(error: impl Error) -> Fault {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Fault::Refused(shown(&text))
}

/// What a collector says, for a log that is shown on a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_CHARS)
        .collect()
}
