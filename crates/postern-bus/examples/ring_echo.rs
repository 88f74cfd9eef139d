//! How fast a ring is in which nothing is done: four NATS servers, three relays that pass everything on,
//! and a driver in the place of the Frontend. Each of the four has a thread with a runtime of its own.
//!
//! ```text
//! ring_echo URL1 URL2 URL3 URL4 [--user NAME --password-file FILE] [--seconds N] [--storage file|memory]
//! ```
//!
//! The user must be allowed everything. Prints one JSON object: `p50_us_1` and `p99_us_1` for one client,
//! `tps_32` for 32 clients, with exchanges that are ready together sharing a message; and the same under
//! `one_message_each` without sharing. Exchanges are 256 bytes.

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use postern_bus::provision::{Admin, ConsumerSpec, Storage, StreamSpec, provision};
use postern_bus::relay::{self, Output, Step};
use postern_bus::{Inlet, InletConfig, Outlet, OutletConfig, SecretSource, SignIn};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const EXCHANGE_BYTES: usize = 256;
const STREAM: &str = "echo";
const CONSUMER: &str = "echo";

fn main() -> anyhow::Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let runtime = single_threaded()?;
    let shared = runtime.block_on(measure(&options, true))?;
    let mut report = shared.json();
    let each = runtime.block_on(measure(&options, false))?;
    if let Some(object) = report.as_object_mut() {
        object.insert("one_message_each".to_owned(), each.json());
    }
    println!("{report}");
    Ok(())
}

fn single_threaded() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

struct Options {
    urls: Vec<String>,
    user: String,
    password_file: Option<PathBuf>,
    duration: Duration,
    storage: Storage,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Options {
            urls: Vec::new(),
            user: "echo".to_owned(),
            password_file: None,
            duration: Duration::from_secs(5),
            storage: Storage::File,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--user" => options.user = value()?,
                "--password-file" => options.password_file = Some(value()?.into()),
                "--seconds" => options.duration = Duration::from_secs(value()?.parse()?),
                "--storage" => {
                    options.storage = match value()?.as_str() {
                        "file" => Storage::File,
                        "memory" => Storage::Memory,
                        other => bail!("{other} is not a storage: write file or memory"),
                    }
                }
                url if url.starts_with("nats://") => options.urls.push(argument),
                other => bail!("{other} is neither an option nor a URL"),
            }
        }
        if options.urls.len() != 4 {
            bail!("four URLs are needed, {} were given", options.urls.len());
        }
        Ok(options)
    }

    fn sign_in(&self) -> SignIn {
        // A server without users takes any password.
        let any = || SecretSource::Environment("PATH".to_owned());
        SignIn::Password {
            password_file: self.password_file.clone().map_or_else(any, SecretSource::from),
        }
    }

    fn inlet(&self, url: &str) -> InletConfig {
        InletConfig {
            url: url.to_owned(),
            user: self.user.clone(),
            sign_in: self.sign_in(),
            tls: None,
            stream: STREAM.to_owned(),
            consumer: CONSUMER.to_owned(),
        }
    }

    fn outlet(&self, url: &str) -> OutletConfig {
        OutletConfig {
            url: url.to_owned(),
            user: self.user.clone(),
            sign_in: self.sign_in(),
            tls: None,
            stream: STREAM.to_owned(),
        }
    }

    async fn provision(&self, url: &str) -> anyhow::Result<()> {
        let admin = Admin {
            url: url.to_owned(),
            user: self.user.clone(),
            sign_in: self.sign_in(),
            tls: None,
        };
        let stream = StreamSpec {
            name: STREAM.to_owned(),
            subjects: vec![STREAM.to_owned()],
            storage: self.storage,
            max_bytes: 256 * 1024 * 1024,
            max_age: Duration::from_secs(60),
            consumers: vec![ConsumerSpec {
                name: CONSUMER.to_owned(),
                filter: STREAM.to_owned(),
            }],
        };
        Ok(provision(&admin, &[stream]).await?)
    }
}

struct Figures {
    p50: f64,
    p99: f64,
    tps: f64,
}

impl Figures {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "p50_us_1": self.p50, "p99_us_1": self.p99, "tps_32": self.tps })
    }
}

