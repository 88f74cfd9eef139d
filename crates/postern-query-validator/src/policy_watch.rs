//! The policy directory, read again when it changes.
//!
//! A policy with a mistake is not taken: what was in force goes on, so that a slip neither opens the gate nor
//! locks everybody out. A version is taken whole or not at all.

use postern_ledger::StatementDigest;
use postern_policy::{Policy, PolicyError, is_policy_file};
use postern_runtime::{PolicyFiles, Stamp};
use std::fmt;
use std::io;
use std::path::Path;

/// The rules about answers.
const RULES: &str = "responses.yaml";
const POLICY: &str = "policy.yaml";
const NO_RECORD_KEY: &str = "values are to be recorded as hashes, which needs a key; set `record_key_file` in the \
                             configuration of the Query Validator";
const RULES_GONE: &str = "it has gone; to do without rules about answers, write one with `version: 1` alone";

/// A policy directory that is watched.
#[derive(Debug)]
pub(crate) struct PolicyWatch {
    files: PolicyFiles,
    seen: Option<Stamp>,
    /// Seen at the last look for the first time.
    waiting: Option<Stamp>,
    /// What is there is to be looked at again, changed or not.
    asked: bool,
    /// The version that was looked at last, taken or not.
    last: Option<StatementDigest>,
    /// The policy in force has rules about answers.
    had_rules: bool,
    /// There is a key under which values can be recorded.
    has_record_key: bool,
}

/// A version that is not taken.
#[derive(Debug)]
pub(crate) struct NotTaken {
    /// Of all of its files, where they could be read.
    pub(crate) digest: Option<StatementDigest>,
    pub(crate) mistakes: Vec<PolicyError>,
    io: Option<io::Error>,
}

impl std::error::Error for NotTaken {}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.io {
            return write!(f, "the policy can't be read: {error}");
        }
        f.write_str("the policy has mistakes:")?;
        self.mistakes
            .iter()
            .try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl PolicyWatch {
    pub(crate) fn new(directory: &Path, has_record_key: bool) -> PolicyWatch {
        PolicyWatch {
            files: PolicyFiles::new(directory, is_policy_file),
            seen: None,
            waiting: None,
            asked: false,
            last: None,
            had_rules: false,
            has_record_key,
        }
    }

    /// The policy, when something in the directory has changed. Each version is judged once, whether it is taken or
    /// not, and not before the call after the one that first saw it: nobody is writing it any more by then, and the
    /// Response Validator has the rules about answers that exchanges will be planned for.
    ///
    /// # Errors
    /// When the version that is there now can't be taken.
    pub(crate) fn changed(&mut self) -> Result<Option<Policy>, NotTaken> {
        let stamp = self.files.stamp().map_err(unread)?;
        if self.seen.as_ref() == Some(&stamp) && !self.asked {
            self.waiting = None;
            return Ok(None);
        }
        if self.seen.is_some() && self.waiting.as_ref() != Some(&stamp) {
            self.waiting = Some(stamp);
            return Ok(None);
        }
        let files = self.files.read().map_err(unread)?;
        // While it is being written it may be read half: only what did not change meanwhile is looked at.
        if self.files.stamp().map_err(unread)? != stamp {
            return Ok(None);
        }
        self.seen = Some(stamp);
        self.waiting = None;
        self.asked = false;
        let digest = digest(&files);
        if self.last == Some(digest) {
            return Ok(None);
        }
        self.last = Some(digest);
        let not_taken = |mistakes| NotTaken {
            digest: Some(digest),
            mistakes,
            io: None,
        };
        // The Response Validator keeps the rules of a file that is lost; both must go by the same ones.
        let has_rules = files.iter().any(|(name, _)| name == RULES);
        if self.had_rules && !has_rules {
            return Err(not_taken(vec![PolicyError::of(RULES, RULES_GONE)]));
        }
        let policy = Policy::load(&files).map_err(not_taken)?;
        if policy.needs_record_key() && !self.has_record_key {
            return Err(not_taken(vec![PolicyError::of(POLICY, NO_RECORD_KEY)]));
        }
        self.had_rules = has_rules;
        Ok(Some(policy))
    }

    /// Judges what is there again, whatever the dates of the files say.
    pub(crate) fn ask_again(&mut self) {
        self.asked = true;
        self.last = None;
    }
}

fn unread(error: io::Error) -> NotTaken {
    NotTaken {
        digest: None,
        mistakes: Vec::new(),
        io: Some(error),
    }
}

fn digest(files: &[(String, Vec<u8>)]) -> StatementDigest {
    StatementDigest(postern_policy::hash_of(files).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What is there, when it has stayed the same for a look.
    fn settled(watch: &mut PolicyWatch) -> Result<Option<Policy>, NotTaken> {
        assert!(
            watch.changed().unwrap().is_none(),
            "somebody may still be writing"
        );
        watch.changed()
    }

    const POLICY: &str = "version: 1\nroles: {app: {mode: open, database_role: app}}\n";

    #[test]
    fn each_version_is_judged_once_and_a_broken_one_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        fs::write(&path, POLICY).unwrap();
        let mut watch = PolicyWatch::new(directory.path(), true);
        let first = watch.changed().unwrap().unwrap();
        assert!(watch.changed().unwrap().is_none());
        fs::write(
            &path,
            "version: 1\nroles: {app: {mode: opne, database_role: app}}\n",
        )
        .unwrap();
        let error = settled(&mut watch).unwrap_err();
        assert!(error.to_string().contains("policy.yaml:2:"), "{error}");
        assert!(error.digest.is_some());
        assert!(
            watch.changed().unwrap().is_none(),
            "one complaint for each version"
        );
        fs::write(&path, POLICY.replace("open, ", "open,  ")).unwrap();
        let second = settled(&mut watch).unwrap().unwrap();
        assert_ne!(first.hash(), second.hash());
        // A new named statement is a new version, too.
        fs::create_dir(directory.path().join("queries")).unwrap();
        fs::write(
            directory.path().join("queries/a.sql"),
            "-- name: a\n-- roles: app\nselect 1;\n",
        )
        .unwrap();
        assert_ne!(settled(&mut watch).unwrap().unwrap().hash(), second.hash());
        // Rules about answers are not lost by losing their file.
        let rules = directory.path().join(RULES);
        fs::write(&rules, "version: 1\n").unwrap();
        assert!(settled(&mut watch).unwrap().is_some());
        fs::remove_file(&rules).unwrap();
        assert!(settled(&mut watch).unwrap_err().to_string().contains("has gone"));
        assert!(watch.changed().unwrap().is_none());
        fs::write(&rules, "version: 1\n# again\n").unwrap();
        assert!(settled(&mut watch).unwrap().is_some());
        // What does not belong to the policy does not count.
        fs::write(directory.path().join("notes.txt"), "x").unwrap();
        assert!(watch.changed().unwrap().is_none());
        watch.ask_again();
        assert!(settled(&mut watch).unwrap().is_some());
    }

    #[test]
    fn a_policy_that_asks_for_hashes_needs_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let policy = "version: 1\nroles: {app: {mode: open, database_role: app, record_parameters: hash}}\n";
        fs::write(directory.path().join("policy.yaml"), policy).unwrap();
        let error = PolicyWatch::new(directory.path(), false).changed().unwrap_err();
        assert!(error.to_string().contains("record_key_file"), "{error}");
        assert!(
            PolicyWatch::new(directory.path(), true)
                .changed()
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = PolicyWatch::new(&directory.path().join("none"), true);
        assert!(watch.changed().unwrap_err().to_string().contains("can't be read"));
    }
}
