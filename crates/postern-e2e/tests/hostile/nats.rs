//! A hijacked NATS server: it holds every message of its hop, and no key.

use crate::changed::{CHANGES, garbage};
use crate::scene::{Heard, LOOT, Scene, Tap, framed, query, text_of, told};
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_e2e::raw::Raw;
use postern_envelope::Batch;
use postern_types::SessionId;
use std::time::Duration;

/// How long the ring has to come back after its stream was taken away.
const MENDED: Duration = Duration::from_secs(15);

struct Hijacker<'a> {
    scene: &'a Scene,
    hop: Hop,
    tap: Tap,
}

impl Hijacker<'_> {
    /// A client that writes one row, and what passed on the hop meanwhile.
    async fn overheard(&mut self, n: u32) -> (Raw, Vec<Vec<u8>>) {
        let mut client = self.scene.client("owner").await;
        self.tap.forget().await;
        client
            .query(&format!(
                "INSERT INTO shop.target VALUES ({n}) RETURNING 'row {n}'"
            ))
            .await
            .unwrap();
        let mut heard = Vec::new();
        let mut keep = |envelope: &Heard| -> Option<()> {
            if envelope.header.session != SessionId::NONE && envelope.header.exchange > 0 {
                heard.push(envelope.raw.clone());
            }
            None
        };
        self.tap.within(Duration::from_millis(60), &mut keep).await;
        assert!(!heard.is_empty(), "nothing was overheard on {}", self.hop);
        (client, heard)
    }

    fn rows(&self, n: u32) -> String {
        let sql = format!("SELECT count(*) FROM shop.target WHERE n = {n}");
        self.scene.ring.database_sql(&sql).unwrap().trim().to_owned()
    }

    /// Whether the session of a client goes on as if nothing were.
    async fn goes_on(client: &mut Raw) -> bool {
        client.send(&query("SELECT 'still here'")).await.is_ok()
            && text_of(&told(client).await).contains("still here")
    }
}

async fn hijacked(hop: Hop) {
    let scene = Scene::new().await;
    let mut table = Table::new(format!("NATS server of {hop}"));
    let mut hijacker = Hijacker {
        tap: scene.tap(hop).await,
        hop,
        scene: &scene,
    };
    repeated(&mut table, &mut hijacker).await;
    changed(&mut table, &mut hijacker).await;
    moved(&mut table, &mut hijacker).await;
    administered(&mut table, &mut hijacker).await;
    scene.still_serves().await;
    table.finish(30);
}

#[tokio::test]
async fn nats_dirty_query() {
    hijacked(Hop::DirtyQuery).await;
}

#[tokio::test]
async fn nats_clean_query() {
    hijacked(Hop::CleanQuery).await;
}

#[tokio::test]
async fn nats_dirty_resp() {
    hijacked(Hop::DirtyResp).await;
}

#[tokio::test]
async fn nats_clean_resp() {
    hijacked(Hop::CleanResp).await;
}