/// Builds the ring, measures with one and with 32 clients, and takes it down.
async fn measure(options: &Options, share: bool) -> anyhow::Result<Figures> {
    for url in &options.urls {
        options.provision(url).await?;
    }
    let (stop, _) = watch::channel(false);
    let mut relays = Vec::new();
    for hops in options.urls.windows(2) {
        let [from, to] = hops else { continue };
        let (inlet, outlet) = (options.inlet(from), options.outlet(to));
        let stopped = stop.subscribe();
        relays.push(std::thread::spawn(move || {
            single_threaded()?.block_on(pass_on(inlet, outlet, share, stopped))
        }));
    }
    let (Some(first), Some(last)) = (options.urls.first(), options.urls.last()) else {
        bail!("no URLs")
    };
    let mut driver = Driver {
        inlet: Inlet::connect(&options.inlet(last)).await?,
        outlet: Outlet::connect(&options.outlet(first)).await?,
        share,
        run: std::process::id().wrapping_mul(16).wrapping_add(u32::from(share)),
    };
    driver.run(1, Duration::from_secs(1)).await?;
    let mut alone = driver.run(1, options.duration).await?;
    let crowd = driver.run(32, options.duration).await?;
    stop.send_replace(true);
    for relay in relays {
        relay.join().map_err(|_| anyhow::anyhow!("a relay panicked"))??;
    }
    alone.sort_unstable();
    Ok(Figures {
        p50: percentile(&alone, 50),
        p99: percentile(&alone, 99),
        tps: crowd.len() as f64 / options.duration.as_secs_f64(),
    })
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent) / 100;
    sorted
        .get(rank)
        .map_or(f64::NAN, |latency| latency.as_nanos() as f64 / 1000.0)
}

async fn pass_on(
    inlet: InletConfig,
    outlet: OutletConfig,
    share: bool,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (inlet, outlet) = (Inlet::connect(&inlet).await?, Outlet::connect(&outlet).await?);
    let stop = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    Ok(relay::run(inlet, outlet, &mut PassOn { share }, stop).await?)
}

struct PassOn {
    share: bool,
}

impl Step for PassOn {
    fn step(&mut self, inputs: Vec<Bytes>) -> Vec<Output> {
        let payloads = if self.share { vec![joined(&inputs)] } else { inputs };
        payloads
            .into_iter()
            .map(|payload| Output {
                subject: STREAM.to_owned(),
                payload,
            })
            .collect()
    }

    fn commit(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn joined(parts: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in parts {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

/// Clients that each have one exchange under way at any time.
struct Driver {
    inlet: Inlet,
    outlet: Outlet,
    share: bool,
    /// Marks exchanges, so that those of an earlier run that come again are known.
    run: u32,
}

impl Driver {
    /// Runs for a while and gives the latency of every exchange that ended meanwhile.
    async fn run(&mut self, clients: u32, duration: Duration) -> anyhow::Result<Vec<Duration>> {
        self.run = self.run.wrapping_add(2);
        let started = Instant::now();
        let mut latencies = Vec::new();
        let mut sent_at = vec![started; clients as usize];
        let mut open = clients as usize;
        let mut confirming = FuturesUnordered::new();
        let mut ready: Vec<u32> = (0..clients).collect();
        while open > 0 {
            self.send(&mut ready, &mut sent_at, &mut confirming);
            tokio::select! {
                biased;
                drained = self.inlet.next(256) => for delivery in drained {
                    delivery.ack();
                    let now = Instant::now();
                    for exchange in delivery.payload.chunks_exact(EXCHANGE_BYTES) {
                        let (run, client) = marks_of(exchange)?;
                        if run != self.run {
                            continue;
                        }
                        let sent = sent_at.get(client as usize).context("an exchange of nobody")?;
                        latencies.push(now.duration_since(*sent));
                        if started.elapsed() < duration {
                            ready.push(client);
                        } else {
                            open = open.saturating_sub(1);
                        }
                    }
                },
                Some(confirmed) = confirming.next() => confirmed?,
            }
        }
        while let Some(confirmed) = confirming.next().await {
            confirmed?;
        }
        self.inlet.flush().await;
        Ok(latencies)
    }

    fn send(
        &self,
        ready: &mut Vec<u32>,
        sent_at: &mut [Instant],
        confirming: &mut FuturesUnordered<postern_bus::PublishTicket>,
    ) {
        let now = Instant::now();
        let mut exchanges = Vec::with_capacity(ready.len());
        for client in ready.drain(..) {
            if let Some(sent) = sent_at.get_mut(client as usize) {
                *sent = now;
            }
            exchanges.push(exchange_of(self.run, client));
        }
        if exchanges.is_empty() {
            return;
        }
        if self.share {
            exchanges = vec![joined(&exchanges)];
        }
        for exchange in exchanges {
            confirming.push(self.outlet.publish(STREAM, exchange));
        }
    }
}

fn exchange_of(run: u32, client: u32) -> Bytes {
    let mut exchange = BytesMut::zeroed(EXCHANGE_BYTES);
    for (place, byte) in exchange
        .iter_mut()
        .zip(run.to_be_bytes().into_iter().chain(client.to_be_bytes()))
    {
        *place = byte;
    }
    exchange.freeze()
}

/// Run and client of an exchange.
fn marks_of(exchange: &[u8]) -> anyhow::Result<(u32, u32)> {
    let (run, rest) = exchange.split_first_chunk().context("a short exchange")?;
    let client = rest.first_chunk().context("a short exchange")?;
    Ok((u32::from_be_bytes(*run), u32::from_be_bytes(*client)))
}
