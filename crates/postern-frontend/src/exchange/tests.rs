use super::*;
use crate::statements::StatementLimits;
use postern_wire::{
    Target, frontend_messages, put_bind, put_close, put_copy_data, put_copy_done, put_describe, put_execute,
    put_flush, put_parse, put_query, put_sync, put_terminate,
};
use proptest::prelude::*;

/// A Bind without parameters: no formats, no values, no result formats.
const NO_VALUES: &[u8] = &[0; 6];

fn statements() -> Statements {
    Statements::new(StatementLimits {
        count: 100,
        bytes: 4 << 20,
    })
}

struct Client {
    cutter: Cutter,
    statements: Statements,
    buffer: BytesMut,
}

impl Client {
    fn new() -> Self {
        Client {
            cutter: Cutter::default(),
            statements: statements(),
            buffer: BytesMut::new(),
        }
    }

    fn says(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let mut bytes = Vec::new();
        put(&mut bytes);
        self.buffer.extend_from_slice(&bytes);
        self
    }

    fn cut(&mut self) -> Result<Cut, Refusal> {
        self.cutter
            .cut(&mut self.buffer, &mut self.statements, &Limits::default())
    }

    /// Tags and end of the next exchange.
    fn exchange(&mut self) -> (String, End) {
        match self.cut() {
            Ok(Cut::Exchange { payload, end, .. }) => (tags(&payload), end),
            other => panic!("{other:?}"),
        }
    }
}

fn tags(payload: &[u8]) -> String {
    let messages = frontend_messages(payload, &Limits::default());
    messages.map(|m| char::from(m.unwrap().1[0])).collect()
}

#[test]
fn a_query_and_a_run_up_to_sync_are_exchanges() {
    let mut client = Client::new();
    client
        .says(|out| put_query(out, "SELECT 1").unwrap())
        .says(|out| put_parse(out, "", "SELECT 2", []).unwrap())
        .says(|out| put_bind(out, "", "", NO_VALUES).unwrap())
        .says(|out| put_describe(out, Target::Portal, "").unwrap())
        .says(|out| put_execute(out, "", 0).unwrap())
        .says(put_sync)
        .says(put_sync);
    assert_eq!(client.exchange(), ("Q".to_owned(), End::Query));
    assert_eq!(client.exchange(), ("PBDES".to_owned(), End::Sync));
    assert_eq!(client.exchange(), ("S".to_owned(), End::Sync));
    assert_eq!(client.cut(), Ok(Cut::Incomplete));
    assert!(client.buffer.is_empty());
}

#[test]
fn a_query_after_unsynced_messages_waits_for_their_flush() {
    let mut client = Client::new();
    client
        .says(|out| put_parse(out, "", "SELECT 2", []).unwrap())
        .says(|out| put_query(out, "SELECT 1").unwrap());
    assert_eq!(client.exchange(), ("PH".to_owned(), End::Flush));
    assert_eq!(client.exchange(), ("Q".to_owned(), End::Query));
}

#[test]
fn copy_data_after_unsynced_messages_waits_for_their_flush_and_is_left_alone() {
    let mut client = Client::new();
    client
        .says(|out| put_execute(out, "", 0).unwrap())
        .says(|out| put_copy_data(out, b"x").unwrap())
        .says(put_copy_done);
    assert_eq!(client.exchange(), ("EH".to_owned(), End::Flush));
    let left = client.buffer.len();
    assert_eq!(client.cut(), Ok(Cut::CopyMessage));
    assert_eq!(client.cut(), Ok(Cut::CopyMessage));
    assert_eq!(client.buffer.len(), left);
}

#[test]
fn a_flush_of_nothing_is_nothing() {
    let mut client = Client::new();
    client.says(put_flush).says(put_flush).says(put_terminate);
    assert_eq!(client.cut(), Ok(Cut::Terminate));
}

#[test]
fn a_close_of_a_statement_is_remembered_for_its_exchange_only() {
    let mut client = Client::new();
    client
        .says(|out| put_close(out, Target::Statement, "a").unwrap())
        .says(put_sync)
        .says(put_sync);
    assert!(matches!(client.cut(), Ok(Cut::Exchange { closes: true, .. })));
    assert!(matches!(client.cut(), Ok(Cut::Exchange { closes: false, .. })));
}

#[test]
fn very_long_runs_are_cut_where_a_statement_begins() {
    let mut client = Client::new();
    for _ in 0..CUT_MESSAGES {
        client
            .says(|out| put_bind(out, "", "a", NO_VALUES).unwrap())
            .says(|out| put_describe(out, Target::Portal, "").unwrap())
            .says(|out| put_execute(out, "", 0).unwrap());
    }
    client.says(put_sync);
    let (first, end) = client.exchange();
    assert_eq!(end, End::Flush);
    assert!(first.starts_with("BDEBDE") && first.ends_with("BDEH"));
    assert!(first.len() > CUT_MESSAGES as usize && first.len() < CUT_MESSAGES as usize + 4);
    assert!(client.exchange().0.starts_with("BDE"));
    assert_eq!(client.exchange().1, End::Sync);
}

#[test]
fn runs_without_a_good_place_are_cut_too() {
    let mut client = Client::new();
    for _ in 0..MOST_MESSAGES {
        client.says(|out| put_execute(out, "", 0).unwrap());
    }
    client.says(|out| put_execute(out, "", 0).unwrap()).says(put_sync);
    let (first, end) = client.exchange();
    assert_eq!((first.len(), end), (MOST_MESSAGES as usize + 1, End::Flush));
    assert_eq!(client.exchange(), ("ES".to_owned(), End::Sync));
}

