//! postern-runtime.
