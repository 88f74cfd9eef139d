//! postern-inspect.
