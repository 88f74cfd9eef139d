use super::*;
use jiff::Timestamp;
use std::collections::BTreeSet;

const SESSION: SessionId = SessionId([0xab; 16]);
const NAMED: &str = r#","trace":"4bf92f3577b34da6a3ce929d0e0e4736","parent":"00f067aa0ba902b7""#;

/// Microseconds after the exchange was asked for, with what is in a record.
type Line<'a> = (Stage, i64, &'a str, &'a str);

const ALL: [Line<'static>; 6] = [
    (Stage::Frontend, 100, "exchange", ""),
    (
        Stage::QueryValidator,
        400,
        "exchange",
        r#","action":"select","named":"orders_of","details":{"duration_us":50}"#,
    ),
    (
        Stage::Backend,
        600,
        "exchange",
        r#","details":{"duration_us":20}"#,
    ),
    (
        Stage::ResponseValidator,
        1300,
        "exchange",
        r#","details":{"duration_us":30,"backend_us":500}"#,
    ),
    (
        Stage::ResponseValidator,
        1500,
        "exchange.end",
        r#","details":{"rows":7,"backend_us":700}"#,
    ),
    (
        Stage::Frontend,
        1600,
        "exchange.answered",
        r#","details":{"duration_us":1600}"#,
    ),
];

fn entry(start: Timestamp, (stage, us, event, more): Line<'_>, common: &str) -> Entry {
    let time = start + jiff::SignedDuration::from_micros(us);
    let line = format!(
        r#"{{"time":"{time:.9}","event":"{event}","session":"{SESSION}","exchange":3{common}{more}}}"#
    );
    Entry {
        stage: stage.into(),
        line: line.into(),
        what: crate::feed::What::Record,
    }
}

/// The spans of an exchange by name, with start and end in microseconds after its beginning.
fn traced(lines: &[Line<'_>], common: &str) -> Vec<(String, i64, i64, Span)> {
    let start = Timestamp::now();
    let now = Instant::now();
    let mut gatherer = Gatherer::default();
    for line in lines {
        assert!(gatherer.take(now).is_empty(), "it is not complete");
        gatherer.add(&entry(start, *line, common), now);
    }
    let later = now + std::time::Duration::from_secs(3);
    let taken = gatherer.take(if lines.len() == ALL.len() { now } else { later });
    assert!(gatherer.take(later).is_empty(), "each is told once");
    let of =
        |nanos: u64| (i64::try_from(nanos).unwrap() - i64::try_from(start.as_nanosecond()).unwrap()) / 1000;
    let mut spans: Vec<_> = taken
        .iter()
        .flat_map(|((session, exchange), gathered)| spans(*session, *exchange, gathered))
        .map(|(_, span)| {
            let (from, to) = (of(span.start_time_unix_nano), of(span.end_time_unix_nano));
            (span.name.clone(), from, to, span)
        })
        .collect();
    spans.sort_by_key(|(_, from, to, _)| (*from, -*to));
    spans
}

#[test]
fn every_stage_and_every_hop_has_a_span() {
    let told: Vec<_> = traced(&ALL, "")
        .into_iter()
        .map(|(name, from, to, _)| (name, from, to))
        .collect();
    let expected = [
        ("orders_of", 0, 1600),
        ("frontend", 0, 100),
        ("dirty-query", 100, 350),
        ("query-validator", 350, 400),
        ("clean-query", 400, 580),
        ("backend", 580, 1300),
        ("dirty-resp", 1100, 1270),
        ("response-validator", 1270, 1500),
        ("clean-resp", 1500, 1600),
    ];
    let expected: Vec<_> = expected
        .map(|(name, from, to)| (name.to_owned(), from, to))
        .into();
    assert_eq!(told, expected);
}

#[test]
fn they_hang_together_and_keep_their_names() {
    let spans: Vec<Span> = traced(&ALL, "").into_iter().map(|(.., span)| span).collect();
    let again = traced(&ALL, "").into_iter().map(|(.., span)| span.span_id);
    assert!(spans.iter().map(|span| span.span_id.clone()).eq(again));
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len());
    let trace = TraceId::of_exchange(SESSION, 3).bytes();
    assert!(spans.iter().all(|span| span.trace_id == trace));
    let (root, inner) = spans.split_first().unwrap();
    assert!(root.parent_span_id.is_empty());
    assert!(inner.iter().all(|span| span.parent_span_id == root.span_id));
    assert!(root.attributes.contains(&text("db.operation.name", "select")));
    assert!(root.attributes.contains(&number("db.response.returned_rows", 7)));
    assert_eq!(root.status, None);
}

#[test]
fn a_client_s_trace_is_gone_on_with() {
    let spans = traced(&ALL, NAMED);
    let root = &spans[0].3;
    assert_eq!(
        root.trace_id,
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()
    );
    assert_eq!(root.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
}

#[test]
fn what_is_missing_is_left_out() {
    let lost = (
        Stage::Frontend,
        2000,
        "exchange.lost",
        r#","details":{"duration_us":2000,"sqlstate":"08007"}"#,
    );
    let spans = traced(&[ALL[0], ALL[1], lost], "");
    let names: Vec<_> = spans.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["orders_of", "frontend", "dirty-query", "query-validator"]);
    let status = spans[0].3.status.clone().unwrap();
    assert_eq!(status.code, i32::from(StatusCode::Error));
}

#[test]
fn what_is_not_ended_waits_and_what_is_old_is_not_traced() {
    let now = Instant::now();
    let mut gatherer = Gatherer::default();
    for line in &ALL[..5] {
        gatherer.add(&entry(Timestamp::now(), *line, ""), now);
    }
    assert!(gatherer.take(now + std::time::Duration::from_secs(60)).is_empty());
    let mut old = Gatherer::default();
    for line in ALL {
        old.add(&entry(Timestamp::UNIX_EPOCH, line, ""), now);
    }
    assert!(old.take(now).is_empty());
}

#[test]
fn the_client_s_word_comes_before_the_ratio() {
    let place = |ratio| Traces {
        exporter: Exporter::new(
            crate::Protocol::Http,
            crate::http::Place {
                address: "127.0.0.1:1".to_owned(),
                path: "/v1/traces".to_owned(),
                tls: None,
                headers: BTreeMap::new(),
            },
        ),
        host: String::new(),
        ratio,
        gatherer: Gatherer::default(),
    };
    let named = |sampled| Gathered {
        named: Some((TraceId::of_exchange(SESSION, 1), vec![1; 8], sampled)),
        ..Gathered::default()
    };
    assert!(place(0.0).is_sampled(&named(true), SESSION, 1));
    assert!(!place(1.0).is_sampled(&named(false), SESSION, 1));
    let share = |ratio| {
        let traces = place(ratio);
        (0..10_000_u32)
            .filter(|n| {
                let mut id = [0; 16];
                id[12..].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
                traces.is_sampled(&Gathered::default(), SessionId(id), 1)
            })
            .count()
    };
    assert_eq!((share(0.0), share(1.0)), (0, 10_000));
    assert!((2_000..3_000).contains(&share(0.25)), "{}", share(0.25));
}
