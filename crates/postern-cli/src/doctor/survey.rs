//! What the database says of itself: the output of `postern-backend --survey`.

use super::ring::Examined;
use anyhow::{Context as _, bail};
use postern_types::Stage;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::Command;

/// Everything. Fields of later versions are left out.
#[derive(Debug, Deserialize)]
pub(super) struct Survey {
    pub(super) server: Server,
    /// The login role and all that it may take on.
    pub(super) roles: Vec<Role>,
    pub(super) tables: Vec<Table>,
    /// Schemas in which everybody may make things.
    pub(super) open_schemas: Vec<String>,
    /// `None` where the login role may not read it.
    pub(super) hba: Option<Vec<HbaLine>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) server_version: u32,
    pub(super) ssl: bool,
    /// TLS version of the Backend's connection; `None` without TLS.
    pub(super) connection_tls: Option<String>,
    pub(super) password_encryption: String,
    pub(super) log_connections: Option<String>,
    pub(super) login: String,
    /// Objects that the login role owns.
    pub(super) owned: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) superuser: bool,
    pub(super) bypassrls: bool,
    pub(super) createrole: bool,
    pub(super) createdb: bool,
    pub(super) replication: bool,
    pub(super) inherit: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) is_view: bool,
    pub(super) row_security: bool,
    pub(super) row_security_forced: bool,
    pub(super) columns: Vec<String>,
    /// What each role may do with it.
    pub(super) grants: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HbaLine {
    pub(super) line: Option<u32>,
    pub(super) r#type: Option<String>,
    #[serde(default)]
    pub(super) user: Vec<String>,
    pub(super) address: Option<String>,
    pub(super) netmask: Option<String>,
    pub(super) method: Option<String>,
    pub(super) error: Option<String>,
}

/// Runs the Backend, which alone can sign in to the database.
///
/// # Errors
/// What the Backend says.
pub(super) fn ask(ring: &Examined, what: &str) -> anyhow::Result<Vec<u8>> {
    let backend = ring.programs().join(format!("postern-{}", Stage::Backend));
    let output = Command::new(&backend)
        .arg("--config")
        .arg(ring.ring.stage_config_file(Stage::Backend))
        .arg(what)
        .output()
        .with_context(|| format!("can't run {}", backend.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}",
            said.lines()
                .last()
                .unwrap_or("the Backend could not ask the database")
        );
    }
    Ok(output.stdout)
}

/// Asks the database.
///
/// # Errors
/// See [`ask`].
pub(super) fn read(ring: &Examined) -> anyhow::Result<Survey> {
    serde_json::from_slice(&ask(ring, "--survey")?)
        .context("what the Backend says of the database is not understood")
}
