//! Plays the steps of a case over one raw connection for each user.

use crate::format::{Extended, Step};
use postern_e2e::raw::{Message, Raw};
use postern_wire::{
    Target, put_bind, put_close, put_copy_data, put_copy_done, put_describe, put_execute, put_parse,
    put_query, put_startup, put_sync,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio_postgres::Client;

/// Where a case is played: through the ring or straight.
pub(crate) struct Place<'a> {
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    /// Sent first in every session, and not counted; empty through the ring.
    pub(crate) prelude: String,
    /// A directory that the server may write to.
    pub(crate) scratch: PathBuf,
    /// The superuser, straight in the same database.
    pub(crate) superuser: &'a Client,
}

/// What the attacker's session received after the sign-in.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) messages: Vec<Message>,
    /// Messages of the sign-in itself: parameters and the like.
    pub(crate) greeting: Vec<Message>,
}

impl Heard {
    /// Whether these bytes were received anywhere, error fields and parameters included.
    pub(crate) fn has(&self, text: &str) -> bool {
        let wanted = text.as_bytes();
        self.greeting
            .iter()
            .chain(&self.messages)
            .any(|message| message.body.windows(wanted.len()).any(|window| window == wanted))
    }

    /// Every error, as SQLSTATE and text.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        self.greeting
            .iter()
            .chain(&self.messages)
            .filter_map(Message::error)
            .collect()
    }

    /// Whether the last statement was completed.
    pub(crate) fn succeeded(&self) -> bool {
        let end = self.messages.iter().rev().find(|m| matches!(m.tag, b'C' | b'E'));
        end.is_some_and(|message| message.tag == b'C')
    }

    /// What can be told from the answer, without what differs each time: the reference of a refusal.
    pub(crate) fn gist(&self) -> Vec<(char, Vec<u8>)> {
        self.messages
            .iter()
            .map(|message| match message.error() {
                Some((code, _)) => (char::from(message.tag), code.into_bytes()),
                None => (char::from(message.tag), message.body.clone()),
            })
            .collect()
    }
}

/// Plays the steps; `who` is the attacker.
///
/// # Errors
/// When a step can't be sent at all, as no ring and no server would make it.
pub(crate) async fn play(
    place: &Place<'_>,
    who: &str,
    startup: &BTreeMap<String, String>,
    steps: &[Step],
) -> Result<Heard, String> {
    let mut heard = Heard::default();
    let mut sessions: BTreeMap<String, Option<Raw>> = BTreeMap::new();
    let mut at = who.to_owned();
    sessions.insert(at.clone(), enter(place, who, startup, &mut heard).await?);
    for step in steps {
        if let Step::Switch(user) = step {
            at.clone_from(user);
            if !sessions.contains_key(user) {
                let raw = enter(place, user, &BTreeMap::new(), &mut Heard::default()).await?;
                sessions.insert(user.clone(), raw);
            }
            continue;
        }
        if let Step::Meanwhile(sql) = step {
            let done = place.superuser.batch_execute(sql).await;
            done.map_err(|error| format!("meanwhile: {error}"))?;
            continue;
        }
        let mut ignored = Heard::default();
        let ear = if at == who { &mut heard } else { &mut ignored };
        let session = sessions.get_mut(&at).unwrap();
        if let Some(raw) = session
            && !take(raw, place, step, ear).await?
        {
            *session = None;
        }
    }
    Ok(heard)
}

