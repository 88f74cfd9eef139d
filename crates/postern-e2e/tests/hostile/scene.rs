//! A ring, the keys of its stages, and an ear on each hop.

use crate::table::{Fate, Table};
use postern_cli::hop::Hop;
use postern_e2e::nats::{Nats, hijack};
use postern_e2e::raw::{Message, Raw};
use postern_envelope::{Batch, Generation, Header, Keyring, Opener, PublicKey, Sealer, SecretKey, batch};
use postern_testkit::{NatsAuth, Options, Ring, TestUser};
use postern_types::{InstanceId, Link, SessionId, Stage, body};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What nobody here may see.
pub(crate) const LOOT: &str = "swordfish";

/// The longest that a message of the ring is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long nothing more is expected.
pub(crate) const QUIET: Duration = Duration::from_millis(400);

const SQL: &str = "
CREATE TABLE shop.target (n int);
GRANT ALL ON shop.target TO owner, app;
CREATE TABLE shop.cards (id int PRIMARY KEY, number text, tenant_id int);
INSERT INTO shop.cards VALUES (1, '4111111111111111', 1), (2, '4000000000000002', 2);
GRANT ALL ON shop.cards TO owner, app;
CREATE SCHEMA vault;
CREATE TABLE vault.secrets (word text);
INSERT INTO vault.secrets VALUES ('swordfish in the vault');
GRANT ALL ON SCHEMA vault TO owner, app;
GRANT ALL ON vault.secrets TO owner, app;
";

const POLICY: &str = "
version: 1
roles:
  reader: {mode: enforce, database_role: app, search_path: shop, statements: [select], schemas: [shop], errors: code-only, limits: {max_rows: 3}}
  owner: {mode: open, database_role: owner, search_path: shop}
";

/// Rules of the Response Validator's own, which no contract loosens.
const RESPONSES: &str = "
version: 1
masks:
  - {column: shop.cards.number, mask: 'null', derived: refuse}
tenants: {columns: [tenant_id]}
";

