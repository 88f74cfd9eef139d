//! `postern-frontend --config FILE`.

use postern_types::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    postern_runtime::stage_main(Stage::Frontend, postern_frontend::run)
}
