//! Between a NATS server and the stage that reads from it: what the server hands on is no longer what it holds.

use postern_envelope::batch;
use postern_testkit::{Part, Ring, Stage};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What is done with messages of sessions. What is for no session, heartbeats for one, is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    HandOn,
    /// None arrives.
    Drop,
    /// The next one arrives so much later.
    Late(Duration),
    /// The next one arrives three times.
    Thrice,
    /// The next one arrives behind the one after it, or after a second.
    Behind,
    /// The next one lacks its last bytes.
    Cut,
    /// The next one has bytes behind its end.
    Stuffed,
    /// The next one has another byte in its middle.
    Changed,
}

/// A server's impostor. It goes on for as long as the test's runtime does.
pub(crate) struct GoBetween {
    deed: Arc<Mutex<Deed>>,
}

impl GoBetween {
    /// Puts itself between a stage and the server that it reads from, and starts the stage anew.
    pub(crate) async fn before(ring: &Ring, stage: Stage) -> GoBetween {
        let file = ring.directory().join(format!("{stage}.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let server = table["inlet"]["url"].as_str().unwrap().to_owned();
        let server = server.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        // The outlet goes to another server.
        assert_eq!(text.matches(&server).count(), 1, "{text}");
        ring.stop(Part::Stage(stage));
        std::fs::write(&file, text.replace(&server, &own)).unwrap();
        let deed = Arc::new(Mutex::new(Deed::HandOn));
        let doing = Arc::clone(&deed);
        tokio::spawn(async move {
            while let Ok((stage, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_stage, to_stage) = stage.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(copy(from_stage, to_server));
                tokio::spawn(hand_on(from_server, to_stage, Arc::clone(&doing)));
            }
        });
        ring.restart(Part::Stage(stage)).await.unwrap();
        GoBetween { deed }
    }

    pub(crate) fn begin(&self, deed: Deed) {
        *self.deed.lock().unwrap() = deed;
    }

    /// Whether a deed that is done once has been.
    pub(crate) fn is_done(&self) -> bool {
        *self.deed.lock().unwrap() == Deed::HandOn
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// One line of the NATS protocol, with what belongs to it.
struct Frame {
    line: String,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(from: &mut BufReader<OwnedReadHalf>) -> Option<Frame> {
        let mut line = String::new();
        if from.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |back: usize| -> Option<usize> { words.iter().rev().nth(back)?.parse().ok() };
        let (headers, all) = match *words.first()? {
            "MSG" => (0, number(0)? + 2),
            "HMSG" => (number(1)?, number(0)? + 2),
            _ => (0, 0),
        };
        let mut bytes = vec![0; all];
        from.read_exact(&mut bytes).await.ok()?;
        let payload = bytes.split_off(headers);
        Some(Frame {
            line,
            headers: bytes,
            payload: payload.strip_suffix(b"\r\n").unwrap_or(&payload).to_vec(),
        })
    }

    /// Whether it has an envelope of a session; the header of an envelope is not sealed.
    fn is_of_a_session(&self) -> bool {
        let mut payload = self.payload.clone();
        let Ok(envelopes) = batch::split(&mut payload) else {
            return false;
        };
        let mut sessions = envelopes.into_iter().filter_map(|envelope| envelope.get(33..49));
        sessions.any(|session| session.iter().any(|byte| *byte != 0))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut words: Vec<String> = self.line.split_whitespace().map(str::to_owned).collect();
        let is_message = matches!(words.first().map(String::as_str), Some("MSG" | "HMSG"));
        if !is_message {
            return self.line.clone().into_bytes();
        }
        if let Some(last) = words.last_mut() {
            *last = (self.headers.len() + self.payload.len()).to_string();
        }
        let mut bytes = format!("{}\r\n", words.join(" ")).into_bytes();
        bytes.extend_from_slice(&self.headers);
        bytes.extend_from_slice(&self.payload);
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

async fn hand_on(from: OwnedReadHalf, to: OwnedWriteHalf, deed: Arc<Mutex<Deed>>) {
    let mut from = BufReader::new(from);
    let to = Arc::new(tokio::sync::Mutex::new(to));
    let mut held: Option<Vec<u8>> = None;
    loop {
        match tokio::time::timeout(Duration::from_secs(1), from.fill_buf()).await {
            Ok(Ok(bytes)) if !bytes.is_empty() => {}
            Ok(_) => return,
            // Nothing comes behind what is held.
            Err(_) => {
                send(&to, held.take().unwrap_or_default()).await;
                continue;
            }
        }
        let Some(frame) = Frame::read(&mut from).await else {
            return;
        };
        if !frame.is_of_a_session() {
            send(&to, frame.bytes()).await;
            continue;
        }
        let doing = {
            let mut deed = deed.lock().unwrap();
            let doing = *deed;
            if doing != Deed::Drop {
                *deed = Deed::HandOn;
            }
            doing
        };
        done(doing, frame, &to, &mut held).await;
    }
}

async fn done(
    deed: Deed,
    mut frame: Frame,
    to: &Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    held: &mut Option<Vec<u8>>,
) {
    match deed {
        Deed::Drop => return,
        Deed::Late(time) => {
            let to = Arc::clone(to);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                send(&to, frame.bytes()).await;
            });
            return;
        }
        Deed::Behind => {
            *held = Some(frame.bytes());
            return;
        }
        Deed::Thrice => {
            send(to, frame.bytes()).await;
            send(to, frame.bytes()).await;
        }
        Deed::Cut => frame.payload.truncate(frame.payload.len() - 3),
        Deed::Stuffed => frame.payload.extend_from_slice(b"more of it"),
        Deed::Changed => {
            let middle = frame.payload.len() / 2;
            frame.payload[middle] ^= 1;
        }
        Deed::HandOn => {}
    }
    send(to, frame.bytes()).await;
    send(to, held.take().unwrap_or_default()).await;
}

async fn send(to: &tokio::sync::Mutex<OwnedWriteHalf>, bytes: Vec<u8>) {
    let _ = to.lock().await.write_all(&bytes).await;
}
