//! Messages of PostgreSQL.

use super::{header, message, refused};
use crate::*;
use postern_types::{Refusal, SqlState};
use proptest::prelude::*;

const MAX: u32 = 1 << 20;

fn decode(bytes: &[u8]) -> Result<BackendMessage<'_>, WireError> {
    let frame = backend_frame(bytes, MAX)?.expect("a whole message");
    assert_eq!(frame.raw, bytes);
    decode_backend(&frame)
}

fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

const FIELD: Field<'static> = Field {
    name: "é",
    table_oid: 16_384,
    column: 2,
    type_oid: 25,
    size: -1,
    modifier: -1,
    format: 0,
};

#[test]
fn every_message_comes_back() {
    use BackendMessage as M;
    for (bytes, expected) in [
        (made(put_authentication_ok), M::Authentication(Authentication::Ok)),
        (
            made(|o| put_sasl_continue(o, b"x")),
            M::Authentication(Authentication::SaslContinue(b"x")),
        ),
        (
            made(|o| put_sasl_final(o, b"x")),
            M::Authentication(Authentication::SaslFinal(b"x")),
        ),
        (
            message(b'R', b"\0\0\0\x03"),
            M::Authentication(Authentication::CleartextPassword),
        ),
        (
            message(b'R', b"\0\0\0\x05salt"),
            M::Authentication(Authentication::Md5Password { salt: *b"salt" }),
        ),
        (
            message(b'R', b"\0\0\0\x07"),
            M::Authentication(Authentication::Other(7)),
        ),
        (
            made(|o| put_backend_key_data(o, 5, &[1; 32])),
            M::BackendKeyData {
                process_id: 5,
                key: &[1; 32],
            },
        ),
        (
            made(|o| put_parameter_status(o, "a", "b")),
            M::ParameterStatus {
                name: "a",
                value: "b",
            },
        ),
        (
            made(|o| put_ready(o, TransactionStatus::Failed)),
            M::ReadyForQuery(TransactionStatus::Failed),
        ),
        (
            made(|o| put_command_complete(o, "SELECT 1")),
            M::CommandComplete { tag: "SELECT 1" },
        ),
        (made(put_empty_query_response), M::EmptyQueryResponse),
        (made(put_parse_complete), M::ParseComplete),
        (made(put_bind_complete), M::BindComplete),
        (made(put_close_complete), M::CloseComplete),
        (made(put_no_data), M::NoData),
        (made(put_portal_suspended), M::PortalSuspended),
        (
            made(|o| put_copy_in_response(o, false, 2)),
            M::CopyInResponse(CopyFormat {
                binary: false,
                columns: 2,
            }),
        ),
        (
            made(|o| put_copy_out_response(o, true, 1)),
            M::CopyOutResponse(CopyFormat {
                binary: true,
                columns: 1,
            }),
        ),
        (
            message(b'W', b"\0\0\0"),
            M::CopyBothResponse(CopyFormat {
                binary: false,
                columns: 0,
            }),
        ),
        (made(|o| put_copy_data(o, b"x").unwrap()), M::CopyData(b"x")),
        (made(put_copy_done), M::CopyDone),
        (
            made(|o| put_notification(o, 5, "c", "p")),
            M::NotificationResponse {
                process_id: 5,
                channel: "c",
                payload: "p",
            },
        ),
        (
            made(|o| put_negotiate_protocol_version(o, 2, &["_pq_.x".to_owned()])),
            M::NegotiateProtocolVersion {
                version: 0x0003_0002,
                unknown_options: 1,
            },
        ),
        (message(b'V', b"\xff\xff\xff\xff"), M::FunctionCallResponse),
    ] {
        assert_eq!(decode(&bytes), Ok(expected));
    }
}

