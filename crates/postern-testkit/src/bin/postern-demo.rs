//! `./run` ends here: the demo, until Ctrl-C.

use anyhow::Context as _;
use clap::Parser;
use postern_testkit::demo::{Demo, DemoOptions};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Start a ring with an example database behind it, print how to connect, stop on Ctrl-C.
#[derive(Parser)]
#[command(after_help = "Example:
  postern-demo --directory demo

The directory is made on the first start and kept. Delete it to start anew.")]
struct Arguments {
    /// Where database, keys and logs are kept.
    #[arg(long, default_value = "demo")]
    directory: PathBuf,
    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:6432")]
    listen: String,
    /// How many rows to make on the first start; 1 is about 340,000.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = DemoOptions {
        directory: arguments.directory.clone(),
        listen: arguments.listen.clone(),
        scale: arguments.scale,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Listening for signals from here on: Ctrl-C while it starts stops it as soon as it has started.
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let mut demo = Demo::start(&options, &|step| println!("   {step}"))?;
    print_how_to_connect(&demo, arguments)?;
    let outcome = runtime.block_on(async {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = tick.tick() => if let Some(reason) = demo.broken() {
                    return Err(anyhow::anyhow!(reason));
                },
            }
        }
    });
    println!("\n   stopping ...");
    demo.stop();
    println!("   stopped.");
    outcome
}

fn print_how_to_connect(demo: &Demo, arguments: &Arguments) -> anyhow::Result<()> {
    let listen = demo.listen();
    let directory = arguments.directory.display();
    let psql = demo.psql();
    let psql = psql.display();
    println!(
        "
Ready. Connect with any PostgreSQL driver; the database is `demo`:

  {psql} 'postgres://app:app@{listen}/demo'

as user `app` (reads and writes rows of schema shop) or `owner`, password `owner` (anything its role may do).
Logs: {directory}/ring.log, {directory}/postgres.log. Ledgers: {directory}/ring/audit. Ctrl-C stops everything.
"
    );
    use std::io::Write as _;
    std::io::stdout().flush().context("can't write to the terminal")
}
