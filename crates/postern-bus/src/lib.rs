//! The hops of the ring: NATS JetStream, and nothing of NATS outside this crate.
//!
//! An [`Inlet`] reads one durable consumer, an [`Outlet`] writes the subjects of one stream, and
//! [`relay::run`] joins the two into the loop of a validator. Connections heal by themselves: a caller
//! never sees a lost connection on an inlet, and on an outlet only as a message that was not confirmed.
//!
//! Delivery is at least once. A message that was delivered twice, late or out of order is the receiver's
//! to notice; nothing here looks inside a payload. Not in this crate: envelopes, keys, records, policy.
//! A NATS server is trusted with nothing but carrying bytes; what it tells about itself is used only for
//! flow control and for choosing when to try again.
//!
//! [`SecretSource`] and [`pem`] are what every part reads its secrets and certificates with.

mod authenticator;
mod config;
mod connection;
mod delivery;
mod inlet;
mod inspection;
pub mod jwt;
mod name;
mod outlet;
pub mod pem;
pub mod permission;
pub mod provision;
pub mod relay;
mod secret;
pub mod server_conf;
mod sign_in;
mod tls;
mod version;

pub use config::{InletConfig, OutletConfig};
pub use connection::{BusWatch, ConnectError};
pub use delivery::Delivery;
pub use inlet::Inlet;
pub use inspection::differences;
pub use name::InvalidName;
pub use nkeys::{KeyPair, KeyPairType};
pub use outlet::{Outlet, PublishError, PublishTicket};
pub use secret::{Secret, SecretCommand, SecretError, SecretSource};
pub use sign_in::{SignIn, SignInError};
pub use tls::{CertificateFault, NO_CERTIFICATES, TlsConfig, TlsError, leave_out_system_certificates};
pub use version::{ServerVersion, is_advised_against};

/// `max_payload` that every NATS server of a ring is configured with, in bytes: 8 MiB for what a message
/// carries, and 1 MiB for headers of envelopes around it.
pub const MAX_MESSAGE_BYTES: usize = 9 * 1024 * 1024;

/// One [`Inlet::next`] takes no more payload than this at once, in bytes, unless its first message alone
/// is larger. So what is made of one drained set fits into one message again.
pub const DRAIN_BYTES: usize = 1024 * 1024;
