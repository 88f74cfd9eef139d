//! Attacks on the protocol, the lexer and the session (numbers 1 to 18 and 40 of the project's list of ways
//! round a gate). Each is judged by its effect: what is in the database afterwards, that the other
//! session feels nothing, and that the client gets a true SQLSTATE.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::raw::{Raw, first_error, tags};
use postern_testkit::{Options, Part, Ring, Stage};
use postern_wire::{
    Target, put_bind, put_cancel, put_close, put_copy_data, put_copy_done, put_describe, put_execute,
    put_flush, put_parse, put_query, put_ssl_request, put_startup, put_sync,
};
use std::time::Duration;

const SECRETS: &str = "
    CREATE TABLE public.secret (word text);
    INSERT INTO public.secret VALUES ('swordfish');
    GRANT ALL ON public.secret TO app, owner;
    CREATE TABLE shop.target (n int);
    INSERT INTO shop.target VALUES (1);
    GRANT ALL ON shop.target TO app, owner;
";

const NO_VALUES: &[u8] = &[0, 0, 0, 0, 0, 0];

/// A ring with something to attack, and a bystander who must notice nothing.
struct Scene {
    ring: Ring,
    bystander: Raw,
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(Options::default()).await
    }

    async fn with(mut options: Options) -> Scene {
        options.sql = Some(SECRETS.into());
        let ring = Ring::start(options).await.unwrap();
        let bystander = Raw::sign_in(ring.port(), "owner").await.unwrap();
        Scene { ring, bystander }
    }

    async fn attacker(&self) -> Raw {
        Raw::sign_in(self.ring.port(), "app").await.unwrap()
    }

    /// The server is up, the bystander's session works, nothing was changed, new clients are welcome.
    async fn unharmed(mut self) {
        let answer = self
            .bystander
            .query("SELECT word FROM public.secret")
            .await
            .unwrap();
        assert_eq!(tags(&answer), "TDCZ");
        assert_eq!(
            self.ring.database_sql("SELECT word FROM public.secret").unwrap(),
            "swordfish"
        );
        assert_eq!(
            self.ring.database_sql("SELECT sum(n) FROM shop.target").unwrap(),
            "1"
        );
        for stage in Stage::ALL {
            assert!(self.ring.pid(Part::Stage(stage)).is_some(), "{stage} died");
        }
        self.attacker().await;
    }
}

fn extended(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_parse(&mut out, "", sql, []).unwrap();
    put_bind(&mut out, "", "", NO_VALUES).unwrap();
    put_describe(&mut out, Target::Portal, "").unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    out
}

fn code(messages: &[postern_e2e::raw::Message]) -> String {
    first_error(messages).unwrap_or_default().0
}

fn leaks(messages: &[postern_e2e::raw::Message]) -> bool {
    messages
        .iter()
        .any(|m| m.body.windows(9).any(|w| w == b"swordfish"))
}

#[tokio::test]
async fn a01_function_call_is_refused() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    // FunctionCall of pg_read_file's kind: oid 2621, no arguments.
    let mut call = vec![b'F', 0, 0, 0, 14];
    call.extend_from_slice(&2621u32.to_be_bytes());
    call.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    attacker.send(&call).await.unwrap();
    let answer = attacker.until_ready().await.unwrap();
    assert_eq!((code(&answer).as_str(), tags(&answer).as_str()), ("0A000", "EZ"));
    assert_eq!(tags(&attacker.query("SELECT 1").await.unwrap()), "TDCZ");
    scene.unharmed().await;
}

#[tokio::test]
async fn a02_a_blocked_parse_leaves_nothing_to_bind() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut out = Vec::new();
    put_parse(&mut out, "good", "SELECT n FROM shop.target", []).unwrap();
    put_sync(&mut out);
    // The name is taken over by a statement that is refused; then the name is run.
    put_close(&mut out, Target::Statement, "good").unwrap();
    put_parse(&mut out, "good", "SELECT word FROM public.secret", []).unwrap();
    put_sync(&mut out);
    put_bind(&mut out, "", "good", NO_VALUES).unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    attacker.send(&out).await.unwrap();
    let first = attacker.until_ready().await.unwrap();
    let second = attacker.until_ready().await.unwrap();
    let third = attacker.until_ready().await.unwrap();
    assert_eq!(tags(&first), "1Z");
    assert_eq!(code(&second), "42501");
    assert!(code(&third) == "26000" || code(&third) == "42501", "{third:?}");
    assert!(!leaks(&third));
    // The unnamed statement: refused, then executed.
    let mut out = Vec::new();
    put_parse(&mut out, "", "DELETE FROM public.secret", []).unwrap();
    put_sync(&mut out);
    put_bind(&mut out, "", "", NO_VALUES).unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    attacker.send(&out).await.unwrap();
    assert_eq!(code(&attacker.until_ready().await.unwrap()), "42501");
    assert!(!code(&attacker.until_ready().await.unwrap()).is_empty());
    scene.unharmed().await;
}

