//! The Response Validator's process.

use postern_types::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    postern_runtime::stage_main(Stage::ResponseValidator, postern_response_validator::run)
}
