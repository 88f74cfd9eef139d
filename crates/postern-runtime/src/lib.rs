//! What every stage process has in common: its command line, configuration, log, signals and keys.
//!
//! A stage's `main` is one call of [`stage_main`]. It reads `--config FILE`, sets up the log, starts a
//! runtime on one thread, and hands the parsed configuration and a [`StageContext`] to the stage.
//!
//! Trusted here: the configuration file, the files it names, and the environment. Not in this crate: what
//! any stage does, sockets, and the format of envelopes and records. What a stage gives up before it begins is in
//! [`sandbox`].
//!
//! Exit codes: 0 after a clean stop, 1 after a failure, 2 when command line or configuration are wrong. A
//! panic aborts the process: a stage that has lost its footing must not go on deciding.

mod clock;
mod config;
mod context;
mod file_stamp;
mod hardening;
mod keys;
mod ledger;
mod link_keys;
mod main_loop;
mod policy_files;
mod reload;
pub mod sandbox;
mod status;
mod telemetry;

pub use clock::unix_ms;
pub use config::{ConfigError, load_config, parse_config};
pub use context::{Life, ReadyFile, StageContext};
pub use file_stamp::FileStamp;
pub use keys::{AcceptedKeys, KeyFile, KeysConfig, KeysError, Time, beside, stages_linked_with};
pub use ledger::LedgerConfig;
pub use link_keys::{KeyNews, LinkKeys};
pub use main_loop::{Program, StageResult, program_main, stage_main};
pub use policy_files::{PolicyFiles, Stamp};
pub use postern_bus::{Secret, SecretError};
pub use reload::Reload;
pub use status::{READY, STATUS_EVERY, STATUS_FILE, Status, WRITTEN};
pub use telemetry::{InvalidLogFilter, LOG_VARIABLE, start_log};
pub use tokio_util::sync::CancellationToken;
