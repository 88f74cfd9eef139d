//! The text of the four `STAGE.toml` files and of the first policy.
//!
//! Written as text, not serialised, so that each file explains itself to the person who opens it.

use crate::certificate;
use crate::database_url::DatabaseUrl;
use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::init::Sandbox;
use crate::nats_auth::NatsAuth;
use postern_types::{Slot, Stage};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Folder of what the Backend reads when it connects to the database, relative to the ring's directory.
pub(crate) const DATABASE_FILES: &str = "keys/database";
/// The password of the Backend's login role.
pub(crate) const PASSWORD: &str = "keys/database/password";
/// Certificates of the authorities that may sign the database's.
pub(crate) const CA: &str = "keys/database/ca.crt";
/// The certificate that the database is shown.
pub(crate) const CERTIFICATE: &str = "keys/database/client.crt";
/// Its key.
pub(crate) const KEY: &str = "keys/database/client.key";
/// Where the Frontend has the key of the certificate that clients see. The certificate itself is elsewhere: the Query
/// Validator reads that folder, and must not see the key.
pub(crate) const CLIENTS_KEY: &str = "keys/frontend/server.key";

/// What the stages' configurations depend on.
pub(crate) struct Facts<'a> {
    pub(crate) listen: &'a str,
    pub(crate) frontend: &'a Slot,
    pub(crate) backend: &'a Slot,
    pub(crate) database: &'a DatabaseUrl,
    pub(crate) nats_urls: &'a BTreeMap<Hop, String>,
    pub(crate) sandbox: Sandbox,
    pub(crate) nats_auth: NatsAuth,
    pub(crate) nats_tls: bool,
}

/// The whole text of one stage's file.
pub(crate) fn stage_config(stage: Stage, facts: &Facts<'_>) -> String {
    let own = match stage {
        Stage::Frontend => frontend(facts),
        Stage::QueryValidator => query_validator(),
        Stage::Backend => backend(facts),
        Stage::ResponseValidator => response_validator(),
    };
    // Behind the first paragraph, which introduces the file, and before the first table.
    let (introduction, own) = own.split_once("\n\n").unwrap_or(("", &own));
    format!(
        "{introduction}\n\n{}\n{own}\n{}{}{}{}",
        sandbox(facts.sandbox),
        keys(stage),
        inlet(stage, facts),
        outlet(stage, facts),
        ledger(stage)
    )
}

