//! The PostgreSQL protocol.

use postern_wire::{
    Authentication, BackendMessage, BindValues, FirstPacket, Frame, FrontendMessage, Limits, WireError,
};
use postern_wire::{backend_frames, decode_backend, decode_frontend, first_packet, frontend_frame};

/// Small limits, so that short inputs reach the refusals as well.
const LIMITS: Limits = Limits {
    startup_bytes: 300,
    query_bytes: 300,
    parse_bytes: 300,
    bind_bytes: 300,
    copy_data_bytes: 300,
    password_bytes: 200,
    other_bytes: 100,
};

/// Messages of a client.
pub fn wire_frontend(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(frame)) = frontend_frame(rest, &LIMITS) {
        assert_eq!(frame.raw.len(), frame.body.len() + 5);
        never_longer_than_its_prefix_said(rest, frame);
        if let Ok(message) = decode_frontend(&frame) {
            comes_back(&message);
        }
        rest = &rest[frame.raw.len()..];
    }
    let _ = postern_wire::sign_in_frame(data, &LIMITS);
    let _ = postern_wire::decode_sasl_initial(data);

    // The iterator sees what the frames showed, and ends.
    let whole = postern_wire::frontend_messages(data, &LIMITS);
    let mut length = 0;
    let mut failed = false;
    for message in whole {
        assert!(!failed, "nothing comes after an error");
        match message {
            Ok((_, raw)) => length += raw.len(),
            Err(_) => failed = true,
        }
    }
    assert!(failed || length == data.len(), "bytes were skipped");
}

/// No prefix of a message is taken for a message.
fn never_longer_than_its_prefix_said(rest: &[u8], frame: Frame<'_>) {
    let cut = frame.raw.len() - 1;
    assert_eq!(frontend_frame(&rest[..cut], &LIMITS), Ok(None));
}

/// A decoded message, written and read again, is the same message.
fn comes_back(message: &FrontendMessage<'_>) {
    let mut out = Vec::new();
    let written = match *message {
        FrontendMessage::Query { sql } => postern_wire::put_query(&mut out, sql),
        FrontendMessage::Parse {
            name,
            sql,
            parameter_types,
        } => postern_wire::put_parse(&mut out, name, sql, parameter_types.iter()),
        FrontendMessage::Bind {
            portal,
            statement,
            tail,
        } => {
            let values = BindValues::new(tail).expect("decoding checked it");
            assert_eq!(values.iter().count(), values.len());
            postern_wire::put_bind(&mut out, portal, statement, tail)
        }
        FrontendMessage::Describe { target, name } => postern_wire::put_describe(&mut out, target, name),
        FrontendMessage::Execute { portal, max_rows } => {
            postern_wire::put_execute(&mut out, portal, max_rows)
        }
        FrontendMessage::Close { target, name } => postern_wire::put_close(&mut out, target, name),
        FrontendMessage::CopyData(data) => postern_wire::put_copy_data(&mut out, data),
        FrontendMessage::CopyFail { reason } => postern_wire::put_copy_fail(&mut out, reason),
        FrontendMessage::Password(data) => postern_wire::put_sasl_response(&mut out, data),
        FrontendMessage::Flush => {
            postern_wire::put_flush(&mut out);
            Ok(())
        }
        FrontendMessage::Sync => {
            postern_wire::put_sync(&mut out);
            Ok(())
        }
        FrontendMessage::CopyDone => {
            postern_wire::put_copy_done(&mut out);
            Ok(())
        }
        FrontendMessage::Terminate => {
            postern_wire::put_terminate(&mut out);
            Ok(())
        }
        FrontendMessage::FunctionCall => return,
    };
    written.expect("what was decoded can be written");
    let frame = frontend_frame(&out, &LIMITS)
        .expect("a frame")
        .expect("a whole frame");
    assert_eq!(frame.raw.len(), out.len());
    assert_eq!(decode_frontend(&frame).as_ref(), Ok(message));
}

