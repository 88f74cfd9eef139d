//! Where a secret comes from: a file, the environment, or what a command prints.
//!
//! ```toml
//! password_file = "keys/database/password"
//! password_file = { env = "DATABASE_PASSWORD" }
//! password_file = { command = ["pass", "show", "postern/database"] }
//! ```
//!
//! A file is read anew each time, so that one that is put in its place is taken without a restart. A command is run
//! once in the life of a process, before the sandbox, in which no program can be started: a stage takes what it says
//! anew when it is started again, and so it is with the environment. Another kind of store is one more arm of
//! [`SecretSource::read`].
//!
//! Trusted: who may write the configuration, which names the program to be run. The command is run without a shell.

use super::{Secret, SecretError};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a command may take to print its secret.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The text of a file that nobody but its owner may read.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// What a program prints.
    Command(SecretCommand),
}

/// A program that prints a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretCommand {
    program: String,
    arguments: Vec<String>,
}

/// What programs have printed.
static PRINTED: Mutex<BTreeMap<SecretCommand, Secret>> = Mutex::new(BTreeMap::new());

impl SecretSource {
    /// The secret, without the line break at its end.
    ///
    /// # Errors
    /// When it can't be had, is empty, longer than 64 KiB or not UTF-8, or when its file is open to others.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            SecretSource::File(file) => Secret::read(file),
            SecretSource::Environment(name) => {
                let text = std::env::var(name).map_err(|_| SecretError::NoVariable { name: name.clone() })?;
                Secret::from_text(Zeroizing::new(text), || self.to_string())
            }
            SecretSource::Command(command) => command.secret(|| self.to_string()),
        }
    }

    /// Its file, if it comes from one. What does not should be read once before the sandbox.
    pub fn path(&self) -> Option<&Path> {
        match self {
            SecretSource::File(file) => Some(file),
            SecretSource::Environment(_) | SecretSource::Command(_) => None,
        }
    }

    /// The same with a relative path of a file taken from `base`.
    #[must_use]
    pub fn rooted(&self, base: &Path) -> SecretSource {
        match self {
            SecretSource::File(file) => SecretSource::File(base.join(file)),
            other => other.clone(),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for SecretSource {
    fn from(file: P) -> SecretSource {
        SecretSource::File(file.into())
    }
}

/// What it is called in messages: never what it says.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(file) => write!(f, "`{}`", file.display()),
            SecretSource::Environment(name) => write!(f, "the environment variable {name}"),
            SecretSource::Command(command) => write!(f, "what `{}` prints", command.program),
        }
    }
}

impl SecretCommand {
    /// What the program has printed; runs it if that is not known.
    fn secret(&self, place: impl FnOnce() -> String) -> Result<Secret, SecretError> {
        let mut printed = PRINTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = printed.get(self) {
            return Ok(secret.clone());
        }
        let failed = |reason: String| SecretError::Command {
            program: self.program.clone(),
            reason,
        };
        let secret = Secret::from_text(self.run().map_err(failed)?, place)?;
        printed.insert(self.clone(), secret.clone());
        Ok(secret)
    }

    /// Runs the program and waits for it. What it says on its standard error goes where this process's goes.
    fn run(&self) -> Result<Zeroizing<String>, String> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        crate::tls::give_back_system_certificates(&mut command);
        let mut child = command
            .spawn()
            .map_err(|error| format!("it can't be started: {error}"))?;
        let output = child.stdout.take().ok_or("it has no output")?;
        let (send, received) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut text = Zeroizing::new(String::new());
            let read = output.take(super::MAX_SECRET_BYTES + 1).read_to_string(&mut text);
            let _ = send.send(read.map(|_| text));
        });
        let text = received.recv_timeout(PATIENCE);
        if text.is_err() {
            let _ = child.kill();
        }
        let ended = child.wait();
        let _ = reader.join();
        let text = text.map_err(|_| format!("it took longer than {} s", PATIENCE.as_secs()))?;
        let status = ended.map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("it failed ({status})"));
        }
        text.map_err(|_| "it printed something that is not text".to_owned())
    }
}

