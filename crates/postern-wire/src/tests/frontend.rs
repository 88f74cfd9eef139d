//! Messages of a client.

use super::{header, limits, message, refused};
use crate::{
    BindValues, EncodeError, FrontendMessage, Target, WireError, decode_frontend, decode_sasl_initial,
    frontend_frame, frontend_messages, sign_in_frame,
};
use crate::{put_bind, put_close, put_copy_data, put_copy_done, put_copy_fail, put_describe, put_execute};
use crate::{put_flush, put_parse, put_query, put_sasl_initial, put_sync, put_terminate};
use postern_types::SqlState;
use proptest::prelude::*;

fn decode(bytes: &[u8]) -> Result<FrontendMessage<'_>, WireError> {
    let frame = frontend_frame(bytes, &limits())?.expect("a whole message");
    assert_eq!(frame.raw, bytes);
    decode_frontend(&frame)
}

/// A Bind with these parameter formats, values and result formats, all to the letter.
fn bind(formats: &[u16], count: u16, values: &[Option<&[u8]>], results: &[u16]) -> Vec<u8> {
    let mut body = b"p\0s\0".to_vec();
    let list = |body: &mut Vec<u8>, codes: &[u16]| {
        body.extend(u16::try_from(codes.len()).unwrap().to_be_bytes());
        body.extend(codes.iter().flat_map(|code| code.to_be_bytes()));
    };
    list(&mut body, formats);
    body.extend(count.to_be_bytes());
    for value in values {
        match value {
            None => body.extend([0xff; 4]),
            Some(value) => {
                body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend_from_slice(value);
            }
        }
    }
    list(&mut body, results);
    message(b'B', &body)
}

#[test]
fn every_message_decodes() {
    let sql = "SELECT 'ä'";
    assert_eq!(
        decode(&message(b'Q', &[sql.as_bytes(), &[0]].concat())),
        Ok(FrontendMessage::Query { sql })
    );
    let parse = message(b'P', b"s\0SELECT $1\0\0\x02\0\0\0\x17\0\0\0\0");
    let Ok(FrontendMessage::Parse {
        name: "s",
        sql: "SELECT $1",
        parameter_types,
    }) = decode(&parse)
    else {
        panic!("not a Parse")
    };
    assert_eq!(parameter_types.iter().collect::<Vec<_>>(), [23, 0]);
    assert_eq!((parameter_types.len(), parameter_types.is_empty()), (2, false));
    let bound = bind(&[1], 2, &[Some(b"x"), None], &[0, 1]);
    assert!(matches!(
        decode(&bound),
        Ok(FrontendMessage::Bind {
            portal: "p",
            statement: "s",
            ..
        })
    ));
    let describe = FrontendMessage::Describe {
        target: Target::Statement,
        name: "s",
    };
    assert_eq!(decode(&message(b'D', b"Ss\0")), Ok(describe));
    let close = FrontendMessage::Close {
        target: Target::Portal,
        name: "",
    };
    assert_eq!(decode(&message(b'C', b"P\0")), Ok(close));
    let execute = FrontendMessage::Execute {
        portal: "p",
        max_rows: 7,
    };
    assert_eq!(decode(&message(b'E', b"p\0\0\0\0\x07")), Ok(execute));
    assert_eq!(
        decode(&message(b'd', b"1\t\0\n")),
        Ok(FrontendMessage::CopyData(b"1\t\0\n"))
    );
    assert_eq!(
        decode(&message(b'f', b"no\0")),
        Ok(FrontendMessage::CopyFail { reason: "no" })
    );
    assert_eq!(
        decode(&message(b'p', b"x\0y")),
        Ok(FrontendMessage::Password(b"x\0y"))
    );
    assert_eq!(decode(&message(b'F', b"?")), Ok(FrontendMessage::FunctionCall));
    for (tag, expected) in [
        (b'H', FrontendMessage::Flush),
        (b'S', FrontendMessage::Sync),
        (b'c', FrontendMessage::CopyDone),
        (b'X', FrontendMessage::Terminate),
    ] {
        assert_eq!(decode(&message(tag, b"")), Ok(expected));
        assert_eq!(refused(decode(&message(tag, b"x"))), SqlState::PROTOCOL_VIOLATION);
    }
}

#[test]
fn a_negative_row_limit_is_none() {
    let execute = FrontendMessage::Execute {
        portal: "",
        max_rows: 0,
    };
    assert_eq!(decode(&message(b'E', b"\0\xff\xff\xff\xff")), Ok(execute));
}