#[tokio::test]
async fn a03_one_bad_member_of_a_pipeline_stops_all_up_to_sync() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut out = Vec::new();
    for sql in [
        "UPDATE shop.target SET n = n + 1",
        "DELETE FROM public.secret",
        "UPDATE shop.target SET n = n + 1",
    ] {
        put_parse(&mut out, "", sql, []).unwrap();
        put_bind(&mut out, "", "", NO_VALUES).unwrap();
        put_execute(&mut out, "", 0).unwrap();
    }
    put_sync(&mut out);
    attacker.send(&out).await.unwrap();
    let answer = attacker.until_ready().await.unwrap();
    assert_eq!(
        (tags(&answer).as_str(), code(&answer).as_str()),
        ("12CEZ", "42501")
    );
    // The whole pipeline was one implicit transaction: the first update is rolled back too.
    scene.unharmed().await;
}

#[tokio::test]
async fn a03_a_refusal_fails_an_open_transaction() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    attacker.query("BEGIN").await.unwrap();
    attacker.query("UPDATE shop.target SET n = 5").await.unwrap();
    let refused = attacker.query("SELECT word FROM public.secret").await.unwrap();
    assert_eq!(
        (tags(&refused).as_str(), code(&refused).as_str()),
        ("EZ", "42501")
    );
    assert_eq!(refused.last().unwrap().body, b"E");
    let after = attacker.query("SELECT 1").await.unwrap();
    assert_eq!(code(&after), "25P02");
    let end = attacker.query("COMMIT").await.unwrap();
    assert_eq!(end.last().unwrap().body, b"I");
    assert!(
        end.iter()
            .any(|m| m.tag == b'C' && m.body.starts_with(b"ROLLBACK"))
    );
    scene.unharmed().await;
}

#[tokio::test]
async fn a04_clear_bytes_before_the_tls_handshake_are_refused() {
    let scene = Scene::new().await;
    let mut attacker = Raw::connect(scene.ring.port()).await.unwrap();
    let mut out = Vec::new();
    put_ssl_request(&mut out);
    put_startup(&mut out, 0, &[("user", "owner"), ("database", "demo")]).unwrap();
    attacker.send(&out).await.unwrap();
    // At most the 'S'; never an answer to the start-up packet that was in clear.
    let mut received = Vec::new();
    while let Some(byte) = attacker.byte().await.unwrap() {
        received.push(byte);
    }
    assert!(!received.contains(&b'R'), "{received:?}");
    // GSSENCRequest is answered with N, and the client may go on in clear.
    let mut attacker = Raw::connect(scene.ring.port()).await.unwrap();
    attacker
        .send(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30])
        .await
        .unwrap();
    assert_eq!(attacker.byte().await.unwrap(), Some(b'N'));
    scene.unharmed().await;
}

#[tokio::test]
async fn a05_start_up_options_can_not_change_role_path_or_mode() {
    let scene = Scene::new().await;
    for (name, value) in [
        ("options", "-c role=owner"),
        ("options", "-crole=owner"),
        ("options", "--role=owner"),
        ("options", "-c session_replication_role=replica"),
        ("role", "owner"),
        ("search_path", "public"),
        ("session_authorization", "owner"),
        ("session_preload_libraries", "x"),
        ("client_encoding", "SJIS"),
        ("standard_conforming_strings", "off"),
        ("replication", "database"),
        ("replication", "true"),
    ] {
        let mut attacker = Raw::connect(scene.ring.port()).await.unwrap();
        let mut startup = Vec::new();
        put_startup(
            &mut startup,
            0,
            &[("user", "app"), ("database", "demo"), (name, value)],
        )
        .unwrap();
        attacker.send(&startup).await.unwrap();
        if attacker.scram("app").await.is_err() {
            continue; // Refused before sign-in.
        }
        let answer = attacker.until_closed().await.unwrap();
        let code = code(&answer);
        assert!(
            !tags(&answer).contains('Z') && !code.is_empty(),
            "{name}={value}: {answer:?}"
        );
    }
    // An unknown protocol option is negotiated away, not obeyed.
    let mut client = Raw::connect(scene.ring.port()).await.unwrap();
    let mut startup = Vec::new();
    put_startup(
        &mut startup,
        0,
        &[("user", "app"), ("database", "demo"), ("_pq_.magic", "1")],
    )
    .unwrap();
    client.send(&startup).await.unwrap();
    assert_eq!(client.message().await.unwrap().tag, b'v');
    client.scram("app").await.unwrap();
    client.until_ready().await.unwrap();
    scene.unharmed().await;
}

