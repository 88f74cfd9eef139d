//! The ring that is looked at, as its files have it.

use crate::directory::RingDirectory;
use crate::ring_config::RingConfig;
use anyhow::Context as _;
use postern_policy::{Policy, PolicyError, is_policy_file};
use postern_runtime::PolicyFiles;
use postern_types::Stage;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the checks look at.
pub(super) struct Examined {
    pub(super) ring: RingDirectory,
    pub(super) config: RingConfig,
    /// `STAGE.toml`, or why it can't be read.
    pub(super) stages: BTreeMap<Stage, Result<toml::Table, String>>,
    /// The policy, or its mistakes.
    pub(super) policy: Result<Policy, Vec<PolicyError>>,
}

impl Examined {
    /// Reads `postern.toml` and what it belongs to.
    ///
    /// # Errors
    /// When there is no ring, or its policy directory can't be read.
    pub(super) fn read(ring: RingDirectory) -> anyhow::Result<Examined> {
        let config = ring.ring_config()?;
        let stages = Stage::ALL
            .into_iter()
            .map(|stage| {
                let text = std::fs::read_to_string(ring.stage_config_file(stage));
                let table = text
                    .map_err(|error| error.to_string())
                    .and_then(|text| text.parse().map_err(|error: toml::de::Error| error.to_string()));
                (stage, table)
            })
            .collect();
        let directory = ring.join("policy");
        let files = PolicyFiles::new(&directory, is_policy_file)
            .read()
            .with_context(|| format!("can't read {}", directory.display()))?;
        Ok(Examined {
            config,
            stages,
            policy: Policy::load(&files),
            ring,
        })
    }

    /// A value of a stage's configuration, by the names of its tables and its key.
    pub(super) fn value(&self, stage: Stage, path: &[&str]) -> Option<&toml::Value> {
        let table = self.stages.get(&stage)?.as_ref().ok()?;
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(table.get(*first)?, |value, key| value.get(*key))
    }

    pub(super) fn text(&self, stage: Stage, path: &[&str]) -> Option<&str> {
        self.value(stage, path)?.as_str()
    }

    /// A file that a stage's configuration names.
    pub(super) fn file(&self, stage: Stage, path: &[&str]) -> Option<PathBuf> {
        self.text(stage, path).map(|file| self.ring.join(file))
    }

    /// Directory of the stages' programs.
    pub(super) fn programs(&self) -> PathBuf {
        let beside = || {
            let own = std::env::current_exe().unwrap_or_default();
            own.parent().map(PathBuf::from).unwrap_or_default()
        };
        self.config.stage_directory.clone().unwrap_or_else(beside)
    }
}
