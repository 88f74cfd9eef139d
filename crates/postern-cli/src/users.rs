//! `users.toml`: who may sign in, with which roles. The file holds SCRAM verifiers, never a password.

use crate::secret_file;
use anyhow::{Context as _, bail};
use postern_policy::{Policy, is_policy_file};
use postern_runtime::{PolicyFiles, Time, unix_ms};
use postern_scram::Verifier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file a new ring starts with.
pub(crate) const FIRST_USERS_FILE: &str =
    "# Who may sign in. Written by `postern user add` and `postern user remove`.\n";

/// PBKDF2 rounds of a verifier made here; PostgreSQL's own default.
const ITERATIONS: u32 = 4096;

/// The contents of `users.toml`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Users by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, User>,
}

/// One user.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What the password is checked against, in PostgreSQL's form.
    pub verifier: String,
    /// Roles of the policy.
    pub roles: Vec<String>,
    /// The tenant whose rows the user sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The password before, while it is good as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

/// A password that is good for a while yet.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// As [`User::verifier`], with the same salt and rounds.
    pub verifier: String,
    /// Until when.
    pub until: Time,
}

impl User {
    /// A user with one password.
    pub fn new(verifier: String, roles: Vec<String>, tenant: Option<String>) -> User {
        User {
            verifier,
            roles,
            tenant,
            previous: None,
        }
    }

    /// Changes the password at `now_ms` (milliseconds since the Unix epoch). With a time of `grace` the one before
    /// stays good for so long; one that was before that is good no longer. Without, the new one gets a salt of its own.
    ///
    /// # Errors
    /// When the password is empty or not allowed, or the verifier of the one before is not one.
    pub fn change_password(&mut self, password: &str, grace: Duration, now_ms: u64) -> anyhow::Result<()> {
        if grace.is_zero() {
            self.verifier = verifier_of(password)?;
            self.previous = None;
            return Ok(());
        }
        let before = Verifier::parse(&self.verifier)?;
        let verifier = before.again(not_empty(password)?)?.to_string();
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.previous = Some(Previous {
            verifier: std::mem::replace(&mut self.verifier, verifier),
            until: Time(now_ms.saturating_add(grace_ms)),
        });
        Ok(())
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("roles", &self.roles)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// A `users.toml` that is being changed. While this exists no other `postern user` can change it.
pub struct UsersFile {
    path: PathBuf,
    /// Its contents.
    pub users: Users,
    _lock: fs::File,
}

impl UsersFile {
    /// Opens `path` for a change.
    ///
    /// # Errors
    /// When it can't be read or is not understood.
    pub fn open(path: &Path) -> anyhow::Result<UsersFile> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let lock =
            fs::File::open(directory).with_context(|| format!("can't open {}", directory.display()))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .with_context(|| format!("can't lock {}", directory.display()))?;
        Ok(UsersFile {
            path: path.to_owned(),
            users: read(path)?,
            _lock: lock,
        })
    }

    /// Writes the change, without previous passwords that are good no longer.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn save(mut self) -> anyhow::Result<()> {
        let now = Time(unix_ms());
        for user in self.users.users.values_mut() {
            user.previous.take_if(|previous| previous.until <= now);
        }
        let text = format!("{FIRST_USERS_FILE}\n{}", toml::to_string_pretty(&self.users)?);
        secret_file::write(&self.path, &text).with_context(|| format!("can't write {}", self.path.display()))
    }
}

/// Reads `users.toml`.
///
/// # Errors
/// When it can't be read or is not understood.
pub fn read(path: &Path) -> anyhow::Result<Users> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("error in {}", path.display()))
}

/// Makes the verifier of a password.
///
/// # Errors
/// When the password is empty or not allowed by SASLprep, or there is no randomness.
pub fn verifier_of(password: &str) -> anyhow::Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    Ok(Verifier::from_password(not_empty(password)?, &salt, ITERATIONS)?.to_string())
}

fn not_empty(password: &str) -> anyhow::Result<&str> {
    if password.is_empty() {
        bail!("the password is empty");
    }
    Ok(password)
}