/// Messages handed on more often than once.
async fn repeated(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let once = Fate::Stopped("P5, P6");
    let (mut client, heard) = hijacker.overheard(11).await;
    for envelope in heard.iter().cycle().take(heard.len() * 5) {
        hijacker.tap.send(envelope).await;
    }
    let lives = Hijacker::goes_on(&mut client).await;
    let rows = hijacker.rows(11);
    table.note(
        "messages of a session that goes on, five times over",
        once,
        rows != "1",
        format!("{rows} row"),
    );
    table.note("… do they end the session?", once, !lives, "");

    let mut all = Batch::new();
    for envelope in heard.iter().rev() {
        all.push(envelope).unwrap();
    }
    hijacker.tap.publish(&all.take()).await;
    let lives = Hijacker::goes_on(&mut client).await;
    table.note(
        "the same in one message, the last first",
        once,
        !lives || hijacker.rows(11) != "1",
        "",
    );

    let mut bye = Vec::new();
    postern_wire::put_terminate(&mut bye);
    client.send(&bye).await.unwrap();
    client.until_closed().await.unwrap();
    for envelope in &heard {
        hijacker.tap.send(envelope).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    table.note(
        "the same when the session has ended",
        once,
        hijacker.rows(11) != "1",
        "",
    );
}

/// Bytes of messages changed on their way.
async fn changed(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let sealed = Fate::Stopped("P3, P7");
    let (mut client, heard) = hijacker.overheard(12).await;
    let last = heard.last().unwrap().clone();
    for (name, change) in CHANGES {
        let mut envelope = last.clone();
        change(&mut envelope);
        hijacker.tap.send(&envelope).await;
        let lives = Hijacker::goes_on(&mut client).await;
        table.note(name, sealed, !lives || hijacker.rows(12) != "1", "");
    }
    for (name, message) in garbage() {
        hijacker.tap.publish(&message).await;
        let lives = Hijacker::goes_on(&mut client).await;
        table.note(name, sealed, !lives, "");
    }
    // A good envelope between two bad ones.
    let mut batch = Batch::new();
    batch.push(b"bad").unwrap();
    batch.push(&last).unwrap();
    batch.push(&last[..last.len() - 1]).unwrap();
    hijacker.tap.publish(&batch.take()).await;
    let lives = Hijacker::goes_on(&mut client).await;
    table.note(
        "an old envelope between two bad ones",
        sealed,
        !lives || hijacker.rows(12) != "1",
        "",
    );
    let mut cut = framed(&last);
    cut.truncate(cut.len() - 3);
    hijacker.tap.publish(&cut).await;
    let lives = Hijacker::goes_on(&mut client).await;
    table.note("a batch that is cut", sealed, !lives, "");
}

/// Messages put where they don't belong.
async fn moved(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let bound = Fate::Stopped("P5, P7");
    // Between two sessions: the header's session is the other one's.
    let (mut victim, theirs) = hijacker.overheard(13).await;
    let (_other, heard) = hijacker.overheard(14).await;
    let mut spliced = heard.last().unwrap().clone();
    let id = theirs.last().unwrap()[33..49].to_vec();
    spliced[33..49].copy_from_slice(&id);
    hijacker.tap.send(&spliced).await;
    let lives = Hijacker::goes_on(&mut victim).await;
    table.note(
        "a message of one session put into another",
        bound,
        !lives || hijacker.rows(14) != "1",
        "",
    );
    // The body of one under the header of the other.
    let mut mixed = theirs.last().unwrap()[..77].to_vec();
    mixed.extend_from_slice(&heard.last().unwrap()[77..]);
    hijacker.tap.send(&mixed).await;
    let lives = Hijacker::goes_on(&mut victim).await;
    table.note(
        "one session's body under another's header",
        bound,
        !lives || hijacker.rows(14) != "1",
        "",
    );
    for other in Hop::ALL {
        if other == hijacker.hop {
            continue;
        }
        for envelope in &heard {
            hijacker.scene.tap(other).await.send(envelope).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let lives = Hijacker::goes_on(&mut victim).await;
        let what = format!("its messages on the hop {other}");
        table.note(what, bound, !lives || hijacker.rows(14) != "1", "");
    }
}

/// What its administrator can do to the stream.
async fn administered(table: &mut Table, hijacker: &mut Hijacker<'_>) {
    let stream = hijacker.hop.name();
    let kept = Fate::Stopped("P2");
    let (mut client, _) = hijacker.overheard(15).await;
    for (name, subject, body) in [
        (
            "purge the stream",
            format!("$JS.API.STREAM.PURGE.{stream}"),
            String::new(),
        ),
        (
            "delete a message",
            format!("$JS.API.STREAM.MSG.DELETE.{stream}"),
            "{\"seq\":1}".to_owned(),
        ),
    ] {
        hijacker.tap.publish_to(&subject, body.as_bytes()).await;
        let lives = Hijacker::goes_on(&mut client).await;
        table.note(name, kept, !lives, "");
    }
    // The ring has nobody here who provisions again, as `postern up` does: the stream stays away until then.
    hijacker
        .tap
        .publish_to(&format!("$JS.API.STREAM.DELETE.{stream}"), b"")
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.send(&query("SELECT 'still here'")).await.unwrap();
    let seen = text_of(&told(&mut client).await);
    let stopped = !seen.contains("still here");
    table.note("delete the stream: the ring stops", Fate::Residual, stopped, "");
    table.note(
        "… does a client get a foreign answer?",
        Fate::Stopped("P5"),
        seen.contains(LOOT),
        "",
    );
    let config = postern_cli::directory::RingDirectory::new(hijacker.scene.ring.directory());
    let ring = config.ring_config().unwrap();
    postern_cli::provision::provision(&config, &ring, hijacker.hop)
        .await
        .unwrap();
    let end = tokio::time::Instant::now() + MENDED;
    let mut serves = false;
    while !serves && tokio::time::Instant::now() < end {
        let again = tokio::time::timeout(
            Duration::from_secs(2),
            Raw::sign_in(hijacker.scene.ring.port(), "owner"),
        )
        .await;
        serves = matches!(again, Ok(Ok(_)));
    }
    table.note(
        "… does it stay away when the stream is provisioned again?",
        kept,
        !serves,
        "",
    );
    let rows = hijacker.rows(15);
    table.note("… has anything run twice?", Fate::Stopped("P6"), rows != "1", "");
}
