//! postern-bus.
