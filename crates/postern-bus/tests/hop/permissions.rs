//! What an intruder can do with a stage's credential, judged by its effect on the server.

use crate::server::{Method, PATIENCE, Server, WITH_PERMISSIONS, binaries, hop, soon};
use bytes::Bytes;
use futures_util::StreamExt;
use postern_bus::provision::{Storage, provision};
use postern_bus::{Inlet, Outlet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

async fn hop_with_two_messages(binary: &Path, method: Method) -> Server {
    let mut server = Server::with(binary, method);
    server.start();
    soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
        .await
        .unwrap();
    let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
        .await
        .unwrap();
    soon("a confirmation", outlet.publish("hop", "for c1".into()))
        .await
        .unwrap();
    soon("a confirmation", outlet.publish("hop.two", "for c2".into()))
        .await
        .unwrap();
    server
}

/// Requests that change, copy or show what is not the stage's to change, copy or see.
const FORBIDDEN: [(&str, &str); 25] = [
    ("$JS.API.INFO", ""),
    ("$JS.API.STREAM.PURGE.hop", ""),
    ("$JS.API.STREAM.DELETE.hop", ""),
    (
        "$JS.API.STREAM.UPDATE.hop",
        r#"{"name":"hop","subjects":["hop"]}"#,
    ),
    ("$JS.API.STREAM.MSG.GET.hop", r#"{"seq":2}"#),
    ("$JS.API.STREAM.MSG.DELETE.hop", r#"{"seq":2}"#),
    ("$JS.API.DIRECT.GET.hop", r#"{"seq":2}"#),
    ("$JS.API.STREAM.INFO.hop", ""),
    ("$JS.API.STREAM.NAMES", ""),
    ("$JS.API.STREAM.LIST", ""),
    (
        "$JS.API.STREAM.CREATE.copy",
        r#"{"name":"copy","subjects":["copy"],"sources":[{"name":"hop"}]}"#,
    ),
    (
        "$JS.API.STREAM.CREATE.mirror",
        r#"{"name":"mirror","mirror":{"name":"hop"}}"#,
    ),
    (
        "$JS.API.STREAM.SNAPSHOT.hop",
        r#"{"deliver_subject":"_INBOX.reader.x"}"#,
    ),
    ("$JS.API.STREAM.RESTORE.hop", r#"{"config":{"name":"hop"}}"#),
    ("$JS.API.CONSUMER.DELETE.hop.c2", ""),
    ("$JS.API.CONSUMER.NAMES.hop", ""),
    ("$JS.API.CONSUMER.LIST.hop", ""),
    ("$JS.API.CONSUMER.INFO.hop.c2", ""),
    (
        "$JS.API.CONSUMER.CREATE.hop",
        r#"{"stream_name":"hop","config":{"deliver_subject":"_INBOX.reader.x"}}"#,
    ),
    (
        "$JS.API.CONSUMER.DURABLE.CREATE.hop.c9",
        r#"{"stream_name":"hop","config":{"durable_name":"c9","ack_policy":"explicit"}}"#,
    ),
    (
        "$JS.API.CONSUMER.MSG.NEXT.hop.c2",
        r#"{"batch":1,"no_wait":true}"#,
    ),
    ("$JS.ACK.hop.c2.1.2.1.0.0", "+TERM"),
    ("_INBOX.other.x", "forged"),
    ("$SYS.REQ.SERVER.PING", ""),
    ("another-hop", "forged"),
];
/// What each may not publish besides.
const NOT_A_READERS: [&str; 2] = ["hop", "hop.two"];
const NOT_A_WRITERS: [&str; 3] = [
    "$JS.API.CONSUMER.MSG.NEXT.hop.c1",
    "$JS.ACK.hop.c1.1.1.1.0.0",
    "hop.two.three",
];

/// What nobody but the administrator may listen to.
const NOT_TO_BE_HEARD: [&str; 12] = [
    ">",
    "*",
    "hop",
    "hop.>",
    "_INBOX.>",
    "_INBOX.other.>",
    "_INBOX.*.x",
    "$JS.>",
    "$JS.API.>",
    "$JS.EVENT.>",
    "$SYS.>",
    "$SYS.ACCOUNT.>",
];

/// The server itself refuses each of them, by whichever method the intruder signed in.
async fn assert_refused(server: &Server, user: &str, besides: &[&'static str]) {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let intruder = server
        .stolen(user)
        .event_callback(move |event| {
            let told = told.clone();
            async move {
                let _ = told.send(event.to_string());
            }
        })
        .retry_on_initial_connect()
        .connect(server.url())
        .await
        .unwrap();
    let mut expected = BTreeSet::new();
    for (subject, request) in FORBIDDEN
        .into_iter()
        .chain(besides.iter().map(|s| (*s, "forged")))
    {
        let reply = format!("_INBOX.{user}.answer");
        intruder
            .publish_with_reply(subject, reply, Bytes::from_static(request.as_bytes()))
            .await
            .unwrap();
        expected.insert(format!(
            "permissions violation for publish to \"{}\"",
            subject.to_lowercase()
        ));
    }
    let mut ears = Vec::new();
    for subject in NOT_TO_BE_HEARD {
        ears.push(intruder.subscribe(subject).await.unwrap());
        expected.insert(format!(
            "permissions violation for subscription to \"{}\"",
            subject.to_lowercase()
        ));
    }
    while !expected.is_empty() {
        let heard = tokio::time::timeout(PATIENCE, hears.recv()).await;
        let Ok(Some(heard)) = heard else {
            panic!("{user}: the server did not refuse {expected:?}");
        };
        let heard = heard.to_lowercase();
        expected.retain(|violation| !heard.contains(violation.as_str()));
    }
}

#[tokio::test]
async fn a_reader_can_read_its_consumer_and_nothing_else() {
    for (binary, method) in combinations() {
        let server = hop_with_two_messages(&binary, method).await;
        assert_refused(&server, "reader", &NOT_A_READERS).await;
        let state = server.state().await;
        assert_eq!((state.messages, state.last_sequence), (2, 2));

        let mut inlet = soon("the inlet", Inlet::connect(&server.inlet("reader", "c1")))
            .await
            .unwrap();
        assert_eq!(
            &soon("its own message", inlet.next(10)).await[0].payload[..],
            b"for c1"
        );
    }
}

#[tokio::test]
async fn a_writer_can_write_its_subject_and_nothing_else() {
    for (binary, method) in combinations() {
        let server = hop_with_two_messages(&binary, method).await;
        assert_refused(&server, "writer", &NOT_A_WRITERS).await;
        let state = server.state().await;
        assert_eq!((state.messages, state.last_sequence), (2, 2));
    }
}

fn combinations() -> Vec<(PathBuf, Method)> {
    let each = |binary: PathBuf| WITH_PERMISSIONS.map(|method| (binary.clone(), method));
    binaries().into_iter().flat_map(each).collect()
}

#[tokio::test]
async fn nobody_can_listen_to_anybody_else() {
    for binary in binaries() {
        let server = hop_with_two_messages(&binary, Method::Jwt).await;
        for user in ["reader", "writer"] {
            let intruder = server.raw(user).await;
            let mut ears = Vec::new();
            for subject in [
                ">",
                "hop",
                "hop.>",
                "_INBOX.>",
                "_INBOX.other.>",
                "$JS.>",
                "$SYS.>",
            ] {
                ears.push(intruder.subscribe(subject).await.unwrap());
            }
            intruder.flush().await.unwrap();
            let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
                .await
                .unwrap();
            soon("a confirmation", outlet.publish("hop.two", "private".into()))
                .await
                .unwrap();
            let mut inlet = soon("the inlet", Inlet::connect(&server.inlet("other", "c2")))
                .await
                .unwrap();
            soon("the message", async {
                while inlet
                    .next(10)
                    .await
                    .iter()
                    .all(|delivery| &delivery.payload[..] != b"private")
                {}
            })
            .await;
            let mut heard = futures_util::stream::select_all(ears);
            let heard = tokio::time::timeout(Duration::from_millis(300), heard.next()).await;
            assert!(!matches!(heard, Ok(Some(_))), "{user} heard {heard:?}");
        }
    }
}

/// The server itself sends confirmations and messages to the reply subject of a request, whatever that is,
/// and takes its own words for an administrator's.
#[tokio::test]
async fn reply_subjects_of_a_writer_change_nothing() {
    for binary in binaries() {
        let server = hop_with_two_messages(&binary, Method::Jwt).await;
        let writer = server.raw("writer").await;
        // A message whose reply subject is an acknowledgement is taken by no stream.
        let stored = FORBIDDEN
            .iter()
            .filter(|(subject, _)| !subject.starts_with("$JS.ACK"));
        for (subject, _) in stored.clone() {
            writer
                .publish_with_reply("hop", *subject, r#"{"seq":2}"#.into())
                .await
                .unwrap();
        }
        writer.flush().await.unwrap();
        settled(&server).await;
        let state = server.state().await;
        assert_eq!(
            (state.messages, state.first_sequence),
            (2 + stored.count() as u64, 1)
        );
        assert_eq!(state.consumer_count, 2);
    }
}

/// A reader's credential can at worst stop the hop, and provisioning brings it back.
#[tokio::test]
async fn reply_subjects_of_a_reader_empty_no_stream_and_provisioning_heals_the_rest() {
    for binary in binaries() {
        let server = hop_with_two_messages(&binary, Method::Jwt).await;
        let reader = server.raw("reader").await;
        // The first pull takes the only message of the consumer, so that the others are answered with
        // nothing, which is what a request without options looks like.
        let pull = r#"{"batch":1,"no_wait":true}"#;
        let harmless = FORBIDDEN
            .iter()
            .filter(|(subject, _)| !subject.starts_with("$JS.API.STREAM.DELETE"));
        for (subject, _) in [("_INBOX.reader.x", "")].iter().chain(harmless) {
            reader
                .publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.hop.c1", *subject, pull.into())
                .await
                .unwrap();
        }
        reader.flush().await.unwrap();
        settled(&server).await;
        assert_eq!(server.state().await.messages, 2);
        let context = async_nats::jetstream::new(server.raw("admin").await);
        assert!(context.get_stream("copy").await.is_err());

        soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
            .await
            .unwrap();
        let mut other = soon("the inlet", Inlet::connect(&server.inlet("other", "c2")))
            .await
            .unwrap();
        assert_eq!(
            &soon("the message", other.next(1)).await[0].payload[..],
            b"for c2"
        );
    }
}

/// Waits until the server has done what it does in the background.
async fn settled(server: &Server) {
    let mut last = server.state().await;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let state = server.state().await;
        if (state.messages, state.consumer_count) == (last.messages, last.consumer_count) {
            return;
        }
        last = state;
    }
}
