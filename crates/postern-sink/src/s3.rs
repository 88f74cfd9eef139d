//! Object storage with Object Lock (S3): signed checkpoints, each a few lines in an object that nobody can change or remove
//! before its time, whoever owns this machine by then.
//!
//! An object's name is `PREFIX/STAGE/OFFSET-DIGEST.jsonl`: where its lines begin in the stage's checkpoints, and what they
//! are. What is uploaded again after a lost connection has the same name and the same bytes, or more lines and another
//! name; `postern audit verify --against` takes the objects of a stage as they are.

use crate::courier::{Fault, within};
use crate::feed::{Entry, What};
use crate::http::{Http, Place, other};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::Method;
use hyper::header::{HOST, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use postern_bus::SecretSource;
use postern_types::Author;
use rusty_s3::{Bucket, Credentials, S3Action as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// A signature is good for so long.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// Who may change what is locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Nobody, the owner of the account included.
    #[default]
    Compliance,
    /// Who has a permission of its own.
    Governance,
}

impl LockMode {
    fn name(self) -> &'static str {
        match self {
            LockMode::Compliance => "COMPLIANCE",
            LockMode::Governance => "GOVERNANCE",
        }
    }
}

/// What signs requests.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) access: SecretSource,
    pub(crate) secret: SecretSource,
    pub(crate) session_token: Option<SecretSource>,
}

/// Where and how objects are stored.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    /// Before the stage's name, with `/` at its end; or empty.
    pub(crate) prefix: String,
    pub(crate) keys: Keys,
    pub(crate) mode: LockMode,
    pub(crate) retain: SignedDuration,
    /// How often what is new is uploaded.
    pub(crate) every: Duration,
}

/// A bucket, and the connection for the next object.
pub(crate) struct Vault {
    place: Place,
    store: Store,
    wire: Option<Http>,
}

/// An object to be.
struct Object {
    name: String,
    body: Vec<u8>,
}

impl Vault {
    /// Not connected yet.
    pub(crate) fn new(place: Place, store: Store) -> Vault {
        Vault {
            place,
            store,
            wire: None,
        }
    }

    pub(crate) fn every(&self) -> Duration {
        self.store.every
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// When the storage can't be reached, or is not who it should be.
    pub(crate) async fn connect(&mut self) -> Result<(), Fault> {
        if self.wire.is_none() {
            self.wire = Some(within(self.place.connect()).await?);
        }
        Ok(())
    }

    /// Stores the checkpoints among some entries; they are locked when it returns.
    ///
    /// # Errors
    /// When the storage can't be reached, does not answer within 10 seconds, or does not take them, because the bucket has
    /// no Object Lock for example.
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        for stage in Author::ALL {
            if let Some(object) = object(&self.store.prefix, stage, entries) {
                self.put(object).await?;
            }
        }
        Ok(())
    }

    /// Lets go of a connection that has failed.
    pub(crate) fn drop_connection(&mut self) {
        self.wire = None;
    }

    async fn put(&mut self, object: Object) -> Result<(), Fault> {
        let Store {
            bucket,
            keys,
            mode,
            retain,
            ..
        } = &self.store;
        let until = Timestamp::now().saturating_add(*retain).map_err(other)?;
        let signed = [
            // What is to be locked must have a checksum, and the name of its algorithm.
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
            (
                "x-amz-checksum-sha256",
                BASE64.encode(Sha256::digest(&object.body)),
            ),
            ("x-amz-object-lock-mode", mode.name().to_owned()),
            ("x-amz-object-lock-retain-until-date", format!("{until:.0}")),
        ];
        let credentials = keys.read()?;
        let mut action = bucket.put_object(Some(&credentials), &object.name);
        for (name, value) in &signed {
            action.headers_mut().insert(*name, value.as_str());
        }
        let url = action.sign(SIGNED_FOR);
        let mut headers = vec![(HOST, header(&authority(&url))?)];
        for (name, value) in &signed {
            headers.push((HeaderName::from_static(name), header(value)?));
        }
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let target = target.parse().map_err(other)?;
        self.connect().await?;
        // A server may close a connection after an answer, and until the next object time goes by: each has its own.
        if let Some(mut http) = self.wire.take() {
            within(http.send(Method::PUT, target, &headers, object.body)).await?;
        }
        Ok(())
    }
}

impl Keys {
    fn read(&self) -> Result<Credentials, Fault> {
        let read = |source: &SecretSource| {
            let secret = source.read().map_err(|error| Fault::Files(error.to_string()))?;
            Ok::<String, Fault>(secret.expose().to_owned())
        };
        let (access, secret) = (read(&self.access)?, read(&self.secret)?);
        Ok(match &self.session_token {
            Some(token) => Credentials::new_with_token(access, secret, read(token)?),
            None => Credentials::new(access, secret),
        })
    }
}

/// The header `Host` of a URL, as it was signed: without the port where that is the usual one.
fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn header(value: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(value).map_err(other)
}

/// What is to be stored for a stage; `None` when there is nothing new.
fn object(prefix: &str, stage: Author, entries: &[Entry]) -> Option<Object> {
    let mut first = None;
    let mut body = Vec::new();
    for entry in entries.iter().filter(|entry| entry.stage == stage) {
        let What::Checkpoint { at } = entry.what else {
            continue;
        };
        first = first.or(Some(at));
        body.extend_from_slice(&entry.line);
        body.push(b'\n');
    }
    let first = first?;
    let digest = Sha256::digest(&body);
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(Object {
        name: format!("{prefix}{stage}/{first:020}-{short}.jsonl"),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use postern_types::Stage;

    fn entry(stage: Author, line: &'static str, what: What) -> Entry {
        Entry {
            stage,
            line: Bytes::from_static(line.as_bytes()),
            what,
        }
    }

    #[test]
    fn the_new_checkpoints_of_a_stage_are_one_object() {
        let entries = [
            entry(Stage::Backend.into(), "a", What::Checkpoint { at: 12 }),
            entry(Stage::Frontend.into(), "b", What::Checkpoint { at: 0 }),
            entry(Stage::Backend.into(), "record", What::Record),
            entry(Stage::Backend.into(), "c", What::Checkpoint { at: 14 }),
        ];
        let backend = object("shop/", Stage::Backend.into(), &entries).unwrap();
        assert_eq!(backend.body, b"a\nc\n");
        assert!(
            backend.name.starts_with("shop/backend/00000000000000000012-"),
            "{}",
            backend.name
        );
        let again = object("shop/", Stage::Backend.into(), &entries).unwrap();
        assert_eq!(again.name, backend.name);
        let less = object("shop/", Stage::Backend.into(), entries.get(..1).unwrap()).unwrap();
        assert_ne!(less.name, backend.name, "other bytes, another object");
        assert!(object("", Stage::ResponseValidator.into(), &entries).is_none());
    }

    #[test]
    fn the_host_is_as_it_is_signed() {
        for (url, host) in [
            ("https://s3.example:443/b/k?x=1", "s3.example"),
            ("https://s3.example:9000/b/k", "s3.example:9000"),
            ("http://127.0.0.1:80/b/k", "127.0.0.1"),
        ] {
            assert_eq!(authority(&url.parse().unwrap()), host);
        }
    }
}
