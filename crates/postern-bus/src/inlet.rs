//! Reading a hop.
//!
//! One pull request is outstanding at the server at any time, so a message comes as soon as it is stored.
//! It is bounded in messages and bytes, which bounds what can wait unread in this process.

use crate::config::InletConfig;
use crate::connection::{BusWatch, ConnectError, Connection, jittered};
use crate::delivery::{Acks, Delivery};
use crate::{DRAIN_BYTES, name};
use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::unconstrained;
use tokio::time::Instant;

/// Messages of one pull.
const PULL_MESSAGES: u32 = 512;
/// Bytes of one pull. A message that is larger by itself is fetched alone.
const PULL_BYTES: usize = 4 * 1024 * 1024;
/// A pull that found nothing ends after this time and is made again.
const PULL_EXPIRES: Duration = Duration::from_secs(10);
/// The server says that it still holds the pull.
const HEARTBEAT: Duration = Duration::from_millis(400);
/// No word from the server for this long means that the pull is lost.
const SILENCE: Duration = Duration::from_millis(1000);
/// Pause after the first pull that the server would not take, and the longest one. A consumer that is
/// about to be provisioned again should be found soon.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// After this time without a message the last acknowledgement is held back no longer.
const IDLE: Duration = Duration::from_millis(100);
/// How long the current pull may still be used up when new credentials ask for a new connection. What the server
/// has under way to the old connection comes again only after the consumer's `ack_wait`.
const USE_UP_WITHIN: Duration = Duration::from_secs(3);
/// How long [`Inlet::flush`] may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The reading end of a hop: one durable consumer.
pub struct Inlet {
    connection: Connection,
    messages: Subscriber,
    /// Where pulls are sent.
    pull_subject: String,
    /// Answers come to `reply_prefix.N` for pull number N.
    reply_prefix: String,
    pull: Option<Pull>,
    pulls_made: u64,
    acks: Arc<Acks>,
    /// A message that did not fit into the set drained last.
    held: Option<Message>,
    /// Last sign of life of the current pull.
    heard_at: Instant,
    /// No pull before this moment.
    paused_until: Option<Instant>,
    pause: Duration,
    /// The next message is larger than a pull may be.
    next_is_large: bool,
    /// Since when new credentials wait for the current pull to be used up.
    renewing_since: Option<Instant>,
}

/// The pull request that the server holds.
struct Pull {
    reply: String,
    generation: u64,
    remaining: u32,
    untouched: bool,
}

impl Inlet {
    /// For whoever wants to know whether it is connected.
    pub fn watch(&self) -> BusWatch {
        BusWatch::new(&self.connection)
    }

    /// Connects, and waits for as long as the server takes to be there. Whether stream and consumer exist
    /// is not checked here: [`Inlet::next`] waits for them too.
    ///
    /// # Errors
    /// When the configuration can't be used: see [`ConnectError`].
    pub async fn connect(config: &InletConfig) -> Result<Self, ConnectError> {
        let (stream, consumer) = (name::checked(&config.stream)?, name::checked(&config.consumer)?);
        let pull_subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let connection = Connection::open(config.access()).await?;
        let reply_prefix = connection.fresh_inbox();
        let subject = format!("{reply_prefix}.*");
        let messages = connection
            .client
            .subscribe(subject)
            .await
            .map_err(|_| ConnectError::Stopped)?;
        Ok(Inlet {
            acks: Arc::new(Acks::new(connection.client.clone())),
            connection,
            messages,
            pull_subject,
            reply_prefix,
            pull: None,
            pulls_made: 0,
            held: None,
            heard_at: Instant::now(),
            paused_until: None,
            pause: FIRST_PAUSE,
            next_is_large: false,
            renewing_since: None,
        })
    }

    /// Waits for a message, then takes with it all that are ready, up to `max` messages (at least one) and
    /// [`DRAIN_BYTES`]. Waits through lost connections, restarted servers and streams that are made anew.
    ///
    /// Cancel safe: a call that is dropped loses nothing.
    pub async fn next(&mut self, max: usize) -> Vec<Delivery> {
        let first = match self.held.take() {
            Some(message) => message,
            None => self.wait().await,
        };
        let mut bytes = first.payload.len();
        let mut taken = Vec::new();
        taken.extend(self.delivery(first));
        while taken.len() < max {
            // Unconstrained: a spent scheduling budget would look like an empty queue.
            let Some(Some(message)) = unconstrained(self.messages.next()).now_or_never() else {
                break;
            };
            let Some(message) = self.sort(message) else {
                continue;
            };
            bytes = bytes.saturating_add(message.payload.len());
            if bytes > DRAIN_BYTES {
                self.held = Some(message);
                break;
            }
            taken.extend(self.delivery(message));
        }
        // Ask for more before these are handled, so that the server need not wait for that.
        self.ensure_pull();
        taken
    }

