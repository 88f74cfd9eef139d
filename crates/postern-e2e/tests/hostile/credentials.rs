//! A stage's credentials on its two NATS servers: what the servers themselves refuse, and a stream that is filled.

use crate::scene::Scene;
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_e2e::nats::{self, Nats};
use postern_testkit::{Part, Signal, Stage};
use std::time::Duration;

/// A message of garbage.
const LARGE: usize = 8 * 1024 * 1024;
/// More of them than a stream holds.
const MOST: usize = 200;

/// Plays them all. The stage itself goes on meanwhile.
pub(crate) async fn tried(scene: &Scene, table: &mut Table, stage: Stage) {
    for hop in [Hop::read_by(stage), Hop::written_by(stage)] {
        let mut server = nats::sign_in(&scene.ring, hop.name(), stage.name()).await;
        for (name, said) in forbidden(hop, stage) {
            let refused = server.is_refused(&said).await.unwrap();
            table.note(format!("on {hop}: {name}"), Fate::Stopped("P2"), !refused, "");
        }
    }
    elsewhere(scene, table, stage).await;
    filled(scene, table, stage).await;
}

/// What the stage has no business with, as a client says it to the server.
fn forbidden(hop: Hop, stage: Stage) -> Vec<(String, String)> {
    let other = match stage == hop.reader() {
        true => hop.writer(),
        false => hop.reader(),
    };
    let publish = |subject: &str, body: &str| format!("PUB {subject} {}\r\n{body}\r\n", body.len());
    let listen = |subject: &str| format!("SUB {subject} 9\r\n");
    let inbox = format!("_INBOX.{other}.x");
    let mut tried = vec![
        ("listen to everything".to_owned(), listen(">")),
        ("listen to the system account".to_owned(), listen("$SYS.>")),
        (
            format!("listen to the inbox of the {other}"),
            listen(&format!("_INBOX.{other}.>")),
        ),
        (
            "listen to the stream's subjects".to_owned(),
            listen(&format!("{hop}.>")),
        ),
        (
            format!("publish to the inbox of the {other}"),
            publish(&inbox, "forged"),
        ),
        (
            "publish to the inbox of the administrator".to_owned(),
            publish("_INBOX.admin.x", "forged"),
        ),
    ];
    let api = [
        ("purge the stream", format!("STREAM.PURGE.{hop}"), ""),
        ("delete the stream", format!("STREAM.DELETE.{hop}"), ""),
        (
            "delete a message",
            format!("STREAM.MSG.DELETE.{hop}"),
            "{\"seq\":1}",
        ),
        (
            "read a message past the consumer",
            format!("STREAM.MSG.GET.{hop}"),
            "{\"seq\":1}",
        ),
        ("list the streams", "STREAM.LIST".to_owned(), ""),
        (
            "mirror the stream",
            "STREAM.CREATE.copy".to_owned(),
            "{\"name\":\"copy\",\"mirror\":{\"name\":\"x\"}}",
        ),
        (
            "take a snapshot of the stream",
            format!("STREAM.SNAPSHOT.{hop}"),
            "{\"deliver_subject\":\"x\"}",
        ),
        ("restore another stream", format!("STREAM.RESTORE.{hop}"), "{}"),
        (
            "make a consumer of its own",
            format!("CONSUMER.CREATE.{hop}"),
            "{}",
        ),
        ("list the consumers", format!("CONSUMER.LIST.{hop}"), ""),
    ];
    tried.extend(
        api.map(|(name, subject, body)| (name.to_owned(), publish(&format!("$JS.API.{subject}"), body))),
    );
    if stage == hop.reader() {
        let subject = match hop {
            Hop::DirtyQuery | Hop::DirtyResp => hop.name().to_owned(),
            Hop::CleanQuery => format!("{hop}.backend-0"),
            Hop::CleanResp => format!("{hop}.frontend-0"),
        };
        tried.push((
            "publish what it should only read".to_owned(),
            publish(&subject, "forged"),
        ));
    } else {
        let (consumer, _) = hop
            .consumers(&["frontend-0".parse().unwrap()], &["backend-0".parse().unwrap()])
            .remove(0);
        tried.push((
            "read what it should only write".to_owned(),
            publish(&format!("$JS.API.CONSUMER.MSG.NEXT.{hop}.{consumer}"), "1"),
        ));
        tried.push((
            format!("confirm for the {other}"),
            publish(&format!("$JS.ACK.{hop}.{consumer}.1.1.1.0.0"), "+ACK"),
        ));
    }
    tried
}

/// The servers that are not the stage's.
async fn elsewhere(scene: &Scene, table: &mut Table, stage: Stage) {
    let own = [Hop::read_by(stage), Hop::written_by(stage)];
    for hop in Hop::ALL.into_iter().filter(|hop| !own.contains(hop)) {
        let file = |folder: &str, hop: Hop| {
            scene
                .ring
                .directory()
                .join(format!("keys/nats/{folder}/{hop}.password"))
        };
        // The credentials of its own hop, at the door of the other.
        let password = std::fs::read_to_string(file(stage.name(), own[0])).unwrap();
        assert!(!file(stage.name(), hop).exists());
        let got_in = Nats::sign_in(
            &nats::address(&scene.ring, hop.name()),
            stage.name(),
            password.trim(),
        )
        .await;
        table.note(
            format!("sign in at {hop} with the credentials of {}", own[0]),
            Fate::Stopped("P2"),
            got_in.is_ok(),
            "",
        );
    }
}

/// The stream that it may write to, filled while nobody reads it.
async fn filled(scene: &Scene, table: &mut Table, stage: Stage) {
    let hop = Hop::written_by(stage);
    let reader = Part::Stage(hop.reader());
    let mut server = nats::sign_in(&scene.ring, hop.name(), stage.name()).await;
    let subject = match hop {
        Hop::DirtyQuery | Hop::DirtyResp => hop.name().to_owned(),
        Hop::CleanQuery => format!("{hop}.backend-0"),
        Hop::CleanResp => format!("{hop}.frontend-0"),
    };
    let garbage = vec![b'x'; LARGE];
    let inbox = format!("_INBOX.{stage}.fill");
    scene.ring.signal(reader, Signal::STOP);
    let mut said = String::new();
    for _ in 0..MOST {
        let answer = server
            .request(&inbox, &subject, &garbage, Duration::from_millis(500))
            .await;
        said = String::from_utf8_lossy(&answer.unwrap().unwrap_or_default()).into_owned();
        if said.contains("error") {
            break;
        }
    }
    scene.ring.signal(reader, Signal::CONT);
    let full = said.contains("maximum bytes exceeded");
    table.note(
        "write to its stream without end",
        Fate::Stopped("P7"),
        !full,
        said,
    );
    let mut client = scene.client("owner").await;
    let answer = client.query("SELECT 'still here'").await;
    let serves = answer.is_ok_and(|answer| crate::scene::text_of(&answer).contains("still here"));
    table.note(
        "… and keep everybody out for good",
        Fate::Stopped("P7"),
        !serves,
        "",
    );
}
