//! Alerts, told to a webhook: what a validator calls a violation, and what says that a ledger was touched.
//!
//! A body names the record, never a row or a value: whoever may look finds the rest with `postern audit query`. Bodies
//! are signed with HMAC-SHA-256, over their time too, so that a receiver can refuse what others make up or repeat.

mod body;

pub use body::Format;

use crate::courier::{Fault, within};
use crate::feed::{Entry, Oddity};
use crate::http::{Http, Place};
use crate::record::Fields;
use body::Alert;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use jiff::Timestamp;
use postern_bus::SecretSource;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// `t=SECONDS,v1=HEX`: seconds since 1970, and the HMAC-SHA-256 of `SECONDS.BODY`.
const SIGNATURE: HeaderName = HeaderName::from_static("postern-signature");
/// Kinds of alerts that are remembered; beyond, all are forgotten and told anew.
const REMEMBERED: usize = 10_000;

/// A webhook, and the connection to it.
pub(crate) struct Webhook {
    place: Place,
    format: Format,
    secret: Option<SecretSource>,
    /// Alerts that are alike are told once in this time.
    repeat_after: Duration,
    told: HashMap<String, Told>,
    /// The last record of each ledger that was told, so that it is not counted twice after a failure.
    last: HashMap<postern_types::Author, u64>,
    wire: Option<Http>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    /// Those since then that were not told.
    since: u64,
}

impl Webhook {
    /// Not connected yet. `secret` is what bodies are signed with.
    pub(crate) fn new(
        place: Place,
        format: Format,
        secret: Option<SecretSource>,
        repeat_after: Duration,
    ) -> Webhook {
        Webhook {
            place,
            format,
            secret,
            repeat_after,
            told: HashMap::new(),
            last: HashMap::new(),
            wire: None,
        }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// When the receiver can't be reached, or is not who it should be.
    pub(crate) async fn connect(&mut self) -> Result<(), Fault> {
        within(self.open()).await.map(|_| ())
    }

    /// Tells the alerts among some records; the receiver has them when it returns.
    ///
    /// # Errors
    /// When the receiver can't be reached, does not answer within 10 seconds, or not with success.
    pub(crate) async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        for entry in entries {
            // Few lines are alerts, and only those are read.
            if !is_alert(&entry.line) {
                continue;
            }
            let fields = Fields::of(&entry.line);
            if self
                .last
                .get(&entry.stage)
                .is_some_and(|last| fields.number <= *last)
            {
                continue;
            }
            self.tell(&Alert::of_record(entry.stage, &fields)).await?;
            self.last.insert(entry.stage, fields.number);
        }
        Ok(())
    }

    /// Tells that a ledger is not as it was.
    ///
    /// # Errors
    /// As for [`Webhook::send`].
    pub(crate) async fn send_oddity(&mut self, oddity: &Oddity) -> Result<(), Fault> {
        if let Oddity::Changed { stage, .. } = oddity {
            // Its numbers begin anew.
            self.last.remove(stage);
        }
        self.tell(&Alert::of_oddity(oddity)).await
    }

    /// Lets go of a connection that has failed.
    pub(crate) fn drop_connection(&mut self) {
        self.wire = None;
    }

    async fn tell(&mut self, alert: &Alert) -> Result<(), Fault> {
        let (key, now) = (alert.kind(), Instant::now());
        let before = self.told.get_mut(&key);
        let repeated = match before {
            Some(told) if now.saturating_duration_since(told.at) < self.repeat_after => {
                told.since = told.since.saturating_add(1);
                return Ok(());
            }
            Some(told) => told.since,
            None => 0,
        };
        within(self.post(alert, repeated)).await?;
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(key, Told { at: now, since: 0 });
        Ok(())
    }

    async fn post(&mut self, alert: &Alert, repeated: u64) -> Result<(), Fault> {
        let body = self.format.body(alert, repeated);
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let Some(secret) = &self.secret {
            let secret = secret.read().map_err(|error| Fault::Files(error.to_string()))?;
            let signature = signature(secret.expose(), Timestamp::now().as_second(), &body);
            let value = HeaderValue::from_str(&signature).map_err(crate::http::other)?;
            headers.push((SIGNATURE, value));
        }
        self.open().await?.post(&headers, body).await?;
        Ok(())
    }

    /// The connection, made if there is none.
    async fn open(&mut self) -> Result<&mut Http, Fault> {
        match &mut self.wire {
            Some(http) => Ok(http),
            empty => Ok(empty.insert(self.place.connect().await?)),
        }
    }
}

/// Whether a line is that of an alert, without reading it whole. The writer puts the level before anything that somebody
/// else may have chosen.
fn is_alert(line: &[u8]) -> bool {
    let head = line.get(..line.len().min(160)).unwrap_or_default();
    head.windows(16).any(|window| window == b"\"level\":\"alert\",")
}

/// The value of the header; see [`SIGNATURE`].
fn signature(secret: &str, now_s: i64, body: &[u8]) -> String {
    let mut text = format!("t={now_s},v1=");
    // A key of any length will do.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(now_s.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
