//! The parts of a ring as processes: which command runs each, with which arguments, in which order.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use anyhow::bail;
use postern_types::Stage;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// One process of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The NATS server of a hop.
    Nats(Hop),
    /// A stage.
    Stage(Stage),
    /// What carries the records of all stages to collectors. A ring runs without it where none is configured.
    Sinks,
}

impl Part {
    /// All parts of the ring itself, in the order in which they are started.
    pub const ALL: [Part; 8] = [
        Part::Nats(Hop::DirtyQuery),
        Part::Nats(Hop::CleanQuery),
        Part::Nats(Hop::DirtyResp),
        Part::Nats(Hop::CleanResp),
        Part::Stage(Stage::QueryValidator),
        Part::Stage(Stage::ResponseValidator),
        Part::Stage(Stage::Backend),
        Part::Stage(Stage::Frontend),
    ];

    /// Name in logs and status: `nats/dirty-query`, `frontend`.
    pub fn name(self) -> String {
        match self {
            Part::Nats(hop) => format!("nats/{hop}"),
            Part::Stage(stage) => stage.name().to_owned(),
            Part::Sinks => "sinks".to_owned(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `nats-server`.
    pub nats_server: PathBuf,
    /// Directory of the `postern-*` stage binaries.
    pub stages: PathBuf,
    /// The `postern` binary itself, which tethers the others to their parent.
    pub postern: PathBuf,
}

impl Programs {
    /// Checks that those of these parts are there.
    ///
    /// # Errors
    /// Names the first one that is missing, and what to do.
    pub fn check(&self, parts: &[Part]) -> anyhow::Result<()> {
        for program in parts.iter().filter_map(|part| self.own(*part)) {
            if !program.is_file() {
                bail!(
                    "{} is missing; `cargo build --workspace --bins` makes it, or set stage_directory in postern.toml",
                    program.display()
                );
            }
        }
        Ok(())
    }

    /// The binary of a part, where it is one of ours.
    fn own(&self, part: Part) -> Option<PathBuf> {
        match part {
            Part::Nats(_) => None,
            Part::Stage(stage) => Some(self.stage(stage)),
            Part::Sinks => Some(self.stages.join("postern-sink")),
        }
    }

    /// The binary of a stage.
    pub fn stage(&self, stage: Stage) -> PathBuf {
        self.stages.join(format!("postern-{stage}"))
    }

    /// The words that start a NATS server as one of four on this machine. Left alone, each would spread its work
    /// over all processors, and pass small messages from one to the next: measured on two processors, a query with
    /// one client took a fifth longer. GOMAXPROCS in the environment has the last word.
    pub fn nats_command(&self) -> Vec<OsString> {
        let mut command = Vec::new();
        if std::env::var_os("GOMAXPROCS").is_none() {
            let processors = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(4));
            command.extend(["env".into(), format!("GOMAXPROCS={processors}").into()]);
        }
        command.push(self.nats_server.clone().into_os_string());
        command
    }

    /// The whole command line of a part, tied to the life of the calling process. To be run with the ring's
    /// directory as its current directory.
    pub fn command(&self, part: Part, ring: &RingDirectory) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![
            self.postern.clone().into(),
            "tether".into(),
            "--parent".into(),
            std::process::id().to_string().into(),
            "--".into(),
        ];
        command.extend(self.own(part).map(PathBuf::into_os_string));
        let (config, ready_file) = match part {
            Part::Nats(hop) => {
                command.extend(self.nats_command());
                command.extend(["--config".into(), RingDirectory::nats_config(hop).into()]);
                return command;
            }
            Part::Stage(stage) => (ring.stage_config_file(stage), ring.stage_ready_file(stage)),
            Part::Sinks => (ring.sinks_config_file(), ring.sinks_ready_file()),
        };
        command.extend([
            "--config".into(),
            config.into(),
            "--ready-file".into(),
            ready_file.into(),
        ]);
        command
    }
}

/// Finds a program: the first of the given candidates that exists, else by name on the PATH.
pub fn find_program(candidates: &[Option<PathBuf>], name: &str) -> Option<PathBuf> {
    if let Some(found) = candidates.iter().flatten().next() {
        return Some(found.clone());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
