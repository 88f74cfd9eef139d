//! How fast answers are checked, on one core: `cargo run --release -p postern-inspect --example throughput`.
//!
//! Each answer is checked with nothing but the contract, with the tenant check, and with all detectors as well.

use postern_inspect::rules::Rules;
use postern_inspect::{AnswerState, Contract, Expect, Inspector, Origins, StatementShape};
use postern_types::{ColumnRules, CopyDirection, ErrorDetail, OverCap, StatementRules};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Payload of one part, in bytes.
const PART_BYTES: usize = 256 * 1024;
const TEXT: u32 = 25;
const JSONB: u32 = 3802;

const TENANTS: &str = "version: 1\ntenants: {columns: [tenant_id]}\n";
const DETECTORS: &str = "detectors: {card: mask, iban: mask, email: mask, phone: mask, national_id: mask, \
                         private_key: refuse, jwt: refuse, cloud_token: refuse}\nhoney: [{name: decoy, value: \
                         DECOY-4711-0815}]\n";

fn main() {
    println!("{:<52} {:>9} {:>9} {:>9}", "MB/s", "nothing", "tenants", "all");
    let words = "the quick brown fox jumps over the lazy dog while nobody is looking at it ";
    let person = |n: usize| {
        vec![
            "acme".to_owned(),
            format!("{}", 10_000 + n * 7),
            "Margarethe Katharina".to_owned(),
            "van der Hoogenband".to_owned(),
            format!("{} Old Mill Lane, Springfield", n % 90),
            "2024-05-17 12:34:56.789".to_owned(),
            "delivered".to_owned(),
            words.to_owned(),
        ]
    };
    rows("customers: name, address, date, text", TEXT, 8, person);
    rows("8 columns of 12 letters", TEXT, 8, |_| {
        vec!["abcdefghijkl".to_owned(); 8]
    });
    rows("40 columns of 2 letters", TEXT, 40, |_| vec!["ab".to_owned(); 40]);
    rows("2 columns of 1,000 letters", TEXT, 2, |_| {
        vec!["acme".to_owned(), words.repeat(14)]
    });
    rows("8 columns of 10 digits", TEXT, 8, |n| {
        vec![format!("{:010}", n * 7919); 8]
    });
    rows("text with e-mail addresses", TEXT, 2, |n| {
        vec!["acme".to_owned(), format!("{words}{words}ann{n} at example.com")]
    });
    rows("JSON of 300 bytes with a tenant_id", JSONB, 2, |n| {
        vec!["acme".to_owned(), document(300, n)]
    });
    copy();
    println!(
        "\n{:<52} {:>9} {:>9} {:>9}",
        "one value of nested JSON, ms", "nothing", "tenants", "all"
    );
    for megabytes in [1, 10] {
        let value = document(megabytes * 1_000_000, 1);
        print!("{:<52}", format!("{megabytes} MB"));
        for mode in modes() {
            let part = part(JSONB, 2, &[vec!["acme".to_owned(), value.clone()]]);
            let seconds = part.1.len() as f64 / rate(&mode, contract(false), &part.0, &part.1) / 1e6;
            print!(" {:>9.2}", seconds * 1e3);
        }
        println!();
    }
}

fn modes() -> [Inspector; 3] {
    let with = |yaml: &str| {
        let rules = Rules::from_yaml(yaml).ok()?;
        Inspector::new(rules, &Origins::default(), postern_inspect::Keys::default()).ok()
    };
    let all = format!("{TENANTS}{DETECTORS}");
    [Some(Inspector::default()), with(TENANTS), with(&all)].map(|mode| mode.unwrap_or_else(|| fail("rules")))
}

fn fail(what: &str) -> ! {
    println!("{what} can't be used");
    std::process::exit(1);
}

