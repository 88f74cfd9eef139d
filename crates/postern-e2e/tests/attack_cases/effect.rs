//! Whether what the attacker was after has happened.

use crate::client::{Heard, Place};
use crate::format::Effect;
use crate::snapshot::rows;
use postern_e2e::raw::Raw;
use postern_wire::put_startup;

/// Listens, straight in the database, on the channel that a case wants to be heard on.
pub(crate) struct Listener(Raw);

impl Listener {
    /// Begins to listen.
    pub(crate) async fn start(port: u16, database: &str, channel: &str) -> Listener {
        let mut raw = Raw::connect(port).await.unwrap();
        let mut out = Vec::new();
        put_startup(&mut out, 0, &[("user", "postgres"), ("database", database)]).unwrap();
        raw.send(&out).await.unwrap();
        raw.scram("postgres").await.unwrap();
        raw.until_ready().await.unwrap();
        raw.query(&format!("LISTEN {channel}")).await.unwrap();
        Listener(raw)
    }

    /// Whether a NotificationResponse has come. PostgreSQL sends them before ReadyForQuery.
    async fn heard(mut self) -> bool {
        let mut answer = self.0.query("SELECT 1").await.unwrap();
        answer.extend(self.0.query("SELECT 1").await.unwrap());
        answer.iter().any(|message| message.tag == b'A')
    }
}

/// Each thing that is listed, and whether it has happened.
pub(crate) async fn happened(
    effect: &Effect,
    heard: &Heard,
    otherwise: Option<&Heard>,
    listener: Option<Listener>,
    place: &Place<'_>,
) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    if let Some(text) = &effect.receives {
        found.push((format!("the client received `{text}`"), heard.has(text)));
    }
    if let Some(database) = &effect.database {
        let now = rows(place.superuser, &database.sql).await.join("\n");
        found.push((format!("`{}` gives `{now}`", database.sql), now != database.stays));
    }
    if let Some(name) = &effect.file {
        let exists = place.scratch.join(name).exists();
        found.push((format!("the file `{name}` was written"), exists));
    }
    if let Some(listener) = listener {
        found.push(("a notification was heard".to_owned(), listener.heard().await));
    }
    if let Some(otherwise) = otherwise {
        let differ = heard.gist() != otherwise.gist();
        found.push((
            "a right guess and a wrong one are answered differently".to_owned(),
            differ,
        ));
    }
    if effect.succeeds {
        found.push(("the statement succeeded".to_owned(), heard.succeeded()));
    }
    found
}
