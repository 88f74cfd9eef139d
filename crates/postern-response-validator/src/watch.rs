//! The files with the rules about answers, read again when they change.
//!
//! A change is taken as soon as it is seen. One that is read half does no harm: exchanges go by the version that the
//! Query Validator planned them for, and it waits for the end of the writing. Rules with a mistake are not taken, and neither is their absence:
//! what was in force goes on. To do without rules, write a `responses.yaml` without any, or start the stage again.

use crate::answers::{Answers, AnswersError, RULES, is_rules_file};
use postern_inspect::Inspector;
use postern_runtime::{PolicyFiles, Stamp};

/// What the directory was like: nothing can be said of one that can't be read.
type State = Option<Stamp>;

/// The rules of one directory.
#[derive(Debug)]
pub struct Watch {
    answers: Answers,
    files: Option<PolicyFiles>,
    judged: State,
    had_rules: bool,
}

impl Watch {
    /// Reads the rules, and watches them from now on.
    ///
    /// # Errors
    /// See [`AnswersError`].
    pub fn begin(answers: Answers) -> Result<(Watch, Inspector), AnswersError> {
        let files = answers
            .policy_directory
            .as_ref()
            .map(|directory| PolicyFiles::new(directory, is_rules_file));
        let mut watch = Watch {
            judged: None,
            had_rules: false,
            files,
            answers,
        };
        watch.judged = watch.state();
        watch.had_rules = watch.has_rules();
        let inspector = watch.answers.inspector()?;
        Ok((watch, inspector))
    }

    /// One look. `None` while there is nothing new. Each version is judged once; where it is `asked` for, what is
    /// there is judged again.
    pub fn look(&mut self, asked: bool) -> Option<Result<Inspector, AnswersError>> {
        self.files.as_ref()?;
        let now = self.state();
        if now == self.judged && !asked {
            return None;
        }
        self.judged = now;
        if self.had_rules && !self.has_rules() {
            return Some(Err(AnswersError::Gone));
        }
        let read = self.answers.inspector();
        self.had_rules |= read.is_ok() && self.has_rules();
        Some(read)
    }

    fn state(&self) -> State {
        self.files.as_ref()?.stamp().ok()
    }

    fn has_rules(&self) -> bool {
        let directory = self.answers.policy_directory.as_ref();
        directory.is_some_and(|directory| directory.join(RULES).is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const TENANTS: &str = "version: 1\ntenants: {columns: [tenant_id]}\n";

    #[test]
    fn a_change_is_taken_and_a_broken_one_never() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(RULES);
        let answers = Answers {
            policy_directory: Some(directory.path().to_owned()),
            hash_key_file: None,
            record_key_file: None,
        };
        let (mut watch, first) = Watch::begin(answers).unwrap();
        assert!(!first.goes_by_columns());
        assert!(watch.look(false).is_none());

        fs::write(&file, TENANTS).unwrap();
        assert!(watch.look(false).unwrap().unwrap().goes_by_columns());
        assert!(watch.look(false).is_none());

        fs::write(&file, "version: 1\nmasks: 7\n").unwrap();
        let error = watch.look(false).unwrap().unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(watch.look(false).is_none(), "one complaint for each version");

        fs::remove_file(&file).unwrap();
        assert!(matches!(watch.look(false), Some(Err(AnswersError::Gone))));
        assert!(watch.look(false).is_none());

        fs::write(&file, "version: 1\n").unwrap();
        assert!(!watch.look(false).unwrap().unwrap().goes_by_columns());
        assert!(watch.look(false).is_none());
        assert!(watch.look(true).is_some(), "asked is asked");
    }

    #[test]
    fn without_a_directory_there_is_nothing_to_watch() {
        let (mut watch, inspector) = Watch::begin(Answers::default()).unwrap();
        assert!(!inspector.goes_by_columns());
        assert!(watch.look(true).is_none());
    }
}
