//! postern-response-validator.
