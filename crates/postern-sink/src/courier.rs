//! Carries records to one collector, and starts again from what was confirmed whenever that fails.

use crate::checkpoints::{Checkpoints, Places};
use crate::config::SinksConfig;
use crate::feed::{Entry, Feed, Oddity};
use crate::otlp::{Logs, Traces};
use crate::positions::{Positions, PositionsFile};
use crate::s3::Vault;
use crate::syslog::Syslog;
use crate::webhook::Webhook;
use postern_runtime::CancellationToken;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Most bytes of records that are sent at a time. A collector takes 4 MiB of a gRPC message unless it is told otherwise,
/// and a record becomes about half as long again on its way there.
const BATCH_BYTES: usize = 1024 * 1024;
/// So much is sent before it must be confirmed: as much is sent again when a connection is lost.
const UNCONFIRMED_BYTES: usize = 16 * 1024 * 1024;
/// ... or so long.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(5);
/// How often new records are looked for, where people wait to be told.
const LOOK_FOR_ALERTS_EVERY: Duration = Duration::from_millis(20);
/// ... and elsewhere: what is sent at a time costs about as much whether it is little or much.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A collector that is down is told of again so often.
const REMIND_EVERY: Duration = Duration::from_secs(300);
/// How long the last records may take when the process is to stop.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why records did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The network, or the collector.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing happened for so long.
    #[error("it has taken nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// It answered, and did not take them.
    #[error("{0}")]
    Refused(String),
    /// Its certificate is not believed.
    #[error("its certificate {0}")]
    Certificate(String),
    /// A file that TLS needs is not as it should be.
    #[error("{0}")]
    Files(String),
    /// A ledger, or the file of positions.
    #[error("{0}")]
    Local(io::Error),
}

/// How long connecting may take, and how long a collector may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does it within 10 seconds.
///
/// # Errors
/// Its own, and [`Fault::Silent`].
pub(crate) async fn within<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or(Err(Fault::Silent(PATIENCE)))
}

/// What records are carried to.
pub(crate) enum Target {
    /// A Syslog collector.
    Syslog(Box<Syslog>),
    /// A collector of logs of OpenTelemetry.
    Logs(Box<Logs>),
    /// A collector of traces of OpenTelemetry.
    Traces(Box<Traces>),
    /// A webhook, which is told of alerts only.
    Webhook(Box<Webhook>),
    /// Object storage, which gets checkpoints only.
    S3(Box<Vault>),
}

impl Target {
    fn look_every(&self) -> Duration {
        match self {
            Target::Syslog(_) | Target::Logs(_) | Target::Traces(_) => LOOK_EVERY,
            Target::Webhook(_) => LOOK_FOR_ALERTS_EVERY,
            Target::S3(vault) => vault.every(),
        }
    }

    fn takes_records(&self) -> bool {
        !matches!(self, Target::S3(_))
    }

    async fn connect(&mut self) -> Result<(), Fault> {
        match self {
            Target::Syslog(syslog) => syslog.connect().await,
            Target::Logs(logs) => logs.exporter().connect().await,
            Target::Traces(traces) => traces.exporter().connect().await,
            Target::Webhook(webhook) => webhook.connect().await,
            Target::S3(vault) => vault.connect().await,
        }
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        match self {
            Target::Syslog(syslog) => syslog.send(entries).await,
            Target::Logs(logs) => logs.send(entries).await,
            Target::Traces(traces) => traces.send(entries).await,
            Target::Webhook(webhook) => webhook.send(entries).await,
            Target::S3(vault) => vault.send(entries).await,
        }
    }

    async fn send_oddity(&mut self, oddity: &Oddity) -> Result<(), Fault> {
        match self {
            // A line of the log is all that is due: what is in the ledger goes to these as it is.
            Target::Syslog(_) | Target::Logs(_) | Target::Traces(_) | Target::S3(_) => Ok(()),
            Target::Webhook(webhook) => webhook.send_oddity(oddity).await,
        }
    }

    async fn confirm(&mut self) -> Result<(), Fault> {
        match self {
            Target::Syslog(syslog) => syslog.confirm().await,
            // Its answer has confirmed all.
            Target::Logs(_) | Target::Traces(_) | Target::Webhook(_) | Target::S3(_) => Ok(()),
        }
    }

    fn drop_connection(&mut self) {
        match self {
            Target::Syslog(syslog) => syslog.drop_connection(),
            Target::Logs(logs) => logs.exporter().drop_connection(),
            Target::Traces(traces) => traces.exporter().drop_connection(),
            Target::Webhook(webhook) => webhook.drop_connection(),
            Target::S3(vault) => vault.drop_connection(),
        }
    }
}

/// See the module's documentation.
pub(crate) struct Courier {
    name: String,
    audit: PathBuf,
    file: PositionsFile,
    target: Target,
    feed: Feed,
    checkpoints: Checkpoints,
    checkpoints_file: PositionsFile<Places>,
    confirmed_checkpoints: Places,
    /// As in the file. What was sent beyond it is sent again after a failure.
    confirmed: Positions,
    /// Bytes that were sent and are not confirmed, and since when there are any.
    unconfirmed: Option<(usize, Instant)>,
    /// Since when the collector fails, and when that was told last.
    failing: Option<(Instant, Instant)>,
    pause: Duration,
}