impl fmt::Debug for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretCommand").field(&self.program).finish()
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a file, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }")
    }

    fn visit_str<E: de::Error>(self, file: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::File(file.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let wrong = || de::Error::invalid_type(de::Unexpected::Map, &SourceVisitor);
        let kind: String = map.next_key()?.ok_or_else(wrong)?;
        let source = match kind.as_str() {
            "env" => SecretSource::Environment(name(map.next_value()?).ok_or_else(wrong)?),
            "command" => {
                let mut words: std::vec::IntoIter<String> = map.next_value::<Vec<String>>()?.into_iter();
                SecretSource::Command(SecretCommand {
                    program: words.next().and_then(name).ok_or_else(wrong)?,
                    arguments: words.collect(),
                })
            }
            _ => return Err(wrong()),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(wrong()),
        }
    }
}

/// A text that can be a name: not empty.
fn name(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SecretSource::File(file) => file.serialize(serializer),
            SecretSource::Environment(name) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("env", name)?;
                map.end()
            }
            SecretSource::Command(command) => {
                let words: Vec<&String> = std::iter::once(&command.program)
                    .chain(&command.arguments)
                    .collect();
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("command", &words)?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        password_file: SecretSource,
    }

    fn source(value: &str) -> Result<SecretSource, toml::de::Error> {
        toml::from_str::<Holder>(&format!("password_file = {value}")).map(|holder| holder.password_file)
    }

    #[test]
    fn a_source_is_a_file_a_variable_or_a_command() {
        assert_eq!(source("'keys/x'").unwrap(), SecretSource::File("keys/x".into()));
        for good in ["'keys/x'", "{ env = 'X' }", "{ command = ['a', 'b c'] }"] {
            let holder = Holder {
                password_file: source(good).unwrap(),
            };
            let again: Holder = toml::from_str(&toml::to_string(&holder).unwrap()).unwrap();
            assert_eq!(again, holder);
        }
        for bad in [
            "1",
            "{}",
            "{ env = '' }",
            "{ env = 'X', command = ['a'] }",
            "{ command = [] }",
            "{ command = [''] }",
            "{ command = 'a' }",
            "{ vault = 'a' }",
        ] {
            assert!(source(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_environment_gives_a_secret_or_says_what_is_missing() {
        // Set by whoever runs the tests, on every machine.
        let secret = source("{ env = 'PATH' }").unwrap().read().unwrap();
        assert_eq!(secret.expose(), std::env::var("PATH").unwrap());
        let error = source("{ env = 'POSTERN_NOT_SET' }").unwrap().read().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable POSTERN_NOT_SET, which should hold a secret, is not set"
        );
    }

    #[test]
    fn a_command_is_run_once() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let script = format!("echo x >> '{}'; echo 'hunter 2'", count.display());
        let source = source(&format!("{{ command = ['sh', '-c', \"{script}\"] }}")).unwrap();
        let again = source.clone();
        assert_eq!(source.read().unwrap().expose(), "hunter 2");
        assert_eq!(again.read().unwrap().expose(), "hunter 2");
        assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
        assert!(!format!("{source:?} {source}").contains("hunter"));
    }

    #[test]
    fn a_command_that_fails_gives_no_secret_and_shows_none() {
        let failing = source("{ command = ['sh', '-c', 'echo hunter2; exit 3'] }").unwrap();
        let error = failing.read().unwrap_err().to_string();
        assert_eq!(
            error,
            "`sh`, which should print a secret: it failed (exit status: 3)"
        );
        let silent = source("{ command = ['true'] }").unwrap().read();
        assert!(matches!(silent, Err(SecretError::Empty { .. })), "{silent:?}");
        let missing = source("{ command = ['/no/such/program'] }").unwrap().read();
        assert!(matches!(missing, Err(SecretError::Command { .. })));
        let endless = source("{ command = ['yes'] }").unwrap().read();
        assert!(endless.is_err());
    }
}
