//! Whose ledger it is.

use crate::Stage;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Who writes a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Author {
    /// A stage, of what passes it.
    Stage(Stage),
    /// Whoever runs commands that change the ring.
    Operator,
}

impl Author {
    /// All of them: the stages in the order data passes them, and the operator.
    pub const ALL: [Author; 5] = [
        Author::Stage(Stage::Frontend),
        Author::Stage(Stage::QueryValidator),
        Author::Stage(Stage::Backend),
        Author::Stage(Stage::ResponseValidator),
        Author::Operator,
    ];

    /// The name used for files and in records.
    pub fn name(self) -> &'static str {
        match self {
            Author::Stage(stage) => stage.name(),
            Author::Operator => "operator",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Author> {
        Author::ALL.into_iter().find(|author| author.name() == name)
    }

    /// The stage that it is; `None` for the operator.
    pub fn stage(self) -> Option<Stage> {
        match self {
            Author::Stage(stage) => Some(stage),
            Author::Operator => None,
        }
    }
}

impl From<Stage> for Author {
    fn from(stage: Stage) -> Author {
        Author::Stage(stage)
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Author {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Author {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Author, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Author;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a stage, or `operator`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Author, E> {
                Author::from_name(name).ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name_in_every_form() {
        for author in Author::ALL {
            let written = serde_json::to_string(&author).unwrap();
            assert_eq!(written, format!("\"{author}\""));
            assert_eq!(serde_json::from_str::<Author>(&written).unwrap(), author);
            assert_eq!(Author::from_name(author.name()), Some(author));
        }
        assert_eq!(
            Author::ALL
                .map(Author::stage)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
            Stage::ALL
        );
        serde_json::from_str::<Author>("\"Operator\"").unwrap_err();
        serde_json::from_str::<Author>("7").unwrap_err();
    }
}
