//! The inputs that fuzzing begins with, made by the project's own encoders.

use postern_types::ring::{Answer, Clean, CleanBody, Dirty, DirtyBody, Request, RequestBody};
use postern_types::{AnswerState, InstanceId, Slot, StateDigest, body};
use postern_wire::{Field, Severity, Target, TransactionStatus};
use serde::Serialize;
use std::path::PathBuf;
use std::{env, fs};

/// Writes the seeds of `target` to the directory that the environment variable `POSTERN_FUZZ_SEEDS` names. Done by
/// each target before it reads its corpus, so that no binary files have to be kept with the source.
pub fn write(target: &str) {
    let Some(directory) = env::var_os("POSTERN_FUZZ_SEEDS").map(PathBuf::from) else {
        return;
    };
    for (number, seed) in of(target).iter().enumerate() {
        fs::write(directory.join(format!("seed-{number}")), seed)
            .expect("the directory of seeds is writable");
    }
}

/// The seeds of one target.
fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "wire_frontend" => frontend(),
        "wire_startup" => startup(),
        "wire_backend" => backend(),
        "envelope" => envelope(),
        "ring_bodies" => ring_bodies(),
        "answers" => answers(),
        "scram" => scram(),
        "config" => config(),
        other => panic!("target {other} has no seeds"),
    }
}

fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

const MADE: &str = "a seed can be written";

fn frontend() -> Vec<Vec<u8>> {
    let bind = [
        0, 1, 0, 1, 0, 2, 0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 1,
    ];
    vec![
        made(|o| postern_wire::put_query(o, "SELECT 1").expect(MADE)),
        made(|o| {
            postern_wire::put_parse(o, "s", "SELECT $1", [23, 25]).expect(MADE);
            postern_wire::put_bind(o, "p", "s", &bind).expect(MADE);
            postern_wire::put_describe(o, Target::Portal, "p").expect(MADE);
            postern_wire::put_execute(o, "p", 10).expect(MADE);
            postern_wire::put_close(o, Target::Statement, "s").expect(MADE);
            postern_wire::put_flush(o);
            postern_wire::put_sync(o);
        }),
        made(|o| {
            postern_wire::put_copy_data(o, b"1\t2\n").expect(MADE);
            postern_wire::put_copy_done(o);
            postern_wire::put_copy_fail(o, "enough").expect(MADE);
            postern_wire::put_terminate(o);
        }),
        made(|o| {
            postern_wire::put_sasl_initial(o, "SCRAM-SHA-256", b"n,,n=,r=abc").expect(MADE);
            postern_wire::put_password(o, "pw").expect(MADE);
        }),
        b"F\0\0\0\x05x".to_vec(),
    ]
}

fn startup() -> Vec<Vec<u8>> {
    let pairs = [
        ("user", "app"),
        ("database", "demo"),
        ("application_name", "psql"),
        ("options", r"-c search_path=a\ b --work-mem=1 -cx=y"),
        ("replication", "false"),
        ("_pq_.new", "1"),
    ];
    vec![
        made(|o| postern_wire::put_startup(o, 0, &pairs).expect(MADE)),
        made(|o| postern_wire::put_startup(o, 2, &pairs[..1]).expect(MADE)),
        made(|o| postern_wire::put_cancel(o, 1, &[7; 32]).expect(MADE)),
        made(postern_wire::put_ssl_request),
        b"\0\0\0\x08\x04\xd2\x16\x30".to_vec(),
    ]
}

