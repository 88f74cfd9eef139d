//! Writing a hop.

use crate::config::OutletConfig;
use crate::connection::{BusWatch, ConnectError, Connection, Standing, jittered};
use crate::{MAX_MESSAGE_BYTES, name};
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{AbortHandle, unconstrained};

/// A message that the server has not confirmed by then may be lost.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// What may be on its way unconfirmed, in steps of 1 KiB of payload; a message takes at least one.
const WINDOW_STEPS: u32 = 12 * 1024;
const STEP_BYTES: usize = 1024;
/// Pauses between attempts of [`Outlet::deliver`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The writing end of a hop. Clones share one connection and one window.
#[derive(Clone)]
pub struct Outlet {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    stream: String,
    reply_prefix: String,
    window: Arc<Semaphore>,
    pending: Arc<Mutex<Pending>>,
    tasks: [AbortHandle; 2],
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Messages that wait for their confirmation.
#[derive(Default)]
struct Pending {
    last_token: u64,
    waiting: HashMap<u64, Waiting>,
}

struct Waiting {
    generation: u64,
    outcome: oneshot::Sender<Result<(), PublishError>>,
}

/// Why a message was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The stream is at its limit. The message is not in it: safe to try again.
    #[error("the stream is full")]
    Full,
    /// There is no connection or no such stream at the moment. The message is not in it: safe to try again.
    #[error("the stream can't be reached")]
    Unreachable,
    /// It was sent, and no confirmation came: it may be in the stream or not. Trying again may store it
    /// twice.
    #[error("the server did not confirm the message")]
    Unconfirmed,
    /// The message can't be stored, now or later: too large, or a subject that is not of this stream.
    #[error("the message can not be sent")]
    Impossible,
}

impl Outlet {
    /// For whoever wants to know whether it is connected.
    pub fn watch(&self) -> BusWatch {
        BusWatch::new(&self.shared.connection)
    }

    /// Connects, and waits for as long as the server takes to be there. Must be called within a Tokio
    /// runtime, which then also drives the confirmations.
    ///
    /// # Errors
    /// When the configuration can't be used: see [`ConnectError`].
    pub async fn connect(config: &OutletConfig) -> Result<Self, ConnectError> {
        name::checked(&config.stream)?;
        let connection = Connection::open(config.access()).await?;
        let reply_prefix = connection.fresh_inbox();
        let subject = format!("{reply_prefix}.*");
        let replies = connection
            .client
            .subscribe(subject)
            .await
            .map_err(|_| ConnectError::Stopped)?;
        let pending = Arc::new(Mutex::new(Pending::default()));
        let window = Arc::new(Semaphore::new(WINDOW_STEPS as usize));
        let confirmations = tokio::spawn(confirm(replies, connection.clone(), Arc::clone(&pending)));
        let renewals = tokio::spawn(renew(connection.clone(), Arc::clone(&window)));
        Ok(Outlet {
            shared: Arc::new(Shared {
                connection,
                stream: config.stream.clone(),
                reply_prefix,
                window,
                pending,
                tasks: [confirmations.abort_handle(), renewals.abort_handle()],
            }),
        })
    }

    /// Sends a message at once if there is room, and gives the ticket for its confirmation. While the
    /// window of unconfirmed messages is full the message is sent only as the ticket is awaited; tickets
    /// that are dropped before may never be sent. Order among messages is kept by nobody.
    pub fn publish(&self, subject: &str, payload: Bytes) -> PublishTicket {
        let mut sending = publish(Arc::clone(&self.shared), subject.to_owned(), payload).boxed();
        // The first poll gets the message on its way without waiting for whoever holds the ticket.
        let done = unconstrained(&mut sending).now_or_never();
        PublishTicket { sending, done }
    }

