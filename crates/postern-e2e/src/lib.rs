//! Clients for end-to-end tests: a raw one that speaks single protocol messages, a bank and a pgbench whose
//! books must balance whatever is killed, and one for a hijacked NATS server. The tests themselves are in
//! `tests/`; every one uses a real ring.

use postern_testkit::postgres::Installation;
use std::fs;
use std::time::{Duration, Instant};

pub mod bank;
pub mod collectors;
pub mod ledgers;
pub mod nats;
pub mod pgbench;
pub mod raw;
pub mod tls;

/// How long something may take that is only waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until it holds.
///
/// # Panics
/// When it does not within 20 seconds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            Instant::now() < end,
            "{what}: not within {} s",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The newest PostgreSQL at hand that was built with OpenSSL. One that was fetched without root is not.
pub fn major_with_tls() -> Option<u32> {
    (15..=18).rev().find(|major| {
        let installation = Installation::find(Some(*major)).ok();
        let program = installation.and_then(|found| fs::read(found.binaries.join("postgres")).ok());
        program.is_some_and(|bytes| bytes.windows(9).any(|bytes| bytes == b"libssl.so"))
    })
}
