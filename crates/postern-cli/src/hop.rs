//! The four hops: which stage writes to and which reads from each NATS server.

use postern_types::{Slot, Stage};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One NATS server of the ring, named after its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// NATS-1: requests as the client sent them.
    DirtyQuery,
    /// NATS-2: requests with a verdict.
    CleanQuery,
    /// NATS-3: answers as PostgreSQL sent them.
    DirtyResp,
    /// NATS-4: checked answers.
    CleanResp,
}

impl Hop {
    /// All hops in the order data passes them.
    pub const ALL: [Hop; 4] = [Hop::DirtyQuery, Hop::CleanQuery, Hop::DirtyResp, Hop::CleanResp];

    /// Name of the stream, of the configuration file and of the part.
    pub fn name(self) -> &'static str {
        match self {
            Hop::DirtyQuery => "dirty-query",
            Hop::CleanQuery => "clean-query",
            Hop::DirtyResp => "dirty-resp",
            Hop::CleanResp => "clean-resp",
        }
    }

    /// The only stage that may publish here.
    pub fn writer(self) -> Stage {
        match self {
            Hop::DirtyQuery => Stage::Frontend,
            Hop::CleanQuery => Stage::QueryValidator,
            Hop::DirtyResp => Stage::Backend,
            Hop::CleanResp => Stage::ResponseValidator,
        }
    }

    /// The only stage that may read here.
    pub fn reader(self) -> Stage {
        match self {
            Hop::DirtyQuery => Stage::QueryValidator,
            Hop::CleanQuery => Stage::Backend,
            Hop::DirtyResp => Stage::ResponseValidator,
            Hop::CleanResp => Stage::Frontend,
        }
    }

    /// The hop this stage reads from.
    pub fn read_by(stage: Stage) -> Hop {
        match stage {
            Stage::QueryValidator => Hop::DirtyQuery,
            Stage::Backend => Hop::CleanQuery,
            Stage::ResponseValidator => Hop::DirtyResp,
            Stage::Frontend => Hop::CleanResp,
        }
    }

    /// The hop this stage writes to.
    pub fn written_by(stage: Stage) -> Hop {
        match stage {
            Stage::Frontend => Hop::DirtyQuery,
            Stage::QueryValidator => Hop::CleanQuery,
            Stage::Backend => Hop::DirtyResp,
            Stage::ResponseValidator => Hop::CleanResp,
        }
    }

    /// Subjects of the stream.
    pub fn subjects(self) -> Vec<String> {
        match self {
            Hop::DirtyQuery | Hop::DirtyResp => vec![self.name().to_owned()],
            Hop::CleanQuery | Hop::CleanResp => vec![format!("{}.*", self.name())],
        }
    }

    /// Durable consumers as (name, subject filter). Validators share one; each Frontend and each Backend has
    /// its own, because a session lives in one of them.
    pub fn consumers(self, frontends: &[Slot], backends: &[Slot]) -> Vec<(String, String)> {
        let addressed = |slots: &[Slot]| -> Vec<(String, String)> {
            slots
                .iter()
                .map(|slot| (slot.to_string(), format!("{}.{slot}", self.name())))
                .collect()
        };
        match self {
            Hop::DirtyQuery | Hop::DirtyResp => {
                vec![(self.reader().name().to_owned(), self.name().to_owned())]
            }
            Hop::CleanQuery => addressed(backends),
            Hop::CleanResp => addressed(frontends),
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_reads_one_hop_and_writes_the_next() {
        for hop in Hop::ALL {
            assert_eq!(Hop::read_by(hop.reader()), hop);
            assert_eq!(Hop::written_by(hop.writer()), hop);
            assert_ne!(hop.reader(), hop.writer());
        }
    }
}
