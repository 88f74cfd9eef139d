//! `postern doctor` against real rings with their databases: one as it comes, a hardened one, and the hardened one with
//! faults of many kinds, each of which it must name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::major_with_tls;
use postern_e2e::nats::hijack;
use postern_testkit::{Hop, NatsAuth, Options, Part, Ring, Stage};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// What the doctor said: status by name of the check, all lines, exit code.
struct Told {
    by_check: BTreeMap<String, String>,
    lines: Vec<String>,
    code: i32,
}

impl Told {
    fn status(&self, check: &str) -> &str {
        self.by_check.get(check).map_or("nothing", String::as_str)
    }

    fn failed(&self) -> Vec<&str> {
        let failed = self.by_check.iter().filter(|(_, status)| *status == "fail");
        failed.map(|(check, _)| check.as_str()).collect()
    }
}

fn doctor(ring: &Ring, strict: bool) -> Told {
    let mut command = Command::new(ring.postern());
    command.arg("doctor").arg(ring.directory()).arg("--json");
    if strict {
        command.arg("--strict");
    }
    let output = command.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = said["findings"].as_array().unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    for finding in findings {
        let mended = text(finding, "status") == "pass" || !text(finding, "mend").is_empty();
        assert!(mended, "{finding} does not say how to mend it");
    }
    Told {
        by_check: findings
            .iter()
            .map(|finding| (text(finding, "check"), text(finding, "status")))
            .collect(),
        lines: findings.iter().map(ToString::to_string).collect(),
        code: output.status.code().unwrap(),
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}", file.display());
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

fn add_user(ring: &Ring, name: &str, role: &str, password: &str) {
    let status = Command::new(ring.postern())
        .args(["user", "add", name, "--replace", "--roles", role, "--dir"])
        .arg(ring.directory())
        .env("POSTERN_PASSWORD", password)
        .status()
        .unwrap();
    assert!(status.success());
}

const POLICY: &str = "
version: 1
tenants: {column: tenant_id}
limits: {max_rows: 5000}
roles:
  app:
    mode: enforce
    database_role: app
    search_path: shop
    statements: [select, insert, update, delete, transaction, set, show]
    schemas: [shop]
    errors: code-and-message
    tenancy: rls
";

const HARDEN: &str = "
REVOKE owner FROM postern;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE a.attname = 'tenant_id' AND c.relkind = 'r' AND c.relnamespace = 'shop'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own ON %s USING (true)', t);
  END LOOP;
END $$;
";

/// What fails in a hardened ring on this machine, by name of the check, in the names' order.
fn excused() -> Vec<&'static str> {
    let mut excused = Vec::new();
    let server = postern_testkit::binaries::programs(None).unwrap().nats_server;
    let version = postern_cli::nats::version(&server).unwrap();
    if postern_bus::is_advised_against(version) {
        println!("the NATS server is {version}, which the doctor must advise against");
        excused.extend(["nats-running-version", "nats-version"]);
    }
    if major_with_tls().is_none() {
        println!("no PostgreSQL here speaks TLS, so the doctor must say that the connection has none");
        excused.push("tls-used");
    }
    excused
}

