//! postern-query-validator.
