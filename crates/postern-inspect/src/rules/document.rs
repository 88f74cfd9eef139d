//! The shape of the file, before it is checked.

use super::{Action, RulesError};
use postern_types::{ErrorDetail, Keep, OverCap};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) version: Spanned<u32>,
    #[serde(default)]
    pub(super) errors: Option<ErrorDetail>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) masks: Vec<Masked>,
    #[serde(default)]
    pub(super) record: Vec<Recorded>,
    #[serde(default)]
    pub(super) tenants: Option<Tenants>,
    #[serde(default)]
    pub(super) detectors: Detectors,
    #[serde(default)]
    pub(super) honey: Vec<HoneyToken>,
    #[serde(default)]
    pub(super) without_origin: Option<WithoutOriginWord>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) max_rows: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    #[serde(default)]
    pub(super) over: OverCap,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Masked {
    pub(super) column: Spanned<String>,
    pub(super) mask: Spanned<MaskWord>,
    #[serde(default)]
    pub(super) except_roles: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) derived: Option<MaskOrRefuse>,
    #[serde(default)]
    pub(super) conditions: Option<AllowOrRefuse>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) column: Spanned<String>,
    #[serde(rename = "as")]
    pub(super) keep: Keep,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MaskOrRefuse {
    Mask,
    Refuse,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AllowOrRefuse {
    Allow,
    Refuse,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AlertOrRefuse {
    Alert,
    Refuse,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WithoutOriginWord {
    Contract,
    Refuse,
}

/// A mask as text. `mask: null` is YAML for nothing, and means the mask of that name.
pub(super) struct MaskWord(pub(super) String);

impl<'de> Deserialize<'de> for MaskWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = MaskWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a mask")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MaskWord, E> {
                Ok(MaskWord(text.to_owned()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<MaskWord, E> {
                Ok(MaskWord("null".to_owned()))
            }

            fn visit_none<E: de::Error>(self) -> Result<MaskWord, E> {
                self.visit_unit()
            }
        }
        deserializer.deserialize_any(Word)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenants {
    pub(super) columns: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) ignore_roles: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) null_values: Option<AllowOrRefuse>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detectors {
    pub(super) card: Option<ActionWord>,
    pub(super) iban: Option<ActionWord>,
    pub(super) email: Option<ActionWord>,
    pub(super) phone: Option<ActionWord>,
    pub(super) national_id: Option<ActionWord>,
    pub(super) private_key: Option<ActionWord>,
    pub(super) jwt: Option<ActionWord>,
    pub(super) cloud_token: Option<ActionWord>,
    #[serde(default)]
    pub(super) custom: Vec<Custom>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ActionWord {
    Mask,
    Refuse,
    Alert,
}

impl From<ActionWord> for Action {
    fn from(word: ActionWord) -> Action {
        match word {
            ActionWord::Mask => Action::Mask,
            ActionWord::Refuse => Action::Refuse,
            ActionWord::Alert => Action::Alert,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Custom {
    pub(super) name: Spanned<String>,
    pub(super) pattern: Spanned<String>,
    pub(super) action: ActionWord,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoneyToken {
    pub(super) name: Spanned<String>,
    pub(super) value: Spanned<String>,
    #[serde(default)]
    pub(super) action: Option<AlertOrRefuse>,
}

pub(super) fn read(yaml: &str) -> Result<Document, RulesError> {
    read_yaml(yaml)
}

/// Reads a file of a policy. An error has the first line of what the parser says, without its picture of the source
/// and without its place, which is told apart.
///
/// # Errors
/// When it is not YAML, or not of this shape.
pub fn read_yaml<T: DeserializeOwned>(yaml: &str) -> Result<T, RulesError> {
    serde_saphyr::from_str(yaml).map_err(|error| {
        let place = error.location();
        let text = error.without_snippet().to_string();
        let line = text.lines().next().unwrap_or_default();
        RulesError {
            line: place.map(|place| place.line()),
            column: place.map(|place| place.column()),
            message: line
                .split_once(" at line ")
                .map_or(line, |(message, _)| message)
                .to_owned(),
        }
    })
}

impl RulesError {
    pub(super) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> RulesError {
        RulesError {
            line: Some(place.referenced.line()),
            column: Some(place.referenced.column()),
            message: message.into(),
        }
    }
}
