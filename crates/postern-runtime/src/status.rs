//! How a stage is, for whoever watches it: a file beside its ledger, written anew each second.
//!
//! The file is in the text format of Prometheus (0.0.4), so that anything can serve it, `postern-sink` or a collector of text
//! files. The stage itself listens to nobody. One that hangs leaves a file that grows old.

use crate::clock::unix_ms;
use postern_bus::BusWatch;
use postern_ledger::Tally;
use postern_types::{InstanceId, Stage};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the file in the ledger's directory.
pub const STATUS_FILE: &str = "metrics.prom";
/// The gauge that says whether the stage is ready.
pub const READY: &str = "postern_ready";
/// The gauge that says when the file was written.
pub const WRITTEN: &str = "postern_status_time_seconds";
/// How often it is written.
pub const STATUS_EVERY: Duration = Duration::from_secs(1);

/// A number that goes up and down.
struct Gauge {
    name: &'static str,
    help: &'static str,
    read: Box<dyn Fn() -> u64>,
}

/// What a stage tells of itself.
pub struct Status {
    path: PathBuf,
    stage: Stage,
    instance: InstanceId,
    tally: Arc<Tally>,
    gauges: Vec<Gauge>,
    started_ms: u64,
    text: String,
}

impl Status {
    /// For the stage whose ledger is in this directory.
    pub fn new(directory: &Path, stage: Stage, instance: InstanceId, tally: Arc<Tally>) -> Status {
        Status {
            path: directory.join(STATUS_FILE),
            stage,
            instance,
            tally,
            gauges: Vec::new(),
            started_ms: unix_ms(),
            text: String::new(),
        }
    }

    /// Tells this number too. `name` is that of a metric of Prometheus.
    #[must_use]
    pub fn gauge(
        mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + 'static,
    ) -> Status {
        self.gauges.push(Gauge {
            name,
            help,
            read: Box::new(read),
        });
        self
    }

    /// Tells whether both ends of the bus are connected, which a stage that runs needs to be ready.
    #[must_use]
    pub fn on_bus(self, inlet: BusWatch, outlet: BusWatch) -> Status {
        let (reading, writing) = (inlet.clone(), outlet.clone());
        self.gauge(
            READY,
            "1 while both NATS servers of the stage are connected.",
            move || u64::from(reading.is_up() && writing.is_up()),
        )
        .gauge(
            "postern_bus_connections",
            "How often the two NATS servers were connected since the run began; 2 is none lost.",
            move || inlet.connections().saturating_add(outlet.connections()),
        )
    }

    /// Does some work, and writes it each second meanwhile.
    pub async fn beside<T>(self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.keep() => match never {},
        }
    }

    /// Writes it each second, for as long as it is polled.
    pub async fn keep(mut self) -> Infallible {
        let mut ticks = tokio::time::interval(STATUS_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            ticks.tick().await;
            match self.write() {
                Ok(()) => told = false,
                Err(error) if !told => {
                    // Whoever watches sees a file that grows old.
                    tracing::warn!(%error, "the status can't be written");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.describe();
        let beside = self.path.with_extension("new");
        fs::write(&beside, &self.text)?;
        fs::rename(&beside, &self.path)
    }

    fn describe(&mut self) {
        let Status {
            stage,
            instance,
            gauges,
            started_ms,
            text,
            ..
        } = self;
        text.clear();
        let version = env!("CARGO_PKG_VERSION");
        let mut gauge = |name: &str, help: &str, labels: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}"
            );
        };
        let labels = format!("{{stage=\"{stage}\",instance=\"{instance}\",version=\"{version}\"}}");
        gauge(
            "postern_build_info",
            "Which stage this is, and its run.",
            &labels,
            &1,
        );
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        gauge(
            WRITTEN,
            "When this was written, since 1970; a stage that hangs does not write.",
            "",
            &seconds(unix_ms()),
        );
        gauge(
            "postern_start_time_seconds",
            "When the run began, since 1970.",
            "",
            &seconds(*started_ms),
        );
        for one in gauges {
            gauge(one.name, one.help, "", &(one.read)());
        }
        self.tally.write(&mut self.text);
    }
}
