//! The log, on standard error.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Environment variable with the log filter, such as `info` or `warn,postern_bus=debug`.
pub const LOG_VARIABLE: &str = "POSTERN_LOG";

/// The NATS client repeats what `postern-bus` says anyway, and at each attempt to connect.
const DEFAULT_FILTER: &str = "info,async_nats=off";

/// The log filter in the environment can't be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{LOG_VARIABLE} is not a log filter: write a level (error, warn, info, debug, trace), or TARGET=LEVEL, separated by commas"
)]
pub struct InvalidLogFilter;

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// When [`LOG_VARIABLE`] is set and is not a filter.
pub fn start_log() -> Result<(), InvalidLogFilter> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => EnvFilter::try_new(text).map_err(|_| InvalidLogFilter)?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new(DEFAULT_FILTER),
        Err(std::env::VarError::NotUnicode(_)) => return Err(InvalidLogFilter),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    Ok(())
}
