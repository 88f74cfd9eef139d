//! Making the streams and consumers of a ring, with a server's administrator user.
//!
//! Stages never do this; their credentials do not allow it.

use crate::authenticator::Authenticator;
use crate::config::Access;
use crate::connection::{ConnectError, Connection};
use crate::name::{self, InvalidName};
use crate::sign_in::SignIn;
use crate::tls::TlsConfig;
use crate::version::ServerVersion;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message that was not acknowledged by then is delivered again.
pub const ACK_WAIT: Duration = Duration::from_secs(2);
/// Messages that may be unacknowledged at once.
const MAX_ACK_PENDING: i64 = 100_000;
/// How long provisioning one server may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause before a server that has just started is asked again.
const TOO_EARLY: Duration = Duration::from_millis(50);

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk; survives a restart of the server.
    #[default]
    File,
    /// In memory; a restart loses what was on its way, and the stream itself.
    Memory,
}

/// One stream of one hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: String,
    /// Its subjects; the last token may be `*`.
    pub subjects: Vec<String>,
    /// Where it keeps messages.
    pub storage: Storage,
    /// When it holds this many bytes it takes no more.
    pub max_bytes: u64,
    /// Messages that nobody fetched for this long are dropped.
    pub max_age: Duration,
    /// Who reads it. Consumers that are not listed are removed.
    pub consumers: Vec<ConsumerSpec>,
}

/// One durable pull consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its name.
    pub name: String,
    /// The subject it reads. No two consumers of a stream may read the same.
    pub filter: String,
}

/// How to reach a server as its administrator.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address such as `nats://127.0.0.1:4222`.
    pub url: String,
    /// User name.
    pub user: String,
    /// How it proves who it is.
    pub sign_in: SignIn,
    /// TLS, and none without it.
    pub tls: Option<TlsConfig>,
}

impl Admin {
    fn access(&self) -> Access<'_> {
        Access {
            url: &self.url,
            user: &self.user,
            sign_in: &self.sign_in,
            tls: self.tls.as_ref(),
        }
    }
}

/// Why a server could not be provisioned.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The configuration can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A stream or consumer has no proper name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The server is not there, or does not let this user in.
    #[error("the NATS server at {url} did not do it within {} s; {reason}", PATIENCE.as_secs())]
    TimedOut {
        /// Its address.
        url: String,
        /// What was wrong last, as far as it is known.
        reason: String,
    },
    /// The server would not do it.
    #[error("the NATS server would not {action}: {reason}")]
    Refused {
        /// What was tried.
        action: String,
        /// What the server said.
        reason: String,
    },
}

impl ProvisionError {
    fn is_too_early(&self) -> bool {
        matches!(self, ProvisionError::Refused { reason, .. } if reason.contains("jetstream unavailable"))
    }
}

/// Makes streams and consumers, or adjusts those that differ. Doing it twice changes nothing. A stream's
/// storage can't be changed; remove the stream first.
///
/// # Errors
/// See [`ProvisionError`].
pub async fn provision(admin: &Admin, streams: &[StreamSpec]) -> Result<(), ProvisionError> {
    let began = Instant::now();
    loop {
        let done = within(admin, async |connection| {
            let context = jetstream::new(connection.client);
            for stream in streams {
                provision_stream(&context, stream).await?;
            }
            Ok(())
        })
        .await;
        match done {
            // It lets clients in a moment before its JetStream is there.
            Err(error) if error.is_too_early() && began.elapsed() < PATIENCE => {
                tokio::time::sleep(TOO_EARLY).await;
            }
            done => return done,
        }
    }
}

/// Asks a server for its version. Any user will do.
///
/// # Errors
/// See [`ProvisionError`].
pub async fn server_version(admin: &Admin) -> Result<Option<ServerVersion>, ProvisionError> {
    within(admin, async |connection| {
        // The client learns it a moment after the connection stands; an answered ping is later than that.
        let _ = connection.client.flush().await;
        Ok(ServerVersion::parse(&connection.client.server_info().version))
    })
    .await
}

pub(crate) async fn within<T>(
    admin: &Admin,
    work: impl AsyncFnOnce(Connection) -> Result<T, ProvisionError>,
) -> Result<T, ProvisionError> {
    let authenticator = Arc::new(Authenticator::new(admin.access()));
    let connected_work = async {
        let connection = Connection::open_as(admin.access(), Arc::clone(&authenticator)).await?;
        work(connection).await
    };
    match tokio::time::timeout(PATIENCE, connected_work).await {
        Ok(done) => done,
        Err(_) => Err(ProvisionError::TimedOut {
            url: admin.url.clone(),
            reason: authenticator.last_said(),
        }),
    }
}

async fn provision_stream(context: &Context, spec: &StreamSpec) -> Result<(), ProvisionError> {
    let name = name::checked(&spec.name)?;
    context
        .create_or_update_stream(stream_config(spec))
        .await
        .map_err(refused(format!("make stream `{name}`")))?;
    let stream = context
        .get_stream(name)
        .await
        .map_err(refused(format!("show stream `{name}`")))?;
    let existing: Vec<String> = stream
        .consumer_names()
        .try_collect()
        .await
        .map_err(refused(format!("list the consumers of `{name}`")))?;
    for other in existing
        .iter()
        .filter(|other| spec.consumers.iter().all(|c| c.name != **other))
    {
        stream
            .delete_consumer(other)
            .await
            .map_err(refused(format!("remove consumer `{other}`")))?;
    }
    for consumer in &spec.consumers {
        let consumer_name = name::checked(&consumer.name)?;
        stream
            .create_consumer(consumer_config(consumer))
            .await
            .map_err(refused(format!("make consumer `{consumer_name}` of `{name}`")))?;
    }
    Ok(())
}

pub(crate) fn stream_config(spec: &StreamSpec) -> Config {
    Config {
        name: spec.name.clone(),
        subjects: spec.subjects.clone(),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: match spec.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        max_bytes: i64::try_from(spec.max_bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_age: spec.max_age,
        // Duplicates are the receivers' to notice, and nothing sends message ids.
        duplicate_window: Duration::from_millis(100),
        num_replicas: 1,
        // Not even the administrator may take single messages out or empty the stream: see
        // `crate::permission` on reply subjects.
        deny_delete: true,
        deny_purge: true,
        ..Config::default()
    }
}

pub(crate) fn consumer_config(spec: &ConsumerSpec) -> pull::Config {
    pull::Config {
        durable_name: Some(spec.name.clone()),
        filter_subject: spec.filter.clone(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        max_deliver: -1,
        ..pull::Config::default()
    }
}

pub(crate) fn refused<E: std::fmt::Display>(action: String) -> impl FnOnce(E) -> ProvisionError {
    move |error| ProvisionError::Refused {
        action,
        reason: error.to_string(),
    }
}
