//! `postern-backend --config FILE --catalog`: prints `catalog.json` on standard output and exits. With `--survey` it
//! prints how the database guards itself, for `postern doctor`.
//!
//! It reads PostgreSQL's system catalogues with the Backend's own credentials, in one read-only transaction
//! with one snapshot and an empty search path, so that PostgreSQL writes every name with its schema. Nothing
//! of a client is involved, and no NATS server. Works with PostgreSQL 15 to 18.

mod queries;
mod survey;

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

/// What is to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Catalog,
    Survey,
}

/// Whether the command line asks for the catalogue or the survey.
pub fn is_wanted(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.any(|argument| argument == "--catalog" || argument == "--survey")
}

/// Does what `--catalog` or `--survey` asks for; exit codes as those of a stage.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    const USAGE: u8 = 2;
    if let Err(error) = postern_runtime::start_log() {
        eprintln!("{error}");
        return ExitCode::from(USAGE);
    }
    let Some((file, wanted)) = command_line(arguments) else {
        eprintln!("usage: postern-backend --config FILE --catalog|--survey");
        return ExitCode::from(USAGE);
    };
    match print(&file, wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command_line(mut arguments: impl Iterator<Item = OsString>) -> Option<(PathBuf, Wanted)> {
    let mut file = None;
    let mut wanted = None;
    arguments.next()?;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--config") => file = Some(PathBuf::from(arguments.next()?)),
            Some("--catalog") if wanted.is_none() => wanted = Some(Wanted::Catalog),
            Some("--survey") if wanted.is_none() => wanted = Some(Wanted::Survey),
            _ => return None,
        }
    }
    file.zip(wanted)
}

fn print(file: &Path, wanted: Wanted) -> anyhow::Result<()> {
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
    let text = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, read(&config, wanted))
            .await
            .context("the database took too long to describe itself")?
    })?;
    std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes())?;
    Ok(())
}

/// Reads what is wanted of the configured database.
///
/// # Errors
/// When it can't be reached or answers something unexpected.
async fn read(config: &BackendConfig, wanted: Wanted) -> anyhow::Result<String> {
    let connector = Connector::new(&config.database).context("cannot prepare the database connection")?;
    let server = connector.connect(Place::apart()).await;
    let mut server = server.context("cannot connect to the database")?;
    run(&mut server, queries::BEGIN).await?;
    run(&mut server, queries::EMPTY_PATH).await?;
    if wanted == Wanted::Survey {
        return Ok(survey::read(&mut server).await?.to_string());
    }
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
    Ok(Catalog::new(document)?.to_json())
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
        let read = |text| command_line(words(text));
        assert_eq!(
            read("b --catalog --config x"),
            Some(("x".into(), Wanted::Catalog))
        );
        assert_eq!(read("b --config x --survey"), Some(("x".into(), Wanted::Survey)));
        assert_eq!(read("b --catalog"), None);
        assert_eq!(read("b --catalog --config"), None);
        assert_eq!(read("b --catalog --survey --config x"), None);
        assert_eq!(read("b --catalog --config x --ready-file y"), None);
    }
}
