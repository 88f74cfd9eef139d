//! The files with the rules about answers.

use postern_bus::SecretSource;
use postern_inspect::rules::{Rules, RulesError};
use postern_inspect::{Inspector, InspectorError, Keys, MaskKey, Origins, OriginsError, ShortKey};
use postern_runtime::sandbox::{Needs, SandboxError};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The rules, in the policy directory.
pub(crate) const RULES: &str = "responses.yaml";
/// The columns that they mean, beside them.
const ORIGINS: &str = "origins.json";

/// Whether this stage reads a file of the policy directory.
pub(crate) fn is_rules_file(name: &str) -> bool {
    name == RULES || name == ORIGINS
}

/// Where they are. Without rules, only the contracts of the Query Validator hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The policy directory: `responses.yaml` has the rules, `origins.json` says which columns of the database they
    /// mean. Either may be missing.
    pub policy_directory: Option<PathBuf>,
    /// Where to find a secret of at least 16 bytes, the key of the mask `hash`. It is used where a rule asks for it.
    pub hash_key_file: Option<SecretSource>,
    /// Where to find a secret of at least 16 bytes, the key under which values are recorded as hashes. It is used where a rule
    /// asks for it, and is that of the Query Validator.
    pub record_key_file: Option<SecretSource>,
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
    #[error("{place}: {error}")]
    Key {
        /// What it is called.
        place: String,
        /// Why.
        error: ShortKey,
    },
    /// The secret can't be read.
    #[error(transparent)]
    Secret(#[from] postern_bus::SecretError),
    /// There were rules, and now there is no file.
    #[error("{RULES} has gone; to do without rules, write one without any")]
    Gone,
    /// Rules and columns do not fit together.
    #[error(transparent)]
    Inspector(#[from] InspectorError),
}

impl Answers {
    /// Adds what is read to what the stage needs.
    ///
    /// # Errors
    /// When the key is not in a file and can't be had.
    pub fn add_to(&self, needs: Needs) -> Result<Needs, SandboxError> {
        let needs = self.policy_directory.iter().fold(needs, Needs::reading);
        // The file of a key that no rule asks for need not be there.
        let is_there = |key: &&SecretSource| key.path().is_none_or(Path::exists);
        let keys = [self.hash_key_file.as_ref(), self.record_key_file.as_ref()];
        keys.into_iter()
            .flatten()
            .filter(is_there)
            .try_fold(needs, |needs, key| needs.knowing(key))
    }

    /// Reads the rules.
    ///
    /// # Errors
    /// See [`AnswersError`].
    pub fn inspector(&self) -> Result<Inspector, AnswersError> {
        let Some(directory) = &self.policy_directory else {
            return Ok(Inspector::default());
        };
        let file = directory.join(RULES);
        let Some(text) = read(&file)? else {
            return Ok(Inspector::default());
        };
        // What is not UTF-8 is no YAML either, and says so there.
        let rules =
            Rules::from_yaml(&String::from_utf8_lossy(&text)).map_err(|error| AnswersError::Rules {
                file: file.display().to_string(),
                error,
            })?;
        let file = directory.join(ORIGINS);
        let origins = match read(&file)? {
            None => Origins::default(),
            Some(json) => Origins::from_json(&json).map_err(|error| AnswersError::Origins {
                file: file.display().to_string(),
                error,
            })?,
        };
        let read = |wanted: bool, file: &Option<SecretSource>| {
            let wanted = wanted.then_some(file.as_ref()).flatten();
            wanted.map(key).transpose()
        };
        let keys = Keys {
            mask: read(rules.needs_key(), &self.hash_key_file)?,
            record: read(rules.needs_record_key(), &self.record_key_file)?,
        };
        Ok(Inspector::new(rules, &origins, keys)?)
    }
}

fn key(source: &SecretSource) -> Result<MaskKey, AnswersError> {
    MaskKey::new(source.read()?.expose().as_bytes()).map_err(|error| AnswersError::Key {
        place: source.to_string(),
        error,
    })
}

/// The content of a file; `None` when it is not there.
fn read(file: &Path) -> Result<Option<Vec<u8>>, AnswersError> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AnswersError::Read {
            file: file.display().to_string(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(directory: &Path) -> Answers {
        Answers {
            policy_directory: Some(directory.to_owned()),
            hash_key_file: Some(directory.join("mask.secret").into()),
            record_key_file: None,
        }
    }

    #[test]
    fn rules_that_are_not_there_are_none_and_wrong_ones_stop_the_stage() {
        assert!(!Answers::default().inspector().unwrap().goes_by_columns());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(!answers(path).inspector().unwrap().goes_by_columns());
        let rules = |text: &str| fs::write(path.join("responses.yaml"), text).unwrap();
        rules("version: 1\ntenants: {columns: [tenant_id]}\n");
        assert!(answers(path).inspector().unwrap().goes_by_columns());
        rules("version: 1\nmasks: 7\n");
        let error = answers(path).inspector().unwrap_err().to_string();
        assert!(error.contains("responses.yaml: line 2"), "{error}");
        rules("version: 1\nmasks: [{column: public.t.c, mask: hash}]\n");
        assert!(
            matches!(answers(path).inspector(), Err(AnswersError::Secret(_))),
            "no key"
        );
        let key = path.join("mask.secret");
        fs::write(&key, "0123456789abcdef\n").unwrap();
        assert!(
            matches!(answers(path).inspector(), Err(AnswersError::Secret(_))),
            "open to others"
        );
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(
            matches!(answers(path).inspector(), Err(AnswersError::Inspector(_))),
            "no such column"
        );
        let origins = r#"{"version":1,"relations":[{"oid":20000,"schema":"public","name":"t","columns":
            [{"number":1,"name":"c"}]}]}"#;
        fs::write(path.join("origins.json"), origins).unwrap();
        assert!(answers(path).inspector().unwrap().goes_by_columns());
        fs::write(path.join("origins.json"), "{}").unwrap();
        assert!(matches!(
            answers(path).inspector(),
            Err(AnswersError::Origins { .. })
        ));
    }
}
