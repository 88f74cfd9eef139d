//! Sinks: carries the records of the ledgers to where a security team looks already.
//!
//! A ledger is the spool. Each sink remembers how far its collector has confirmed each ledger ([`positions`]), and
//! reads on from there ([`feed`]): a collector that is down costs no record, and no stage waits for it. What was not
//! confirmed is sent again after a lost connection or a restart, so a collector may see a record twice, never out of
//! order within a ledger, and none is left out. Stage, number and hash tell two copies from two records.
//!
//! What `postern up` has signed of the ledgers ([`checkpoints`]) goes the same ways, so that a copy is where nobody who takes this
//! machine can change it.
//!
//! It runs as a process of its own, in a sandbox that reads the ledgers and connects to the collectors, so that no
//! stage needs a route to any of them. It also serves what the stages tell of themselves ([`metrics`]), so that no stage
//! listens to anybody who watches. It trusts its configuration. What collectors answer is only looked at for an
//! end or a status; lines of ledgers are passed on as they are. Not in it: keys of links or of the ledgers'
//! signatures, and any route to the ring, to clients or to the database.

mod checkpoints;
mod config;
mod courier;
mod dial;
mod feed;
mod http;
mod metrics;
mod otlp;
mod positions;
mod record;
mod s3;
mod syslog;
mod tls;
mod webhook;

pub use config::{
    MetricsConfig, OtlpConfig, S3Config, SinkConfig, SinksConfig, SyslogConfig, TracesConfig, WebhookConfig,
};
pub use feed::{Entry, Feed, Oddity, What};
pub use otlp::Protocol;
pub use positions::{Mark, Positions, PositionsFile};
pub use record::{Details, Fields};
pub use s3::LockMode;
pub use syslog::Framing;
pub use tls::TlsConfig;
pub use webhook::Format;

use anyhow::Context as _;
use courier::Courier;
use metrics::Site;
use postern_runtime::Life;

/// Runs all sinks until it is asked to stop; each then gets what it has been sent confirmed, as far as time allows.
///
/// # Errors
/// When a sink is configured in a way that can't work, or its position can't be read.
pub async fn run(config: SinksConfig, life: Life) -> anyhow::Result<()> {
    let couriers = config.sinks.iter().map(|(name, sink)| {
        let target = sink.target(name, &config)?;
        Courier::new(name, target, &config)
    });
    let couriers = couriers.collect::<anyhow::Result<Vec<_>>>()?;
    let listener = match &config.metrics {
        Some(metrics) => {
            let listener = metrics::listen(metrics).await;
            Some(listener.with_context(|| format!("can't listen on {}", metrics.listen))?)
        }
        None => None,
    };
    life.ready.announce()?;
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            if let Some(listener) = listener {
                let site = Site {
                    audit: config.audit_directory.clone(),
                    positions: config.positions_directory.clone(),
                    sinks: config.sinks_of_records(),
                };
                tokio::task::spawn_local(metrics::serve(listener, site));
            }
            let running: Vec<_> = couriers
                .into_iter()
                .map(|courier| tokio::task::spawn_local(courier.run(life.shutdown.clone())))
                .collect();
            for courier in running {
                courier.await?;
            }
            // Where there are metrics only.
            life.shutdown.cancelled().await;
            Ok(())
        })
        .await
}