#[tokio::test]
async fn a06_lengths_that_lie_end_the_session_and_nothing_else() {
    let scene = Scene::new().await;
    for bytes in [
        &[b'Q', 0, 0, 0, 3][..],
        &[b'Q', 0, 0, 0, 0],
        &[b'Q', 0xff, 0xff, 0xff, 0xff],
        &[b'Q', 0x80, 0, 0, 0],
        &[b'Q', 0x7f, 0xff, 0xff, 0xff],
        &[b'P', 0, 0, 0, 4],
        &[b'B', 0, 0, 0, 12, 0, 0, 0, 0, 0xff, 0xff, 0, 0],
        &[b'X', 0, 0, 0, 9, 1, 2, 3, 4, 5],
        &[0, 0, 0, 0, 0],
        &[b'z', 0, 0, 0, 4],
        // A Query with an embedded NUL: a second statement behind the terminator.
        b"Q\0\0\0\x1fSELECT 1\0DELETE FROM t\0\0\0\0\0\0",
    ] {
        let mut attacker = scene.attacker().await;
        attacker.send(bytes).await.unwrap();
        let answer = attacker.until_closed().await.unwrap();
        let code = code(&answer);
        assert!(
            code == "08P01" || code == "54000" || tags(&answer).is_empty(),
            "{bytes:?}: {answer:?}"
        );
    }
    // Before sign-in too.
    for bytes in [
        &[0, 0, 0, 0][..],
        &[0, 0, 0, 7, 0, 3, 0],
        &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        &[0xff; 64],
    ] {
        let mut attacker = Raw::connect(scene.ring.port()).await.unwrap();
        attacker.send(bytes).await.unwrap();
        attacker.until_closed().await.unwrap();
    }
    scene.unharmed().await;
}

#[tokio::test]
async fn a06_sixty_five_thousand_parameters_are_handled() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut out = Vec::new();
    put_parse(&mut out, "", "SELECT 1", std::iter::repeat_n(23u32, 65_535)).unwrap();
    let mut tail = vec![0, 0, 0xff, 0xff];
    tail.extend(std::iter::repeat_n([0xff; 4], 65_535).flatten());
    tail.extend_from_slice(&[0, 0]);
    put_bind(&mut out, "", "", &tail).unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    attacker.send(&out).await.unwrap();
    let answer = attacker.until_ready().await.unwrap();
    assert!(
        ["12DCZ", "1EZ", "EZ"].contains(&tags(&answer).as_str()),
        "{}",
        tags(&answer)
    );
    scene.unharmed().await;
}