#[test]
fn lists_come_back() {
    let sasl = made(|o| put_sasl(o, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]));
    let Ok(BackendMessage::Authentication(Authentication::Sasl(mechanisms))) = decode(&sasl) else {
        panic!("not SASL")
    };
    assert_eq!(
        mechanisms.iter().collect::<Vec<_>>(),
        ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
    );

    let rows = made(|o| put_row_description(o, [FIELD, FIELD]).unwrap());
    let Ok(BackendMessage::RowDescription(rows)) = decode(&rows) else {
        panic!("not a RowDescription")
    };
    assert_eq!(
        (rows.len(), rows.fields().collect::<Vec<_>>()),
        (2, vec![FIELD, FIELD])
    );

    let row = made(|o| put_data_row(o, [Some(&b"x"[..]), None, Some(b"")]).unwrap());
    let Ok(BackendMessage::DataRow(row)) = decode(&row) else {
        panic!("not a DataRow")
    };
    assert_eq!(
        row.columns().collect::<Vec<_>>(),
        [Some(&b"x"[..]), None, Some(b"")]
    );
    assert!(!format!("{row:?}").contains('x'));

    let types = made(|o| put_parameter_description(o, [23, 0]).unwrap());
    let Ok(BackendMessage::ParameterDescription(types)) = decode(&types) else {
        panic!("no types")
    };
    assert_eq!((types.len(), types.iter().collect::<Vec<_>>()), (2, vec![23, 0]));
}

