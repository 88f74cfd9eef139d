//! Real sockets on one side, a ring of our own with real seals on the other.

mod gate;
mod opening;
mod sessions;