/// Checks a verifier that comes from somewhere else, such as `pg_authid.rolpassword`.
///
/// # Errors
/// When it is not a SCRAM-SHA-256 verifier.
pub fn imported_verifier(text: &str) -> anyhow::Result<String> {
    let verifier = Verifier::parse(text)
        .map_err(|_| anyhow::anyhow!("not a verifier of the form SCRAM-SHA-256$ROUNDS:SALT$STORED:SERVER"))?;
    Ok(verifier.to_string())
}

/// Checks that the policy of the ring knows these roles: a user with a role that nobody defined could do
/// nothing, and the mistake would show only at sign-in.
///
/// # Errors
/// Names the role that is missing, or what is wrong with the policy.
pub fn check_roles(policy_file: &Path, roles: &[String]) -> anyhow::Result<()> {
    let directory = policy_file.parent().unwrap_or(Path::new("."));
    let files = PolicyFiles::new(directory, is_policy_file)
        .read()
        .with_context(|| format!("can't read {}", directory.display()))?;
    let policy = Policy::load(&files).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
        anyhow::anyhow!(
            "the policy in {} has mistakes:\n{}",
            directory.display(),
            lines.join("\n")
        )
    })?;
    if let Some(unknown) = roles
        .iter()
        .find(|role| !policy.roles().any(|known| known == role.as_str()))
    {
        let known: Vec<&str> = policy.roles().collect();
        bail!("the policy has no role `{unknown}`; it has: {}", known.join(", "));
    }
    Ok(())
}

/// Checks a user name: PostgreSQL takes up to 63 bytes.
///
/// # Errors
/// When it is empty, too long or has control characters.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    if name.is_empty() || name.len() > 63 || name.chars().any(char::is_control) {
        bail!("a user name has 1 to 63 bytes and no control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        fs::write(&path, FIRST_USERS_FILE).unwrap();
        let mut file = UsersFile::open(&path).unwrap();
        let verifier = verifier_of("sesame").unwrap();
        let user = User::new(verifier, vec!["app".to_owned()], Some("7".to_owned()));
        file.users.users.insert("we.ird \"name".to_owned(), user);
        file.save().unwrap();
        let users = read(&path).unwrap();
        let user = &users.users["we.ird \"name"];
        assert_eq!(user.roles, ["app"]);
        assert_eq!(user.tenant.as_deref(), Some("7"));
        assert_eq!(imported_verifier(&user.verifier).unwrap(), user.verifier);
        assert!(!format!("{users:?}").contains("SCRAM"));
    }

    #[test]
    fn a_password_is_no_verifier() {
        assert!(imported_verifier("sesame").is_err());
        assert!(imported_verifier("md5aabbccddeeff00112233445566778899").is_err());
        assert!(verifier_of("").is_err());
    }

    #[test]
    fn a_changed_password_leaves_the_one_before_good_for_its_time_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        fs::write(&path, FIRST_USERS_FILE).unwrap();
        let first = verifier_of("one").unwrap();
        let mut user = User::new(first.clone(), vec!["app".to_owned()], None);
        let minute = Duration::from_secs(60);
        user.change_password("two", minute, unix_ms()).unwrap();
        assert!(Verifier::parse(&user.verifier).unwrap().is_of("two"));
        assert_eq!(user.previous.as_ref().unwrap().verifier, first);
        let mut file = UsersFile::open(&path).unwrap();
        file.users.users.insert("ann".to_owned(), user.clone());
        // This one's time is over.
        user.change_password("three", minute, 0).unwrap();
        file.users.users.insert("bob".to_owned(), user.clone());
        file.save().unwrap();
        let users = read(&path).unwrap().users;
        assert_eq!(users["ann"].previous.as_ref().unwrap().verifier, first);
        assert!(users["bob"].previous.is_none());
        user.change_password("four", Duration::ZERO, unix_ms()).unwrap();
        assert!(user.previous.is_none());
        let salt = |verifier: &str| verifier.split('$').nth(1).unwrap().to_owned();
        assert_ne!(salt(&user.verifier), salt(&first));
        assert!(user.change_password("", minute, 0).is_err());
    }
}