#[tokio::test]
async fn a07_only_the_right_key_cancels() {
    let scene = Scene::new().await;
    let mut victim = Raw::sign_in(scene.ring.port(), "owner").await.unwrap();
    let (pid, key) = victim.cancel_key.clone().unwrap();
    let mut out = Vec::new();
    put_query(&mut out, "SELECT pg_sleep(3), 'slept'").unwrap();
    victim.send(&out).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let attacker = scene.attacker().await;
    let (attacker_pid, attacker_key) = attacker.cancel_key.clone().unwrap();
    let mut wrong = key.clone();
    wrong[0] ^= 1;
    for (pid, key) in [
        (pid, wrong),
        (pid, attacker_key),
        (attacker_pid, key.clone()),
        (pid, vec![0; 4]),
        (pid, vec![7; 32]),
    ] {
        let mut cancel = Raw::connect(scene.ring.port()).await.unwrap();
        let mut out = Vec::new();
        put_cancel(&mut out, pid, &key).unwrap();
        cancel.send(&out).await.unwrap();
        assert!(cancel.until_closed().await.unwrap().is_empty());
    }
    let answer = victim.until_ready().await.unwrap();
    assert_eq!(tags(&answer), "TDCZ", "somebody else's key cancelled it");

    let mut out = Vec::new();
    put_query(&mut out, "SELECT pg_sleep(60)").unwrap();
    victim.send(&out).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut cancel = Raw::connect(scene.ring.port()).await.unwrap();
    let mut out = Vec::new();
    put_cancel(&mut out, pid, &key).unwrap();
    cancel.send(&out).await.unwrap();
    let answer = victim.until_ready().await.unwrap();
    assert_eq!(code(&answer), "57014");
    assert_eq!(tags(&victim.query("SELECT 1").await.unwrap()), "TDCZ");
    scene.unharmed().await;
}

#[tokio::test]
async fn a08_copy_messages_out_of_turn_do_nothing() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut out = Vec::new();
    put_copy_data(&mut out, b"7\n").unwrap();
    put_copy_done(&mut out);
    put_query(&mut out, "SELECT 1").unwrap();
    put_copy_data(&mut out, b"7\n").unwrap();
    attacker.send(&out).await.unwrap();
    assert_eq!(tags(&attacker.until_ready().await.unwrap()), "TDCZ");
    // COPY is not among what the role may do.
    let answer = attacker.query("COPY shop.target FROM STDIN").await.unwrap();
    assert_eq!(code(&answer), "42501");
    let mut out = Vec::new();
    put_copy_data(&mut out, b"7\n").unwrap();
    put_copy_done(&mut out);
    attacker.send(&out).await.unwrap();
    assert_eq!(tags(&attacker.query("SELECT 1").await.unwrap()), "TDCZ");
    // CopyFail in a COPY that is allowed leaves nothing.
    let mut owner = Raw::sign_in(scene.ring.port(), "owner").await.unwrap();
    let mut out = Vec::new();
    put_query(&mut out, "COPY shop.target FROM STDIN").unwrap();
    owner.send(&out).await.unwrap();
    assert_eq!(owner.message().await.unwrap().tag, b'G');
    let mut out = Vec::new();
    put_copy_data(&mut out, b"7\n").unwrap();
    postern_wire::put_copy_fail(&mut out, "changed my mind").unwrap();
    owner.send(&out).await.unwrap();
    assert_eq!(code(&owner.until_ready().await.unwrap()), "57014");
    scene.unharmed().await;
}

#[tokio::test]
async fn a09_describe_does_not_tell_the_columns_of_a_blocked_statement() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut out = Vec::new();
    put_parse(&mut out, "s", "SELECT word FROM public.secret", []).unwrap();
    put_describe(&mut out, Target::Statement, "s").unwrap();
    put_flush(&mut out);
    put_sync(&mut out);
    put_describe(&mut out, Target::Statement, "s").unwrap();
    put_sync(&mut out);
    attacker.send(&out).await.unwrap();
    let mut answer = attacker.until_ready().await.unwrap();
    answer.extend(attacker.until_ready().await.unwrap());
    assert!(!tags(&answer).contains(['T', 't']), "{}", tags(&answer));
    assert_eq!(code(&answer), "42501");
    scene.unharmed().await;
}

