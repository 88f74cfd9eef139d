//! postern-envelope.