/// Nested JSON of about so many bytes, with a tenant in every object.
fn document(bytes: usize, seed: usize) -> String {
    let mut out = String::from("{\"items\": [");
    let mut n = seed;
    while out.len() < bytes {
        if out.ends_with('}') {
            out.push_str(", ");
        }
        n += 1;
        out.push_str(&format!(
            "{{\"tenant_id\": \"acme\", \"name\": \"Margarethe\", \"address\": {{\"street\": \"Old Mill Lane\", \
             \"number\": {}, \"tags\": [\"a\", \"b\", [\"deep\", {{\"deeper\": true}}]]}}}}",
            n % 100
        ));
    }
    out.push_str("]}");
    out
}

fn contract(copy: bool) -> Contract {
    let shape = StatementShape {
        rows: !copy,
        copy: copy.then_some(CopyDirection::Out),
    };
    Contract {
        user: "app".into(),
        tenant: Some("acme".into()),
        steps: vec![Expect::Columns, Expect::Query(vec![shape])],
        max_rows: None,
        max_bytes: None,
        error_detail: ErrorDetail::CodeOnly,
        notifications: false,
        roles: vec!["app".into()],
        over: OverCap::Refuse,
        statements: vec![StatementRules {
            columns: ColumnRules::Plain,
            ..StatementRules::default()
        }],
        rules: 0,
        trace: None,
    }
}

fn rows(name: &str, type_oid: u32, columns: u16, make: impl Fn(usize) -> Vec<String>) {
    let rows: Vec<Vec<String>> = (0..50).map(make).collect();
    let (start, part) = part(type_oid, columns, &rows);
    line(name, false, &start, &part);
}

/// The beginning of an answer, and a part with these rows again and again. The first column is the tenant where it
/// says so.
fn part(type_oid: u32, columns: u16, rows: &[Vec<String>]) -> (Vec<u8>, Vec<u8>) {
    let mut body = columns.to_be_bytes().to_vec();
    for column in 0..columns {
        let tenant = column == 0 && rows.iter().all(|row| row.first().is_some_and(|v| v == "acme"));
        body.extend_from_slice(if tenant { b"tenant_id\0" } else { b"name\0" });
        body.extend_from_slice(&[0; 6]);
        body.extend_from_slice(&if tenant { TEXT } else { type_oid }.to_be_bytes());
        body.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\0\0");
    }
    let (mut start, mut part) = (Vec::new(), Vec::new());
    message(&mut start, b'T', &body);
    for row in rows.iter().cycle() {
        let mut body = columns.to_be_bytes().to_vec();
        for value in row {
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        message(&mut part, b'D', &body);
        if part.len() >= PART_BYTES {
            break;
        }
    }
    (start, part)
}

fn copy() {
    let mut part = Vec::new();
    let line_of = b"17\tacme\tMargarethe Katharina\tvan der Hoogenband\tOld Mill Lane, Springfield\tdelivered\t2024-05-17\n";
    while part.len() < PART_BYTES {
        message(&mut part, b'd', line_of);
    }
    line(
        "COPY, lines of 100 bytes",
        true,
        b"H\0\0\0\x09\0\0\x01\0\0",
        &part,
    );
}

fn line(name: &str, copy: bool, start: &[u8], part: &[u8]) {
    print!("{name:<52}");
    for mode in modes() {
        print!(" {:>9.0}", rate(&mode, contract(copy), start, part));
    }
    println!();
}

/// Megabytes a second.
fn rate(inspector: &Inspector, contract: Contract, start: &[u8], part: &[u8]) -> f64 {
    let mut out = Vec::new();
    let begun = inspector.check_part(&contract, &AnswerState::default(), start, &mut out);
    let Ok(begun) = begun else {
        println!("the beginning is refused: {begun:?}");
        return 0.0;
    };
    let (mut parts, clock) = (0u64, Instant::now());
    while clock.elapsed() < Duration::from_millis(500) {
        out.clear();
        let checked = inspector.check_part(
            black_box(&contract),
            &begun.state_after,
            black_box(part),
            &mut out,
        );
        if let Err(violation) = black_box(checked) {
            println!("refused: {violation}");
            return 0.0;
        }
        parts += 1;
    }
    part.len() as f64 * parts as f64 / 1e6 / clock.elapsed().as_secs_f64()
}

fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}
