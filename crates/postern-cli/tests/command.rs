//! The `postern` command as a person uses it, without anything running.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use postern_ledger::{Event, Ledger, Record};
use postern_types::{InstanceId, Stage};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const DATABASE: &str = "postgres://postern:sesame@127.0.0.1:5433/shop?sslmode=disable";

fn postern(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("POSTERN_PASSWORD")
        .output()
        .unwrap()
}

fn with_password(directory: &Path, password: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(arguments)
        .current_dir(directory)
        .env("POSTERN_PASSWORD", password)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn ring() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    out(&postern(files.path(), &["init", "ring", "--database", DATABASE]));
    files
}

#[test]
fn only_the_owner_may_read_a_ring() {
    let files = ring();
    let mut folders = vec![files.path().join("ring")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o077,
            0,
            "{}",
            folder.display()
        );
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "server.crt" {
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
                seen += 1;
            }
        }
    }
    assert!(seen > 25, "{seen} files");
}

#[test]
fn secrets_are_where_they_belong_and_nowhere_else() {
    let files = ring();
    let read = |name: &str| fs::read_to_string(files.path().join("ring").join(name)).unwrap();
    assert_eq!(read("keys/database/password"), "sesame\n");
    for stage in ["frontend", "query-validator", "backend", "response-validator"] {
        let config = read(&format!("{stage}.toml"));
        assert!(!config.contains("sesame"));
        let own = read(&format!("keys/link/{stage}/1.key"));
        assert!(!config.contains(own.trim()));
        assert!(!read(&format!("keys/link/{stage}/keys.toml")).contains(own.trim()));
        let names_database = config.contains("[database]");
        assert_eq!(names_database, stage == "backend", "{stage}");
    }
    let keys: std::collections::BTreeSet<String> =
        ["frontend", "query-validator", "backend", "response-validator"]
            .map(|stage| read(&format!("keys/link/{stage}/1.key")))
            .into();
    assert_eq!(keys.len(), 4, "two stages share a key");
}

