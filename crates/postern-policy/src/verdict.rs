//! What a decision on one statement says.

use crate::tenancy::Demand;
use postern_types::Refusal;

/// One thing that was asked about a statement, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// An action and an object, such as `select column shop.orders.total`, or what else was looked at.
    pub what: String,
    /// It speaks for letting the statement through.
    pub allowed: bool,
    /// The rule: a file with its line, a key of the role, or a sentence.
    pub rule: String,
}

impl Finding {
    pub(crate) fn allowed(what: impl Into<String>, rule: impl Into<String>) -> Finding {
        Finding {
            what: what.into(),
            allowed: true,
            rule: rule.into(),
        }
    }

    pub(crate) fn refused(what: impl Into<String>, rule: impl Into<String>) -> Finding {
        Finding {
            allowed: false,
            ..Finding::allowed(what, rule)
        }
    }
}

/// Why a statement may not run, for the ledger and for the operator; the client is told the refusal only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What the client is told, without a reference.
    pub refusal: Refusal,
    /// The rule that decided.
    pub rule: String,
    /// What it was about. Names of the catalogue, never of the client.
    pub objects: Vec<String>,
    /// It holds in every mode, `open` and `learn` included.
    pub absolute: bool,
}

impl Denial {
    pub(crate) fn new(refusal: Refusal, rule: impl Into<String>) -> Denial {
        Denial {
            refusal,
            rule: rule.into(),
            objects: Vec::new(),
            absolute: false,
        }
    }

    /// What the client is told where the policy says that it is told everything.
    pub fn detailed(&self) -> Refusal {
        let objects = match self.objects.as_slice() {
            [] => String::new(),
            objects => format!(" ({})", objects.join(", ")),
        };
        Refusal {
            message: format!("{}: {}{objects}", self.refusal.message, self.rule),
            ..self.refusal.clone()
        }
    }
}

/// The decision on one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// It may run, if what it demands of values holds; or why not.
    pub outcome: Result<Vec<Demand>, Denial>,
    /// The user's role by which it may run.
    pub role: Option<String>,
    /// Everything that was asked, in order.
    pub findings: Vec<Finding>,
}
