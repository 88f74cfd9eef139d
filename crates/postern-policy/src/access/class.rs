//! What a function can do besides giving a value.

use crate::functions;
use postern_catalog::{Function, Volatility};

/// How a call of a function is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It gives a value of its arguments and does nothing else. It may be called unless a rule forbids it.
    Harmless,
    /// It needs a rule, for itself or for its schema.
    Ordinary,
    /// It can change something, reach something outside, run text as SQL, or work with the rights of somebody
    /// else: it needs a rule that names this very function.
    Dangerous,
}

/// Judges a function by what the catalogue says of it. `catalog` is for roles that may read the catalogue.
pub(crate) fn class(function: &Function, catalog: bool) -> Class {
    let built_in = function.schema == "pg_catalog";
    let still = matches!(function.volatility, Volatility::Immutable | Volatility::Stable);
    if !still || function.security_definer || functions::is_refused_anywhere(&function.name) {
        return Class::Dangerous;
    }
    if built_in {
        let known = matches!(function.language.as_str(), "internal" | "sql");
        return if known && functions::is_reviewed(&function.name, catalog) {
            Class::Harmless
        } else {
            Class::Dangerous
        };
    }
    Class::Ordinary
}