#[test]
fn errors_are_written_as_postgresql_writes_them() {
    let refusal = Refusal {
        position: Some(8),
        ..Refusal::error(SqlState::SYNTAX_ERROR, "syntax error")
    };
    let error = made(|o| put_refusal(o, &refusal));
    assert_eq!(
        error,
        message(b'E', b"SERROR\0VERROR\0C42601\0Msyntax error\0P8\0\0")
    );
    let Ok(BackendMessage::ErrorResponse(fields)) = decode(&error) else {
        panic!("not an error")
    };
    assert_eq!(fields.sqlstate(), Some(SqlState::SYNTAX_ERROR));
    assert_eq!(
        (fields.severity(), fields.message(), fields.get(b'P')),
        (Some("ERROR"), Some("syntax error"), Some("8"))
    );
    assert_eq!(fields.iter().count(), 5);

    let fatal = made(|o| put_refusal(o, &Refusal::fatal(SqlState::ADMIN_SHUTDOWN, "bye")));
    assert_eq!(fatal, message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0"));
    let notice = made(|o| put_notice(o, Severity::Warning, SqlState::SYNTAX_ERROR, "well"));
    let Ok(BackendMessage::NoticeResponse(fields)) = decode(&notice) else {
        panic!("not a notice")
    };
    assert_eq!(fields.severity(), Some("WARNING"));
}

#[test]
fn text_for_a_client_can_not_break_its_message() {
    let long = "ä".repeat(100_000);
    for text in ["a\0b", "\0\0", &long] {
        let error = made(|o| put_error(o, Severity::Error, SqlState::INTERNAL_ERROR, text, None));
        let Ok(BackendMessage::ErrorResponse(fields)) = decode(&error) else {
            panic!("not an error")
        };
        assert_eq!(fields.iter().count(), 4);
        assert!(fields.message().unwrap().len() <= 131_072);
    }
}

#[test]
fn an_error_in_another_encoding_can_still_be_told() {
    let latin1 = message(b'E', b"SFATAL\0C28P01\0Mf\xfcr\0\0");
    assert_eq!(refused(decode(&latin1)), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    let frame = backend_frame(&latin1, MAX).unwrap().unwrap();
    assert_eq!(
        error_text_lossy(&frame),
        (Some(SqlState::INVALID_PASSWORD), "f\u{fffd}r".to_owned())
    );
}

#[test]
fn lengths_and_tags_are_checked_at_once() {
    for length in [0, 3, 0x8000_0000, u32::MAX] {
        assert_eq!(
            backend_frame(&header(b'D', length), MAX),
            Err(WireError::Length { length })
        );
    }
    assert_eq!(backend_frame(&header(b'D', MAX), MAX), Ok(None));
    assert_eq!(
        refused(backend_frame(&header(b'D', MAX + 1), MAX)),
        SqlState::PROGRAM_LIMIT_EXCEEDED
    );
    for tag in 0..=u8::MAX {
        let known = b"RK23CWdcGHDIEVvnNAtS1sZT".contains(&tag);
        assert_eq!(backend_frame(&[tag], MAX).is_ok(), known, "{tag}");
    }
}

#[test]
fn what_is_not_laid_out_right_is_refused() {
    for bytes in [
        // DataRow: no count, a value too few, too many, too long, of a negative length.
        message(b'D', b""),
        message(b'D', b"\0\x01"),
        message(b'D', b"\0\0\0\0\0\0"),
        message(b'D', b"\0\x01\0\0\0\x02x"),
        message(b'D', b"\0\x01\x80\0\0\0"),
        message(b'D', b"\0\x01\xff\xff\xff\xfe"),
        message(b'D', b"\xff\xff\xff\xff\xff\xff"),
        // RowDescription: cut, left over, an unknown format.
        message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        message(b'T', b"\0\0\0"),
        message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"),
        // ReadyForQuery, CommandComplete, ParameterStatus.
        message(b'Z', b""),
        message(b'Z', b"X"),
        message(b'Z', b"II"),
        message(b'C', b"SELECT 1"),
        message(b'C', b"SELECT 1\0\0"),
        message(b'S', b"a\0b"),
        message(b'S', b"a\0b\0c\0"),
        // Keys of 3 and 257 bytes; Authentication without what it needs.
        message(b'K', b"\0\0\0\x01abc"),
        message(b'K', &[1; 261]),
        message(b'R', b"\0\0\0"),
        message(b'R', b"\0\0\0\0x"),
        message(b'R', b"\0\0\0\x05sal"),
        message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0"),
        message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0x"),
        // Errors without terminator, with something after it, with half a field.
        message(b'E', b""),
        message(b'E', b"SERROR\0"),
        message(b'E', b"SERROR\0\0x"),
        message(b'E', b"SERROR"),
        // COPY with an unknown format or a wrong count; a lying count of options.
        message(b'G', b"\x02\0\0"),
        message(b'H', b"\0\0\x01\0\x02"),
        message(b'H', b"\0\0\x02\0\0"),
        message(b'W', b"\0\0\0\0"),
        message(b'v', b"\0\x03\0\0\xff\xff\xff\xffx\0"),
        message(b't', b"\0\x01"),
        message(b't', b"\0\0\0\0\0\x17"),
        message(b'1', b"x"),
        message(b'n', b"x"),
    ] {
        let Err(error) = decode(&bytes) else {
            panic!("{bytes:?} was taken")
        };
        assert_eq!(error.sqlstate(), SqlState::PROTOCOL_VIOLATION, "{bytes:?}");
        assert!(error.fatal());
    }
}

#[test]
fn frames_of_a_payload_are_whole() {
    let payload = made(|o| {
        put_data_row(o, [Some(&b"1"[..])]).unwrap();
        put_command_complete(o, "SELECT 1");
        put_ready(o, TransactionStatus::Idle);
    });
    let tags: Vec<_> = backend_frames(&payload, MAX).map(|f| f.unwrap().tag).collect();
    assert_eq!(tags, *b"DCZ");
    let cut = &payload[..payload.len() - 1];
    assert_eq!(backend_frames(cut, MAX).last(), Some(Err(WireError::Incomplete)));
    let bad_first = [vec![b'?'], payload].concat();
    assert_eq!(
        backend_frames(&bad_first, MAX).count(),
        1,
        "nothing comes after an error"
    );
}

proptest! {
    #[test]
    fn rows_come_back(values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)), 0..9)) {
        let bytes = made(|o| put_data_row(o, values.iter().map(Option::as_deref)).unwrap());
        let Ok(BackendMessage::DataRow(row)) = decode(&bytes) else { panic!("not a DataRow") };
        prop_assert_eq!(usize::from(row.len()), values.len());
        prop_assert!(row.columns().eq(values.iter().map(Option::as_deref)));
    }

    #[test]
    fn columns_come_back(name in "[^\0]{0,9}", table_oid: u32, column: i16, type_oid: u32, size: i16, modifier: i32, format in 0..2u16) {
        let field = Field { name: &name, table_oid, column, type_oid, size, modifier, format };
        let bytes = made(|o| put_row_description(o, [FIELD, field]).unwrap());
        let Ok(BackendMessage::RowDescription(rows)) = decode(&bytes) else { panic!("not a RowDescription") };
        prop_assert_eq!(rows.fields().collect::<Vec<_>>(), vec![FIELD, field]);
    }

    #[test]
    fn garbage_never_panics(tag in prop::sample::select(b"RK23CWdcGHDIEVvnNAtS1sZT".to_vec()), body in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..40)) {
        let bytes = message(tag, &body);
        let _ = decode(&bytes);
        let _ = error_text_lossy(&backend_frame(&bytes, MAX).unwrap().unwrap());
        let _ = backend_frames(&body, MAX).count();
    }
}