/// The first packet of a connection.
pub fn wire_startup(data: &[u8]) {
    let first = first_packet(data, &LIMITS);
    let Ok(Some((packet, length))) = first else {
        // What is refused stays refused, whatever follows.
        if let Err(error) = first {
            let more = [data, b"more"].concat();
            assert_eq!(first_packet(&more, &LIMITS), Err(error));
        }
        return;
    };
    assert!(length <= data.len() && length >= 8);
    assert_eq!(first_packet(&data[..length - 1], &LIMITS), Ok(None));
    match packet {
        FirstPacket::Startup(startup) => {
            assert!(!startup.user.is_empty() && !startup.database.is_empty());
            assert!(startup.negotiated_minor() <= startup.minor);
            let reserved = ["user", "database", "options", "replication"];
            let mut out = Vec::new();
            let mut pairs = vec![("user", startup.user.as_str()), ("database", &startup.database)];
            for (name, value) in &startup.parameters {
                assert!(!name.is_empty() && !name.starts_with("_pq_.") || startup_from_options(name));
                // A setting named like a field of the packet, or given twice, can come from `options` only.
                let known = pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
                if !known && !reserved.contains(&name.as_str()) && !name.starts_with("_pq_.") {
                    pairs.push((name, value));
                }
            }
            postern_wire::put_startup(&mut out, startup.minor, &pairs).expect("it can be written");
            let again = first_packet(&out, &Limits::default());
            let Ok(Some((FirstPacket::Startup(again), _))) = again else {
                panic!("{again:?}")
            };
            assert_eq!((again.user, again.database), (startup.user, startup.database));
        }
        FirstPacket::Cancel { process_id, key } => {
            let mut out = Vec::new();
            postern_wire::put_cancel(&mut out, process_id, key).expect("it can be written");
            assert_eq!(out, &data[..length]);
        }
        FirstPacket::SslRequest | FirstPacket::GssEncRequest => assert_eq!(length, 8),
    }
}

/// `-c _pq_.x=1` is a setting with an odd name, not a protocol option.
fn startup_from_options(name: &str) -> bool {
    name.starts_with("_pq_.")
}

/// Messages of PostgreSQL.
pub fn wire_backend(data: &[u8]) {
    let mut length = 0;
    let mut failed = None;
    for frame in backend_frames(data, 400) {
        assert!(failed.is_none(), "nothing comes after an error");
        match frame {
            Ok(frame) => {
                length += frame.raw.len();
                look_at(&frame);
            }
            Err(error) => failed = Some(error),
        }
    }
    assert!(failed.is_some() || length == data.len(), "bytes were skipped");
    if length < data.len() {
        assert!(matches!(
            failed,
            Some(
                WireError::Incomplete
                    | WireError::UnknownTag(_)
                    | WireError::Length { .. }
                    | WireError::TooLong { .. }
            )
        ));
    }
}

/// Whatever decodes can be walked to its end.
fn look_at(frame: &Frame<'_>) {
    let _ = postern_wire::error_text_lossy(frame);
    let mut out = Vec::new();
    match decode_backend(frame) {
        Ok(BackendMessage::DataRow(row)) => {
            assert_eq!(row.columns().count(), usize::from(row.len()));
            postern_wire::put_data_row(&mut out, row.columns()).expect("it can be written");
            assert_eq!(out, frame.raw);
        }
        Ok(BackendMessage::RowDescription(row)) => {
            assert_eq!(row.fields().count(), usize::from(row.len()));
            postern_wire::put_row_description(&mut out, row.fields()).expect("it can be written");
            assert_eq!(out, frame.raw);
        }
        Ok(BackendMessage::ParameterDescription(types)) => {
            postern_wire::put_parameter_description(&mut out, types.iter()).expect("it can be written");
            assert_eq!(out, frame.raw);
        }
        Ok(BackendMessage::ErrorResponse(fields) | BackendMessage::NoticeResponse(fields)) => {
            let size: usize = fields.iter().map(|(_, text)| text.len() + 2).sum();
            assert_eq!(size + 1, frame.body.len(), "every field was shown");
            let _ = (fields.sqlstate(), fields.severity(), fields.message());
        }
        Ok(BackendMessage::Authentication(Authentication::Sasl(mechanisms))) => {
            let size: usize = mechanisms.iter().map(|name| name.len() + 1).sum();
            assert_eq!(size + 5, frame.body.len(), "every mechanism was shown");
        }
        Ok(BackendMessage::CommandComplete { tag }) => {
            postern_wire::put_command_complete(&mut out, tag);
            assert_eq!(out, frame.raw);
        }
        _ => {}
    }
}
