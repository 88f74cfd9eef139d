//! A stage that does nothing until it is asked to stop, or what its configuration says; the tests run it.

use postern_runtime::{StageContext, stage_main};
use postern_types::Stage;
use std::process::ExitCode;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to do.
    action: Action,
    /// A file next to the configuration.
    note: std::path::PathBuf,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Wait,
    Fail,
    Panic,
}

fn main() -> ExitCode {
    stage_main(Stage::Frontend, run)
}

#[allow(
    clippy::panic,
    reason = "what a panic does to the process is what the tests look at"
)]
async fn run(config: Config, context: StageContext) -> anyhow::Result<()> {
    std::fs::write(&config.note, "here")?;
    match config.action {
        Action::Wait => {
            context.ready.announce()?;
            context.shutdown.cancelled().await;
            Ok(())
        }
        Action::Fail => anyhow::bail!("this stage fails"),
        Action::Panic => {
            let row = String::from("row 4711");
            panic!("unexpected {row}")
        }
    }
}
