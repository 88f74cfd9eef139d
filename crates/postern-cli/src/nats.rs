//! Configuration of the NATS servers, and which version of the server is at hand.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use anyhow::Context as _;
use postern_bus::permission::{Permissions, reader_permissions, writer_permissions};
use postern_bus::{MAX_MESSAGE_BYTES, ServerVersion};
use postern_types::{Slot, Stage};
use std::path::Path;
use std::process::Command;

/// The NATS user that makes streams and consumers. Used by `postern up`, never by a stage.
pub const ADMIN_USER: &str = "admin";

/// The passwords of a server's three users.
pub(crate) struct Passwords {
    pub(crate) admin: String,
    pub(crate) writer: String,
    pub(crate) reader: String,
}

/// Text of `nats/HOP.conf`. Paths in it are relative to the ring's directory, where the server is run.
///
/// # Errors
/// When a slot can't be part of a subject.
pub(crate) fn server_config(
    hop: Hop,
    port: u16,
    frontends: &[Slot],
    backends: &[Slot],
    passwords: &Passwords,
) -> anyhow::Result<String> {
    let mut reading = Permissions::default();
    for (consumer, _) in hop.consumers(frontends, backends) {
        reading = reading.and(reader_permissions(hop.reader().name(), hop.name(), &consumer)?);
    }
    let mut writing = Permissions::default();
    for subject in hop.subjects() {
        writing = writing.and(writer_permissions(hop.writer().name(), &subject)?);
    }
    let stage_user = |stage: Stage, password: &str, permissions: &Permissions| {
        format!(
            "      {{ user: \"{stage}\", password: \"{password}\",\n        permissions: {} }}\n",
            permissions.to_nats_conf()
        )
    };
    Ok(format!(
        "# NATS server of the hop {hop}: {writer} writes, {reader} reads, nobody else gets in.
# Paths are relative to the ring's directory, where `postern up` runs this server.

server_name: \"postern-{hop}\"
listen: \"127.0.0.1:{port}\"

# Room for the largest PostgreSQL message that a stage lets through, sealed (bytes).
max_payload: {MAX_MESSAGE_BYTES}
max_pending: 67108864
max_connections: 256

jetstream {{
  store_dir: \"nats/{hop}\"
  max_memory_store: 1073741824
  max_file_store: 4294967296
}}

accounts {{
  RING {{
    jetstream: enabled
    users: [
      # Makes the stream and its consumers.
      {{ user: \"{ADMIN_USER}\", password: \"{admin}\" }}
{writer_user}{reader_user}    ]
  }}
}}
",
        writer = hop.writer(),
        reader = hop.reader(),
        admin = passwords.admin,
        writer_user = stage_user(hop.writer(), &passwords.writer, &writing),
        reader_user = stage_user(hop.reader(), &passwords.reader, &reading),
    ))
}

/// Files that `init` writes a password to: (user, path relative to the ring's directory).
pub(crate) fn password_files(hop: Hop) -> [(String, std::path::PathBuf); 3] {
    [ADMIN_USER, hop.writer().name(), hop.reader().name()]
        .map(|user| (user.to_owned(), RingDirectory::nats_password(hop, user)))
}

/// Asks a `nats-server` binary for its version.
///
/// # Errors
/// When it can't be run or answers something else.
pub fn version(nats_server: &Path) -> anyhow::Result<ServerVersion> {
    let output = Command::new(nats_server)
        .arg("--version")
        .output()
        .with_context(|| format!("can't run {}", nats_server.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .find_map(ServerVersion::parse)
        .with_context(|| format!("{} --version printed no version", nats_server.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_get_their_own_subjects_and_nothing_more() {
        let passwords = Passwords {
            admin: "pa".to_owned(),
            writer: "pw".to_owned(),
            reader: "pr".to_owned(),
        };
        let (frontend, backend) = ("frontend-0".parse().unwrap(), "backend-0".parse().unwrap());
        for hop in Hop::ALL {
            let text = server_config(
                hop,
                4000,
                std::slice::from_ref(&frontend),
                std::slice::from_ref(&backend),
                &passwords,
            )
            .unwrap();
            assert!(text.contains("listen: \"127.0.0.1:4000\""));
            assert!(!text.contains("\">\""), "{hop} lets a user listen to everything");
            for stage in Stage::ALL {
                let named = text.contains(&format!("user: \"{stage}\""));
                assert_eq!(named, stage == hop.reader() || stage == hop.writer());
            }
        }
    }
}
