//! postern-cli.
