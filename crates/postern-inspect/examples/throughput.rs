//! How fast answers are checked, on one core: `cargo run --release -p postern-inspect --example throughput`.

use postern_inspect::{AnswerState, Contract, Expect, StatementShape, check_part};
use postern_types::{CopyDirection, ErrorDetail, OverCap};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Payload of one part, in bytes.
const PART_BYTES: usize = 256 * 1024;

fn main() {
    let rows = StatementShape {
        rows: true,
        copy: None,
    };
    let copy = StatementShape {
        rows: false,
        copy: Some(CopyDirection::Out),
    };
    let begin_rows = |columns: u16| {
        let mut start = Vec::new();
        message(&mut start, b'T', &description(columns));
        start
    };
    let begin_copy = b"H\0\0\0\x09\0\0\x01\0\0";
    println!("{:<44} {:>9} {:>12}", "answer", "MB/s", "messages/s");
    measure("8 columns of 12 bytes", rows, &begin_rows(8), b'D', &row(8, 12));
    measure("3 columns of 6 bytes", rows, &begin_rows(3), b'D', &row(3, 6));
    measure("40 columns of 2 bytes", rows, &begin_rows(40), b'D', &row(40, 2));
    measure(
        "2 columns of 1,000 bytes",
        rows,
        &begin_rows(2),
        b'D',
        &row(2, 1000),
    );
    measure("COPY, lines of 100 bytes", copy, begin_copy, b'd', &[b'x'; 100]);
}

fn measure(name: &str, shape: StatementShape, start: &[u8], tag: u8, body: &[u8]) {
    let contract = Contract {
        user: "app".into(),
        tenant: None,
        steps: vec![Expect::Query(vec![shape])],
        max_rows: None,
        max_bytes: None,
        error_detail: ErrorDetail::CodeOnly,
        notifications: false,
        roles: Vec::new(),
        over: OverCap::Refuse,
        statements: Vec::new(),
    };
    let mut out = Vec::new();
    let begun = check_part(&contract, &AnswerState::default(), start, &mut out);
    let Ok(begun) = begun else {
        println!("{name}: the beginning is refused: {begun:?}");
        return;
    };
    let mut part = Vec::new();
    let mut messages = 0u64;
    while part.len() < PART_BYTES {
        message(&mut part, tag, body);
        messages += 1;
    }
    let (mut parts, clock) = (0u64, Instant::now());
    while clock.elapsed() < Duration::from_millis(700) {
        let checked = check_part(
            black_box(&contract),
            &begun.state_after,
            black_box(&part),
            &mut out,
        );
        if black_box(checked).is_err() {
            println!("{name}: refused");
            return;
        }
        parts += 1;
    }
    let seconds = clock.elapsed().as_secs_f64();
    let megabytes = part.len() as f64 * parts as f64 / 1e6;
    let rate = (messages * parts) as f64 / seconds;
    println!("{name:<44} {:>9.0} {rate:>12.0}", megabytes / seconds);
}

fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

fn description(columns: u16) -> Vec<u8> {
    let mut body = columns.to_be_bytes().to_vec();
    for _ in 0..columns {
        body.extend_from_slice(b"name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    body
}

fn row(columns: u16, width: usize) -> Vec<u8> {
    let mut body = columns.to_be_bytes().to_vec();
    for _ in 0..columns {
        body.extend_from_slice(&(width as u32).to_be_bytes());
        body.extend(std::iter::repeat_n(b'x', width));
    }
    body
}
