//! The first packet.

use super::{limits, refused};
use crate::{FirstPacket, Startup, WireError, first_packet};
use crate::{put_cancel, put_ssl_request, put_startup};
use postern_types::SqlState;
use proptest::prelude::*;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

fn first(bytes: &[u8]) -> Result<FirstPacket<'_>, WireError> {
    let (packet, length) = first_packet(bytes, &limits())?.expect("a whole packet");
    assert_eq!(length, bytes.len());
    Ok(packet)
}

fn startup(parameters: &[(&str, &str)]) -> Result<Startup, WireError> {
    let mut out = Vec::new();
    put_startup(&mut out, 0, parameters).unwrap();
    let FirstPacket::Startup(startup) = first(&out)? else {
        panic!("not a start-up")
    };
    Ok(startup)
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn the_four_kinds() {
    let mut out = Vec::new();
    put_ssl_request(&mut out);
    assert_eq!(first(&out), Ok(FirstPacket::SslRequest));
    assert_eq!(first(&packet(80_877_104, b"")), Ok(FirstPacket::GssEncRequest));
    assert_eq!(
        first(&packet(80_877_102, b"\0\0\0\x05abcd")),
        Ok(FirstPacket::Cancel {
            process_id: 5,
            key: b"abcd"
        })
    );
    assert!(matches!(
        first(&packet(196_608, b"user\0a\0\0")),
        Ok(FirstPacket::Startup(_))
    ));
    for code in [80_877_103, 80_877_104] {
        assert_eq!(refused(first(&packet(code, b"x"))), SqlState::PROTOCOL_VIOLATION);
    }
}

#[test]
fn cancel_keys_have_4_to_256_bytes() {
    for length in [0usize, 3, 4, 32, 256, 257] {
        let key = vec![1; length];
        let body = [&[0, 0, 0, 5][..], &key].concat();
        let possible = (4..=256).contains(&length);
        assert_eq!(first(&packet(80_877_102, &body)).is_ok(), possible, "{length}");
        assert_eq!(put_cancel(&mut Vec::new(), 5, &key).is_ok(), possible, "{length}");
    }
    assert!(first(&packet(80_877_102, b"\0\0\0")).is_err());
}

#[test]
fn lengths_are_checked_at_once() {
    for length in [0u32, 4, 7, 0x8000_0000, u32::MAX] {
        assert_eq!(
            first_packet(&length.to_be_bytes(), &limits()),
            Err(WireError::Length { length })
        );
    }
    assert_eq!(first_packet(&10_000u32.to_be_bytes(), &limits()), Ok(None));
    let too_long = 10_001u32.to_be_bytes();
    assert_eq!(
        refused(first_packet(&too_long, &limits())),
        SqlState::PROGRAM_LIMIT_EXCEEDED
    );
    // The beginning of a TLS ClientHello or of an HTTP request is not a length.
    assert!(first_packet(b"\x16\x03\x01\x02", &limits()).is_err());
    assert!(first_packet(b"GET ", &limits()).is_err());
    let whole = packet(196_608, b"user\0a\0\0");
    for cut in 0..whole.len() {
        assert_eq!(first_packet(&whole[..cut], &limits()), Ok(None));
    }
    let more = [whole.clone(), b"more".to_vec()].concat();
    assert_eq!(first_packet(&more, &limits()).unwrap().unwrap().1, whole.len());
}

#[test]
fn only_major_version_3_is_spoken() {
    for (major, minor) in [(0, 0), (1, 0), (2, 0), (4, 0), (1234, 5600)] {
        let version = u32::from(major) << 16 | u32::from(minor);
        let error = first(&packet(version, b"user\0a\0\0")).unwrap_err();
        assert_eq!(error, WireError::UnsupportedProtocol { major, minor });
        assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        assert!(error.to_string().contains(&format!("{major}.{minor}")));
    }
}

#[test]
fn newer_minor_versions_and_unknown_options_are_negotiated() {
    for (minor, spoken, negotiate) in [(0, 0, false), (2, 2, false), (3, 2, true), (9999, 2, true)] {
        let mut out = Vec::new();
        put_startup(&mut out, minor, &[("user", "a")]).unwrap();
        let Ok(FirstPacket::Startup(startup)) = first(&out) else {
            panic!("not a start-up")
        };
        assert_eq!(
            (
                startup.minor,
                startup.negotiated_minor(),
                startup.needs_negotiation()
            ),
            (minor, spoken, negotiate)
        );
    }
    let startup = startup(&[("user", "a"), ("_pq_.x", "1"), ("_pq_.y", "")]).unwrap();
    assert_eq!(startup.unknown_protocol_options, ["_pq_.x", "_pq_.y"]);
    assert!(startup.needs_negotiation() && startup.parameters.is_empty());
}

#[test]
fn parameters_are_sorted_out() {
    let startup = startup(&[
        ("user", "app"),
        ("client_encoding", "UTF8"),
        ("options", r"-c search_path=a\ b --client-encoding=LATIN1"),
        ("database", "demo"),
    ])
    .unwrap();
    assert_eq!(
        (startup.user.as_str(), startup.database.as_str()),
        ("app", "demo")
    );
    // The packet's own value counts over that of options, so it comes last.
    let expected = [
        pair("search_path", "a b"),
        pair("client_encoding", "LATIN1"),
        pair("client_encoding", "UTF8"),
    ];
    assert_eq!(startup.parameters, expected);
}

#[test]
fn the_user_is_needed_and_the_database_is_named_like_him() {
    assert_eq!(startup(&[("user", "app")]).unwrap().database, "app");
    assert_eq!(
        startup(&[("user", "app"), ("database", "")]).unwrap().database,
        "app"
    );
    for parameters in [&[][..], &[("user", "")], &[("database", "demo")]] {
        assert_eq!(refused(startup(parameters)), SqlState::INVALID_AUTHORIZATION);
    }
}

#[test]
fn replication_is_recognised_however_it_is_spelt() {
    let replication = |value| startup(&[("user", "a"), ("replication", value)]).map(|s| s.replication);
    for value in ["database", "true", "on", "yes", "1", "TRUE", "Database"] {
        assert_eq!(replication(value), Ok(true), "{value}");
    }
    for value in ["false", "off", "no", "0"] {
        assert_eq!(replication(value), Ok(false), "{value}");
    }
    for value in ["", "t", "2", "database "] {
        assert_eq!(
            refused(replication(value)),
            SqlState::INVALID_PARAMETER_VALUE,
            "{value}"
        );
    }
}

#[test]
fn parameters_that_can_be_read_in_two_ways_are_refused() {
    for repeated in [
        [("user", "a"), ("user", "b")],
        [("DateStyle", "ISO"), ("datestyle", "SQL")],
    ] {
        let parameters = [&[("user", "x")][..], &repeated].concat();
        assert_eq!(refused(startup(&parameters)), SqlState::PROTOCOL_VIOLATION);
    }
    for name in ["a b", "1a", "a=b", "a\u{e4}", "-c"] {
        assert_eq!(
            refused(startup(&[("user", "a"), (name, "x")])),
            SqlState::INVALID_PARAMETER_VALUE,
            "{name}"
        );
    }
    assert_eq!(
        refused(startup(&[("user", "a"), ("options", "-d 5")])),
        SqlState::INVALID_PARAMETER_VALUE
    );
    let many: Vec<_> = (0..129).map(|n| (format!("n{n}"), "x")).collect();
    let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    assert_eq!(refused(startup(&many)), SqlState::PROTOCOL_VIOLATION);
}

#[test]
fn the_layout_is_exact() {
    for body in [
        &b""[..],
        b"\0user\0a\0\0",
        b"user\0a\0",
        b"user\0a",
        b"user\0",
        b"user\0a\0\0\0",
        b"user\0a\0database\0\0",
    ] {
        let error = first(&packet(196_608, body)).unwrap_err();
        let expected = [SqlState::PROTOCOL_VIOLATION, SqlState::INVALID_AUTHORIZATION];
        assert!(expected.contains(&error.sqlstate()), "{body:?} {error}");
        assert!(error.fatal());
    }
    let latin1 = first(&packet(196_608, b"user\0\xe4\0\0")).unwrap_err();
    assert_eq!(latin1.sqlstate(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    assert!(latin1.fatal(), "there is no session to go on with");
}

proptest! {
    #[test]
    fn garbage_never_panics(body in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..60), minor: u16) {
        let _ = first(&packet(196_608 | u32::from(minor), &body));
        let _ = first_packet(&body, &limits());
    }

    #[test]
    fn users_and_databases_come_back(user in "[^\0]{1,20}", database in "[^\0]{1,20}", value in "[^\0]{0,20}") {
        let startup = startup(&[("user", &user), ("database", &database), ("application_name", &value)]).unwrap();
        prop_assert_eq!((startup.user, startup.database), (user, database));
        prop_assert_eq!(startup.parameters, [("application_name".to_owned(), value)]);
    }

    #[test]
    fn options_come_back(value in "[^\0]{0,20}") {
        let escaped: String = value.chars().flat_map(|c| ['\\', c]).collect();
        let options = format!("-c a={escaped} --b={escaped}");
        let startup = startup(&[("user", "x"), ("options", &options)]).unwrap();
        prop_assert_eq!(startup.parameters, [("a".to_owned(), value.clone()), ("b".to_owned(), value)]);
    }
}
