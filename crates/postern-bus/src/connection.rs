//! One connection to one NATS server, that comes back by itself.

use crate::authenticator::Authenticator;
use crate::config::Access;
use crate::name::{self, InvalidName};
use crate::tls::TlsError;
use async_nats::{Client, ConnectOptions, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

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
/// How often the files of the credential are looked at for new ones.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a connection that is made anew on purpose is waited for before the usual ways take over.
const RECONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why no connection could even be tried. A server that is not there, or that does not let this user in, is
/// not an error: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A user, stream or consumer has no proper name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    /// True when there are new credentials that a new connection should be made with.
    renewal: Arc<watch::Sender<bool>>,
    _lookout: Arc<Lookout>,
}

/// Tells whether a connection is there.
#[derive(Clone, Debug)]
pub struct BusWatch(watch::Receiver<Standing>);

impl BusWatch {
    pub(crate) fn new(connection: &Connection) -> BusWatch {
        BusWatch(connection.standing.clone())
    }

    /// The server has let us in, and the connection is not known to be lost.
    pub fn is_up(&self) -> bool {
        self.0.borrow().up
    }

    /// How often it was connected since the process began.
    pub fn connections(&self) -> u64 {
        self.0.borrow().generation
    }
}

/// Ends the task that looks at the files.
struct Lookout(AbortHandle);

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects, and waits for as long as the server takes to be there and to let the user in.
    pub(crate) async fn open(access: Access<'_>) -> Result<Self, ConnectError> {
        Self::open_as(access, Arc::new(Authenticator::new(access))).await
    }

    pub(crate) async fn open_as(
        access: Access<'_>,
        authenticator: Arc<Authenticator>,
    ) -> Result<Self, ConnectError> {
        let inbox: Arc<str> = crate::permission::inbox(name::checked(access.user)?).into();
        let (changed, standing) = watch::channel(Standing {
            generation: 0,
            up: false,
        });
        let client = options(access, &inbox, &authenticator, changed)?
            .connect(access.url)
            .await
            .map_err(|_| ConnectError::Url {
                url: access.url.to_owned(),
            })?;
        let renewal = Arc::new(watch::Sender::new(false));
        let lookout = tokio::spawn(look_for_news(
            authenticator,
            standing.clone(),
            Arc::clone(&renewal),
        ));
        let connection = Connection {
            client,
            standing,
            inbox,
            renewal,
            _lookout: Arc::new(Lookout(lookout.abort_handle())),
        };
        let mut standing = connection.standing.clone();
        standing
            .wait_for(|now| now.up)
            .await
            .map_err(|_| ConnectError::Stopped)?;
        Ok(connection)
    }

    pub(crate) fn now(&self) -> Standing {
        *self.standing.borrow()
    }

    /// A fresh subject prefix under this user's inbox.
    pub(crate) fn fresh_inbox(&self) -> String {
        format!("{}.{:016x}", self.inbox, random_u64())
    }

    /// Whether a new connection should be made as soon as nothing is under way on this one.
    pub(crate) fn is_renewal_due(&self) -> bool {
        *self.renewal.borrow()
    }

    /// Completes when a new connection should be made.
    pub(crate) fn renewal_due(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut renewal = self.renewal.subscribe();
        async move {
            if renewal.wait_for(|due| *due).await.is_err() {
                // The connection is gone, and with it whoever would make it anew.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Makes the connection anew, with what is in the files now. What is under way on the old one may be lost,
    /// as with any lost connection.
    pub(crate) async fn renew(&self) {
        self.renewal.send_replace(false);
        let before = self.now().generation;
        if self.client.force_reconnect().await.is_err() {
            return;
        }
        let mut standing = self.standing.clone();
        let back = standing.wait_for(|now| now.up && now.generation > before);
        let _ = tokio::time::timeout(RECONNECT_WITHIN, back).await;
    }
}

fn options(
    access: Access<'_>,
    inbox: &str,
    authenticator: &Arc<Authenticator>,
    changed: watch::Sender<Standing>,
) -> Result<ConnectOptions, ConnectError> {
    let (signing_in, failing, telling) = (
        Arc::clone(authenticator),
        Arc::clone(authenticator),
        Arc::clone(authenticator),
    );
    let options =
        ConnectOptions::with_auth_callback(move |nonce| std::future::ready(signing_in.answer(&nonce)))
            .name(format!("postern {}", access.user))
            .custom_inbox_prefix(inbox)
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .retry_on_initial_connect()
            .ignore_discovered_servers()
            .skip_subject_validation(true)
            .max_reconnects(None)
            .reconnect_delay_callback(pause_before)
            // Asked before each attempt; here it only hears why the one before failed.
            .reconnect_to_server_callback(move |servers, _| {
                for error in servers.iter().filter_map(|server| server.last_error.as_deref()) {
                    failing.report(error);
                }
                std::future::ready(None)
            })
            .event_callback(move |event| {
                note(&event, &changed, &telling);
                std::future::ready(())
            });
    Ok(match authenticator.tls()? {
        Some(tls) => options.require_tls(true).tls_client_config(tls),
        None => options,
    })
}

/// Looks for new files for as long as the connection is in use.
async fn look_for_news(
    authenticator: Arc<Authenticator>,
    standing: watch::Receiver<Standing>,
    renewal: Arc<watch::Sender<bool>>,
) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // A lost connection takes the new files by itself when it comes back.
        let due = standing.borrow().up && authenticator.has_news();
        renewal.send_if_modified(|now| std::mem::replace(now, due) != due);
    }
}

/// Keeps the standing and tells the log, without flooding it while a server stays away.
fn note(event: &Event, changed: &watch::Sender<Standing>, authenticator: &Authenticator) {
    let server = authenticator.server();
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
        // The only hint of a missing permission, so it must be seen.
        Event::ServerError(error) => authenticator.refused(&error.to_string()),
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