fn backend() -> Vec<Vec<u8>> {
    let code = postern_types::SqlState::SYNTAX_ERROR;
    let field = Field {
        name: "id",
        table_oid: 16_384,
        column: 1,
        type_oid: 23,
        size: 4,
        modifier: -1,
        format: 0,
    };
    vec![
        made(|o| {
            postern_wire::put_sasl(o, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
            postern_wire::put_sasl_continue(o, b"r=x");
            postern_wire::put_sasl_final(o, b"v=x");
            postern_wire::put_authentication_ok(o);
            postern_wire::put_negotiate_protocol_version(o, 2, &["_pq_.new".to_owned()]);
            postern_wire::put_parameter_status(o, "server_version", "18");
            postern_wire::put_backend_key_data(o, 1, &[1; 32]);
            postern_wire::put_ready(o, TransactionStatus::Idle);
        }),
        made(|o| {
            postern_wire::put_parse_complete(o);
            postern_wire::put_bind_complete(o);
            postern_wire::put_parameter_description(o, [23]).expect(MADE);
            postern_wire::put_row_description(o, [field, field]).expect(MADE);
            postern_wire::put_data_row(o, [Some(&b"1"[..]), None]).expect(MADE);
            postern_wire::put_command_complete(o, "SELECT 1");
            postern_wire::put_no_data(o);
            postern_wire::put_portal_suspended(o);
        }),
        made(|o| {
            postern_wire::put_error(o, Severity::Error, code, "no", Some(3));
            postern_wire::put_notice(o, Severity::Warning, code, "well");
            postern_wire::put_notification(o, 1, "channel", "payload");
            postern_wire::put_copy_in_response(o, false, 2);
            postern_wire::put_copy_out_response(o, true, 1);
        }),
    ]
}

fn answers() -> Vec<Vec<u8>> {
    let field = |name| Field {
        name,
        table_oid: 16_384,
        column: 1,
        type_oid: 25,
        size: -1,
        modifier: -1,
        format: 0,
    };
    let values = [
        "4111 1111 1111 1111",
        "{\"a\": [{\"tenant_id\": 7}]}",
        "{\"tenant\\u005fid\": 8}",
        "DE89 3704 0044 0532 0130 00",
        "ann@example.org",
        "bait-4711",
        "T-1234",
        "7",
    ];
    let rows = |o: &mut Vec<u8>| {
        postern_wire::put_row_description(o, [field("v"), field("tenant_id")]).expect(MADE);
        for value in values {
            postern_wire::put_data_row(o, [Some(value.as_bytes()), Some(&b"7"[..])]).expect(MADE);
        }
        postern_wire::put_command_complete(o, "SELECT 8");
    };
    let copied = |kind: u8, separator: u8| {
        made(|o| {
            o.push(kind);
            postern_wire::put_copy_out_response(o, kind == 5, 2);
            for value in values {
                let line = [value.as_bytes(), &[separator, b'7', b'\n']].concat();
                postern_wire::put_copy_data(o, &line).expect(MADE);
            }
            postern_wire::put_copy_done(o);
            postern_wire::put_command_complete(o, "COPY 8");
            postern_wire::put_ready(o, TransactionStatus::Idle);
        })
    };
    vec![
        made(|o| {
            o.push(0);
            rows(o);
            rows(o);
            postern_wire::put_ready(o, TransactionStatus::Idle);
        }),
        made(|o| {
            o.push(1);
            rows(o);
            postern_wire::put_ready(o, TransactionStatus::Idle);
        }),
        made(|o| {
            o.push(2);
            postern_wire::put_parse_complete(o);
            postern_wire::put_bind_complete(o);
            rows(o);
            postern_wire::put_ready(o, TransactionStatus::Idle);
        }),
        copied(3, b'\t'),
        copied(4, b','),
        copied(5, 0),
    ]
}

fn envelope() -> Vec<Vec<u8>> {
    let envelope = [b"PEV\x01\x01".to_vec(), vec![0; 100]].concat();
    let batch = [
        vec![0, 0, 0, 105],
        envelope.clone(),
        vec![0, 0, 0, 105],
        envelope.clone(),
    ]
    .concat();
    vec![envelope, batch]
}

fn with_kind(kind: u8, head: &impl Serialize, tail: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    body::encode(head, &[tail], &mut out).expect(MADE);
    out
}

fn ring_bodies() -> Vec<Vec<u8>> {
    let slot = |name: &str| name.parse::<Slot>().expect("a slot");
    let digest: StateDigest = [3; 16];
    let request = Request {
        frontend: slot("frontend-0"),
        backend: slot("backend-0"),
        body: RequestBody::Exchange {
            ticket: vec![1; 8],
            definitions: vec![],
            trace: None,
        },
    };
    let clean = Clean {
        frontend: slot("frontend-0"),
        body: CleanBody::Heartbeat {
            instance: InstanceId([1; 16]),
        },
    };
    let dirty = Dirty {
        frontend: slot("frontend-0"),
        body: DirtyBody::Part {
            contract: vec![1; 8],
            state: AnswerState::default(),
            unsolicited: false,
            steps: None,
            since_us: 0,
        },
    };
    let answer = Answer::Part {
        before: Some(digest),
        after: digest,
        parsed: 1,
        sent_bytes: 6,
        copy_in: false,
        last: true,
        hang_up: false,
    };
    let mut seeds = vec![
        with_kind(0, &request, b"S\0\0\0\x04"),
        with_kind(1, &clean, b""),
        with_kind(2, &dirty, b"Z\0\0\0\x05I"),
        with_kind(3, &answer, b"Z\0\0\0\x05I"),
        with_kind(7, &AnswerState::default(), b""),
    ];
    // Nothing but zeros is a valid start of the others.
    seeds.extend((4..=6).map(|kind| [vec![kind, 0, 0, 0, 40], vec![0; 40]].concat()));
    seeds
}

fn scram() -> Vec<Vec<u8>> {
    let verifier = postern_scram::Verifier::from_password("pencil", b"salt and pepper.", 1).expect(MADE);
    vec![
        b"\x00n,,n=,r=clientNONCE".to_vec(),
        b"\x01p=tls-server-end-point,,n=,r=clientNONCE,x=y".to_vec(),
        b"\x02c=biws,r=clientNONCEserverNONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec(),
        b"\x03r=clientNONCEserverNONCE,s=c2FsdA==,i=9".to_vec(),
        b"\x03v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec(),
        format!("\x04{verifier}").into_bytes(),
        b"\x05\x30\x13\x30\x01\x00\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x02\x00\x00".to_vec(),
    ]
}

fn config() -> Vec<Vec<u8>> {
    let verifier = "SCRAM-SHA-256$1:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let common = r#"
[keys]
file = "k"
[inlet]
url = "nats://127.0.0.1:4222"
user = "u"
sign_in = { method = "password", password_file = "p" }
stream = "s"
consumer = "c"
[outlet]
url = "nats://127.0.0.1:4222"
user = "u"
sign_in = { method = "password", password_file = "p" }
stream = "s"
[ledger]
directory = "l"
"#;
    let file = |kind: u8, own: &str, last: &str| {
        [&[kind], own.as_bytes(), common.as_bytes(), last.as_bytes()].concat()
    };
    let alone = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    let frontend = "slot = \"frontend-0\"\nbackends = [\"backend-0\"]\nlisten = \"127.0.0.1:6432\"\ntls_mode = \"require\"\n";
    let query_validator =
        "policy_directory = \"p\"\nusers_file = \"u\"\nmock_secret_file = \"m\"\nticket_lifetime_s = 9\n";
    let backend = "slot = \"backend-0\"\nfrontends = [\"frontend-0\"]\n";
    let database = "[database]\nhost = \"h\"\nname = \"n\"\nuser = \"u\"\npassword_file = \"p\"\ntls = \"verify-full\"\npool_mode = \"session\"\n";
    vec![
        file(0, frontend, "[limits]\nsessions = 10\n"),
        file(1, query_validator, ""),
        file(2, backend, database),
        file(3, "", "[limits]\nmax_rows = 5\n"),
        alone(
            4,
            &format!("[users.app]\nverifier = \"{verifier}\"\nroles = [\"app\"]\ntenant = \"t\"\n"),
        ),
        alone(
            5,
            "version: 1\nroles:\n  app:\n    mode: enforce\n    database_role: app\n    search_path: shop\n    \
             statements: [select, insert]\n    schemas: [shop]\n  owner: {mode: open, database_role: owner}\n\
             limits: {max_rows: 5}\n",
        ),
        alone(
            6,
            "-- name: one\n-- roles: app\n-- max_rows: 1\n-- mask: email=email\nSELECT id, email FROM shop.customers WHERE id = $1;\n",
        ),
        alone(
            7,
            "permit (principal in Role::\"app\", action == Action::\"select\", resource);\n",
        ),
        alone(
            8,
            "version: 1\nerrors: code-only\nmasks:\n  - {column: shop.customers.email, mask: email, derived: refuse}\n\
             tenants: {columns: [tenant_id], ignore_roles: [owner]}\ndetectors: {card: mask}\nhoney:\n  - {name: h, value: x-4711}\n",
        ),
        alone(9, "{\"version\":1,\"relations\":[],\"functions\":[]}"),
        alone(
            10,
            "epoch = 2\nsecret_file = \"2.key\"\n[peers]\nbackend = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\n\
             [[accepted]]\nepoch = 1\nsecret_file = \"1.key\"\nuntil = \"2027-01-15T08:05:00Z\"\n[accepted.peers]\n",
        ),
    ]
}
