//! `postern catalog`: writes `policy/catalog.json`, against which names in statements are resolved.
//!
//! It runs the Backend, which alone can sign in to the database, and reads what that prints.

use crate::console::say;
use crate::directory::RingDirectory;
use crate::operator;
use crate::secret_file;
use anyhow::{Context as _, bail};
use clap::Args;
use postern_catalog::{Catalog, Changes, Relation};
use postern_types::Stage;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// Names of changed objects that are shown.
const SHOWN: usize = 10;

/// Describe the database in policy/catalog.json, and its columns in policy/origins.json.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  postern catalog ring

Run it again whenever tables, views or functions have changed, and review what it says.")]
pub struct CatalogArgs {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes the catalogue of a ring's database.
///
/// # Errors
/// When the Backend can't read it, or the file can't be written.
pub fn run(args: &CatalogArgs) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    let text = read_database(&ring)?;
    let catalog = Catalog::from_json(&text).context("what the Backend says of the database")?;
    let file = ring.catalog_file();
    let before = match fs::read(&file) {
        // One that can't be read any more is as good as none.
        Ok(old) => Catalog::from_json(&old).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("can't read {}", file.display())),
    };
    operator::recorded(&ring, "catalog.write", &[], || write(&ring, &catalog))?;
    say!("Wrote {}: {}.", file.display(), found(&catalog));
    match before {
        None => say!("There was none before."),
        Some(before) => say!("{}", told(&catalog.changes_since(&before))),
    }
    Ok(ExitCode::SUCCESS)
}

fn write(ring: &RingDirectory, catalog: &Catalog) -> anyhow::Result<()> {
    let origins = postern_policy::origins(catalog).to_json();
    for (file, text) in [
        (ring.catalog_file(), catalog.to_json()),
        (ring.origins_file(), origins),
    ] {
        secret_file::write(&file, &text).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

fn read_database(ring: &RingDirectory) -> anyhow::Result<Vec<u8>> {
    let own = std::env::current_exe().context("can't find out where this program is")?;
    let beside = own.parent().map(PathBuf::from).unwrap_or_default();
    let directory = ring.ring_config()?.stage_directory.unwrap_or(beside);
    let backend = directory.join(format!("postern-{}", Stage::Backend));
    let output = Command::new(&backend)
        .arg("--config")
        .arg(ring.stage_config_file(Stage::Backend))
        .arg("--catalog")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("can't run {}", backend.display()))?;
    if !output.status.success() {
        bail!("the Backend could not read the database's catalogues");
    }
    Ok(output.stdout)
}

/// What is in the database beside PostgreSQL's own objects.
fn found(catalog: &Catalog) -> String {
    let is_own = |schema: &str| !matches!(schema, "pg_catalog" | "information_schema");
    let relations: Vec<&Relation> = catalog.relations().filter(|r| is_own(&r.schema)).collect();
    let views = relations.iter().filter(|r| r.kind.is_view()).count();
    let functions = catalog
        .document()
        .functions
        .iter()
        .filter(|f| is_own(&f.schema))
        .count();
    let version = catalog.document().server_version;
    format!(
        "{} relations, {views} of them views, and {functions} functions in database {} (PostgreSQL {}.{})",
        relations.len(),
        catalog.database(),
        version / 10_000,
        version % 10_000,
    )
}

fn told(changes: &Changes) -> String {
    if changes.is_empty() {
        return "Nothing has changed since the last one.".to_owned();
    }
    let kinds = [
        ("new", &changes.added),
        ("gone", &changes.removed),
        ("changed", &changes.changed),
    ];
    let lines = kinds
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| {
            let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
            let more = names.len().saturating_sub(shown.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!("Since the last one {kind}: {}{more}.", shown.join(", "))
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_short() {
        let many: Vec<String> = (0..12).map(|n| format!("table t{n}")).collect();
        let changes = Changes {
            added: many,
            removed: Vec::new(),
            changed: vec!["view v".to_owned()],
        };
        let told = told(&changes);
        assert!(
            told.contains("new: table t0, ") && told.contains("t9 and 2 more."),
            "{told}"
        );
        assert!(
            told.contains("changed: view v.") && !told.contains("gone"),
            "{told}"
        );
        assert_eq!(
            super::told(&Changes::default()),
            "Nothing has changed since the last one."
        );
    }
}