    /// Waits, but not for long, until the acknowledgements given so far are with the server. Called before
    /// a stage ends, it spares the next run messages that were done with.
    pub async fn flush(&self) {
        self.acks.release();
        if self.connection.now().up {
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.connection.client.flush()).await;
        }
    }

    /// Waits for one message.
    async fn wait(&mut self) -> Message {
        let idle_since = Instant::now();
        loop {
            self.renew_if_due().await;
            let holding = self.acks.is_holding();
            self.ensure_pull();
            let up = self.connection.now().up;
            let alarm = match self.paused_until {
                Some(until) => until,
                None => self.heard_at + SILENCE,
            };
            let renewal_due = self.connection.renewal_due();
            tokio::select! {
                biased;
                message = self.messages.next() => match message {
                    Some(message) => {
                        if let Some(message) = self.sort(message) {
                            return message;
                        }
                    }
                    // Only when the client's own task is gone, that is while the process ends.
                    None => std::future::pending().await,
                },
                _ = self.connection.standing.changed() => {}
                () = renewal_due, if self.renewing_since.is_none() => {}
                () = sleep_until(self.renewing_since.map(|since| since + USE_UP_WITHIN)) => {}
                () = tokio::time::sleep_until(idle_since + IDLE), if holding => self.acks.release(),
                () = tokio::time::sleep_until(alarm), if up => {
                    if self.paused_until.take().is_none() {
                        tracing::debug!("no word of the pull, asking again");
                        self.pull = None;
                    }
                }
            }
        }
    }

    /// Makes the connection anew when there are new credentials, and the server has nothing under way to this one.
    /// Cancel safe, as [`Inlet::next`] is.
    async fn renew_if_due(&mut self) {
        if !self.connection.is_renewal_due() {
            self.renewing_since = None;
            return;
        }
        let since = *self.renewing_since.get_or_insert_with(Instant::now);
        if self.pull.is_none() || since.elapsed() >= USE_UP_WITHIN {
            self.flush().await;
            self.connection.renew().await;
            self.renewing_since = None;
        }
    }

    /// Passes on what is a message of the stream, and notes what is word of the pull.
    fn sort(&mut self, message: Message) -> Option<Message> {
        self.heard_at = Instant::now();
        let Some(status) = message.status else {
            self.count();
            self.pause = FIRST_PAUSE;
            // Every message of a stream has somewhere to send its acknowledgement. What has none did not
            // come from the stream.
            return message.reply.is_some().then_some(message);
        };
        let current = self
            .pull
            .as_ref()
            .is_some_and(|pull| pull.reply == message.subject.as_str());
        if !current {
            return None;
        }
        let description = message.description.as_deref().unwrap_or_default();
        match status.as_u16() {
            100 => self.pause = FIRST_PAUSE,
            404 | 408 => self.pull = None,
            409 if description.eq_ignore_ascii_case("message size exceeds maxbytes") => {
                self.next_is_large = self.pull.as_ref().is_some_and(|pull| pull.untouched);
                self.pull = None;
            }
            code => {
                tracing::debug!(code, description, "the pull was refused, asking again");
                self.pull = None;
                self.paused_until = Some(Instant::now() + jittered(self.pause));
                self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
        }
        None
    }

    /// Counts one message off the current pull.
    fn count(&mut self) {
        if let Some(pull) = &mut self.pull {
            pull.untouched = false;
            pull.remaining = pull.remaining.saturating_sub(1);
            if pull.remaining == 0 {
                self.pull = None;
            }
        }
    }

    /// Sends a pull if there is none on this connection.
    fn ensure_pull(&mut self) {
        let now = self.connection.now();
        if self
            .pull
            .as_ref()
            .is_some_and(|pull| pull.generation != now.generation)
        {
            self.pull = None;
            self.paused_until = None;
            self.pause = FIRST_PAUSE;
        }
        if self.pull.is_some() || !now.up || self.connection.is_renewal_due() {
            return;
        }
        if self.paused_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.paused_until = None;
        self.pulls_made = self.pulls_made.wrapping_add(1);
        let reply = format!("{}.{}", self.reply_prefix, self.pulls_made);
        let messages = if self.next_is_large { 1 } else { PULL_MESSAGES };
        let request = pull_request(messages, (!self.next_is_large).then_some(PULL_BYTES));
        let sending =
            self.connection
                .client
                .publish_with_reply(self.pull_subject.clone(), reply.clone(), request);
        if matches!(unconstrained(sending).now_or_never(), Some(Ok(()))) {
            self.pull = Some(Pull {
                reply,
                generation: now.generation,
                remaining: messages,
                untouched: true,
            });
            self.next_is_large = false;
            self.heard_at = Instant::now();
        } else {
            // The client's queue is full; it empties as soon as the connection is back.
            self.paused_until = Some(Instant::now() + FIRST_PAUSE);
        }
    }

    fn delivery(&self, message: Message) -> Option<Delivery> {
        let reply = message.reply?;
        Some(Delivery {
            payload: message.payload,
            reply,
            acks: Arc::clone(&self.acks),
        })
    }
}

/// Never completes without a moment to wait for.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn pull_request(messages: u32, bytes: Option<usize>) -> Bytes {
    let bytes = bytes
        .map(|bytes| format!("\"max_bytes\":{bytes},"))
        .unwrap_or_default();
    Bytes::from(format!(
        "{{\"batch\":{messages},{bytes}\"expires\":{},\"idle_heartbeat\":{}}}",
        PULL_EXPIRES.as_nanos(),
        HEARTBEAT.as_nanos()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_requests_are_json() {
        for bytes in [None, Some(5)] {
            let request: serde_json::Value = serde_json::from_slice(&pull_request(3, bytes)).unwrap();
            assert_eq!(request["batch"], 3);
            assert_eq!(
                request["max_bytes"],
                bytes.map_or(serde_json::Value::Null, |b| b.into())
            );
            assert_eq!(request["expires"], 10_000_000_000_u64);
        }
    }
}
