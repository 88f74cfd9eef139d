//! Clients for end-to-end tests: a raw one that speaks single protocol messages, a bank and a pgbench whose
//! books must balance whatever is killed, and one for a hijacked NATS server. The tests themselves are in
//! `tests/`; every one uses a real ring.

use postern_testkit::postgres::Installation;
use std::fs;

pub mod bank;
pub mod nats;
pub mod pgbench;
pub mod raw;

/// The newest PostgreSQL at hand that was built with OpenSSL. One that was fetched without root is not.
pub fn major_with_tls() -> Option<u32> {
    (15..=18).rev().find(|major| {
        let installation = Installation::find(Some(*major)).ok();
        let program = installation.and_then(|found| fs::read(found.binaries.join("postgres")).ok());
        program.is_some_and(|bytes| bytes.windows(9).any(|bytes| bytes == b"libssl.so"))
    })
}
