//! What two sinks cost: pgbench on a ring, once with them and once without, in turn. Run it in release mode on a machine
//! with nothing else to do; the collectors share its processors, as they would not elsewhere.

#![expect(clippy::cast_precision_loss, reason = "a ratio of two counts")]

use postern_e2e::collectors::collectors;
use postern_e2e::pgbench;
use postern_testkit::{Options, Part, Ring, Storage};
use std::fs;

const ROUNDS: u32 = 5;
const RUN_S: u32 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = Options {
        storage: Storage::File,
        ..Options::default()
    };
    let ring = Ring::start(options).await?;
    let (_collectors, sinks) = collectors(&ring)?;
    fs::write(ring.directory().join("sinks.toml"), sinks)?;
    let (mut with, mut without) = (0, 0);
    for round in 1..=ROUNDS {
        ring.restart(Part::Sinks).await?;
        let one = pgbench::flawless(&ring, RUN_S).await?;
        anyhow::ensure!(ring.stop(Part::Sinks), "the sinks do not stop");
        let other = pgbench::flawless(&ring, RUN_S).await?;
        println!("round {round}: {one} transactions with sinks, {other} without");
        (with, without) = (with + one, without + other);
    }
    println!("with to without: {:.3}", with as f64 / without as f64);
    Ok(())
}
