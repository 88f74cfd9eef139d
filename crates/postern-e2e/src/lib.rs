//! Clients for end-to-end tests: a raw one that speaks single protocol messages, and a bank whose books
//! must balance whatever is killed. The tests themselves are in `tests/`; every one uses a real ring.

pub mod bank;
pub mod raw;
