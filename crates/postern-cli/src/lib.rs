//! The `postern` command: make a ring, run it, keep its users, read its ledgers.
//!
//! A library as well as a binary, so that tests and the demo make their rings with the very code that an
//! operator uses. It trusts the person who runs it and the files of a ring's directory; it never sees a
//! client, a row or a statement. Nothing here speaks the PostgreSQL protocol or opens an envelope.

pub mod audit;
pub mod catalog;
pub mod certificate;
pub mod command;
mod console;
pub mod database_url;
pub mod directory;
pub mod doctor;
pub mod firewall;
pub mod hop;
pub mod init;
pub mod keys;
pub mod nats;
pub mod nats_auth;
mod operator;
pub mod part;
pub mod policy;
pub mod provision;
pub mod ring_config;
pub mod rotation;
pub mod secret_file;
mod sinks;
mod stage_config;
pub mod status;
pub mod supervise;
mod terminal;
pub mod tether;
pub mod users;
