//! `postern-backend --config FILE`

use postern_backend::config::BackendConfig;
use postern_types::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    postern_runtime::stage_main::<BackendConfig, _, _>(Stage::Backend, postern_backend::run)
}