#[tokio::test]
async fn a10_binary_formats_are_no_way_round() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut out = Vec::new();
    put_parse(&mut out, "", "SELECT word FROM public.secret", []).unwrap();
    put_bind(&mut out, "", "", &[0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    attacker.send(&out).await.unwrap();
    let answer = attacker.until_ready().await.unwrap();
    assert_eq!((tags(&answer).as_str(), leaks(&answer)), ("EZ", false));
    scene.unharmed().await;
}

#[tokio::test]
async fn a11_slow_and_idle_clients_before_sign_in_are_put_out() {
    let config = "[limits]\nconnections_before_sign_in = 8\nsign_in_timeout_ms = 1500\n";
    let scene = Scene::with(Options {
        config: vec![(Stage::Frontend, config.into())],
        ..Options::default()
    })
    .await;
    let mut dripper = Raw::connect(scene.ring.port()).await.unwrap();
    let mut startup = Vec::new();
    put_startup(&mut startup, 0, &[("user", "app"), ("database", "demo")]).unwrap();
    let drip = tokio::spawn(async move {
        for byte in startup {
            if dripper.send(&[byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        dripper
            .until_closed()
            .await
            .is_ok_and(|m| !tags(&m).contains('Z'))
    });
    // A flood of connections that never say anything.
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(Raw::connect(scene.ring.port()).await.unwrap());
    }
    for mut idle in flood {
        idle.until_closed().await.unwrap();
    }
    assert!(drip.await.unwrap(), "the dripper was served");
    scene.unharmed().await;
}

#[tokio::test]
async fn a11_a_message_larger_than_the_limit_is_refused_before_it_is_read() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let mut head = vec![b'Q'];
    head.extend_from_slice(&(64u32 << 20).to_be_bytes());
    attacker.send(&head).await.unwrap();
    let answer = attacker.until_closed().await.unwrap();
    assert_eq!(code(&answer), "54000");
    scene.unharmed().await;
}

#[tokio::test]
async fn a12_and_a13_lexer_settings_and_encodings_are_pinned() {
    let scene = Scene::new().await;
    for user in ["app", "owner"] {
        let mut attacker = Raw::sign_in(scene.ring.port(), user).await.unwrap();
        for sql in [
            "SET standard_conforming_strings = off",
            "SET backslash_quote = on",
            "SET client_encoding = 'SJIS'",
            "SET NAMES 'BIG5'",
            "SELECT set_config('standard_conforming_strings', 'off', false)",
            "SELECT set_config('client_encoding', 'GBK', true)",
            "BEGIN; SET LOCAL client_encoding TO EUC_TW; COMMIT",
        ] {
            let answer = attacker.query(sql).await.unwrap();
            assert!(!code(&answer).is_empty(), "{user} may {sql}");
        }
        let shown = attacker
            .query(
                "SELECT current_setting('client_encoding') || current_setting('standard_conforming_strings')",
            )
            .await
            .unwrap();
        assert!(
            shown.iter().any(|m| m.tag == b'D' && m.body.ends_with(b"UTF8on")),
            "{shown:?}"
        );
        // Bytes that are not UTF-8.
        let mut out = vec![b'Q', 0, 0, 0, 15];
        out.extend_from_slice(b"SELECT '\xbf\x27\0");
        attacker.send(&out).await.unwrap();
        let answer = attacker.until_ready().await.unwrap();
        assert_eq!((code(&answer).as_str(), tags(&answer).as_str()), ("22021", "EZ"));
    }
    scene.unharmed().await;
}

#[tokio::test]
async fn a14_to_a16_comments_quotes_and_case_hide_nothing() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    for sql in [
        "SELECT 1 /* /* nested */ ; */ ; DELETE FROM public.secret",
        "SELECT 1 --\n; DELETE FROM public.secret",
        "/*!DELETE FROM public.secret*/ SELECT 1; DELETE FROM public.secret --",
        "SELECT $$a$$, $x$;$x$; DELETE FROM public.secret",
        "SELECT E'\\'; DELETE FROM public.secret --'; DELETE FROM public.secret",
        "SELECT word FROM U&\"publ\\0069c\".secret",
        "SELECT word FROM U&\"publ!0069c\" UESCAPE '!'.secret",
        "SELECT word FROM \"public\".\"secret\"",
        "SELECT word FROM PUBLIC.SECRET",
        "TABLE public.secret",
        "SELECT 0x_1, word FROM public.secret",
        "SELECT word\u{a0}FROM public.secret",
        "WITH shop AS (SELECT 1) SELECT word FROM public.secret",
        "SELECT (SELECT word FROM public.secret)",
        "SELECT 'a'\n'b', (TABLE public.secret)",
    ] {
        for extended_query in [false, true] {
            let answer = if extended_query {
                attacker.send(&extended(sql)).await.unwrap();
                attacker.until_ready().await.unwrap()
            } else {
                attacker.query(sql).await.unwrap()
            };
            let code = code(&answer);
            assert!(["42501", "42601"].contains(&code.as_str()), "{sql}: {code}");
            assert!(!leaks(&answer), "{sql}");
        }
    }
    scene.unharmed().await;
}

#[tokio::test]
async fn a17_depth_bombs_are_refused_and_the_server_stays_up() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let bombs = [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}", "NOT ".repeat(100_000) + "true"),
        format!("SELECT 1{}", "+1".repeat(100_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(30_000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(50_000), "]".repeat(50_000)),
        format!("SELECT {}", "CASE WHEN true THEN ".repeat(20_000)),
        format!("SELECT 1 WHERE 1 IN ({}1)", "1,".repeat(400_000)),
        format!("SELECT {}", "- ".repeat(200_000) + "1"),
    ];
    for bomb in &bombs {
        let answer = attacker.query(bomb).await.unwrap();
        assert!(tags(&answer).ends_with('Z'));
    }
    assert_eq!(tags(&attacker.query("SELECT 1").await.unwrap()), "TDCZ");
    scene.unharmed().await;
}

#[tokio::test]
async fn a18_syntax_the_parser_does_not_know_is_refused_and_new_syntax_is_judged() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    for (sql, wanted) in [
        ("SELECT FROM WHERE", "42601"),
        ("FROBNICATE public.secret", "42601"),
        (
            "MERGE INTO public.secret USING shop.target ON true WHEN MATCHED THEN DELETE RETURNING *",
            "42501",
        ),
        (
            "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')), public.secret",
            "42501",
        ),
    ] {
        let answer = attacker.query(sql).await.unwrap();
        assert_eq!(code(&answer), wanted, "{sql}");
    }
    scene.unharmed().await;
}

