//! One connection to one NATS server, that comes back by itself.

use crate::name::{self, InvalidName};
use crate::secret::{Secret, SecretError};
use async_nats::{Client, ConnectOptions, Event};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A server that does not answer in this time is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is tested. Two missing answers end it.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to connect. Short, because a restarted server should be back in
/// use within a second, and because there are only a handful of clients for each server.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Messages that one subscription may hold unread. What can be outstanding is bounded far below that by
/// pulls and by the outlet's window, so that it never overflows.
const SUBSCRIPTION_CAPACITY: usize = 32 * 1024;

/// Why no connection could even be tried. A server that is not there is not an error: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The password can't be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A user, stream or consumer has no proper name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The URL can't be understood.
    #[error("`{url}` is not the address of a NATS server, write nats://HOST:PORT")]
    Url {
        /// The URL as configured.
        url: String,
    },
    /// The client gave up for good; seen only while the process ends.
    #[error("the NATS client has stopped")]
    Stopped,
}

/// How the connection is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Counts connections made. What was sent on an earlier one may be lost.
    pub(crate) generation: u64,
    /// Whether there is a connection now.
    pub(crate) up: bool,
}

/// A client and what is known of its connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) standing: watch::Receiver<Standing>,
    /// Prefix of the subjects on which only this user may listen.
    pub(crate) inbox: Arc<str>,
}

impl Connection {
    /// Connects, and waits for as long as the server takes to be there.
    pub(crate) async fn open(url: &str, user: &str, password_file: &Path) -> Result<Self, ConnectError> {
        let password = Secret::read(password_file)?;
        Self::open_with(url, user, &password).await
    }

    pub(crate) async fn open_with(url: &str, user: &str, password: &Secret) -> Result<Self, ConnectError> {
        let inbox: Arc<str> = crate::permission::inbox(name::checked(user)?).into();
        let (changed, mut standing) = watch::channel(Standing {
            generation: 0,
            up: false,
        });
        let server = url.to_owned();
        let client = ConnectOptions::with_user_and_password(user.to_owned(), password.expose().to_owned())
            .name(format!("postern {user}"))
            .custom_inbox_prefix(&inbox)
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .retry_on_initial_connect()
            .ignore_discovered_servers()
            .skip_subject_validation(true)
            .max_reconnects(None)
            .reconnect_delay_callback(pause_before)
            .event_callback(move |event| {
                note(&event, &changed, &server);
                std::future::ready(())
            })
            .connect(url)
            .await
            .map_err(|_| ConnectError::Url { url: url.to_owned() })?;
        standing
            .wait_for(|now| now.up)
            .await
            .map_err(|_| ConnectError::Stopped)?;
        Ok(Connection {
            client,
            standing,
            inbox,
        })
    }

    pub(crate) fn now(&self) -> Standing {
        *self.standing.borrow()
    }

    /// A fresh subject prefix under this user's inbox.
    pub(crate) fn fresh_inbox(&self) -> String {
        format!("{}.{:016x}", self.inbox, random_u64())
    }
}

/// Keeps the standing and tells the log, without flooding it while a server stays away.
fn note(event: &Event, changed: &watch::Sender<Standing>, server: &str) {
    match event {
        Event::Connected => {
            changed.send_modify(|now| {
                now.generation = now.generation.saturating_add(1);
                now.up = true;
            });
            tracing::info!(server, "connected to NATS");
        }
        Event::Disconnected | Event::Closed => {
            changed.send_modify(|now| now.up = false);
            tracing::warn!(server, "lost the connection to NATS, trying again");
        }
        // The only hint of a wrong password or of a missing permission, so it must be seen.
        Event::ServerError(error) => tracing::error!(server, %error, "NATS refuses"),
        Event::SlowConsumer(_) => tracing::error!(server, "a NATS message was dropped unread"),
        Event::ClientError(error) => tracing::debug!(server, %error, "NATS client"),
        Event::LameDuckMode | Event::Draining => tracing::info!(server, %event, "NATS"),
    }
}

/// How long to wait before a connection attempt, the first being number 1. Jitter keeps the stages of a
/// ring from knocking in step.
fn pause_before(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(6);
    if doublings == 0 {
        return Duration::ZERO;
    }
    jittered(Duration::from_millis(5u64 << doublings).min(LONGEST_PAUSE))
}

/// Between one half and the whole of a pause.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half.saturating_add(Duration::from_nanos(
        random_u64().checked_rem(nanos.max(1)).unwrap_or(0),
    ))
}

/// Randomness for jitter and for names that must not meet by accident; no secret rests on it.
pub(crate) fn random_u64() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_short() {
        assert_eq!(pause_before(0), Duration::ZERO);
        assert_eq!(pause_before(1), Duration::ZERO);
        for attempt in 2..10_000 {
            let pause = pause_before(attempt);
            assert!(
                pause >= Duration::from_millis(5) && pause <= LONGEST_PAUSE,
                "{attempt}: {pause:?}"
            );
        }
        assert!(pause_before(usize::MAX) <= LONGEST_PAUSE);
    }
}