#[test]
fn link_keys_turn_in_a_ring_that_is_down() {
    let files = ring();
    let rotate = |more: &[&str]| postern(files.path(), &[&["keys", "rotate", "ring"], more].concat());
    let told = out(&rotate(&[]));
    assert!(
        told.contains("keys of epoch 2") && told.contains("is not up here"),
        "{told}"
    );
    let backend = fs::read_to_string(files.path().join("ring/keys/link/backend/keys.toml")).unwrap();
    assert!(backend.contains("\nepoch = 2\n"), "{backend}");
    let told = out(&rotate(&["--step", "prepare", "--json"]));
    assert_eq!(told.trim(), r#"{"step":"prepare","epoch":3,"ring_is_up":false}"#);
    out(&rotate(&["--step", "switch", "--end-sessions"]));
    assert!(refused(&rotate(&["--step", "switch"]), 1).contains("no keys are prepared"));
    assert!(refused(&rotate(&["--grace", "1"]), 2).contains("5..="));
}

const USERS: [&str; 5] = [
    "admin",
    "frontend",
    "query-validator",
    "backend",
    "response-validator",
];

#[test]
fn what_signs_for_others_stays_with_the_operator() {
    for (method, own) in [
        ("jwt", "jwt"),
        ("nkey", "seed"),
        ("password", "password"),
        ("token", "token"),
    ] {
        let files = tempfile::tempdir().unwrap();
        let made = postern(
            files.path(),
            &["init", "ring", "--database", DATABASE, "--nats-auth", method],
        );
        out(&made);
        let warned = String::from_utf8(made.stderr)
            .unwrap()
            .contains("P2 does not hold");
        assert_eq!(warned, method == "token");
        let ring = files.path().join("ring");
        let names = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(ring.join(folder)).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let operator = names("keys/nats/operator");
        assert_eq!(operator.contains(&"operator.seed".to_owned()), method == "jwt");
        let mut secrets: Vec<String> = operator
            .iter()
            .filter(|name| name.ends_with(".seed") || name.ends_with(".key"))
            .map(|name| fs::read_to_string(ring.join("keys/nats/operator").join(name)).unwrap())
            .collect();
        for user in USERS {
            let folder = format!("keys/nats/{user}");
            let held = names(&folder);
            let servers = held.iter().filter(|name| name.ends_with(own)).count();
            assert_eq!(servers, if user == "admin" { 4 } else { 2 }, "{user}: {held:?}");
            for name in held
                .iter()
                .filter(|name| !name.ends_with("crt") && !name.ends_with("jwt"))
            {
                secrets.push(fs::read_to_string(ring.join(&folder).join(name)).unwrap());
            }
            if user != "admin" {
                let config = fs::read_to_string(ring.join(format!("{user}.toml"))).unwrap();
                assert!(
                    !config.contains("operator") && !config.contains("nats/admin"),
                    "{config}"
                );
            }
        }
        for hop in ["dirty-query", "clean-query", "dirty-resp", "clean-resp"] {
            for file in ["conf", "accounts.conf"] {
                let conf = fs::read_to_string(ring.join(format!("nats/{hop}.{file}"))).unwrap();
                assert!(
                    secrets.iter().all(|secret| !conf.contains(secret.trim())),
                    "{conf}"
                );
            }
        }
    }
}

#[test]
fn renewing_changes_the_jwts_and_revoking_one_users_keys() {
    let files = ring();
    let folder = files.path().join("ring/keys/nats");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let all = || USERS.map(|user| fs::read_dir(folder.join(user)).unwrap().count());
    let (count, jwt, seed) = (
        all(),
        read("backend/clean-query.jwt"),
        read("backend/clean-query.seed"),
    );
    out(&postern(files.path(), &["keys", "renew", "ring"]));
    assert_ne!(read("backend/clean-query.jwt"), jwt);
    assert_eq!(read("backend/clean-query.seed"), seed);
    assert_eq!(all(), count);

    let accounts = |hop: &str| {
        let file = files.path().join(format!("ring/nats/{hop}.accounts.conf"));
        fs::read_to_string(file).unwrap()
    };
    let before = (accounts("clean-query"), accounts("dirty-query"));
    let frontend = read("frontend/dirty-query.seed");
    out(&postern(
        files.path(),
        &["keys", "revoke", "backend", "--dir", "ring"],
    ));
    assert_ne!(read("backend/clean-query.seed"), seed);
    assert_ne!(accounts("clean-query"), before.0);
    assert_eq!(read("frontend/dirty-query.seed"), frontend);
    assert_eq!(accounts("dirty-query"), before.1);
    let nobody = postern(files.path(), &["keys", "revoke", "nobody", "--dir", "ring"]);
    assert!(refused(&nobody, 1).contains("response-validator"));

    let certificate = read("frontend/tls.crt");
    let authority = read("frontend/ca.crt");
    out(&postern(
        files.path(),
        &["keys", "renew", "ring", "--certificates"],
    ));
    assert_ne!(read("frontend/tls.crt"), certificate);
    assert_eq!(read("frontend/ca.crt"), authority);
}

#[test]
fn an_existing_ring_is_left_alone() {
    let files = ring();
    let key = fs::read(files.path().join("ring/keys/link/backend/1.key")).unwrap();
    let again = postern(files.path(), &["init", "ring", "--database", DATABASE]);
    assert!(refused(&again, 1).contains("not empty"));
    assert_eq!(
        fs::read(files.path().join("ring/keys/link/backend/1.key")).unwrap(),
        key
    );
    let left = fs::read_dir(files.path()).unwrap().count();
    assert_eq!(left, 1, "a draft was left behind");

    fs::create_dir(files.path().join("empty")).unwrap();
    out(&postern(
        files.path(),
        &["init", "empty", "--database", DATABASE, "--json"],
    ));
}

#[test]
fn users_come_and_go() {
    let files = ring();
    let dir = files.path();
    let added = with_password(
        dir,
        "pw",
        &[
            "user",
            "add",
            "zoë",
            "--roles",
            "app,owner",
            "--tenant",
            "7",
            "--dir",
            "ring",
        ],
    );
    out(&added);
    let again = with_password(
        dir,
        "pw",
        &["user", "add", "zoë", "--roles", "app", "--dir", "ring"],
    );
    assert!(refused(&again, 1).contains("--replace"));
    let nobody = with_password(
        dir,
        "pw",
        &["user", "add", "x", "--roles", "admin", "--dir", "ring"],
    );
    assert!(refused(&nobody, 1).contains("no role `admin`"));
    let list: serde_json::Value =
        serde_json::from_str(&out(&postern(dir, &["user", "list", "--dir", "ring", "--json"]))).unwrap();
    let expected =
        serde_json::json!({ "users": [{ "name": "zoë", "roles": ["app", "owner"], "tenant": "7" }] });
    assert_eq!(list, expected);
    assert!(
        !fs::read_to_string(dir.join("ring/users/users.toml"))
            .unwrap()
            .contains("pw\n")
    );
    out(&postern(dir, &["user", "remove", "zoë", "--dir", "ring"]));
    refused(&postern(dir, &["user", "remove", "zoë", "--dir", "ring"]), 1);
    assert_eq!(out(&postern(dir, &["user", "list", "--dir", "ring"])), "");
}

#[test]
fn a_verifier_of_postgresql_is_taken_over_as_it_is() {
    // Salt, stored key and server key of RFC 7677's example, in PostgreSQL's form.
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let files = ring();
    let arguments = [
        "user",
        "add",
        "old",
        "--roles",
        "app",
        "--dir",
        "ring",
        "--verifier",
        verifier,
    ];
    out(&postern(files.path(), &arguments));
    assert!(
        fs::read_to_string(files.path().join("ring/users/users.toml"))
            .unwrap()
            .contains(verifier)
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    let files = ring();
    assert_eq!(postern(files.path(), &["status", "ring"]).status.code(), Some(3));
    assert_eq!(
        postern(files.path(), &["status", "nowhere"]).status.code(),
        Some(1)
    );
    assert_eq!(postern(files.path(), &["dance"]).status.code(), Some(2));
    let bad = postern(
        files.path(),
        &["init", "r2", "--database", "postgres://u:sesame@h"],
    );
    let message = refused(&bad, 1);
    assert!(
        message.contains("database name is missing") && !message.contains("sesame"),
        "{message}"
    );
}

#[test]
fn every_command_explains_itself() {
    for command in [
        &["init"][..],
        &["up"],
        &["status"],
        &["user", "add"],
        &["user", "list"],
        &["audit", "verify"],
    ] {
        let help = out(&postern(Path::new("."), &[command, &["--help"]].concat()));
        assert!(help.contains("Usage: postern"), "{help}");
    }
    let help = out(&postern(Path::new("."), &["--help"]));
    assert!(help.contains("Examples:") && !help.contains("tether"));
}

/// The operator's records: action, result, and what it was about.
fn operators(files: &Path) -> Vec<String> {
    let tail = postern(files, &["audit", "tail", "ring", "--json", "-n", "100"]);
    let records = out(&tail);
    let records = records
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records
        .filter(|record| record["stage"] == "operator")
        .map(|record| {
            assert!(!record["actor"].as_str().unwrap().is_empty());
            format!("{} {} {}", record["action"], record["result"], record["objects"]).replace('"', "")
        })
        .collect()
}

#[test]
fn what_an_operator_does_is_recorded() {
    let files = ring();
    let in_ring = |arguments: &[&str]| out(&with_password(files.path(), "sesame", arguments));
    in_ring(&[
        "user", "add", "ann", "--roles", "app", "--tenant", "7", "--dir", "ring",
    ]);
    in_ring(&["user", "passwd", "ann", "--dir", "ring"]);
    in_ring(&["keys", "rotate", "ring"]);
    in_ring(&["keys", "renew", "ring"]);
    in_ring(&["keys", "revoke", "backend", "--dir", "ring"]);
    let unknown = postern(files.path(), &["keys", "revoke", "nobody", "--dir", "ring"]);
    refused(&unknown, 1);
    in_ring(&["user", "remove", "ann", "--dir", "ring"]);
    in_ring(&["firewall", "ring"]);
    // No stage has written a ledger yet.
    refused(
        &postern(files.path(), &["audit", "prune", "ring", "--keep-days", "400"]),
        1,
    );
    // Looking is no change.
    in_ring(&["user", "list", "--dir", "ring"]);
    refused(
        &postern(files.path(), &["user", "remove", "ann", "--dir", "ring"]),
        1,
    );
    assert_eq!(
        operators(files.path()),
        [
            "ring.init allowed null",
            "user.add allowed [ann,roles app,tenant 7]",
            "user.passwd allowed [ann]",
            "keys.rotate allowed [prepare]",
            "keys.rotate allowed [switch,grace 300 s,tickets 43200 s]",
            "keys.renew allowed [jwts]",
            "keys.revoke allowed [backend]",
            "keys.revoke allowed [nobody]",
            "keys.revoke failed [nobody]",
            "user.remove allowed [ann]",
            "firewall.write allowed null",
            "audit.prune allowed [older than 400 days]",
        ]
    );
    let shown = out(&postern(
        files.path(),
        &["audit", "query", "ring", "--action", "user.add"],
    ));
    assert!(
        shown.contains("action=user.add objects=\"ann, roles app, tenant 7\""),
        "{shown}"
    );
    let ledger = files.path().join("ring/audit/operator");
    for entry in fs::read_dir(&ledger).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("sesame"), "a password is recorded");
    }
    // The stages have no ledgers to sign yet.
    refused(&postern(files.path(), &["audit", "sign", "ring"]), 1);
    let verified = postern(files.path(), &["audit", "verify", "ring"]);
    let told = String::from_utf8(verified.stdout).unwrap();
    assert!(told.contains("operator: sound, 12 records"), "{told}");
    assert!(
        told.contains("operator: as it was signed, up to record 12"),
        "{told}"
    );
    // Who takes it away is found, and so is who takes its checkpoints away too.
    fs::remove_dir_all(&ledger).unwrap();
    for _ in 0..2 {
        let verified = postern(files.path(), &["audit", "verify", "ring"]);
        let told = String::from_utf8(verified.stdout).unwrap();
        assert!(told.contains("operator: NOT sound"), "{told}");
        let _ = fs::remove_file(files.path().join("ring/audit/checkpoints/operator.jsonl"));
    }
}