    /// Sends a message, and again until it is confirmed: at least once. The same message may then be in
    /// the stream more than once.
    ///
    /// # Errors
    /// Only [`PublishError::Impossible`].
    pub async fn deliver(&self, subject: &str, payload: Bytes) -> Result<(), PublishError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.publish(subject, payload.clone()).await {
                Ok(()) => return Ok(()),
                Err(PublishError::Impossible) => {
                    tracing::error!(subject, bytes = payload.len(), "a message can not be sent");
                    return Err(PublishError::Impossible);
                }
                Err(error) => {
                    tracing::debug!(subject, %error, "trying again");
                    tokio::time::sleep(jittered(pause)).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    self.connected().await;
                }
            }
        }
    }

    /// Waits until there is a connection.
    async fn connected(&self) {
        let mut standing = self.shared.connection.standing.clone();
        if standing.wait_for(|now| now.up).await.is_err() {
            // The client has stopped for good, which it does only while the process ends.
            std::future::pending::<()>().await;
        }
    }
}

/// A message on its way. Resolves when the server has stored it, or when it is known or feared that it
/// has not.
#[must_use = "a message without confirmation may be lost"]
pub struct PublishTicket {
    sending: BoxFuture<'static, Result<(), PublishError>>,
    done: Option<Result<(), PublishError>>,
}

impl Future for PublishTicket {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.done.take() {
            Some(done) => Poll::Ready(done),
            None => self.sending.as_mut().poll(cx),
        }
    }
}

async fn publish(shared: Arc<Shared>, subject: String, payload: Bytes) -> Result<(), PublishError> {
    if payload.len() > MAX_MESSAGE_BYTES || !belongs(&subject, &shared.stream) {
        return Err(PublishError::Impossible);
    }
    let steps = u32::try_from(payload.len().div_ceil(STEP_BYTES))
        .unwrap_or(u32::MAX)
        .clamp(1, WINDOW_STEPS);
    let _room = shared
        .window
        .acquire_many(steps)
        .await
        .map_err(|_| PublishError::Unreachable)?;
    let Standing { generation, up } = shared.connection.now();
    if !up {
        return Err(PublishError::Unreachable);
    }
    if payload.len() > shared.connection.client.max_payload() {
        return Err(PublishError::Impossible);
    }
    let (outcome, confirmed) = oneshot::channel();
    let ticket = Ticket::take(&shared.pending, generation, outcome);
    let reply = format!("{}.{}", shared.reply_prefix, ticket.token);
    let sent_and_confirmed = async {
        let sending = shared
            .connection
            .client
            .publish_with_reply(subject, reply, payload);
        sending.await.map_err(|_| PublishError::Unreachable)?;
        confirmed.await.unwrap_or(Err(PublishError::Unconfirmed))
    };
    tokio::time::timeout(CONFIRM_TIMEOUT, sent_and_confirmed)
        .await
        .unwrap_or(Err(PublishError::Unconfirmed))
}

/// Whether a subject is the stream's own or one token below it. Keeps a slip from publishing elsewhere;
/// the server's permissions are what enforces it.
fn belongs(subject: &str, stream: &str) -> bool {
    match subject.strip_prefix(stream) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('.')
            .is_some_and(|slot| name::checked(slot).is_ok()),
        None => false,
    }
}

/// A place in [`Pending`], given up when dropped.
struct Ticket<'a> {
    pending: &'a Mutex<Pending>,
    token: u64,
}

