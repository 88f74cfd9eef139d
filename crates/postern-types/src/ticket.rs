//! The ticket: who a session is. Sealed by the Query Validator to itself, carried by the Frontend.

use crate::{InstanceId, Slot};
use serde::{Deserialize, Serialize};

/// Proof that a session signed in. The session itself is in the associated data of the seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The name given at sign-in.
    pub user: String,
    /// Roles of the user, as in the user file at sign-in.
    pub roles: Vec<String>,
    /// The tenant whose rows the session may see.
    pub tenant: Option<String>,
    /// Address of the client as the Frontend saw it.
    pub client: String,
    /// The Frontend through which the session signed in.
    pub frontend: Slot,
    /// The Backend that serves the session.
    pub backend: Slot,
    /// The run of that Backend; another run does not know the session.
    pub backend_instance: InstanceId,
    /// Milliseconds since the Unix epoch after which it is void.
    pub expires_ms: u64,
}
