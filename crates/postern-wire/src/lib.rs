//! postern-wire.
