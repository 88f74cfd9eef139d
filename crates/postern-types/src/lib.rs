//! postern-types.
