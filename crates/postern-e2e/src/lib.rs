//! Clients for end-to-end tests: a raw one that speaks single protocol messages, a bank and a pgbench whose
//! books must balance whatever is killed, and one for a hijacked NATS server. The tests themselves are in
//! `tests/`; every one uses a real ring.

pub mod bank;
pub mod nats;
pub mod pgbench;
pub mod raw;
