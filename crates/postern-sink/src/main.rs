//! The process that carries the records of the ledgers to where people look at them.

use postern_runtime::{Program, program_main};
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = Program {
        name: "postern-sink",
        about: "Carries the audit records of a ring to Syslog and other collectors",
        config: "sinks.toml",
        more: "",
    };
    // On a busy machine the ring goes first: nobody waits for a record here, and the ledger holds it.
    let _ = rustix::process::nice(10);
    program_main(program, postern_sink::run)
}
