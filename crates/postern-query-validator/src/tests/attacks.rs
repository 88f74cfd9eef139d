//! What a hijacked Frontend, NATS server or client may try.

use super::kit::*;
use postern_envelope::Batch;
use postern_ledger::{Event, Outcome};
use postern_types::ring::{CleanBody, RequestBody, Verdict};
use postern_types::{Link, SessionId, Stage};
use proptest::prelude::*;

#[track_caller]
fn dropped(kit: &mut Kit, message: &mut [u8], reason: &'static str) {
    assert!(kit.raw(message).is_empty(), "{reason}");
    let record = kit.records.pop().unwrap();
    assert_eq!(
        (record.event, record.result, record.reason),
        (Event::EnvelopeRefused, Outcome::Refused, Some(reason))
    );
    assert!(kit.records.is_empty());
}

#[test]
fn forged_stale_and_malformed_envelopes_are_dropped_and_recorded() {
    let mut kit = Kit::new();
    let seal = |kit: &mut Kit, body: &[u8]| {
        let header = kit.header();
        let mut batch = Batch::new();
        let sealer = &mut kit.frontend;
        batch.push_with(|out| sealer.seal(&header, body, out)).unwrap();
        batch.take()
    };
    dropped(&mut kit, &mut [], "batch");
    dropped(&mut kit, &mut [0, 0, 0, 9, 1], "batch");
    let mut good = seal(&mut kit, b"");
    dropped(&mut kit, &mut good, "malformed-body");
    let mut flipped = seal(&mut kit, b"abc");
    *flipped.last_mut().unwrap() ^= 1;
    dropped(&mut kit, &mut flipped, "forged");
    // The session in the header is under the seal as well.
    let mut spliced = seal(&mut kit, b"abc");
    spliced[4 + 40] ^= 1;
    dropped(&mut kit, &mut spliced, "forged");
    let mut late = seal(&mut kit, b"abc");
    kit.now += 5_001;
    dropped(&mut kit, &mut late, "expired");
    kit.now = NOW;
    // Sealed by a stage that may not ask anything, with its real keys.
    for (stage, link) in [
        (Stage::Backend, Link::BackendToQueryValidator),
        (Stage::Backend, Link::BackendToResponseValidator),
        (Stage::ResponseValidator, Link::ResponseValidatorToFrontend),
    ] {
        let mut sealer = keyring(stage, 8).sealer(link).unwrap();
        let header = kit.header();
        let mut batch = Batch::new();
        batch.push_with(|out| sealer.seal(&header, b"abc", out)).unwrap();
        dropped(&mut kit, &mut batch.take(), "wrong-link");
    }
}

#[test]
fn one_bad_envelope_of_a_batch_does_not_harm_the_others() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    kit.records.clear();
    let mut batch = Batch::new();
    for n in 0..3 {
        let header = kit.header();
        let request = postern_types::ring::Request {
            frontend: kit.from.clone(),
            backend: kit.to.clone(),
            body: RequestBody::Exchange {
                ticket: ticket.clone(),
                definitions: Vec::new(),
                trace: None,
            },
        };
        let payload = query("select 1");
        let sealer = &mut kit.frontend;
        batch
            .push_with(|out| {
                let start = out.len();
                sealer.seal_body(&header, &request, &[&payload], out)?;
                if n == 1 {
                    out[start + 100] ^= 1;
                }
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(kit.raw(&mut batch.take()).len(), 2);
    assert_eq!(
        kit.records.iter().filter(|r| r.event == Event::Exchange).count(),
        2
    );
    assert_eq!(
        kit.records
            .iter()
            .filter(|r| r.event == Event::EnvelopeRefused)
            .count(),
        1
    );
}

#[test]
fn sessions_and_payloads_are_where_they_belong() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let mut drops = |session: SessionId, body: RequestBody, payload: &[u8], reason: &str| {
        kit.session = session;
        let header = kit.header();
        assert!(kit.ask_under(&header, body, payload).is_empty());
        assert_eq!(kit.records.last().unwrap().reason, Some(reason));
    };
    drops(SESSION, RequestBody::Heartbeat, &[], "session-mismatch");
    let exchange = RequestBody::Exchange {
        ticket: ticket.clone(),
        definitions: Vec::new(),
        trace: None,
    };
    drops(SessionId::NONE, exchange, &query("select 1"), "session-mismatch");
    drops(
        SESSION,
        RequestBody::Cancel { ticket },
        b"x",
        "unexpected-payload",
    );
}

#[track_caller]
fn expelled(kit: &mut Kit, ticket: &[u8], payload: &[u8]) {
    match kit.exchange(ticket, &[], payload) {
        CleanBody::Expel(refusal) => assert!(refusal.fatal),
        other => panic!("{other:?}"),
    }
    let record = kit.records.last().unwrap();
    assert_eq!((record.event, record.result), (Event::Exchange, Outcome::Refused));
}

#[test]
fn what_is_not_an_exchange_ends_the_session() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("olga");
    let joined = |parts: &[Vec<u8>]| parts.concat();
    let sync = payload(&[M::Sync]);
    let parse = payload(&[M::Parse("", "select 1")]);
    for bad in [
        Vec::new(),
        parse.clone(),
        joined(&[query("select 1"), query("select 2")]),
        joined(&[query("select 1"), sync.clone()]),
        joined(&[sync.clone(), parse.clone()]),
        joined(&[parse.clone(), query("select 1")]),
        // Cut short, and bytes left over.
        parse[..parse.len() - 1].to_vec(),
        joined(&[sync.clone(), vec![b'S']]),
        // Lengths below 4, negative, and beyond everything.
        b"S\0\0\0\x03".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
        b"Q\x7f\xff\xff\xff".to_vec(),
        // FunctionCall, Terminate, password, CopyData, unknown.
        b"F\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0".to_vec(),
        b"X\0\0\0\x04".to_vec(),
        b"p\0\0\0\x05x".to_vec(),
        joined(&[b"d\0\0\0\x05x".to_vec(), sync.clone()]),
        b"?\0\0\0\x04".to_vec(),
        // Text that is not UTF-8, and a NUL inside of it.
        b"Q\0\0\0\x0eselect \xff\x80\0".to_vec(),
        b"Q\0\0\0\x0dselect \0\0".to_vec(),
        sync.repeat(2),
        payload(&[M::CloseStatement("x")]).repeat(10_001),
    ] {
        expelled(&mut kit, &ticket, &bad);
    }
    assert!(
        matches!(kit.query(&ticket, "select 1"), Verdict::Allow(_)),
        "others feel nothing"
    );
}