/// A ring to hijack a part of.
pub(crate) struct Scene {
    pub(crate) ring: Ring,
    secrets: BTreeMap<Stage, String>,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        let policy = tempfile::tempdir().unwrap();
        std::fs::write(policy.path().join("policy.yaml"), POLICY).unwrap();
        std::fs::write(policy.path().join("responses.yaml"), RESPONSES).unwrap();
        let reader = TestUser {
            tenant: Some("1".to_owned()),
            ..TestUser::new("reader", "reader")
        };
        let options = Options {
            sql: Some(SQL.to_owned()),
            policy_directory: Some(policy.path().to_owned()),
            catalog: true,
            users: vec![reader],
            // See `hijack`.
            nats_auth: NatsAuth::Password,
            nats_tls: false,
            ..Options::default()
        };
        let ring = Ring::start(options).await.unwrap();
        let secrets = Stage::ALL.map(|stage| {
            let file = ring.directory().join(format!("keys/link/{stage}/1.key"));
            (stage, std::fs::read_to_string(file).unwrap().trim().to_owned())
        });
        Scene {
            ring,
            secrets: secrets.into(),
        }
    }

    fn secret(&self, stage: Stage) -> SecretKey {
        SecretKey::parse(&self.secrets[&stage]).unwrap()
    }

    fn keyring(&self, holder: Stage, plays: Stage, run: InstanceId, epoch: u32) -> Keyring {
        let public = |stage: Stage| -> (Stage, PublicKey) { (stage, self.secret(stage).public()) };
        let held = Generation {
            epoch,
            secret: self.secret(holder),
            peers: Stage::ALL.map(public).into(),
        };
        Keyring::new(plays, run, held)
    }

    /// Seals on a link as its sender does.
    pub(crate) fn sealer(&self, link: Link) -> Sealer {
        self.sealer_with(link.sender(), link, 1, InstanceId::random().unwrap())
    }

    /// Seals on a link with the key of `holder`, who need not be its sender.
    pub(crate) fn sealer_with(&self, holder: Stage, link: Link, epoch: u32, run: InstanceId) -> Sealer {
        let keyring = self.keyring(holder, link.sender(), run, epoch);
        keyring.sealer(link).unwrap()
    }

    /// Opens what travels on a link. What a stage sends it knows as well.
    pub(crate) fn opener(&self, link: Link) -> Opener {
        let keyring = self.keyring(link.receiver(), link.receiver(), InstanceId::random().unwrap(), 1);
        keyring.opener(link).unwrap()
    }

    /// An ear on a subject of a hop.
    pub(crate) async fn tap(&self, hop: Hop) -> Tap {
        let (subject, link) = match hop {
            Hop::DirtyQuery => ("dirty-query", Link::FrontendToQueryValidator),
            Hop::CleanQuery => ("clean-query.backend-0", Link::QueryValidatorToBackend),
            Hop::DirtyResp => ("dirty-resp", Link::BackendToResponseValidator),
            Hop::CleanResp => ("clean-resp.frontend-0", Link::ResponseValidatorToFrontend),
        };
        Tap {
            nats: hijack(&self.ring, hop.name(), subject).await,
            opener: self.opener(link),
            subject,
            waiting: Vec::new(),
        }
    }

    /// A client that is signed in; tried again while a part that was held still catches up.
    pub(crate) async fn client(&self, user: &str) -> Raw {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Raw::sign_in(self.ring.port(), user).await {
                Ok(client) => return client,
                Err(error) if tokio::time::Instant::now() > end => panic!("{user} can't sign in: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Rows that only an attack writes.
    pub(crate) fn written(&self) -> u64 {
        let count = self
            .ring
            .database_sql("SELECT count(*) FROM shop.target WHERE n >= 1000")
            .unwrap();
        count.trim().parse().unwrap()
    }

    /// Whether what a stage did without a record of its own can be seen by comparing the ledgers.
    pub(crate) fn is_shown(&self, table: &mut Table, stage: Stage) {
        let report = postern_ledger::cross_check(&self.ring.ledger_dirs()).unwrap();
        let lacks = [
            format!("the {stage} has none"),
            format!("the {stage} has no record of it"),
            format!("it was answered, but the {stage}"),
        ];
        let found = report
            .findings
            .iter()
            .map(ToString::to_string)
            .find(|finding| lacks.iter().any(|lack| finding.contains(lack)));
        table.note(
            "to do such things without a record, and be seen by nobody who compares the ledgers",
            Fate::Stopped("P8"),
            found.is_none(),
            found.unwrap_or_default(),
        );
    }

    /// A client that came later is served, and gets its own answer.
    pub(crate) async fn still_serves(&self) {
        let mut client = self.client("reader").await;
        let answer = client
            .query("SELECT count(*) FROM cards WHERE tenant_id = 1")
            .await
            .unwrap();
        assert!(text_of(&answer).contains('1'), "{answer:?}");
    }
}

/// One envelope as it passed, and what was in it.
pub(crate) struct Heard {
    pub(crate) header: Header,
    pub(crate) sender: InstanceId,
    pub(crate) body: Vec<u8>,
    /// The envelope itself.
    pub(crate) raw: Vec<u8>,
}

impl Heard {
    /// Head and payload, if the head is a `T`.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Option<(T, Vec<u8>)> {
        let (head, payload) = body::decode::<T>(&self.body).ok()?;
        Some((head, payload.to_vec()))
    }
}

/// A hijacked server's view of one subject.
pub(crate) struct Tap {
    nats: Nats,
    opener: Opener,
    pub(crate) subject: &'static str,
    waiting: Vec<Heard>,
}

impl Tap {
    /// The next envelope that `wanted` makes something of.
    pub(crate) async fn next<T>(&mut self, mut wanted: impl FnMut(&Heard) -> Option<T>) -> T {
        let found = self.within(PATIENCE, &mut wanted).await;
        found.unwrap_or_else(|| panic!("nothing came on {}", self.subject))
    }

    /// The same, if it comes in time.
    pub(crate) async fn within<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Heard) -> Option<T>,
    ) -> Option<T> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            while !self.waiting.is_empty() {
                let heard = self.waiting.remove(0);
                if let Some(found) = wanted(&heard) {
                    return Some(found);
                }
            }
            if tokio::time::Instant::now() >= end {
                return None;
            }
            self.gather(Duration::from_millis(10)).await;
        }
    }

    async fn gather(&mut self, time: Duration) {
        for mut message in self.nats.gather_for(time).await.unwrap() {
            let Ok(envelopes) = batch::split(&mut message) else {
                continue;
            };
            for envelope in envelopes {
                let raw = envelope.to_vec();
                if let Ok(opened) = self.opener.open(envelope, now_ms()) {
                    self.waiting.push(Heard {
                        header: opened.header,
                        sender: opened.sender,
                        body: opened.body.to_vec(),
                        raw,
                    });
                }
            }
        }
    }

    /// Forgets what has come so far.
    pub(crate) async fn forget(&mut self) {
        self.gather(Duration::from_millis(10)).await;
        self.waiting.clear();
    }

    /// Puts a message of the bus on the subject.
    pub(crate) async fn publish(&mut self, message: &[u8]) {
        self.nats.publish(self.subject, message).await.unwrap();
    }

    /// The same on another subject of the server.
    pub(crate) async fn publish_to(&mut self, subject: &str, message: &[u8]) {
        self.nats.publish(subject, message).await.unwrap();
    }

    /// Puts one envelope on the subject.
    pub(crate) async fn send(&mut self, envelope: &[u8]) {
        self.publish(&framed(envelope)).await;
    }
}

/// A message of the bus with one envelope.
pub(crate) fn framed(envelope: &[u8]) -> Vec<u8> {
    let mut batch = Batch::new();
    batch.push(envelope).unwrap();
    batch.take()
}

/// An envelope.
pub(crate) fn sealed<H: Serialize>(
    sealer: &mut Sealer,
    header: &Header,
    head: &H,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal_body(header, head, &[payload], &mut out).unwrap();
    out
}

pub(crate) fn header(session: SessionId, sequence: u64, exchange: u64) -> Header {
    Header {
        session,
        sequence,
        exchange,
        part: 0,
        deadline_ms: now_ms() + 30_000,
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Everything in the messages that can be read.
pub(crate) fn text_of(messages: &[Message]) -> String {
    messages
        .iter()
        .map(|m| String::from_utf8_lossy(&m.body).into_owned())
        .collect()
}

/// What a client is told within a while: up to the end of the answer, of the connection, or of patience.
pub(crate) async fn told(client: &mut Raw) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Ok(Ok(Some(message))) = tokio::time::timeout(QUIET, client.next()).await {
        let done = message.tag == b'Z';
        messages.push(message);
        if done {
            break;
        }
    }
    messages
}

/// A simple Query as it stands in a payload.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    postern_wire::put_query(&mut out, sql).unwrap();
    out
}
