//! Reading configuration files.

use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, counted from 1, where it is a matter of the text.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Reads and parses a TOML file.
///
/// # Errors
/// When it can't be read, is not TOML, or does not fit `C`.
pub fn load_config<C: DeserializeOwned>(file: &Path) -> Result<C, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
        file: file.to_owned(),
        position: None,
        message: format!("can't read the configuration: {error}"),
    })?;
    parse_config(file, &text)
}

/// Parses TOML; `file` is only for the error.
///
/// # Errors
/// When it is not TOML or does not fit `C`.
pub fn parse_config<C: DeserializeOwned>(file: &Path, text: &str) -> Result<C, ConfigError> {
    toml::from_str(text).map_err(|error: toml::de::Error| ConfigError {
        file: file.to_owned(),
        position: error.span().map(|span| position(text, span.start)),
        message: error.message().to_owned(),
    })
}

/// Line and column of a byte offset, both from 1; the column counts characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        .saturating_add(1);
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "slot")]
        _slot: String,
        #[serde(rename = "limits", default)]
        _limits: Limits,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        #[serde(rename = "sessions", default)]
        _sessions: u32,
    }

    fn error(text: &str) -> String {
        parse_config::<Sample>(Path::new("frontend.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn errors_name_file_line_and_what_is_allowed() {
        let unknown = error("slot = \"f1\"\n\n[limits]\nsesions = 4\n");
        assert!(unknown.starts_with("frontend.toml:4:1: "), "{unknown}");
        assert!(
            unknown.contains("`sesions`") && unknown.contains("`sessions`"),
            "{unknown}"
        );

        let wrong = error("slot = \"f1\"\n[limits]\nsessions = \"many\"\n");
        assert!(wrong.starts_with("frontend.toml:3:12: "), "{wrong}");

        assert!(error("slot = ").starts_with("frontend.toml:1:"));
        assert!(error("").contains("`slot`"));
    }

    #[test]
    fn positions_are_safe_for_any_offset() {
        assert_eq!(position("é\nab", 4), (2, 2));
        assert_eq!(position("é", 1), (1, 2));
        assert_eq!(position("", 9), (1, 1));
    }
}