/// A ring in which nothing else fails.
async fn hardened(nats_auth: NatsAuth, nats_tls: bool) -> Ring {
    let ring = Ring::start(Options {
        nats_auth,
        nats_tls,
        policy: Some(POLICY.to_owned()),
        catalog: true,
        sql: Some(HARDEN.to_owned()),
        pg_major: major_with_tls().or(Options::default().pg_major),
        database_tls: major_with_tls().is_some(),
        database_settings: vec!["log_connections=on".to_owned()],
        config: vec![(Stage::Frontend, "tls_mode = \"require\"".to_owned())],
        ..Options::default()
    })
    .await
    .unwrap();
    let users = ring.directory().join("users/users.toml");
    fs::write(&users, "").unwrap();
    add_user(&ring, "app", "app", "correct horse battery staple");
    // What a stage of a test does without a kernel that can do it is not what is looked at here.
    for stage in Stage::ALL {
        let file = ring.directory().join(format!("{stage}.toml"));
        edit(&file, "sandbox = \"best-effort\"", "sandbox = \"required\"");
    }
    fs::write(ring.directory().join("policy/responses.yaml"), "version: 1\n").unwrap();
    for file in ["users/users.toml", "policy/responses.yaml"] {
        let file = ring.directory().join(file);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    ring
}

#[tokio::test]
async fn a_ring_as_it_comes_is_not_fit_for_production() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let told = doctor(&ring, false);
    assert_eq!(told.code, 1);
    for check in ["sandbox", "obvious-passwords", "tls-used"] {
        assert_eq!(told.status(check), "fail", "{check}: {:#?}", told.lines);
    }
    for check in ["client-tls", "open-roles", "catalog", "certificate-issuer"] {
        assert_eq!(told.status(check), "warn", "{check}: {:#?}", told.lines);
    }
    for check in [
        "stage-keys",
        "same-key",
        "peer-keys",
        "epochs",
        "certificate",
        "streams",
        "firewall",
        "nats-permissions",
        "nats-passwords",
        "nats-tls",
        "login-role",
        "login-owns",
        "roles-beyond",
        "ledgers",
        "policy",
    ] {
        assert_eq!(told.status(check), "pass", "{check}: {:#?}", told.lines);
    }
    let output = Command::new(ring.postern())
        .arg("doctor")
        .arg(ring.directory())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn nothing_fails_in_a_hardened_ring() {
    let ring = hardened(NatsAuth::Jwt, true).await;
    let told = doctor(&ring, false);
    let failed: Vec<&String> = told
        .lines
        .iter()
        .filter(|line| line.contains("\"fail\""))
        .collect();
    assert_eq!(told.failed(), excused(), "{failed:#?}");
    assert_eq!(told.code, i32::from(!excused().is_empty()));
    let output = Command::new(ring.postern())
        .arg("doctor")
        .arg(ring.directory())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    // The certificate signs itself, so there is something to look at.
    assert_eq!(doctor(&ring, true).code, 1);
    assert_eq!(told.status("grants"), "pass");
    assert_eq!(told.status("sinks"), "warn", "no collector is named");
    ring.database_sql("GRANT TRUNCATE ON shop.products TO app")
        .unwrap();
    let told = doctor(&ring, false);
    assert_eq!(told.status("grants"), "warn", "the policy lets nobody truncate");
}

#[tokio::test]
async fn every_planted_fault_is_named() {
    // Permissions and passwords are in the servers' files then, where faults can be planted.
    let ring = hardened(NatsAuth::Password, false).await;
    let at = |file: &str| ring.directory().join(file);
    // Keys, files, sandbox.
    fs::set_permissions(at("keys/link/frontend/1.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(at("policy/policy.yaml"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::copy(
        at("keys/link/backend/1.key"),
        at("keys/link/response-validator/1.key"),
    )
    .unwrap();
    edit(&at("keys/link/backend/keys.toml"), "epoch = 1", "epoch = 2");
    edit(
        &at("frontend.toml"),
        "sandbox = \"required\"",
        "sandbox = \"off\"",
    );
    // TLS and users.
    let other = Command::new(ring.postern())
        .args(["init", "--database", "postgres://a:b@127.0.0.1/c"])
        .arg(ring.files().join("other"))
        .output()
        .unwrap();
    assert!(other.status.success());
    fs::copy(
        ring.files().join("other/keys/frontend/server.key"),
        at("tls/server.key"),
    )
    .unwrap();
    edit(&at("frontend.toml"), "keys/frontend/server.key", "tls/server.key");
    edit(
        &at("frontend.toml"),
        "tls_mode = \"require\"",
        "tls_mode = \"prefer\"",
    );
    add_user(&ring, "bob", "app", "bob");
    // The network.
    let rules = Command::new(ring.postern())
        .arg("firewall")
        .arg(ring.directory())
        .output()
        .unwrap();
    assert!(
        rules.status.success(),
        "{}",
        String::from_utf8_lossy(&rules.stderr)
    );
    edit(&at("frontend.toml"), "0.0.0.0/0", "10.0.0.0/8");
    // Policy.
    edit(&at("policy/policy.yaml"), "mode: enforce", "mode: learn");
    fs::write(
        at("policy/responses.yaml"),
        "version: 1\nmasks:\n  - {column: shop.customers.card_number, mask: hash}\n",
    )
    .unwrap();
    fs::remove_file(at("keys/mask.secret")).unwrap();
    // NATS: files, and a server that runs.
    let conf = at("nats/dirty-query.conf");
    edit(&conf, "server_name:", "http_port: 8222\nserver_name:");
    let users = at("nats/dirty-query.accounts.conf");
    edit(&users, "publish: { allow: [\"", "publish: { allow: [\">\", \"");
    edit(&users, "password: \"$2", "password: \"in clear, not $2");
    edit(
        &at("nats/clean-resp.conf"),
        "listen: \"127.0.0.1:",
        "listen: \"0.0.0.0:",
    );
    let mut nats = hijack(&ring, "clean-query", "_INBOX.x").await;
    nats.publish("$JS.API.CONSUMER.DELETE.clean-query.backend-0", b"")
        .await
        .unwrap();
    nats.gather_for(std::time::Duration::from_millis(300))
        .await
        .unwrap();
    // The database.
    for sql in [
        "ALTER ROLE postern BYPASSRLS",
        "GRANT pg_read_all_data TO postern",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "ALTER TABLE shop.orders NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE shop.customers OWNER TO app",
        "CREATE TABLE shop.later (id int)",
        "ALTER ROLE postern SET password_encryption = 'md5'",
    ] {
        ring.database_sql(sql).unwrap();
    }
    // A ledger of a stage that has stopped, so that nothing is written meanwhile.
    ring.stop(Part::Stage(Stage::ResponseValidator));
    let ledger = fs::read_dir(at("audit/response-validator")).unwrap();
    let mut files: Vec<_> = ledger.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    let first = files.iter().min().expect("a ledger has files");
    edit(first, "stage.start", "stage.stort");

    let told = doctor(&ring, false);
    for line in &told.lines {
        println!("{line}");
    }
    assert_eq!(told.code, 1);
    for check in [
        "secret-files",
        "writable-files",
        "same-key",
        "peer-keys",
        "epochs",
        "sandbox",
        "certificate",
        "certificate-key",
        "obvious-passwords",
        "learn-mode",
        "mask-key",
        "nats-monitoring",
        "nats-permissions",
        "nats-listen",
        "firewall",
        "streams",
        "login-role",
        "roles-beyond",
        "public-create",
        "row-security",
        "tenant-owners",
        "catalog",
        "password-encryption",
        "ledgers",
    ] {
        assert_eq!(told.status(check), "fail", "{check} was not found");
    }
    assert_eq!(told.status("client-tls"), "warn");
    assert_eq!(told.status("nats-passwords"), "warn");
    let streams: Vec<&String> = told
        .lines
        .iter()
        .filter(|line| line.contains("consumer backend-0 is missing"))
        .collect();
    assert!(
        streams.len() == 1 && streams[0].contains(Hop::CleanQuery.name()),
        "{streams:?}"
    );
}