#[test]
fn what_can_not_be_recorded_is_not_done() {
    let files = ring();
    fs::write(files.path().join("ring/audit/operator/head"), "not a head").unwrap();
    let add = ["user", "add", "ann", "--roles", "app", "--dir", "ring"];
    let message = refused(&with_password(files.path(), "sesame", &add), 1);
    assert!(
        message.contains("nothing was done") && message.contains("audit/operator"),
        "{message}"
    );
    let users = out(&postern(files.path(), &["user", "list", "--dir", "ring"]));
    assert!(!users.contains("ann"), "{users}");
}
/// So many records of a stage, the first one of its start.
fn write_ledger(ring: &Path, stage: Stage, records: u64) {
    let directory = ring.join("audit").join(stage.name());
    let mut ledger = Ledger::open(&directory, stage, InstanceId([1; 16]), 1).unwrap();
    for exchange in 2..=records {
        ledger.append(&Record {
            exchange: Some(exchange),
            ..Record::at(exchange, Event::Exchange)
        });
    }
    ledger.commit().unwrap();
}

#[test]
fn status_says_how_far_each_collector_is_behind() {
    let files = ring();
    let ring = files.path().join("ring");
    let status = |arguments: &[&str]| {
        let output = postern(files.path(), &[&["status", "ring"], arguments].concat());
        assert_eq!(output.status.code(), Some(3), "not up");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(status(&[]), "not up\n");
    let sinks = "[sinks.siem]\nkind = 'syslog'\naddress = 'tcp://127.0.0.1:1'\n
[sinks.pager]\nkind = 'webhook'\nurl = 'http://127.0.0.1:2'\n
[sinks.vault]\nkind = 's3'\nendpoint = 'http://127.0.0.1:3'\n";
    fs::write(ring.join("sinks.toml"), sinks).unwrap();
    // Nothing was recorded yet but that the ring was made.
    assert_eq!(
        status(&[]),
        "not up\n  sink pager                  1 record behind\n  sink siem                   1 record behind\n"
    );
    write_ledger(&ring, Stage::Frontend, 9);
    write_ledger(&ring, Stage::Backend, 7);
    fs::create_dir_all(ring.join("audit/sent")).unwrap();
    let confirm = |frontend: u64, backend: u64| {
        let marks = format!(
            r#"{{"frontend":{{"number":{frontend},"hash":"ab"}},"backend":{{"number":{backend},"hash":"cd"}},"operator":{{"number":1,"hash":"ef"}}}}"#
        );
        fs::write(ring.join("audit/sent/siem.json"), marks).unwrap();
    };
    confirm(4, 7);
    assert_eq!(
        status(&[]),
        "not up\n  sink pager                 17 records behind\n  sink siem                   5 records behind\n"
    );
    let told: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    let ledgers = |frontend: [u64; 3], backend: [u64; 3], operator: [u64; 3]| {
        let of = |[committed, confirmed, behind]: [u64; 3]| serde_json::json!({ "committed": committed, "confirmed": confirmed, "behind": behind });
        serde_json::json!({
            "frontend": of(frontend), "query-validator": of([0; 3]), "backend": of(backend), "response-validator": of([0; 3]),
            "operator": of(operator)
        })
    };
    assert_eq!(
        told,
        serde_json::json!({
            "up": false, "status": null,
            "sinks": {
                "pager": { "behind": 17, "ledgers": ledgers([9, 0, 9], [7, 0, 7], [1, 0, 1]) },
                "siem": { "behind": 5, "ledgers": ledgers([9, 4, 5], [7, 7, 0], [1, 1, 0]) },
            }
        })
    );
    confirm(8, 7);
    assert!(status(&[]).contains("siem                   1 record behind\n"));
    // What a ledger does not have was not taken for nothing.
    confirm(9, 8);
    let told = status(&[]);
    assert!(
        told.contains("0 records behind; confirmed more than the ledger of backend has"),
        "{told}"
    );
    // A head that nobody can read says nothing.
    fs::write(ring.join("audit/backend/head"), "rubbish").unwrap();
    for arguments in [&["status", "ring"][..], &["status", "ring", "--json"]] {
        let told = refused(&postern(files.path(), arguments), 1);
        assert!(
            told.contains("can't tell how far the ledger of backend is"),
            "{told}"
        );
    }
}