#[test]
fn a_length_is_refused_before_the_message_is_there() {
    let refused = |bytes: &[u8]| frontend_frame(bytes, &limits()).unwrap_err();
    for length in [0, 1, 3, 0x8000_0000, u32::MAX] {
        assert_eq!(refused(&header(b'Q', length)), WireError::Length { length });
    }
    for (tag, message, limit) in [
        (b'Q', "Query", limits().query_bytes),
        (b'P', "Parse", limits().parse_bytes),
        (b'B', "Bind", limits().bind_bytes),
        (b'd', "CopyData", limits().copy_data_bytes),
        (b'p', "password", limits().password_bytes),
        (b'S', "Sync", limits().other_bytes),
        (b'F', "FunctionCall", limits().other_bytes),
    ] {
        assert_eq!(frontend_frame(&header(tag, limit), &limits()), Ok(None));
        let length = limit + 1;
        let error = refused(&header(tag, length));
        assert_eq!(
            error,
            WireError::TooLong {
                message,
                length,
                limit
            }
        );
        assert!(error.fatal() && error.sqlstate() == SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
}

#[test]
fn a_tag_is_refused_before_its_length_is_there() {
    for tag in 0..=u8::MAX {
        let known = b"BCdcfDEHFPpQSX".contains(&tag);
        assert_eq!(frontend_frame(&[tag], &limits()).is_ok(), known, "{tag}");
        let early = matches!(tag, b'p' | b'X');
        assert_eq!(sign_in_frame(&[tag], &limits()).is_ok(), early, "{tag}");
    }
}

#[test]
fn what_is_cut_short_waits_for_more() {
    let whole = message(b'Q', b"SELECT 1\0");
    for cut in 0..whole.len() {
        assert_eq!(frontend_frame(&whole[..cut], &limits()), Ok(None));
    }
    let more = [whole.clone(), vec![b'Q']].concat();
    assert_eq!(frontend_frame(&more, &limits()).unwrap().unwrap().raw, whole);
}

#[test]
fn text_ends_at_its_only_nul_and_is_utf8() {
    for body in [&b"SELECT 1"[..], b"SELECT 1\0DROP\0", b"SELECT 1\0\0", b""] {
        assert_eq!(
            refused(decode(&message(b'Q', body))),
            SqlState::PROTOCOL_VIOLATION,
            "{body:?}"
        );
    }
    for bytes in [
        message(b'Q', b"SELECT '\xe4'\0"),
        message(b'Q', b"SELECT '\xc0\xa7'\0"),
        message(b'Q', b"SELECT '\xed\xa0\x80'\0"),
        message(b'P', b"\xff\0SELECT 1\0\0\0"),
        message(b'D', b"S\xff\0"),
        message(b'C', b"P\xff\0"),
        message(b'E', b"\xff\0\0\0\0\0"),
        message(b'B', b"\xff\0\0\0\0\0\0\0\0"),
        message(b'f', b"\xff\0"),
    ] {
        let error = decode(&bytes).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert!(!error.fatal(), "the session survives bad text");
    }
}

#[test]
fn counts_must_agree_with_what_is_there() {
    for body in [
        &b"s\0SELECT 1\0"[..],
        b"s\0SELECT 1\0\0",
        b"s\0SELECT 1\0\0\x01",
        b"s\0SELECT 1\0\0\x01\0\0\0\x17\0",
        b"s\0SELECT 1\0\0\0\0\0\0\x17",
        b"s\0SELECT 1\0\xff\xff\0\0\0\x17",
    ] {
        assert_eq!(
            refused(decode(&message(b'P', body))),
            SqlState::PROTOCOL_VIOLATION,
            "{body:?}"
        );
    }
    let ok = |bytes: Vec<u8>| decode(&bytes).is_ok();
    assert!(ok(bind(&[], 0, &[], &[])));
    assert!(ok(bind(&[1], 0, &[], &[])));
    assert!(ok(bind(&[0, 1], 2, &[None, Some(b"")], &[1, 0, 1])));
    assert!(
        !ok(bind(&[0, 1], 3, &[None, None, None], &[])),
        "two formats for three parameters"
    );
    assert!(
        !ok(bind(&[0, 1], 1, &[None], &[])),
        "two formats for one parameter"
    );
    assert!(!ok(bind(&[2], 1, &[None], &[])), "an unknown format");
    assert!(!ok(bind(&[], 0, &[], &[2])), "an unknown result format");
    assert!(!ok(bind(&[], 1, &[], &[])), "a parameter short");
    assert!(!ok(bind(&[], 1, &[None, None], &[])), "a parameter too many");
    for length in [5u32, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe] {
        let body = [b"\0\0\0\0\0\x01", &length.to_be_bytes()[..], b"abcd\0\0"].concat();
        assert!(
            decode(&message(b'B', &body)).is_err(),
            "a value of {length} bytes"
        );
    }
    assert!(decode(&message(b'D', b"Xs\0")).is_err());
    assert!(decode(&message(b'E', b"p\0\0\0\0")).is_err());
    assert!(decode(&message(b'E', b"p\0\0\0\0\0\0")).is_err());
}

#[test]
fn as_many_parameters_as_the_protocol_can_count() {
    let values = vec![Some(&b"1"[..]); 65_535];
    let whole = bind(&[1], u16::MAX, &values, &[]);
    let Ok(FrontendMessage::Bind { tail, .. }) = decode(&whole) else {
        panic!("not a Bind")
    };
    assert_eq!(BindValues::new(tail).unwrap().iter().count(), 65_535);
    // The same count over fewer values, and over one more, whose count would be 65,536.
    assert!(decode(&bind(&[1], u16::MAX, &values[1..], &[])).is_err());
    let too_many = vec![None; 65_536];
    assert!(decode(&bind(&[1], 0, &too_many, &[])).is_err());
    let types = std::iter::repeat_n(23u32, 65_536);
    assert_eq!(
        put_parse(&mut Vec::new(), "", "", types),
        Err(EncodeError::TooLong)
    );
}

#[test]
fn parameters_have_the_format_they_were_given() {
    let formats = |bytes: Vec<u8>| -> Vec<bool> {
        let Ok(FrontendMessage::Bind { tail, .. }) = decode(&bytes) else {
            panic!("not a Bind")
        };
        BindValues::new(tail)
            .unwrap()
            .iter()
            .map(|(binary, _)| binary)
            .collect()
    };
    let two = [Some(&b"x"[..]), None];
    assert_eq!(formats(bind(&[], 2, &two, &[])), [false, false]);
    assert_eq!(formats(bind(&[1], 2, &two, &[])), [true, true]);
    assert_eq!(formats(bind(&[0, 1], 2, &two, &[])), [false, true]);
}

#[test]
fn a_payload_is_whole_messages() {
    let sync = message(b'S', b"");
    let query = message(b'Q', b"SELECT 1\0");
    let whole = [query.clone(), sync.clone()].concat();
    let raws: Vec<_> = frontend_messages(&whole, &limits())
        .map(|m| m.unwrap().1)
        .collect();
    assert_eq!(raws, [&query[..], &sync]);
    for cut in 1..whole.len() {
        let items: Vec<_> = frontend_messages(&whole[..cut], &limits()).collect();
        let boundary = cut == query.len();
        assert_eq!(
            items.last().unwrap() == &Err(WireError::Incomplete),
            !boundary,
            "{cut}"
        );
    }
    let bad_first = [header(b'Q', 3), sync].concat();
    assert_eq!(
        frontend_messages(&bad_first, &limits()).count(),
        1,
        "nothing comes after an error"
    );
}

#[test]
fn sasl_initial_response() {
    let decoded = decode_sasl_initial(b"SCRAM-SHA-256\0\0\0\0\x01x").unwrap();
    assert_eq!(
        (decoded.mechanism, decoded.data),
        ("SCRAM-SHA-256", Some(&b"x"[..]))
    );
    assert_eq!(decode_sasl_initial(b"M\0\xff\xff\xff\xff").unwrap().data, None);
    for bad in [
        &b""[..],
        b"M",
        b"M\0",
        b"M\0\0\0\0\x02x",
        b"M\0\0\0\0\0x",
        b"M\0\xff\xff\xff\xfe",
        b"M\0\x7f\xff\xff\xff",
    ] {
        assert!(decode_sasl_initial(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_can_not_be_written_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    assert_eq!(
        put_query(&mut out, "SELECT 1\0; DROP TABLE t"),
        Err(EncodeError::Nul)
    );
    assert_eq!(put_parse(&mut out, "s", "SELECT 1\0", []), Err(EncodeError::Nul));
    assert_eq!(put_parse(&mut out, "\0", "SELECT 1", []), Err(EncodeError::Nul));
    assert_eq!(put_bind(&mut out, "", "\0", &[]), Err(EncodeError::Nul));
    assert_eq!(put_execute(&mut out, "", u32::MAX), Err(EncodeError::TooLong));
    assert_eq!(put_close(&mut out, Target::Portal, "a\0b"), Err(EncodeError::Nul));
    assert_eq!(out, b"before");
}

#[test]
fn debug_output_hides_text_and_values() {
    let mut out = Vec::new();
    put_query(&mut out, "SELECT 'secret'").unwrap();
    put_bind(&mut out, "", "", b"\0\0\0\x01\0\0\0\x06secret\0\0").unwrap();
    put_sasl_initial(&mut out, "M", b"secret").unwrap();
    put_copy_data(&mut out, b"secret").unwrap();
    let shown: Vec<_> = frontend_messages(&out, &limits())
        .map(|m| format!("{:?}", m.unwrap().0))
        .collect();
    assert_eq!(shown.len(), 4);
    assert!(!shown.concat().contains("secret"), "{shown:?}");
}

fn name() -> impl Strategy<Value = String> {
    "[^\0]{0,6}"
}

fn some_message() -> impl Strategy<Value = Vec<u8>> {
    let target = prop_oneof![Just(Target::Statement), Just(Target::Portal)];
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    let value = proptest::option::of(bytes());
    let write = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        f(&mut out);
        out
    };
    prop_oneof![
        name().prop_map(move |sql| write(&|o| put_query(o, &sql).unwrap())),
        (name(), name(), proptest::collection::vec(any::<u32>(), 0..4))
            .prop_map(move |(n, sql, t)| write(&|o| put_parse(o, &n, &sql, t.iter().copied()).unwrap())),
        (target, name(), any::<bool>()).prop_map(move |(t, n, close)| write(&|o| {
            if close {
                put_close(o, t, &n).unwrap()
            } else {
                put_describe(o, t, &n).unwrap()
            }
        })),
        (name(), 0..=0x7fff_ffffu32).prop_map(move |(n, rows)| write(&|o| put_execute(o, &n, rows).unwrap())),
        bytes().prop_map(move |b| write(&|o| put_copy_data(o, &b).unwrap())),
        name().prop_map(move |n| write(&|o| put_copy_fail(o, &n).unwrap())),
        proptest::collection::vec(value, 0..4).prop_map(|values| {
            let values: Vec<_> = values.iter().map(Option::as_deref).collect();
            bind(&[1], u16::try_from(values.len()).unwrap(), &values, &[0])
        }),
        Just(write(&|o| {
            put_flush(o);
            put_sync(o);
            put_copy_done(o);
            put_terminate(o);
        })),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(messages in proptest::collection::vec(some_message(), 0..8)) {
        let payload = messages.concat();
        let mut length = 0;
        for item in frontend_messages(&payload, &limits()) {
            let (message, raw) = item.unwrap();
            length += raw.len();
            if let FrontendMessage::Parse { name, sql, parameter_types } = message {
                let mut again = Vec::new();
                put_parse(&mut again, name, sql, parameter_types.iter()).unwrap();
                prop_assert_eq!(again, raw);
            }
            if let FrontendMessage::Bind { portal, statement, tail } = message {
                let mut again = Vec::new();
                put_bind(&mut again, portal, statement, tail).unwrap();
                prop_assert_eq!(again, raw);
            }
        }
        prop_assert_eq!(length, payload.len());
    }

    #[test]
    fn damage_never_panics(
        messages in proptest::collection::vec(some_message(), 1..4),
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let mut payload = messages.concat();
        let at = at.index(payload.len());
        payload[at] = byte;
        payload.truncate(cut.index(payload.len() + 1));
        let items: Vec<_> = frontend_messages(&payload, &limits()).collect();
        let read: usize = items.iter().flatten().map(|(_, raw)| raw.len()).sum();
        prop_assert!(read == payload.len() || items.last().is_some_and(Result::is_err));
    }

    #[test]
    fn garbage_never_panics(tag in prop::sample::select(b"BCdcfDEHFPpQSX".to_vec()), body in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = decode(&message(tag, &body));
        let _ = decode_sasl_initial(&body);
    }
}
