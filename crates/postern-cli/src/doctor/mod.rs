//! `postern doctor`: the checklist before production, run against the real deployment: its files, its NATS servers, its
//! database, its host.
//!
//! Each file looks at one area and adds what it found to a [`Report`]: one line each, with how to mend what is not as it
//! should be. Nothing is changed. What can't be looked at is a finding too, never silently left out. Secrets are read to
//! be compared and are never shown.

mod database;
mod files;
mod host;
mod keys;
mod nats;
mod nats_conf;
mod network;
mod policy;
mod records;
mod report;
mod ring;
mod survey;
mod tls;
mod users;

use crate::console::say;
use crate::directory::RingDirectory;
use clap::Args;
use report::{Report, Status};
use ring::Examined;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a ring before it goes into production.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern doctor ring --strict

Run it on the machine where the ring is, while the ring is up: NATS servers and database are asked too.
Exit codes: 0 nothing failed; 1 something failed, or, with --strict, there are warnings; 2 the command line is not understood.")]
pub struct DoctorArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Exit with 1 when there are warnings.
    #[arg(long)]
    strict: bool,
}

/// Runs the checklist.
///
/// # Errors
/// When there is no ring.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let ring = Examined::read(RingDirectory::new(&args.directory))?;
    let report = examine(&ring);
    if args.json {
        say!("{}", report.to_json());
    } else {
        for finding in report.findings() {
            say!("{finding}");
        }
        say!("{}", report.summary());
    }
    let failed = match report.worst() {
        Status::Fail => true,
        Status::Warn => args.strict,
        Status::Pass => false,
    };
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// All checks, one area after the other.
fn examine(ring: &Examined) -> Report {
    let mut report = Report::default();
    for area in [
        users::examine,
        policy::examine,
        keys::examine,
        tls::examine,
        network::examine,
        nats::examine,
        database::examine,
        records::examine,
        host::examine,
        files::examine,
    ] {
        area(ring, &mut report);
    }
    report
}
