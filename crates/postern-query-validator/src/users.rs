//! Who may sign in: `users.toml`.

use postern_ledger::StatementDigest;
use postern_runtime::{FileStamp, Time};
use postern_scram::{OtherSalt, Verifier};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most bytes of a users file.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The users by name.
#[derive(Clone, Debug, Default)]
pub struct Users {
    users: BTreeMap<String, User>,
    digest: Option<StatementDigest>,
}

/// One user.
#[derive(Clone, Debug)]
pub struct User {
    /// What the password is checked against; its `Debug` shows nothing of it.
    pub verifier: Verifier,
    /// The same with the password before, which is good until then (milliseconds since the Unix epoch).
    pub graced: Option<(Verifier, u64)>,
    /// Roles of the policy; rights of all, database role of the first.
    pub roles: Vec<String>,
    /// The tenant whose rows the user sees.
    pub tenant: Option<String>,
}

/// What is wrong with a users file.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{}: more than 64 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not as it should be.
    #[error(transparent)]
    Config(#[from] postern_runtime::ConfigError),
    /// A verifier is not one.
    #[error("{}: the verifier of user `{user}` is not SCRAM-SHA-256$…; use `postern user add`", path.display())]
    Verifier {
        /// The file.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// A user's two verifiers can't both be accepted.
    #[error("{}: user `{user}`: {source}; use `postern user passwd`", path.display())]
    Previous {
        /// The file.
        path: PathBuf,
        /// The user.
        user: String,
        /// Why.
        source: OtherSalt,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    users: BTreeMap<String, UserLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserLine {
    verifier: String,
    roles: Vec<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    previous: Option<PreviousLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousLine {
    verifier: String,
    until: Time,
}

impl UserLine {
    /// The user, and its name for errors.
    fn user(self, path: &Path, name: &str) -> Result<User, UsersError> {
        let verifier_of = |text: &str| {
            Verifier::parse(text).map_err(|_| UsersError::Verifier {
                path: path.to_owned(),
                user: name.to_owned(),
            })
        };
        let verifier = verifier_of(&self.verifier)?;
        let graced = match self.previous {
            None => None,
            Some(previous) => {
                let both = verifier.clone().with_previous(&verifier_of(&previous.verifier)?);
                let both = both.map_err(|source| UsersError::Previous {
                    path: path.to_owned(),
                    user: name.to_owned(),
                    source,
                })?;
                Some((both, previous.until.0))
            }
        };
        Ok(User {
            verifier,
            graced,
            roles: self.roles,
            tenant: self.tenant,
        })
    }
}

impl User {
    /// What a password is checked against now.
    pub fn verifier_at(&self, now_ms: u64) -> &Verifier {
        match &self.graced {
            Some((both, until_ms)) if now_ms < *until_ms => both,
            _ => &self.verifier,
        }
    }
}

impl Users {
    /// Reads the text of a users file; `path` is for errors.
    ///
    /// # Errors
    /// When it is not TOML of the right shape, or has a verifier that is not one.
    pub fn parse(path: &Path, text: &str) -> Result<Users, UsersError> {
        let file: File = postern_runtime::parse_config(path, text)?;
        let mut users = BTreeMap::new();
        for (name, line) in file.users {
            let user = line.user(path, &name)?;
            users.insert(name, user);
        }
        let digest = Some(StatementDigest::of(text));
        Ok(Users { users, digest })
    }

    /// SHA-256 of the text that they were read from; `None` where there was none.
    pub fn digest(&self) -> Option<StatementDigest> {
        self.digest
    }

    /// The user of this name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }
}

/// A users file that is read again when it changes.
#[derive(Debug)]
pub(crate) struct UsersFile {
    path: PathBuf,
    seen: Option<FileStamp>,
}

impl UsersFile {
    pub(crate) fn new(path: PathBuf) -> UsersFile {
        UsersFile { path, seen: None }
    }

    /// The users, when the file has changed since the last call.
    pub(crate) fn changed(&mut self) -> Result<Option<Users>, UsersError> {
        let stamp = FileStamp::of(&self.path);
        if self.seen == Some(stamp) {
            return Ok(None);
        }
        // Also when it is wrong: one complaint for each version.
        self.seen = Some(stamp);
        Users::parse(&self.path, &self.text()?).map(Some)
    }

    fn text(&self) -> Result<String, UsersError> {
        let io = |source| UsersError::Io {
            path: self.path.clone(),
            source,
        };
        if std::fs::metadata(&self.path).map_err(io)?.len() > MAX_FILE_BYTES {
            return Err(UsersError::TooLarge {
                path: self.path.clone(),
            });
        }
        std::fs::read_to_string(&self.path).map_err(io)
    }
}
