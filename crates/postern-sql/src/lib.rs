//! postern-sql.