/// Signs in. `None` when the server does not want us; what it says is in `heard`.
async fn enter(
    place: &Place<'_>,
    user: &str,
    startup: &BTreeMap<String, String>,
    heard: &mut Heard,
) -> Result<Option<Raw>, String> {
    let wrong = |error: anyhow::Error| format!("signing in as {user}: {error:#}");
    let mut raw = Raw::connect(place.port).await.map_err(wrong)?;
    let mut parameters = vec![("user", user), ("database", place.database)];
    parameters.extend(
        startup
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let mut out = Vec::new();
    put_startup(&mut out, 0, &parameters).map_err(|error| error.to_string())?;
    raw.send(&out).await.map_err(wrong)?;
    if let Err(error) = raw.scram(user).await {
        if startup.is_empty() {
            return Err(wrong(error));
        }
        heard.greeting.push(Message {
            tag: b'E',
            body: format!(
                "C{}\0M{error}\0\0",
                &format!("{error}")[..5.min(error.to_string().len())]
            )
            .into_bytes(),
        });
        return Ok(None);
    }
    loop {
        let Some(message) = raw.next().await.map_err(wrong)? else {
            return if startup.is_empty() && heard.errors().is_empty() {
                Err(format!("signing in as {user}: closed"))
            } else {
                Ok(None)
            };
        };
        let ready = message.tag == b'Z';
        heard.greeting.push(message);
        if ready {
            break;
        }
    }
    if !place.prelude.is_empty() {
        let answer = raw.query(&place.prelude).await.map_err(wrong)?;
        if let Some((code, text)) = postern_e2e::raw::first_error(&answer) {
            return Err(format!("the prelude fails: {code}: {text}"));
        }
    }
    Ok(Some(raw))
}

/// Sends one step and reads what it is answered with. False when the connection is gone.
async fn take(raw: &mut Raw, place: &Place<'_>, step: &Step, heard: &mut Heard) -> Result<bool, String> {
    // Where the COPY was refused nobody would answer its rows.
    let copying = heard.messages.last().is_some_and(|message| message.tag == b'G');
    if matches!(step, Step::Copy(_)) && !copying {
        return Ok(true);
    }
    let mut out = Vec::new();
    let answered = put(&mut out, place, step)?;
    if raw.send(&out).await.is_err() {
        return Ok(false);
    }
    if !answered {
        return Ok(true);
    }
    loop {
        match raw.next().await.map_err(|error| format!("{error:#}"))? {
            None => return Ok(false),
            Some(message) => {
                // CopyInResponse waits for the next step.
                let done = matches!(message.tag, b'Z' | b'G' | b'W');
                heard.messages.push(message);
                if done {
                    return Ok(true);
                }
            }
        }
    }
}

/// The bytes of a step, and whether ReadyForQuery follows.
fn put(out: &mut Vec<u8>, place: &Place<'_>, step: &Step) -> Result<bool, String> {
    let text = |sql: &str| fill(sql, place);
    let done = match step {
        Step::Simple(sql) => put_query(out, &text(sql)).map(|()| true),
        Step::Extended(extended) => put_extended(out, &text(&extended.sql), extended).map(|()| true),
        Step::Parse { name, sql } => put_parse(out, name, &text(sql), []).map(|()| false),
        Step::Bind {
            statement,
            parameters,
        } => put_bind(out, "", statement, &values(parameters, false)).map(|()| false),
        Step::Describe(name) => put_describe(out, Target::Statement, name).map(|()| false),
        Step::Execute(rows) => put_execute(out, "", *rows).map(|()| false),
        Step::Close(name) => put_close(out, Target::Statement, name).map(|()| false),
        Step::Sync(_) => {
            put_sync(out);
            Ok(true)
        }
        Step::Copy(data) => put_copy_data(out, data.as_bytes()).map(|()| {
            put_copy_done(out);
            true
        }),
        Step::Hex(hex) => {
            let digits: String = hex.split_whitespace().collect();
            for pair in digits.as_bytes().chunks(2) {
                let pair = std::str::from_utf8(pair).unwrap();
                out.push(u8::from_str_radix(pair, 16).map_err(|error| format!("hex: {error}"))?);
            }
            Ok(true)
        }
        Step::Switch(_) | Step::Meanwhile(_) => Ok(false),
    };
    done.map_err(|error| error.to_string())
}

fn put_extended(out: &mut Vec<u8>, sql: &str, step: &Extended) -> Result<(), postern_wire::EncodeError> {
    put_parse(out, "", sql, step.types.iter().copied())?;
    put_bind(out, "", "", &values(&step.parameters, step.binary))?;
    put_describe(out, Target::Portal, "")?;
    put_execute(out, "", 0)?;
    put_sync(out);
    Ok(())
}

/// The tail of a Bind message: parameters as text, results in one format.
fn values(parameters: &[Option<String>], binary: bool) -> Vec<u8> {
    let mut tail = vec![0, 0];
    tail.extend_from_slice(&u16::try_from(parameters.len()).unwrap().to_be_bytes());
    for value in parameters {
        match value {
            None => tail.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                tail.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                tail.extend_from_slice(value.as_bytes());
            }
        }
    }
    tail.extend_from_slice(&[0, 1, 0, u8::from(binary)]);
    tail
}

/// Puts in what only this run knows: `{scratch}`, `{database}`, and `{repeat N|text}`.
fn fill(sql: &str, place: &Place<'_>) -> String {
    let mut text = sql
        .replace("{scratch}", &place.scratch.to_string_lossy())
        .replace("{database}", place.database);
    while let Some(start) = text.find("{repeat ") {
        let end = start + text[start..].find('}').expect("`{repeat N|text}`");
        let (times, what) = text[start + 8..end].split_once('|').expect("`{repeat N|text}`");
        let long = what.repeat(times.parse().expect("a number"));
        text.replace_range(start..=end, &long);
    }
    text
}
