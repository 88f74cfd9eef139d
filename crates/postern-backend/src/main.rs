//! `postern-backend --config FILE [--catalog|--survey]`

use postern_backend::config::BackendConfig;
use postern_types::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    if postern_backend::catalog::is_wanted(std::env::args_os()) {
        return postern_backend::catalog::main(std::env::args_os());
    }
    postern_runtime::stage_main::<BackendConfig, _, _>(Stage::Backend, postern_backend::run)
}
