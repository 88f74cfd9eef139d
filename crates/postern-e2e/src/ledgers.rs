//! What the stages have written down.

use postern_testkit::{Ring, Stage};
use std::fs;

/// Whether a stage's ledger has a record with all of these words.
pub fn recorded(ring: &Ring, stage: Stage, words: &[&str]) -> bool {
    let directory = ring.ledger_dirs().get(&stage).map(fs::read_dir);
    let files = directory.into_iter().flatten().flatten().flatten();
    let text: String = files
        .map(|file| fs::read_to_string(file.path()).unwrap_or_default())
        .collect();
    text.lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}
