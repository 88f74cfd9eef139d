//! Secrets that come from files.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// The longest secret file that is read, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A text that is shown to nobody: `Debug` hides it, and its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text that is already in memory.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// Reads a secret from a file and trims the line break at its end. Warns in the log when others than
    /// the owner may read the file.
    ///
    /// # Errors
    /// When the file can't be read, is empty, longer than 64 KiB, or not UTF-8.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        warn_if_others_can_read(path, &file);
        let mut text = Zeroizing::new(String::new());
        let read = file
            .take(MAX_SECRET_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        if read as u64 > MAX_SECRET_BYTES {
            return Err(SecretError::TooLong {
                path: path.to_owned(),
            });
        }
        let trimmed = text.trim_end_matches(['\n', '\r']);
        if trimmed.is_empty() {
            return Err(SecretError::Empty {
                path: path.to_owned(),
            });
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
    /// There is nothing in it.
    #[error("the secret file `{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// This can't be a password or key.
    #[error("the secret file `{}` is longer than 64 KiB", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(unix)]
fn warn_if_others_can_read(path: &Path, file: &std::fs::File) {
    use std::os::unix::fs::PermissionsExt;
    // Files are read again for each connection; once is enough to say it.
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if let Ok(metadata) = file.metadata() {
        let mode = metadata.permissions().mode();
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if mode & 0o077 != 0 && said.insert(path.to_owned()) {
            tracing::warn!(
                file = %path.display(),
                mode = %format_args!("{:o}", mode & 0o777),
                "secret file is open to others than its owner: chmod 600 it"
            );
        }
    }
}

#[cfg(not(unix))]
fn warn_if_others_can_read(_path: &Path, _file: &std::fs::File) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_at_the_end_are_not_part_of_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, " pass word \r\n").unwrap();
        assert_eq!(Secret::read(&path).unwrap().expose(), " pass word ");
    }

    #[test]
    fn empty_missing_and_long_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        assert!(matches!(Secret::read(&path), Err(SecretError::Unreadable { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::Empty { .. })));
        std::fs::write(&path, "x".repeat(64 * 1024 + 1)).unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::TooLong { .. })));
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", Secret::new("hunter2".into())).contains("hunter2"));
    }
}
