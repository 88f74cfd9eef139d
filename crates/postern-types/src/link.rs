//! The four stages and the links between them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One of the four processes of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Accepts clients, holds no policy and no route to the database.
    Frontend,
    /// Decides what may run.
    QueryValidator,
    /// The only one that speaks to PostgreSQL.
    Backend,
    /// Decides what may come back.
    ResponseValidator,
}

impl Stage {
    /// All stages in the order data passes them.
    pub const ALL: [Stage; 4] = [
        Stage::Frontend,
        Stage::QueryValidator,
        Stage::Backend,
        Stage::ResponseValidator,
    ];

    /// The name used for files, users and logs.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Frontend => "frontend",
            Stage::QueryValidator => "query-validator",
            Stage::Backend => "backend",
            Stage::ResponseValidator => "response-validator",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A one-way relation between two stages with a key of its own. The discriminant is part of every
/// envelope's associated data, so an envelope can't be moved from one link to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Link {
    /// Requests.
    FrontendToQueryValidator = 1,
    /// Requests with a verdict.
    QueryValidatorToBackend = 2,
    /// The response contract; opaque to the Backend that carries it.
    QueryValidatorToResponseValidator = 3,
    /// Answers.
    BackendToResponseValidator = 4,
    /// Checked answers.
    ResponseValidatorToFrontend = 5,
    /// The catalogue of the database.
    BackendToQueryValidator = 6,
    /// Sign-in answers; opaque to the Backend and the Response Validator that carry them.
    QueryValidatorToFrontend = 7,
    /// Tickets and sign-in state: what the Query Validator hands out so that it need not remember it.
    QueryValidatorToItself = 8,
}

impl Link {
    /// All links.
    pub const ALL: [Link; 8] = [
        Link::FrontendToQueryValidator,
        Link::QueryValidatorToBackend,
        Link::QueryValidatorToResponseValidator,
        Link::BackendToResponseValidator,
        Link::ResponseValidatorToFrontend,
        Link::BackendToQueryValidator,
        Link::QueryValidatorToFrontend,
        Link::QueryValidatorToItself,
    ];

    /// The link with this discriminant.
    pub fn from_wire(byte: u8) -> Option<Link> {
        Link::ALL.into_iter().find(|link| *link as u8 == byte)
    }

    /// The stage that seals on this link.
    pub fn sender(self) -> Stage {
        match self {
            Link::FrontendToQueryValidator => Stage::Frontend,
            Link::QueryValidatorToBackend
            | Link::QueryValidatorToResponseValidator
            | Link::QueryValidatorToFrontend
            | Link::QueryValidatorToItself => Stage::QueryValidator,
            Link::BackendToResponseValidator | Link::BackendToQueryValidator => Stage::Backend,
            Link::ResponseValidatorToFrontend => Stage::ResponseValidator,
        }
    }

    /// The stage that opens on this link.
    pub fn receiver(self) -> Stage {
        match self {
            Link::FrontendToQueryValidator | Link::BackendToQueryValidator | Link::QueryValidatorToItself => {
                Stage::QueryValidator
            }
            Link::QueryValidatorToBackend => Stage::Backend,
            Link::QueryValidatorToResponseValidator | Link::BackendToResponseValidator => {
                Stage::ResponseValidator
            }
            Link::ResponseValidatorToFrontend | Link::QueryValidatorToFrontend => Stage::Frontend,
        }
    }

    /// The name that goes into key derivation.
    pub fn name(self) -> &'static str {
        match self {
            Link::FrontendToQueryValidator => "frontend>query-validator",
            Link::QueryValidatorToBackend => "query-validator>backend",
            Link::QueryValidatorToResponseValidator => "query-validator>response-validator",
            Link::BackendToResponseValidator => "backend>response-validator",
            Link::ResponseValidatorToFrontend => "response-validator>frontend",
            Link::BackendToQueryValidator => "backend>query-validator",
            Link::QueryValidatorToFrontend => "query-validator>frontend",
            Link::QueryValidatorToItself => "query-validator>query-validator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discriminants_round_trip_and_others_are_refused() {
        for link in Link::ALL {
            assert_eq!(Link::from_wire(link as u8), Some(link));
        }
        assert_eq!(Link::from_wire(0), None);
        assert_eq!(Link::from_wire(9), None);
    }

    #[test]
    fn no_two_links_share_a_name() {
        let names: std::collections::BTreeSet<_> = Link::ALL.iter().map(|l| l.name()).collect();
        assert_eq!(names.len(), Link::ALL.len());
    }
}
