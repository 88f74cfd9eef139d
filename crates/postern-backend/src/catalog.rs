//! `postern-backend --config FILE --catalog`: prints `catalog.json` on standard output and exits.
//!
//! It reads PostgreSQL's system catalogues with the Backend's own credentials, in one read-only transaction
//! with one snapshot and an empty search path, so that PostgreSQL writes every name with its schema. Nothing
//! of a client is involved, and no NATS server. Works with PostgreSQL 15 to 18.

mod queries;

use crate::config::BackendConfig;
use crate::connect::Connector;
use crate::pool::Place;
use crate::server::{Io, Server};
use anyhow::{Context as _, bail};
use postern_catalog::{Catalog, Document, FORMAT_VERSION};
use postern_wire::{BackendMessage, backend_frame, decode_backend};
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Largest row that is taken: one relation with all its columns and its definition.
const MESSAGE_BYTES: u32 = 64 * 1024 * 1024;
/// How long reading the catalogues may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the command line asks for the catalogue.
pub fn is_wanted(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.any(|argument| argument == "--catalog")
}

/// Does what `--catalog` asks for; exit codes as those of a stage.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    const USAGE: u8 = 2;
    if let Err(error) = postern_runtime::start_log() {
        eprintln!("{error}");
        return ExitCode::from(USAGE);
    }
    let Some(file) = config_file(arguments) else {
        eprintln!("usage: postern-backend --config FILE --catalog");
        return ExitCode::from(USAGE);
    };
    match print(&file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn config_file(mut arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut file = None;
    arguments.next()?;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--config") => file = Some(PathBuf::from(arguments.next()?)),
            Some("--catalog") => {}
            _ => return None,
        }
    }
    file
}

fn print(file: &Path) -> anyhow::Result<()> {
    let config: BackendConfig = postern_runtime::load_config(file)?;
    // Relative paths in it are relative to its directory.
    if let Some(directory) = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        std::env::set_current_dir(directory).context("can't enter the directory of the configuration")?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let catalog = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, read(&config))
            .await
            .context("the database took too long to describe itself")?
    })?;
    let text = catalog.to_json();
    std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes())?;
    Ok(())
}

/// Reads the catalogue of the configured database.
///
/// # Errors
/// When it can't be reached or answers something unexpected.
async fn read(config: &BackendConfig) -> anyhow::Result<Catalog> {
    let connector = Connector::new(&config.database).context("cannot prepare the database connection")?;
    let server = connector.connect(Place::apart()).await;
    let mut server = server.context("cannot connect to the database")?;
    run(&mut server, queries::BEGIN).await?;
    run(&mut server, queries::EMPTY_PATH).await?;
    let about: Vec<About> = objects(&mut server, queries::ABOUT).await?;
    let about = about
        .into_iter()
        .next()
        .context("the database does not say what it is")?;
    let document = Document {
        version: FORMAT_VERSION,
        server_version: about.server_version,
        database: about.database,
        schemas: objects(&mut server, queries::SCHEMAS).await?,
        relations: objects(&mut server, queries::RELATIONS).await?,
        functions: objects(&mut server, queries::FUNCTIONS).await?,
        types: objects(&mut server, queries::TYPES).await?,
        operators: objects(&mut server, queries::OPERATORS).await?,
        casts: objects(&mut server, queries::CASTS).await?,
        foreign_keys: objects(&mut server, queries::FOREIGN_KEYS).await?,
    };
    run(&mut server, "COMMIT").await?;
    Ok(Catalog::new(document)?)
}

/// What the database says of itself.
#[derive(serde::Deserialize)]
struct About {
    server_version: u32,
    database: String,
}

/// The rows of a query whose only column is JSON.
async fn objects<T: DeserializeOwned>(server: &mut Server, sql: &str) -> anyhow::Result<Vec<T>> {
    let rows = run(server, sql).await?;
    let objects = rows.iter().map(|row| serde_json::from_slice(row));
    objects
        .collect::<Result<_, _>>()
        .context("the database describes itself in a way that is not understood")
}

/// Runs one statement; gives the first column of its rows.
async fn run(server: &mut Server, sql: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    postern_wire::put_query(&mut server.write, sql)?;
    let mut rows = Vec::new();
    let mut refused = None;
    loop {
        while let Some(frame) = backend_frame(&server.read, MESSAGE_BYTES)? {
            let length = frame.raw.len();
            let mut done = false;
            match decode_backend(&frame)? {
                BackendMessage::DataRow(row) => {
                    let first = row.columns().next().flatten();
                    rows.push(first.context("a row without a value")?.to_vec());
                }
                BackendMessage::ErrorResponse(fields) => {
                    let (code, message) = (fields.get(b'C'), fields.message());
                    refused = Some(format!("{} ({})", message.unwrap_or("?"), code.unwrap_or("?")));
                }
                BackendMessage::ReadyForQuery(status) => {
                    server.status = status;
                    done = true;
                }
                _ => {}
            }
            server.consume(length);
            if done {
                if let Some(refused) = refused {
                    bail!("the database refused to describe itself: {refused}");
                }
                return Ok(rows);
            }
        }
        if server.io(true).await? == Io::Closed {
            bail!("the database closed the connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> impl Iterator<Item = OsString> {
        let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        words.into_iter()
    }

    #[test]
    fn the_command_line_is_read() {
        assert!(is_wanted(words("b --config x --catalog")));
        assert!(!is_wanted(words("b --config x")));
        assert_eq!(config_file(words("b --catalog --config x")), Some("x".into()));
        assert_eq!(config_file(words("b --catalog")), None);
        assert_eq!(config_file(words("b --catalog --config")), None);
        assert_eq!(config_file(words("b --catalog --config x --ready-file y")), None);
    }
}