#[tokio::test]
async fn a19_stacked_statements_are_judged_one_by_one() {
    let scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    for sql in [
        "SELECT 1; DELETE FROM public.secret",
        "UPDATE shop.target SET n = 9; DELETE FROM public.secret",
        "COMMIT; DELETE FROM public.secret",
        "BEGIN; UPDATE shop.target SET n = 9; COMMIT; TABLE public.secret",
    ] {
        let answer = attacker.query(sql).await.unwrap();
        assert_eq!(
            (tags(&answer).as_str(), code(&answer).as_str()),
            ("EZ", "42501"),
            "{sql}"
        );
    }
    scene.unharmed().await;
}

#[tokio::test]
async fn a38_the_greeting_names_the_user_and_not_the_backends_login_role() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let (_client, connection) = tokio_postgres::connect(&ring.url("app"), tokio_postgres::NoTls)
        .await
        .unwrap();
    assert_eq!(connection.parameter("session_authorization"), Some("app"));
}

#[tokio::test]
async fn a40_cancels_and_timeouts_deliver_no_answer_to_the_wrong_session() {
    let config = "[database]\npool_size = 3\n";
    let scene = Scene::with(Options {
        config: vec![(Stage::Backend, config.into())],
        ..Options::default()
    })
    .await;
    let port = scene.ring.port();
    let mut clients = Vec::new();
    for number in 0..12u32 {
        clients.push(tokio::spawn(async move {
            let mut client = Raw::sign_in(port, "owner").await.unwrap();
            for round in 0..25u32 {
                let marker = format!("client {number} round {round}");
                if round % 5 == 4 {
                    // Sleep, cancel from outside, and see what comes.
                    let (pid, key) = client.cancel_key.clone().unwrap();
                    let mut out = Vec::new();
                    put_query(&mut out, &format!("SELECT pg_sleep(0.05), '{marker}'")).unwrap();
                    client.send(&out).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(u64::from(number * 7 % 60))).await;
                    let mut cancel = Raw::connect(port).await.unwrap();
                    let mut out = Vec::new();
                    put_cancel(&mut out, pid, &key).unwrap();
                    cancel.send(&out).await.unwrap();
                    cancel.until_closed().await.unwrap();
                    let answer = client.until_ready().await.unwrap();
                    let rows = answer.iter().filter(|m| m.tag == b'D').count();
                    assert!(code(&answer) == "57014" || rows == 1, "{answer:?}");
                    assert!(
                        answer
                            .iter()
                            .filter(|m| m.tag == b'D')
                            .all(|m| m.body.ends_with(marker.as_bytes()))
                    );
                } else {
                    let answer = client.query(&format!("SELECT '{marker}'")).await.unwrap();
                    assert_eq!(
                        tags(&answer),
                        "TDCZ",
                        "a cancel hit the wrong statement: {answer:?}"
                    );
                    assert!(
                        answer[1].body.ends_with(marker.as_bytes()),
                        "somebody else's answer"
                    );
                }
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    scene.unharmed().await;
}
