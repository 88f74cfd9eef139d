//! A stage that does nothing until it is asked to stop, or what its configuration says; the tests run it. It needs
//! its own directory and one port.

use postern_runtime::sandbox::{Needs, SandboxError, SandboxMode, Sandboxed};
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
    /// The port it may connect to.
    #[serde(default)]
    port: u16,
    /// For `intrude`: the file, the port and the program that it goes for.
    #[serde(default)]
    target: String,
    #[serde(default)]
    sandbox: SandboxMode,
}

impl Sandboxed for Config {
    fn sandbox(&self) -> SandboxMode {
        self.sandbox
    }

    fn needs(&self) -> Result<Needs, SandboxError> {
        Ok(Needs::default()
            .writing(".")
            .connecting_to("127.0.0.1", self.port))
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Wait,
    Fail,
    Panic,
    /// Reads the file `target`.
    Read,
    /// Writes the file `target`.
    Write,
    /// Connects to the port `target`.
    Connect,
    /// Starts the program `target`.
    Start,
    /// Gives its note another name, `target`, by a system call that no stage has in its list.
    Link,
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
        Action::Read => {
            std::fs::read(&config.target)?;
            Ok(())
        }
        Action::Write => Ok(std::fs::write(&config.target, "x")?),
        Action::Connect => {
            let port: u16 = config.target.parse()?;
            // On a thread of its own, which must be held as the first one is.
            let connected = std::thread::spawn(move || std::net::TcpStream::connect(("127.0.0.1", port)));
            drop(
                connected
                    .join()
                    .map_err(|_| anyhow::anyhow!("the thread panicked"))??,
            );
            Ok(())
        }
        Action::Link => Ok(std::fs::hard_link(&config.note, &config.target)?),
        Action::Start => {
            std::process::Command::new(&config.target).status()?;
            Ok(())
        }
        Action::Panic => {
            let row = String::from("row 4711");
            panic!("unexpected {row}")
        }
    }
}