fn sandbox(sandbox: Sandbox) -> String {
    format!(
        "# The stage gives up all files, ports and system calls but those it needs. required: it does not start where
# the kernel can't take them away; strict: and a system call that is not listed ends it; best-effort: it starts with a
# warning; off: it gives up nothing.
sandbox = \"{}\"
",
        sandbox.name()
    )
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn frontend(facts: &Facts<'_>) -> String {
    format!(
        "# Frontend: the only stage that clients reach. It holds no policy, no verifier and no route to the
# database. Paths are relative to this file.

slot = {slot}
backends = [{backend}]

# Where clients connect.
listen = {listen}

# Networks that clients may come from; others are refused before anything else.
client_networks = [\"0.0.0.0/0\", \"::/0\"]

# prefer: TLS when the client asks for it; require: no sign-in without TLS; disable: never.
tls_mode = \"prefer\"

# Whether a comment like /*traceparent='00-…-01'*/ at the beginning or end of a statement names the trace it belongs to.
# It decides nothing; all records of the exchange carry it.
# trace_comments = true

# The certificate that clients see, and its key. Put others there, and clients that connect from then on see them.
tls_certificate_file = \"tls/server.crt\"
tls_key_file = \"{key}\"
",
        slot = quoted(facts.frontend.as_str()),
        backend = quoted(facts.backend.as_str()),
        listen = quoted(facts.listen),
        key = CLIENTS_KEY,
    )
}

fn query_validator() -> String {
    "# Query Validator: decides who is who and what may run. No route to the database or to a client.
# Paths are relative to this file.

policy_directory = \"policy\"
users_file = \"users/users.toml\"

# The certificate clients see; SCRAM-SHA-256-PLUS binds a sign-in to it. Where the Frontend is on another machine, put
# a new one here first. The one before is good for so long (seconds).
tls_certificate_file = \"tls/server.crt\"
tls_certificate_grace_s = 300

# Makes an unknown user look like a wrong password. Keep it when you move the ring.
mock_secret_file = \"keys/mock.secret\"

# The key under which values are recorded as hashes, where the policy asks for that (`record_parameters: hash` for a role,
# `-- record: $1=hash` for a named statement). The Response Validator has the same.
record_key_file = \"keys/record.secret\"

# How long a signed-in session may last (seconds).
ticket_lifetime_s = 43200

# Who fails to sign in so often is locked out for lock_s, which doubles with each failure after that. A user who has
# signed in from an address before is counted there apart, so that nobody else can lock out an application.
[sign_in]
failures = 5
failures_of_address = 20
lock_s = 30
longest_lock_s = 900
forget_s = 3600
"
    .to_owned()
}

fn backend(facts: &Facts<'_>) -> String {
    let database = facts.database;
    let mut text = format!(
        "# Backend: the only stage that reaches PostgreSQL. Paths are relative to this file.

slot = {slot}
frontends = [{frontend}]

[database]
host = {host}
port = {port}
name = {name}
user = {user}
",
        slot = quoted(facts.backend.as_str()),
        frontend = quoted(facts.frontend.as_str()),
        host = quoted(&database.host),
        port = database.port,
        name = quoted(&database.name),
        user = quoted(&database.user),
    );
    if database.password.is_some() {
        text.push_str(
            "# A file, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }; a file is read for each connection.\n",
        );
        let _ = writeln!(text, "password_file = {}", quoted(PASSWORD));
    }
    let _ = writeln!(
        text,
        "
# disable, prefer, require or verify-full (which needs ca_file). With TLS, channel_binding = \"require\" keeps others
# from standing in between even where the certificate is not checked. certificate_file and key_file are shown to a
# database that asks for a certificate.
tls = {tls}
{files}channel_binding = {binding}

# transaction: a connection serves a session for one transaction; session: for its whole life.
pool_mode = \"transaction\"
pool_size = 40
statement_timeout_ms = 60000
idle_in_transaction_timeout_ms = 60000
connect_timeout_ms = 5000",
        tls = quoted(database.tls.name()),
        files = files_of_tls(database),
        binding = quoted(if database.channel_binding { "require" } else { "prefer" }),
    );
    text
}

/// Settings for the files that `init` has copied.
fn files_of_tls(database: &DatabaseUrl) -> String {
    let mut text = String::new();
    if database.ca_file.is_some() {
        let _ = writeln!(text, "ca_file = {}", quoted(CA));
    }
    if database.certificate.is_some() {
        let _ = writeln!(
            text,
            "certificate_file = {}\nkey_file = {}",
            quoted(CERTIFICATE),
            quoted(KEY)
        );
    }
    text
}

fn response_validator() -> String {
    "# Response Validator: decides what may come back. No route to the database or to a client.
# Paths are relative to this file.

# Rules about answers: responses.yaml of the policy directory, and origins.json beside it, if they are there. The keys
# are those of the mask `hash`, and of values that `record` asks for.
[answers]
policy_directory = \"policy\"
hash_key_file = \"keys/mask.secret\"
record_key_file = \"keys/record.secret\"
"
    .to_owned()
}

fn keys(stage: Stage) -> String {
    format!(
        "[keys]
# What this stage seals with and opens with; `postern keys rotate` writes it anew while the stage runs.
file = {}

",
        quoted(&RingDirectory::link_keys(stage).to_string_lossy())
    )
}

fn inlet(stage: Stage, facts: &Facts<'_>) -> String {
    let hop = Hop::read_by(stage);
    let consumer = match stage {
        Stage::Frontend => facts.frontend.as_str(),
        Stage::Backend => facts.backend.as_str(),
        Stage::QueryValidator | Stage::ResponseValidator => stage.name(),
    };
    format!(
        "\n# The stream this stage reads.\n[inlet]\n{}consumer = {}\n{}",
        nats_user(stage, hop, facts),
        quoted(consumer),
        credentials("inlet", stage, hop, facts)
    )
}

fn outlet(stage: Stage, facts: &Facts<'_>) -> String {
    let hop = Hop::written_by(stage);
    format!(
        "\n# The stream this stage writes.\n[outlet]\n{}{}",
        nats_user(stage, hop, facts),
        credentials("outlet", stage, hop, facts)
    )
}

fn nats_user(stage: Stage, hop: Hop, facts: &Facts<'_>) -> String {
    let url = facts.nats_urls.get(&hop).map(String::as_str).unwrap_or_default();
    format!(
        "url = {url}\nuser = {user}\nstream = {stream}\n",
        url = quoted(url),
        user = quoted(stage.name()),
        stream = quoted(hop.name()),
    )
}

/// How the stage signs in, and what both ends are known by. The files are read for each connection.
fn credentials(section: &str, stage: Stage, hop: Hop, facts: &Facts<'_>) -> String {
    let sign_in = facts.nats_auth.sign_in(hop, stage.name());
    let mut text = format!("\n[{section}.sign_in]\n{}", fields(&sign_in));
    if facts.nats_tls {
        let tls = certificate::of_user(hop, stage.name());
        let _ = write!(
            text,
            "\n# The server's certificate must be for this name, and both ends' of this CA.\n[{section}.tls]\n{}",
            fields(&tls)
        );
    }
    text
}

/// A flat structure as lines of TOML.
fn fields(value: &impl serde::Serialize) -> String {
    toml::to_string(value).unwrap_or_default()
}

fn ledger(stage: Stage) -> String {
    format!(
        "\n# The stage's own record of what it let through and what it refused.\n[ledger]\ndirectory = \"audit/{stage}\"\n
# What records survive before anything is handed on. process: the death of the stage; a power cut can take the last
# seconds. power: a power cut too; each group of records waits for the disk.
durability = \"process\"
# When the disk is full nothing goes on without a record. serve: records are dropped, and an alert says how many.
# on_full = \"serve\"\n"
    )
}

/// The policy a new ring starts with.
pub(crate) const FIRST_POLICY: &str =
    "# What may run, role by role. `postern user add NAME --roles app` gives a user a role.
# What this file does not allow is refused. A changed file is taken within two seconds; one with a mistake is not.
version: 1

roles:
  # An application: reads and writes rows of one schema, changes no definitions.
  app:
    mode: enforce
    # The PostgreSQL role taken on in the database. The login role of the Backend must be a member of it.
    database_role: app
    search_path: shop
    # set and show reach only settings that are harmless: time zone, date style, time-outs and the like. Many drivers
    # begin with one.
    statements: [select, insert, update, delete, transaction, set, show]
    schemas: [shop]
    # Names and types of tables, which psql's \\d and many drivers ask for. Leave it out to hide them.
    catalog: read

  # Migrations and administration: any statement its PostgreSQL role may run. Not for an application.
  owner:
    mode: open
    database_role: owner
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_toml_even_with_odd_names() {
        let database: DatabaseUrl = "postgres://o%22%5Cne:x@h/d%22b".parse().unwrap();
        let urls = Hop::ALL
            .into_iter()
            .map(|hop| (hop, "nats://127.0.0.1:1".to_owned()))
            .collect();
        let facts = Facts {
            listen: "127.0.0.1:6432",
            frontend: &"frontend-0".parse().unwrap(),
            backend: &"backend-0".parse().unwrap(),
            database: &database,
            nats_urls: &urls,
            sandbox: Sandbox::Required,
            nats_auth: NatsAuth::Jwt,
            nats_tls: true,
        };
        for stage in Stage::ALL {
            let table: toml::Table = stage_config(stage, &facts).parse().unwrap();
            assert_eq!(table["sandbox"].as_str(), Some("required"));
            for section in ["keys", "inlet", "outlet", "ledger"] {
                assert!(table.contains_key(section), "{stage} lacks [{section}]");
            }
            for hop in ["inlet", "outlet"] {
                assert_eq!(table[hop]["sign_in"]["method"].as_str(), Some("jwt"));
                let pinned = table[hop]["tls"]["server_name"].as_str().unwrap();
                assert_eq!(
                    pinned,
                    format!("{}.postern", table[hop]["stream"].as_str().unwrap())
                );
            }
        }
        let table: toml::Table = stage_config(Stage::Backend, &facts).parse().unwrap();
        assert_eq!(table["database"]["user"].as_str(), Some("o\"\\ne"));
    }
}
