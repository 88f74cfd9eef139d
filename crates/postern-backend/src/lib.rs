//! postern-backend.