impl Courier {
    /// Goes on from where the sink of this name was.
    ///
    /// # Errors
    /// When that can't be found out.
    pub(crate) fn new(name: &str, target: Target, config: &SinksConfig) -> anyhow::Result<Courier> {
        let file = PositionsFile::new(&config.positions_directory, name);
        let positions = file.read()?;
        let checkpoints_file = PositionsFile::of_checkpoints(&config.positions_directory, name);
        let places = checkpoints_file.read()?;
        Ok(Courier {
            name: name.to_owned(),
            audit: config.audit_directory.clone(),
            feed: Feed::new(&config.audit_directory, positions.clone()),
            confirmed: positions,
            checkpoints: Checkpoints::new(&config.audit_directory, places.clone()),
            checkpoints_file,
            confirmed_checkpoints: places,
            file,
            target,
            unconfirmed: None,
            failing: None,
            pause: FIRST_PAUSE,
        })
    }

    /// Carries records until it is to stop, and then what there is, as far as time allows.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let wait = match self.carry().await {
                Ok(()) if self.feed.has_more() => Duration::ZERO,
                // Were it not to wait, it would send each record by itself while the ring is busy.
                Ok(()) => self.target.look_every(),
                Err(fault) => self.failed(&fault),
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = shutdown.cancelled() => {}
            }
        }
        let _ = timeout(LAST_WORDS, self.finish()).await;
    }

    /// Sends what there is and has it confirmed.
    async fn finish(&mut self) -> Result<(), Fault> {
        self.carry().await?;
        while self.feed.has_more() {
            self.carry().await?;
        }
        self.confirm().await
    }

    /// Sends some records and has them confirmed when it is time.
    async fn carry(&mut self) -> Result<(), Fault> {
        if self.failing.is_some() {
            // While nobody is there, no ledger is read.
            self.target.connect().await?;
        }
        let mut odd = Vec::new();
        let mut entries = match self.target.takes_records() {
            true => self.feed.read(BATCH_BYTES, &mut odd).map_err(Fault::Local)?,
            false => Vec::new(),
        };
        entries.extend(self.checkpoints.read(&mut odd).map_err(Fault::Local)?);
        for oddity in odd {
            self.tell(&oddity);
            self.target.send_oddity(&oddity).await?;
        }
        if !entries.is_empty() {
            let bytes: usize = entries.iter().map(|entry| entry.line.len()).sum();
            let (before, since) = self.unconfirmed.unwrap_or((0, Instant::now()));
            self.unconfirmed = Some((before.saturating_add(bytes), since));
            self.target.send(&entries).await?;
        } else if let Target::Traces(traces) = &mut self.target {
            // Some may have waited for records that do not come.
            traces.send(&[]).await?;
        }
        if let Some((bytes, since)) = self.unconfirmed
            && (bytes >= UNCONFIRMED_BYTES
                || since.elapsed() >= UNCONFIRMED_FOR
                || !self.target.takes_records())
        {
            self.confirm().await?;
        }
        Ok(())
    }

    async fn confirm(&mut self) -> Result<(), Fault> {
        if self.unconfirmed.is_none() {
            return Ok(());
        }
        self.target.confirm().await?;
        if self.confirmed != *self.feed.position() {
            self.file.write(self.feed.position()).map_err(Fault::Local)?;
            self.confirmed.clone_from(self.feed.position());
        }
        if self.confirmed_checkpoints != *self.checkpoints.places() {
            let places = self.checkpoints.places();
            self.checkpoints_file.write(places).map_err(Fault::Local)?;
            self.confirmed_checkpoints.clone_from(places);
        }
        self.unconfirmed = None;
        self.pause = FIRST_PAUSE;
        if let Some((since, _)) = self.failing.take() {
            let down_s = since.elapsed().as_secs();
            tracing::info!(sink = self.name, down_s, "the collector takes records again");
        }
        Ok(())
    }

    /// Goes back to what was confirmed; how long to wait before the next attempt.
    fn failed(&mut self, fault: &Fault) -> Duration {
        self.target.drop_connection();
        self.unconfirmed = None;
        self.feed = Feed::new(&self.audit, self.confirmed.clone());
        self.checkpoints = Checkpoints::new(&self.audit, self.confirmed_checkpoints.clone());
        let now = Instant::now();
        let (since, told) = *self.failing.get_or_insert((now, now));
        if told == now || now.saturating_duration_since(told) >= REMIND_EVERY {
            tracing::error!(
                sink = self.name,
                down_s = since.elapsed().as_secs(),
                "the collector does not take records, which wait in the ledgers: {fault}"
            );
            self.failing = Some((since, now));
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }

    fn tell(&self, oddity: &Oddity) {
        let sink = &self.name;
        match oddity {
            Oddity::Changed { stage, number } => tracing::error!(
                sink,
                %stage,
                number,
                "the ledger is not the one that was sent: run `postern audit verify`, and compare with the collector"
            ),
            Oddity::OtherCheckpoints { stage } => tracing::error!(
                sink,
                %stage,
                "the checkpoints of the ledger are not those that were sent: run `postern audit verify --against` a copy"
            ),
            Oddity::NoRecord { stage } => {
                tracing::error!(sink, %stage, "a line of the ledger is not a record: run `postern audit verify`");
            }
        }
    }
}