#[test]
fn copy_data_carries_nothing_else() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let body = || RequestBody::CopyData {
        ticket: ticket.clone(),
    };
    let data = b"d\0\0\0\x05xc\0\0\0\x04S\0\0\0\x04".to_vec();
    assert_eq!(kit.ask(body(), &data), (CleanBody::CopyData, data.clone()));
    assert_eq!(kit.ask(body(), b"f\0\0\0\x06x\0").0, CleanBody::CopyData);
    for bad in [
        query("drop table t"),
        payload(&[M::Parse("", "drop table t"), M::Sync]),
        data[..9].to_vec(),
    ] {
        let (clean, passed) = kit.ask(body(), &[data.clone(), bad].concat());
        assert!(matches!(clean, CleanBody::Expel(refusal) if refusal.fatal));
        assert!(passed.is_empty());
    }
}

#[test]
fn texts_are_read_as_the_server_reads_them() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    for sql in [
        r"select '\'; drop table orders; --'",
        "select 1 /* /* */ */; drop table orders",
        "select 1 -- x\n; drop table orders",
        "select 1 from \"secret\".\"t\"",
        "select 1 from U&\"s\\0065cret\".t",
        "select 1 from SECRET.t",
        "select U&'\\0027' ; drop table orders",
        "select $a$ $b$ $a$; drop table orders; select $b$ $b$",
        "select e'\\\\'; drop table orders",
        "set standard_conforming_strings = off",
        "set backslash_quote = on",
        "set client_encoding = 'SJIS'",
        "select set_config('client_encoding', 'GBK', false)",
    ] {
        assert_eq!(kit.refused(&ticket, sql).code.as_str(), "42501", "{sql}");
    }
    for sql in [
        r"select E'\'; drop table orders; --'",
        "select $a$; drop table orders; $a$",
        "/*! drop table orders */ select 1 --",
        "select '; drop table orders'",
    ] {
        assert!(matches!(kit.query(&ticket, sql), Verdict::Allow(_)), "{sql}");
    }
    let open = kit.ticket("olga");
    for sql in [
        "set standard_conforming_strings = off",
        "set names 'BIG5'",
        "set role postgres",
        "reset role",
    ] {
        assert_eq!(kit.refused(&open, sql).code.as_str(), "42501", "{sql}");
    }
}

#[test]
fn depth_bombs_are_refused_and_the_next_query_is_served() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("olga");
    for bomb in [
        format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("select 1{}", " union select 1".repeat(60_000)),
        format!("select {} true", "not ".repeat(100_000)),
        format!("select 1{}", "+1".repeat(100_000)),
    ] {
        assert_eq!(kit.refused(&ticket, &bomb).code.as_str(), "54001");
    }
    assert!(matches!(kit.query(&ticket, "select 1"), Verdict::Allow(_)));
}

#[test]
fn syntax_newer_than_the_parser_is_refused() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("olga");
    assert_eq!(
        kit.refused(&ticket, "select 1 frobnicate by 2 3").code.as_str(),
        "42601"
    );
    assert_eq!(
        kit.refused(&ticket, "merge into t using u on true when matched then upsert")
            .code
            .as_str(),
        "42601"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_of_the_bus_is_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut kit = Kit::new();
        prop_assert!(kit.raw(&mut bytes).is_empty());
        prop_assert_eq!(kit.records.len(), 1);
    }

    #[test]
    fn any_body_is_survived(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut kit = Kit::new();
        let header = kit.header();
        let mut batch = Batch::new();
        let sealer = &mut kit.frontend;
        batch.push_with(|out| sealer.seal(&header, &body, out)).unwrap();
        kit.raw(&mut batch.take());
    }

    #[test]
    fn any_payload_is_decided_on(payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut kit = Kit::new();
        let ticket = kit.ticket("ann");
        let clean = kit.exchange(&ticket, &[], &payload);
        let decided = matches!(clean, CleanBody::Run { .. } | CleanBody::Expel(_));
        prop_assert!(decided);
    }
}