impl<'a> Ticket<'a> {
    fn take(
        pending: &'a Mutex<Pending>,
        generation: u64,
        outcome: oneshot::Sender<Result<(), PublishError>>,
    ) -> Self {
        let mut inner = lock(pending);
        inner.last_token = inner.last_token.wrapping_add(1);
        let token = inner.last_token;
        inner.waiting.insert(token, Waiting { generation, outcome });
        Ticket { pending, token }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        lock(self.pending).waiting.remove(&self.token);
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands confirmations to the tickets they belong to, until the outlet is gone.
async fn confirm(mut replies: Subscriber, mut connection: Connection, pending: Arc<Mutex<Pending>>) {
    loop {
        tokio::select! {
            biased;
            reply = replies.next() => match reply {
                Some(reply) => settle(&reply, &pending),
                None => return,
            },
            changed = connection.standing.changed() => {
                if changed.is_err() {
                    return;
                }
                forget_lost(connection.now(), &pending);
            }
        }
    }
}

/// Makes the connection anew when there are new credentials. With the whole window in hand nothing is unconfirmed,
/// so nothing can be lost with the old connection; what is published meanwhile waits.
async fn renew(connection: Connection, window: Arc<Semaphore>) {
    loop {
        connection.renewal_due().await;
        let quiet = tokio::time::timeout(CONFIRM_TIMEOUT, window.acquire_many(WINDOW_STEPS)).await;
        connection.renew().await;
        drop(quiet);
    }
}

fn settle(reply: &Message, pending: &Mutex<Pending>) {
    let token = reply
        .subject
        .rsplit('.')
        .next()
        .and_then(|token| token.parse().ok());
    let waiting = token.and_then(|token: u64| lock(pending).waiting.remove(&token));
    if let Some(waiting) = waiting {
        // The receiver may have given up; then nobody needs to know.
        let _ = waiting.outcome.send(outcome_of(reply.status, &reply.payload));
    }
}

/// Confirmations of a lost connection will not come: do not let anybody wait for them.
fn forget_lost(now: Standing, pending: &Mutex<Pending>) {
    let lost: Vec<Waiting> = {
        let mut inner = lock(pending);
        inner
            .waiting
            .extract_if(|_, waiting| !now.up || waiting.generation < now.generation)
            .map(|(_, waiting)| waiting)
            .collect()
    };
    for waiting in lost {
        let _ = waiting.outcome.send(Err(PublishError::Unconfirmed));
    }
}

#[derive(serde::Deserialize)]
struct Confirmation {
    error: Option<ApiError>,
    seq: Option<u64>,
}

#[derive(serde::Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Reads the server's answer to a published message.
fn outcome_of(status: Option<StatusCode>, payload: &[u8]) -> Result<(), PublishError> {
    if status == Some(StatusCode::NO_RESPONDERS) {
        // No stream takes this subject.
        return Err(PublishError::Unreachable);
    }
    match serde_json::from_slice(payload) {
        Ok(Confirmation {
            error: None,
            seq: Some(_),
        }) => Ok(()),
        Ok(Confirmation {
            error: Some(error), ..
        }) => Err(refused(&error)),
        // Not what a server says.
        Ok(Confirmation {
            error: None,
            seq: None,
        })
        | Err(_) => Err(PublishError::Unconfirmed),
    }
}

fn refused(error: &ApiError) -> PublishError {
    tracing::debug!(
        code = error.err_code,
        description = error.description,
        "not stored"
    );
    match error.err_code {
        // Limits of the stream; limits of the server's memory and disk.
        10077 | 10023 | 10028 | 10047 => PublishError::Full,
        // Larger than the stream takes.
        10054 => PublishError::Impossible,
        _ => PublishError::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_server_are_told_apart() {
        let full = br#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"s","seq":0}"#;
        assert_eq!(outcome_of(None, full), Err(PublishError::Full));
        assert_eq!(outcome_of(None, br#"{"stream":"s","seq":4}"#), Ok(()));
        assert_eq!(
            outcome_of(Some(StatusCode::NO_RESPONDERS), b""),
            Err(PublishError::Unreachable)
        );
        for odd in [&b""[..], b"{}", b"+OK", b"[1]"] {
            assert_eq!(outcome_of(None, odd), Err(PublishError::Unconfirmed));
        }
    }

    #[test]
    fn subjects_stay_within_the_stream() {
        assert!(belongs("clean-query", "clean-query"));
        assert!(belongs("clean-query.b1", "clean-query"));
        for other in [
            "clean-queryx",
            "clean-query.",
            "clean-query.*",
            "clean-query.a.b",
            "dirty-query",
            "$JS.API",
        ] {
            assert!(!belongs(other, "clean-query"), "{other}");
        }
    }
}
