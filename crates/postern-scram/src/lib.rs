//! postern-scram.
