//! Names resolved against a small catalogue.
