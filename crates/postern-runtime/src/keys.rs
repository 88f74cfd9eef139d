//! The keys of a stage, as configured: a file of public things, and beside it a file for each secret.
//!
//! ```toml
//! epoch = 2
//! secret_file = "2.key"
//!
//! [peers]
//! backend = "…"
//!
//! [[accepted]]
//! epoch = 1
//! secret_file = "1.key"
//! until = "2026-01-31T12:05:00Z"
//! own_until = "2026-02-01T00:00:00Z"
//!
//! [accepted.peers]
//! backend = "…"
//! ```
//!
//! Envelopes are sealed with the first keys and opened with all of them. `postern keys rotate` writes these files; a
//! stage takes a changed one while it runs ([`crate::LinkKeys`]). Trusted here: whoever may write the files.

use jiff::Timestamp;
use postern_bus::{SecretError, SecretSource};
use postern_envelope::{Accepted, Generation, Generations, KeyringError, PublicKey, SecretKey};
use postern_types::{Link, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most bytes of a key file. Four generations have two kilobytes.
const MAX_BYTES: u64 = 64 * 1024;

/// `[keys]` of a stage's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The key file. Its directory should hold nothing but this stage's keys: the stage may read all that is in it.
    pub file: PathBuf,
}

impl KeysConfig {
    /// Where the secrets come from that the key file names now and that are not in files. None if it can't be read,
    /// which is found out when the keys are.
    pub(crate) fn secrets(&self) -> Vec<SecretSource> {
        let Ok(keys) = KeyFile::read(&self.file) else {
            return Vec::new();
        };
        let others = keys.accepted.into_iter().map(|accepted| accepted.secret_file);
        let all = std::iter::once(keys.secret_file).chain(others);
        all.filter(|secret| secret.path().is_none()).collect()
    }
}

/// What a key file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Number of the epoch that is sealed with.
    pub epoch: u32,
    /// Where to find the stage's X25519 secret key in base64; a relative path is relative to the key file.
    pub secret_file: SecretSource,
    /// Public keys, base64, of the stages that this one shares a link with.
    pub peers: BTreeMap<Stage, PublicKey>,
    /// Other epochs whose envelopes are opened as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<AcceptedKeys>,
}

/// Keys that open and do not seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedKeys {
    /// Number of the epoch.
    pub epoch: u32,
    /// As in [`KeyFile`].
    pub secret_file: SecretSource,
    /// Envelopes of other stages are opened until then; without it, for as long as this is in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What the stage has sealed for itself is opened until then; default: `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_until: Option<Time>,
    /// As in [`KeyFile`].
    pub peers: BTreeMap<Stage, PublicKey>,
}

/// Milliseconds since the Unix epoch; RFC 3339 in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub u64);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Time, String> {
        let wrong = || format!("`{text}` is no time such as 2026-01-31T12:00:00Z");
        let time: Timestamp = text.parse().map_err(|_| wrong())?;
        u64::try_from(time.as_millisecond())
            .map(Time)
            .map_err(|_| wrong())
    }
}

impl From<Time> for String {
    fn from(time: Time) -> String {
        let milliseconds = i64::try_from(time.0).unwrap_or(i64::MAX);
        let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX);
        time.to_string()
    }
}

/// Why the keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A secret can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A secret is no key.
    #[error("{place} does not hold a secret key: 32 bytes in base64")]
    SecretText {
        /// What it is called.
        place: String,
    },
    /// The key file can't be read.
    #[error("can't read the keys in `{}`", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The key file is not one.
    #[error("error in `{}`: {message}", file.display())]
    Text {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Two generations have the same number.
    #[error("`{}` has two keys of epoch {epoch}", file.display())]
    Twice {
        /// The file.
        file: PathBuf,
        /// The number.
        epoch: u32,
    },
    /// Two stages have the same key.
    #[error("`{}`: {one} and {other} have the same key; whoever has it could seal as the other", file.display())]
    Same {
        /// The file.
        file: PathBuf,
        /// One of them.
        one: Stage,
        /// The other.
        other: Stage,
    },
    /// A key is missing or is none.
    #[error("`{}`: {source}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: KeyringError,
    },
}

