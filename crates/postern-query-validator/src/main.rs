//! The process of the Query Validator.

use postern_types::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    postern_runtime::stage_main(Stage::QueryValidator, postern_query_validator::run)
}
