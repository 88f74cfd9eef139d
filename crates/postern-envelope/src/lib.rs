//! Sealed envelopes: what travels between two stages.
//!
//! An envelope is a fixed header in clear and a body sealed with AES-256-GCM under a key that only the two
//! ends of one [`postern_types::Link`] can derive. Opening it proves which stage made it, on which link,
//! for which session, exchange and part, and that no bit of header or body has changed since.
//!
//! What this crate trusts: the 32 secret bytes it is given, the peers' public keys of the configuration, and
//! that an [`postern_types::InstanceId`] is fresh at each process start. What it does not trust: every byte
//! of an envelope or a batch.
//!
//! What is not here: files, clocks (time is a parameter), the bus, and the meaning of a body
//! (see [`postern_types::body`]). No other crate of the workspace names an AEAD or X25519.
//!
//! # Layout of an envelope
//!
//! All integers are big-endian.
//!
//! | bytes | length | field |
//! |---|---|---|
//! | 0..3 | 3 | magic, ASCII `PEV` |
//! | 3 | 1 | format version, 1 |
//! | 4 | 1 | link, the discriminant of [`postern_types::Link`] |
//! | 5..9 | 4 | key epoch |
//! | 9..25 | 16 | sender instance |
//! | 25..33 | 8 | counter of that instance on that link, also the nonce |
//! | 33..49 | 16 | session |
//! | 49..57 | 8 | sequence |
//! | 57..65 | 8 | exchange |
//! | 65..69 | 4 | part |
//! | 69..77 | 8 | deadline, milliseconds since the Unix epoch |
//! | 77.. | n | body, encrypted; as long as the body in clear |
//! | 77+n.. | 16 | AES-GCM tag |
//!
//! The associated data is every one of the header's fields, each after its length as one byte, in the order
//! of the table (the magic and the version are two fields).
//!
//! # Keys
//!
//! ```text
//! shared    = X25519(secret of one end, public key of the other)
//! root      = HKDF-Extract(SHA-256, salt = "postern link v1", shared)
//! link key  = HKDF-Expand(root, len(link name) ‖ link name ‖ sender's public key ‖ receiver's public key ‖ epoch)
//! seal key  = HKDF-Expand(link key, "postern instance v1" ‖ sender instance)
//! nonce     = 4 zero bytes ‖ counter
//! ```
//!
//! A process start has a fresh instance, so a fresh seal key, and counts from 0: no nonce can repeat across
//! restarts. All sealers of one [`Keyring`] for one link draw from one counter.
//!
//! Keys can be turned while envelopes flow ([`Keyring::turn`]): one epoch is sealed with, others are opened until
//! their time has run out.

pub mod batch;
mod derive;
mod header;
mod key;
mod keyring;
mod open;
mod replay;
mod seal;

pub use batch::Batch;
pub use header::{Header, OVERHEAD};
pub use key::{KeyTextError, PublicKey, SecretKey};
pub use keyring::{Accepted, Generation, Generations, Keyring, KeyringError};
pub use open::{MOST_AHEAD_MS, OpenError, Opened, Opener};
pub use replay::{Freshness, REPLAY_WINDOW, ReplayWindow};
pub use seal::{MAX_COUNTER, SealError, Sealer};

#[cfg(test)]
mod tests;
