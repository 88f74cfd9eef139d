//! Configuration of the NATS servers, and which version of the server is at hand.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::nats_auth::HopUser;
use anyhow::Context as _;
use postern_bus::jwt::AccountLimits;
use postern_bus::permission::{Permissions, reader_permissions, writer_permissions};
use postern_bus::server_conf::{MAX_SUBSCRIPTIONS, ServerSpec, ServerTls};
use postern_bus::{MAX_MESSAGE_BYTES, ServerVersion};
use postern_types::{Slot, Stage};
use std::path::Path;
use std::process::Command;

/// The NATS user that makes streams and consumers. Used by `postern up`, never by a stage.
pub const ADMIN_USER: &str = "admin";

/// The text of `nats/HOP.conf`. Paths in it are relative to the ring's directory, where the server is run.
pub(crate) fn server_config(hop: Hop, port: u16, limits: AccountLimits, tls: bool) -> String {
    let file = |extension| {
        RingDirectory::nats_server_file(hop, extension)
            .to_string_lossy()
            .into_owned()
    };
    let (certificate, key) = (file("crt"), file("key"));
    let ca = RingDirectory::nats_server_ca().to_string_lossy().into_owned();
    let accounts = RingDirectory::nats_accounts(hop);
    let spec = ServerSpec {
        name: &format!("postern-{hop}"),
        listen: &format!("127.0.0.1:{port}"),
        store_directory: &format!("nats/{hop}"),
        // The server looks for it beside its configuration.
        accounts_file: &accounts.file_name().unwrap_or_default().to_string_lossy(),
        limits,
        tls: tls.then_some(ServerTls {
            certificate_file: &certificate,
            key_file: &key,
            ca_file: &ca,
        }),
    };
    format!(
        "# NATS server of the hop {hop}: {writer} writes, {reader} reads, nobody else gets in.
# Paths are relative to the ring's directory, where `postern up` runs this server.

{conf}",
        writer = hop.writer(),
        reader = hop.reader(),
        conf = spec.to_conf()
    )
}

/// What a hop's server may use: enough for its users, and no more.
pub(crate) fn limits(hop: Hop, frontends: &[Slot], backends: &[Slot]) -> AccountLimits {
    let of_stage = |stage| match stage {
        Stage::Frontend => frontends.len(),
        Stage::Backend => backends.len(),
        Stage::QueryValidator | Stage::ResponseValidator => 1,
    };
    let users = of_stage(hop.writer())
        .saturating_add(of_stage(hop.reader()))
        .saturating_add(1);
    // A second connection each, while the first one is being made anew.
    let connections = u32::try_from(users.saturating_mul(2)).unwrap_or(u32::MAX);
    AccountLimits {
        connections,
        subscriptions: connections.saturating_mul(MAX_SUBSCRIPTIONS),
        payload_bytes: MAX_MESSAGE_BYTES,
        memory_bytes: 1 << 30,
        disk_bytes: 4 << 30,
        streams: 1,
        consumers: u32::try_from(hop.consumers(frontends, backends).len()).unwrap_or(u32::MAX),
    }
}

/// The names of the users of a hop's server.
pub(crate) fn user_names(hop: Hop) -> [&'static str; 3] {
    [ADMIN_USER, hop.writer().name(), hop.reader().name()]
}

/// The names of the users of all servers.
pub(crate) fn all_user_names() -> Vec<&'static str> {
    std::iter::once(ADMIN_USER)
        .chain(Stage::ALL.iter().map(|stage| stage.name()))
        .collect()
}

/// The users of a hop's server and what each may do.
///
/// # Errors
/// When a slot can't be part of a subject.
pub(crate) fn users(hop: Hop, frontends: &[Slot], backends: &[Slot]) -> anyhow::Result<[HopUser; 3]> {
    let mut reading = Permissions::default();
    for (consumer, _) in hop.consumers(frontends, backends) {
        reading = reading.and(reader_permissions(hop.reader().name(), hop.name(), &consumer)?);
    }
    let mut writing = Permissions::default();
    for subject in hop.subjects() {
        writing = writing.and(writer_permissions(hop.writer().name(), &subject)?);
    }
    let [admin, writer, reader] = user_names(hop);
    Ok([(admin, None), (writer, Some(writing)), (reader, Some(reading))]
        .map(|(name, permissions)| HopUser { name, permissions }))
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
        let (frontends, backends) = (["frontend-0".parse().unwrap()], ["backend-0".parse().unwrap()]);
        for hop in Hop::ALL {
            let [admin, writer, reader] = users(hop, &frontends, &backends).unwrap();
            assert_eq!((admin.name, admin.permissions.is_none()), (ADMIN_USER, true));
            for (user, stage) in [(writer, hop.writer()), (reader, hop.reader())] {
                let permissions = user.permissions.unwrap();
                assert_eq!(user.name, stage.name());
                assert_eq!(permissions.subscribe, [format!("_INBOX.{stage}.>")]);
                let own = |subject: &String| subject.split('.').any(|token| token == hop.name());
                assert!(permissions.publish.iter().all(own), "{hop}: {permissions:?}");
                assert!(!permissions.publish.iter().any(|subject| subject == ">"));
            }
        }
    }

    #[test]
    fn servers_offer_nothing_beyond_the_hop() {
        for tls in [true, false] {
            let limits = limits(Hop::CleanQuery, &[], &[]);
            let text = server_config(Hop::CleanQuery, 4000, limits, tls);
            assert!(text.contains("listen: \"127.0.0.1:4000\""));
            assert_eq!(text.contains("verify: true"), tls);
            for unwanted in [
                "http",
                "cluster",
                "leafnodes",
                "gateway",
                "websocket",
                "mqtt",
                "no_auth_user",
                "verify_and_map",
            ] {
                assert!(!text.contains(unwanted), "{unwanted}");
            }
        }
    }
}
