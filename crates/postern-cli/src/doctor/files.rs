//! Who may read and change the files of a ring.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bits by which anybody but the owner may do anything.
const OTHERS: u32 = 0o077;
/// ... may change something.
const OTHERS_WRITE: u32 = 0o022;
/// Directories with nothing in them for others.
const SECRET: [&str; 6] = ["keys", "keys/link", "keys/nats", "users", "nats", "tls"];
/// Directories that others may read if the operator likes.
const OPEN: [&str; 3] = ["policy", "audit", "run"];
/// Files of such a directory that are looked at; ledgers grow without end.
const MOST: usize = 2000;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let root = ring.ring.path();
    let mut open = Vec::new();
    let mut writable = Vec::new();
    let mut foreign = Vec::new();
    let owner = fs::metadata(root).map(|meta| meta.uid());
    let mut look = |path: &Path, forbidden: u32, found: &mut Vec<String>| {
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        match fs::symlink_metadata(path) {
            // What a link leads to is looked at where it is.
            Ok(meta) if meta.file_type().is_symlink() => {}
            Ok(meta) => {
                let mode = meta.permissions().mode() & 0o777;
                if mode & forbidden != 0 {
                    found.push(format!("{shown} has mode {mode:03o}"));
                }
                if owner.as_ref().is_ok_and(|owner| *owner != meta.uid()) {
                    foreign.push(format!("{shown} belongs to user {}", meta.uid()));
                }
            }
            Err(error) => found.push(format!("{shown}: {error}")),
        }
    };
    look(root, OTHERS_WRITE, &mut writable);
    for name in SECRET {
        let directory = root.join(name);
        look(&directory, OTHERS, &mut open);
        for file in inside(&directory) {
            let is_public = file
                .extension()
                .is_some_and(|extension| extension == "crt" || extension == "pem")
                && !file.to_string_lossy().contains("key");
            look(&file, if is_public { OTHERS_WRITE } else { OTHERS }, &mut open);
        }
    }
    for name in OPEN {
        let directory = root.join(name);
        look(&directory, OTHERS_WRITE, &mut writable);
        for file in inside(&directory) {
            look(&file, OTHERS_WRITE, &mut writable);
        }
    }
    for file in inside(root) {
        if file.extension().is_some_and(|extension| extension == "toml") {
            look(&file, OTHERS_WRITE, &mut writable);
        }
    }
    let mut section = report.about(Area::Compliance);
    section.each(
        "secret-files",
        Status::Fail,
        &open,
        "chmod -R go= on them, and change what others could have read",
        "only their owner reaches keys, users, NATS configuration and TLS key",
    );
    section.each(
        "writable-files",
        Status::Fail,
        &writable,
        "chmod -R go-w on them, and look at what they say",
        "only their owner may change configuration, policy and ledgers",
    );
    section.each(
        "file-owners",
        Status::Warn,
        &foreign,
        "chown them to the user that runs the ring",
        "all files belong to one user",
    );
}

/// The entries of a directory, two levels deep at most.
fn inside(directory: &Path) -> Vec<PathBuf> {
    let entries = |directory: &Path| -> Vec<PathBuf> {
        let read = fs::read_dir(directory).into_iter().flatten();
        read.flatten().map(|entry| entry.path()).take(MOST).collect()
    };
    let mut all = entries(directory);
    // JetStream's store is below nats/, ledgers below audit/STAGE.
    let below: Vec<PathBuf> = all
        .iter()
        .filter(|path| path.is_dir() && !path.is_symlink())
        .flat_map(|path| entries(path))
        .filter(|path| path.is_file())
        .collect();
    all.retain(|path| path.is_file() || path.is_symlink());
    all.extend(below);
    all
}
