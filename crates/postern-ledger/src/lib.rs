//! postern-ledger.
