//! The files with the rules about answers.

use postern_bus::Secret;
use postern_inspect::rules::{Rules, RulesError};
use postern_inspect::{Inspector, InspectorError, MaskKey, Origins, OriginsError, ShortKey};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Which files they are. Without any, only the contracts of the Query Validator hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// `responses.yaml` of the policy directory.
    pub rules_file: Option<PathBuf>,
    /// `origins.json` of the policy directory: which columns of the database the rules mean.
    pub origins_file: Option<PathBuf>,
    /// File with a secret of at least 16 bytes, the key of the mask `hash`.
    pub hash_key_file: Option<PathBuf>,
}

/// Rules that can't be put in force.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// A file can't be read.
    #[error("{file}")]
    Read {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The rules are wrong.
    #[error("{file}: {error}")]
    Rules {
        /// Which file.
        file: String,
        /// Where, and what would be right.
        error: RulesError,
    },
    /// The list of columns is wrong.
    #[error("{file}: {error}")]
    Origins {
        /// Which file.
        file: String,
        /// What is wrong.
        error: OriginsError,
    },
    /// The key can't be used.
    #[error("{file}: {error}")]
    Key {
        /// Which file.
        file: String,
        /// Why.
        error: ShortKey,
    },
    /// The secret can't be read.
    #[error(transparent)]
    Secret(#[from] postern_bus::SecretError),
    /// Rules and columns do not fit together.
    #[error(transparent)]
    Inspector(#[from] InspectorError),
}

impl Answers {
    /// The files that are named.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.rules_file, &self.origins_file, &self.hash_key_file]
            .into_iter()
            .flatten()
    }

    /// Reads them.
    ///
    /// # Errors
    /// See [`AnswersError`].
    pub fn inspector(&self) -> Result<Inspector, AnswersError> {
        let Some(rules_file) = &self.rules_file else {
            return Ok(Inspector::default());
        };
        let text = String::from_utf8_lossy(&read(rules_file)?).into_owned();
        let rules = Rules::from_yaml(&text).map_err(|error| AnswersError::Rules {
            file: rules_file.display().to_string(),
            error,
        })?;
        let origins = match &self.origins_file {
            None => Origins::default(),
            Some(file) => Origins::from_json(&read(file)?).map_err(|error| AnswersError::Origins {
                file: file.display().to_string(),
                error,
            })?,
        };
        let key = self.hash_key_file.as_deref().map(key).transpose()?;
        Ok(Inspector::new(rules, &origins, key)?)
    }
}

fn key(file: &Path) -> Result<MaskKey, AnswersError> {
    let secret = Secret::read(file)?;
    MaskKey::new(secret.expose().as_bytes()).map_err(|error| AnswersError::Key {
        file: file.display().to_string(),
        error,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, AnswersError> {
    fs::read(file).map_err(|source| AnswersError::Read {
        file: file.display().to_string(),
        source,
    })
}
