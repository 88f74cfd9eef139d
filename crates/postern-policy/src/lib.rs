//! postern-policy.
