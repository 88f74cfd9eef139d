//! A hijacked NATS server that drops, delays, re-orders, repeats or changes what it should hand on, while it is on its way.

use crate::go_between::{Deed, GoBetween};
use crate::scene::{LOOT, Scene, query, text_of};
use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_e2e::raw::{Message, Raw, first_error};
use postern_testkit::Stage;
use std::time::{Duration, Instant};

/// The longest that a client is left without a word. Probes find a loss in some seconds, silence in 15.
const WORD: Duration = Duration::from_secs(40);

fn reader(hop: Hop) -> Stage {
    match hop {
        Hop::DirtyQuery => Stage::QueryValidator,
        Hop::CleanQuery => Stage::Backend,
        Hop::DirtyResp => Stage::ResponseValidator,
        Hop::CleanResp => Stage::Frontend,
    }
}

/// What a client was told of one statement.
struct Told {
    messages: Vec<Message>,
    closed: bool,
    after: Duration,
}

impl Told {
    async fn by(client: &mut Raw, answers: usize) -> Told {
        let begun = Instant::now();
        let mut told = Told {
            messages: Vec::new(),
            closed: false,
            after: Duration::ZERO,
        };
        let mut left = answers;
        while left > 0 && begun.elapsed() < WORD {
            match tokio::time::timeout(WORD, client.next()).await {
                Ok(Ok(Some(message))) => {
                    left -= usize::from(message.tag == b'Z');
                    told.messages.push(message);
                }
                Ok(_) => {
                    told.closed = true;
                    break;
                }
                Err(_) => break,
            }
        }
        told.after = begun.elapsed();
        told
    }

    fn code(&self) -> String {
        first_error(&self.messages).map_or_else(String::new, |(code, _)| code)
    }

    fn shown(&self) -> String {
        let code = self.code();
        let end = if self.closed { ", session ended" } else { "" };
        let word = if code.is_empty() { "answered" } else { &code };
        format!("{word}{end} after {:.1} s", self.after.as_secs_f64())
    }
}

/// A statement whose message the server got hold of.
struct Victim {
    client: Raw,
    n: u32,
}

struct Server<'a> {
    scene: &'a Scene,
    between: GoBetween,
    n: u32,
}

