//! Secrets, and where they come from.

mod source;

pub use source::{SecretCommand, SecretSource};

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest secret that is taken, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A text that is shown to nobody: `Debug` hides it, and its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text that is already in memory.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// Reads a secret from a file and trims the line break at its end.
    ///
    /// # Errors
    /// When the file can't be read, is open to others than its owner, is empty, longer than 64 KiB, or not UTF-8.
    /// The group may read a file that belongs to root, as service managers hand them out.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        refuse_if_open_to_others(path, &file.metadata().map_err(failed)?)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_SECRET_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Secret::from_text(text, || format!("`{}`", path.display()))
    }

    /// What was read at `place`, without the line break at its end.
    fn from_text(text: Zeroizing<String>, place: impl FnOnce() -> String) -> Result<Self, SecretError> {
        if text.len() as u64 > MAX_SECRET_BYTES {
            return Err(SecretError::TooLong { place: place() });
        }
        let trimmed = text.trim_end_matches(['\n', '\r']);
        if trimmed.is_empty() {
            return Err(SecretError::Empty { place: place() });
        }
        Ok(Secret::new(trimmed.to_owned()))
    }

    /// The text itself. Keep it no longer than its use.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be opened or read, or is not UTF-8.
    #[error("can't read the secret in `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others may read it, or change it.
    #[error(
        "the secret in `{}` is open to others than its owner (mode {mode:03o}), and is not used: chmod 600 it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The environment does not have it.
    #[error("the environment variable {name}, which should hold a secret, is not set")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The command does not give it.
    #[error("`{program}`, which should print a secret: {reason}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// What went wrong.
        reason: String,
    },
    /// There is nothing in it.
    #[error("the secret is empty: {place}")]
    Empty {
        /// Where it comes from.
        place: String,
    },
    /// This can't be a password or key.
    #[error("the secret is longer than 64 KiB: {place}")]
    TooLong {
        /// Where it comes from.
        place: String,
    },
}

#[cfg(unix)]
fn refuse_if_open_to_others(path: &Path, file: &std::fs::Metadata) -> Result<(), SecretError> {
    use std::os::unix::fs::MetadataExt as _;
    let allowed = if file.uid() == 0 { 0o740 } else { 0o700 };
    let mode = file.mode() & 0o777;
    if mode & !allowed != 0 && file.is_file() {
        return Err(SecretError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_open_to_others(_path: &Path, _file: &std::fs::Metadata) -> Result<(), SecretError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        set_mode(path, 0o600);
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        write(&path, "hunter2");
        for open in [0o604, 0o602, 0o620, 0o644, 0o660, 0o666, 0o777] {
            set_mode(&path, open);
            let error = Secret::read(&path).unwrap_err();
            let SecretError::Open { mode, .. } = error else {
                panic!("{open:o}: {error}")
            };
            assert_eq!(mode, open);
        }
        for good in [0o400, 0o600, 0o700] {
            set_mode(&path, good);
            assert_eq!(Secret::read(&path).unwrap().expose(), "hunter2");
        }
    }

    #[test]
    fn line_breaks_at_the_end_are_not_part_of_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        write(&path, " pass word \r\n");
        assert_eq!(Secret::read(&path).unwrap().expose(), " pass word ");
    }

    #[test]
    fn empty_missing_and_long_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        assert!(matches!(Secret::read(&path), Err(SecretError::Unreadable { .. })));
        write(&path, "\n");
        assert!(matches!(Secret::read(&path), Err(SecretError::Empty { .. })));
        write(&path, &"x".repeat(64 * 1024 + 1));
        assert!(matches!(Secret::read(&path), Err(SecretError::TooLong { .. })));
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", Secret::new("hunter2".into())).contains("hunter2"));
    }
}