/// The tail of a Bind with one value of this many bytes.
fn one_value(length: usize) -> Vec<u8> {
    let mut tail = vec![0, 0, 0, 1];
    tail.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    tail.resize(tail.len() + length, b'x');
    tail.extend_from_slice(&[0, 0]);
    tail
}

#[test]
fn a_large_bind_takes_its_execute_and_sync_along() {
    let tail = one_value(8_000_000);
    let mut client = Client::new();
    client
        .says(|out| put_parse(out, "", "SELECT $1", []).unwrap())
        .says(|out| put_bind(out, "", "", &tail).unwrap())
        .says(|out| put_execute(out, "", 0).unwrap())
        .says(|out| put_bind(out, "", "", &tail).unwrap())
        .says(|out| put_execute(out, "", 0).unwrap())
        .says(put_sync);
    assert_eq!(client.exchange(), ("PBEH".to_owned(), End::Flush));
    assert!(client.statements.finish(1).is_empty());
    assert_eq!(client.exchange(), ("BES".to_owned(), End::Sync));
    assert_eq!(client.statements.finish(2).len(), 1);
}

#[test]
fn what_does_not_fit_is_split_with_its_definitions() {
    let tail = one_value(8_000_000);
    let text = format!("SELECT $1 -- {}", "x".repeat(900_000));
    let mut client = Client::new();
    client
        .says(|out| put_parse(out, "", &text, []).unwrap())
        .says(|out| put_bind(out, "", "", &tail).unwrap())
        .says(|out| put_execute(out, "", 0).unwrap())
        .says(put_sync);
    assert_eq!(client.exchange(), ("PH".to_owned(), End::Flush));
    client.statements.finish(1);
    assert_eq!(client.exchange(), ("BES".to_owned(), End::Sync));
    assert_eq!(client.statements.finish(2).len(), 1);
}

#[test]
fn function_calls_and_bad_text_are_answered_here() {
    let mut client = Client::new();
    client
        .says(|out| out.extend_from_slice(b"F\0\0\0\x08abcd"))
        .says(|out| out.extend_from_slice(b"Q\0\0\0\x06\xff\0"))
        .says(put_sync);
    let Ok(Cut::Refused(call)) = client.cut() else {
        panic!()
    };
    assert_eq!((call.code, call.fatal), (SqlState::FEATURE_NOT_SUPPORTED, false));
    let Ok(Cut::Refused(text)) = client.cut() else {
        panic!()
    };
    assert_eq!(
        (text.code, text.fatal),
        (SqlState::CHARACTER_NOT_IN_REPERTOIRE, false)
    );
    assert_eq!(client.exchange(), ("S".to_owned(), End::Sync));
}

#[test]
fn broken_messages_end_the_session() {
    for bytes in [
        &b"p\0\0\0\x05\0"[..],
        b"?\0\0\0\x04",
        b"Q\0\0\0\x03",
        b"Q\xff\xff\xff\xff",
        b"P\0\0\0\x07\xff\0\0",
        b"S\0\0\0\x05x",
    ] {
        let mut client = Client::new();
        client.says(|out| out.extend_from_slice(bytes));
        assert!(client.cut().is_err_and(|refusal| refusal.fatal), "{bytes:?}");
    }
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![Just(""), Just("a"), Just("b")];
    (0u8..9, name, "[a-z ]{0,30}").prop_map(|(kind, name, text)| {
        let mut out = Vec::new();
        match kind {
            0 => put_query(&mut out, &text).unwrap(),
            1 => put_parse(&mut out, name, &text, [23]).unwrap(),
            2 => put_bind(&mut out, name, name, NO_VALUES).unwrap(),
            3 => put_describe(&mut out, Target::Statement, name).unwrap(),
            4 => put_execute(&mut out, name, 5).unwrap(),
            5 => put_close(&mut out, Target::Portal, name).unwrap(),
            6 => put_flush(&mut out),
            7 => put_sync(&mut out),
            _ => out.extend_from_slice(b"F\0\0\0\x04"),
        }
        out
    })
}

/// Everything that the client's bytes are cut into, fed in pieces of these sizes.
fn cut_all(bytes: &[u8], sizes: &[usize]) -> Vec<Cut> {
    let mut client = Client::new();
    let mut cuts = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        client.buffer.extend_from_slice(piece);
        rest = after;
        loop {
            match client.cut().unwrap() {
                Cut::Incomplete => break,
                cut => cuts.push(cut),
            }
        }
    }
    cuts
}

proptest! {
    #[test]
    fn cutting_does_not_depend_on_how_bytes_arrive_and_loses_none(
        messages in prop::collection::vec(any_message(), 0..40),
        sizes in prop::collection::vec(1usize..60, 1..10)
    ) {
        let mut bytes: Vec<u8> = messages.concat();
        put_sync(&mut bytes);
        let cuts = cut_all(&bytes, &sizes);
        prop_assert_eq!(&cuts, &cut_all(&bytes, &[usize::MAX]));
        let mut seen = String::new();
        for cut in &cuts {
            match cut {
                Cut::Exchange { payload, .. } => seen.push_str(&tags(payload)),
                Cut::Refused(_) => seen.push('F'),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        // Flushes may be added or dropped, nothing else.
        let sent: String = messages.iter().map(|m| char::from(m[0])).chain(['S']).collect();
        prop_assert_eq!(seen.replace('H', ""), sent.replace('H', ""));
    }

    #[test]
    fn any_bytes_are_cut_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut client = Client::new();
        client.buffer.extend_from_slice(&bytes);
        for _ in 0..400 {
            match client.cut() {
                Ok(Cut::Exchange { .. } | Cut::Refused(_)) => {}
                _ => return Ok(()),
            }
        }
        prop_assert!(false, "it never ends");
    }
}