impl Server<'_> {
    async fn victim(&mut self) -> Victim {
        self.n += 1;
        Victim {
            client: self.scene.client("owner").await,
            n: self.n,
        }
    }

    /// The client writes a row, and the deed is done to it.
    async fn begin(&self, victim: &mut Victim, deed: Deed) {
        self.between.begin(deed);
        let n = victim.n;
        let insert = format!("INSERT INTO shop.target VALUES ({n}) RETURNING 'row {n}'");
        victim.client.send(&query(&insert)).await.unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while deed != Deed::Drop && !self.between.is_done() {
            assert!(Instant::now() < end, "{deed:?} was not done");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn rows(&self, victim: &Victim) -> u64 {
        let sql = format!("SELECT count(*) FROM shop.target WHERE n = {}", victim.n);
        self.scene
            .ring
            .database_sql(&sql)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    /// Records of the Frontend that say that an exchange was lost.
    fn told_as_lost(&self) -> usize {
        let directory = &self.scene.ring.ledger_dirs()[&Stage::Frontend];
        let files = std::fs::read_dir(directory).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        texts.map(|text| text.matches("\"exchange.lost\"").count()).sum()
    }
}

fn is_answered(victim: &Victim, told: &Told) -> bool {
    text_of(&told.messages).contains(&format!("row {}", victim.n))
}

async fn hands_on_otherwise(hop: Hop) {
    let scene = Scene::new().await;
    let mut table = Table::new(format!("NATS server of {hop}, messages on their way"));
    let mut server = Server {
        between: GoBetween::before(&scene.ring, reader(hop)).await,
        scene: &scene,
        n: 100,
    };
    harmless(&mut table, &mut server).await;
    harmful(&mut table, &mut server).await;
    swapped(&mut table, &mut server).await;
    scene.still_serves().await;
    table.finish(16);
}

/// What a session outlives.
async fn harmless(table: &mut Table, server: &mut Server<'_>) {
    for (name, deed) in [
        ("a message two seconds late", Deed::Late(Duration::from_secs(2))),
        ("a message three times", Deed::Thrice),
    ] {
        let mut victim = server.victim().await;
        server.begin(&mut victim, deed).await;
        let told = Told::by(&mut victim.client, 1).await;
        let served = is_answered(&victim, &told) && server.rows(&victim) == 1;
        table.note(name, Fate::Stopped("P5, P6"), !served, told.shown());
    }
}

/// What ends a session, and is told as such.
async fn harmful(table: &mut Table, server: &mut Server<'_>) {
    let changed = [
        ("a message cut short", Deed::Cut),
        ("a message with more behind it", Deed::Stuffed),
        ("a message with a bit changed", Deed::Changed),
    ];
    suffered(table, server, &changed).await;
    suffered(table, server, &[("all messages of sessions dropped", Deed::Drop)]).await;
}

async fn suffered(table: &mut Table, server: &mut Server<'_>, deeds: &[(&str, Deed)]) {
    let before = server.told_as_lost();
    let mut victims = Vec::new();
    for (name, deed) in deeds {
        victims.push((*name, *deed, server.victim().await));
    }
    // One directly after the other: a session that waits soon sends messages that could be taken for the next one's.
    for (_, deed, victim) in &mut victims {
        server.begin(victim, *deed).await;
    }
    let waiting = victims
        .iter_mut()
        .map(|(_, _, victim)| Told::by(&mut victim.client, 1));
    let told = futures_util::future::join_all(waiting).await;
    server.between.begin(Deed::HandOn);
    for ((name, _, victim), told) in victims.iter().zip(told) {
        let answered = is_answered(victim, &told);
        table.note(
            format!("{name}: the client has no answer"),
            Fate::Residual,
            !answered,
            told.shown(),
        );
        let rows = server.rows(victim);
        // Whoever is told that nothing ran can rely on it; 08007 is that nobody knows.
        let true_word = match told.code().as_str() {
            "08007" => true,
            code => code.starts_with("08") && rows == 0,
        };
        table.note(
            "… and is not told so, or not the truth",
            Fate::Stopped("P6"),
            !true_word,
            "",
        );
        table.note(
            "… or its statement ran twice, or it sees anything else",
            Fate::Stopped("P5, P6"),
            rows > 1 || text_of(&told.messages).contains(LOOT),
            format!("{rows} rows"),
        );
    }
    let lost = server.told_as_lost() - before;
    table.note(
        "… and no record says that they were lost",
        Fate::Stopped("P8"),
        lost < victims.len(),
        format!("{lost} records"),
    );
}

/// Two statements of one session, the second message before the first.
async fn swapped(table: &mut Table, server: &mut Server<'_>) {
    let mut client = server.scene.client("owner").await;
    server.between.begin(Deed::Behind);
    client.send(&query("SELECT 'the first'")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send(&query("SELECT 'the second'")).await.unwrap();
    let told = Told::by(&mut client, 2).await;
    let text = text_of(&told.messages);
    let ordered = match (text.find("the first"), text.find("the second")) {
        (Some(first), Some(second)) => first < second,
        _ => false,
    };
    table.note(
        "a message behind the one after it",
        Fate::Stopped("P5"),
        !ordered,
        told.shown(),
    );
}

#[tokio::test]
async fn dirty_query_hands_on_otherwise() {
    hands_on_otherwise(Hop::DirtyQuery).await;
}

#[tokio::test]
async fn clean_query_hands_on_otherwise() {
    hands_on_otherwise(Hop::CleanQuery).await;
}

#[tokio::test]
async fn dirty_resp_hands_on_otherwise() {
    hands_on_otherwise(Hop::DirtyResp).await;
}

#[tokio::test]
async fn clean_resp_hands_on_otherwise() {
    hands_on_otherwise(Hop::CleanResp).await;
}
