//! What the checkpoints say of ledgers.

use super::{VerifyArgs, checkpoints};
use postern_ledger::{Witness, WitnessFinding};
use postern_types::Author;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where keys and checkpoints are.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// With a `STAGE.pub` for each stage.
    public_keys: PathBuf,
    /// With a `STAGE.jsonl` for each stage, or a folder `STAGE` of files; `None` for those beside the ledgers.
    against: Option<PathBuf>,
    /// Somebody asked for it: what is missing is then wrong.
    insists: bool,
}

impl Sources {
    pub(super) fn of(args: &VerifyArgs) -> Sources {
        let of_ring = || checkpoints::public_keys(&args.directory);
        Sources {
            public_keys: args.public_keys.clone().unwrap_or_else(of_ring),
            against: args.against.clone(),
            insists: args.public_keys.is_some() || args.against.is_some(),
        }
    }

    /// Where the checkpoints of a stage are: a file, or a folder of them.
    fn checkpoints(&self, ledger: &Path, stage: Author) -> PathBuf {
        let Some(kept) = &self.against else {
            return checkpoints::file(ledger.parent().unwrap_or(ledger), stage);
        };
        let folder = kept.join(stage.name());
        match folder.is_dir() {
            true => folder,
            false => kept.join(format!("{stage}.jsonl")),
        }
    }

    /// The checkpoints there. From a collector some may come twice: it gets each at least once.
    fn read(&self, place: &Path) -> io::Result<String> {
        if self.against.is_none() {
            return fs::read_to_string(place);
        }
        let mut files = vec![place.to_owned()];
        if place.is_dir() {
            let entries = fs::read_dir(place)?.map(|entry| Ok(entry?.path()));
            files = entries.collect::<io::Result<_>>()?;
            // Names of objects begin with where they are in the whole.
            files.sort();
        }
        let (mut text, mut seen) = (String::new(), HashSet::new());
        for file in files {
            for line in fs::read_to_string(file)?.lines() {
                if seen.insert(line.to_owned()) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        Ok(text)
    }
}

/// What one ledger's checkpoints came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// There are none, or no key to check them with.
    None,
    /// Everything up to this record is as it was signed.
    UpTo(u64),
    /// Something does not fit.
    Findings(Vec<WitnessFinding>),
    /// Keys or checkpoints that were asked for can't be read.
    Unreadable(String),
}

/// What the checkpoints of a ring's ledgers came to.
#[derive(Debug, Default)]
pub(super) struct Signed(BTreeMap<Author, Outcome>);

impl Outcome {
    /// That of a ledger without checkpoints: nobody can have let a record of it go.
    fn unsigned(ledger: &Path) -> Outcome {
        match postern_ledger::pruned(ledger) {
            Ok(through) if through > 0 => Outcome::Unreadable(format!(
                "the records up to {through} were removed, and there is no checkpoint that let them go"
            )),
            // What can't be read is told of where the ledger itself is checked.
            _ => Outcome::None,
        }
    }
}

impl Signed {
    pub(super) fn of(ring: &BTreeMap<Author, PathBuf>, sources: &Sources) -> Signed {
        let outcomes = ring
            .iter()
            .map(|(stage, ledger)| (*stage, Signed::of_ledger(*stage, ledger, sources)));
        Signed(outcomes.collect())
    }

    fn of_ledger(stage: Author, ledger: &Path, sources: &Sources) -> Outcome {
        let key_file = sources.public_keys.join(format!("{stage}.pub"));
        let file = sources.checkpoints(ledger, stage);
        let is_signed = key_file.exists() && file.exists();
        if !is_signed && !sources.insists {
            return Outcome::unsigned(ledger);
        }
        let key = match checkpoints::read_public_key(&key_file) {
            Ok(key) => key,
            Err(error) => return Outcome::Unreadable(format!("{error:#}")),
        };
        let text = match sources.read(&file) {
            Ok(text) => text,
            Err(error) => return Outcome::Unreadable(format!("can't read {}: {error}", file.display())),
        };
        match Witness::read(&text, stage, &key).compare(ledger) {
            Ok(last) => Outcome::UpTo(last),
            Err(findings) => Outcome::Findings(findings),
        }
    }

    pub(super) fn is_wrong(&self) -> bool {
        let wrong = |outcome: &Outcome| matches!(outcome, Outcome::Findings(_) | Outcome::Unreadable(_));
        self.0.values().any(wrong)
    }

    pub(super) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for (stage, outcome) in &self.0 {
            match outcome {
                Outcome::None => writeln!(out, "{stage}: no checkpoints")?,
                Outcome::UpTo(last) => writeln!(out, "{stage}: as it was signed, up to record {last}")?,
                Outcome::Unreadable(reason) => {
                    writeln!(out, "{stage}: NOT checked against checkpoints: {reason}")?
                }
                Outcome::Findings(findings) => {
                    writeln!(out, "{stage}: NOT as it was signed")?;
                    for finding in findings {
                        writeln!(out, "  {finding}")?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        let of = |outcome: &Outcome| match outcome {
            Outcome::None => json!({ "checked": false }),
            Outcome::UpTo(last) => {
                json!({ "checked": true, "sound": true, "last_record": last, "findings": [] })
            }
            Outcome::Unreadable(reason) => json!({ "checked": false, "sound": false, "findings": [reason] }),
            Outcome::Findings(findings) => json!({
                "checked": true,
                "sound": false,
                "findings": findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        };
        let stages = self
            .0
            .iter()
            .map(|(stage, outcome)| (stage.name().to_owned(), of(outcome)));
        Value::Object(stages.collect())
    }
}