impl KeyFile {
    /// Reads a key file, and no secret.
    ///
    /// # Errors
    /// When it can't be read or is not a key file.
    pub fn read(file: &Path) -> Result<KeyFile, KeysError> {
        let unreadable = |source| KeysError::Unreadable {
            file: file.to_owned(),
            source,
        };
        if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(KeysError::Text {
                file: file.to_owned(),
                message: "it is longer than 64 KiB".to_owned(),
            });
        }
        KeyFile::parse(file, &std::fs::read_to_string(file).map_err(unreadable)?)
    }

    /// The text of a key file; `file` is for errors.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(file: &Path, text: &str) -> Result<KeyFile, KeysError> {
        let wrong = |message| KeysError::Text {
            file: file.to_owned(),
            message,
        };
        let keys: KeyFile = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut seen = vec![keys.epoch];
        for accepted in &keys.accepted {
            if seen.contains(&accepted.epoch) {
                return Err(KeysError::Twice {
                    file: file.to_owned(),
                    epoch: accepted.epoch,
                });
            }
            seen.push(accepted.epoch);
        }
        Ok(keys)
    }

    /// The epochs in the file: the one that is sealed with first.
    pub fn epochs(&self) -> Vec<u32> {
        let others = self.accepted.iter().map(|accepted| accepted.epoch);
        std::iter::once(self.epoch).chain(others).collect()
    }

    /// The keys with their secrets, which are read now. What has run out is left out.
    ///
    /// # Errors
    /// When a secret can't be read, or a key is missing or can't be used by `stage`. `file` is where this was read.
    pub fn generations(&self, stage: Stage, file: &Path, now_ms: u64) -> Result<Generations, KeysError> {
        let current = generation(stage, file, self.epoch, &self.secret_file, &self.peers)?;
        let good = |accepted: &&AcceptedKeys| accepted.latest().is_none_or(|until| until.0 > now_ms);
        let others = self.accepted.iter().filter(good).map(|accepted| {
            let (epoch, secret_file, peers) = (accepted.epoch, &accepted.secret_file, &accepted.peers);
            let until_ms = accepted.until.map_or(u64::MAX, |until| until.0);
            Ok(Accepted {
                generation: generation(stage, file, epoch, secret_file, peers)?,
                until_ms,
                own_until_ms: accepted.own_until.map_or(until_ms, |until| until.0),
            })
        });
        Ok(Generations {
            current,
            others: others.collect::<Result<_, KeysError>>()?,
        })
    }
}

impl AcceptedKeys {
    /// After this time nothing is opened with the keys; `None` is never.
    pub fn latest(&self) -> Option<Time> {
        self.until
            .map(|until| self.own_until.map_or(until, |own| own.max(until)))
    }
}

fn generation(
    stage: Stage,
    file: &Path,
    epoch: u32,
    secret: &SecretSource,
    peers: &BTreeMap<Stage, PublicKey>,
) -> Result<Generation, KeysError> {
    let secret = beside(file, secret);
    let secret = SecretKey::parse(secret.read()?.expose()).map_err(|_| KeysError::SecretText {
        place: secret.to_string(),
    })?;
    let unusable = |source| KeysError::Unusable {
        file: file.to_owned(),
        source,
    };
    for peer in stages_linked_with(stage) {
        if !peers.contains_key(&peer) {
            return Err(unusable(KeyringError::NoPeer(peer)));
        }
    }
    let own = (stage, secret.public());
    let all: Vec<(Stage, PublicKey)> = peers
        .iter()
        .map(|(stage, key)| (*stage, *key))
        .chain([own])
        .collect();
    for (number, (one, key)) in all.iter().enumerate() {
        let rest = all.iter().skip(number.saturating_add(1));
        if let Some((other, _)) = rest.into_iter().find(|(_, other)| other == key) {
            return Err(KeysError::Same {
                file: file.to_owned(),
                one: *one,
                other: *other,
            });
        }
    }
    Ok(Generation {
        epoch,
        secret,
        peers: peers.clone(),
    })
}

/// A secret that a key file names.
pub fn beside(file: &Path, named: &SecretSource) -> SecretSource {
    named.rooted(file.parent().unwrap_or(Path::new("")))
}

/// The stages that share a link with this one, itself left out, each once.
pub fn stages_linked_with(stage: Stage) -> Vec<Stage> {
    let is_linked = |peer: &Stage| {
        let of_both = |link: Link| {
            (link.sender() == stage && link.receiver() == *peer)
                || (link.sender() == *peer && link.receiver() == stage)
        };
        *peer != stage && Link::ALL.into_iter().any(of_both)
    };
    Stage::ALL.into_iter().filter(is_linked).collect()
}

#[cfg(test)]
pub(crate) mod tests;
