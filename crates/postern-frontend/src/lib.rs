//! postern-frontend.
