//! Prepared statements: the names a session knows, and what one server connection has prepared.
//!
//! A client's statement name means nothing to PostgreSQL here. The session's map says which text a name
//! stands for; the connection's map says under which of our own names that text is prepared there, whoever
//! asked for it first. Server-side names carry a random tag per connection, so that SQL of a client can't
//! guess one.

use lru::LruCache;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::rc::Rc;

/// What identifies a prepared statement on a server connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StatementKey {
    /// The SQL text.
    pub(crate) sql: Rc<str>,
    /// Parameter type OIDs given at Parse.
    pub(crate) types: Rc<[u32]>,
}

impl StatementKey {
    /// A key from borrowed parts.
    pub(crate) fn new(sql: &str, types: &[u32]) -> Self {
        StatementKey {
            sql: Rc::from(sql),
            types: Rc::from(types),
        }
    }

    fn bytes(&self) -> usize {
        self.sql.len() + self.types.len() * 4
    }
}

/// Most prepared statements one session may hold.
const MAX_SESSION_STATEMENTS: usize = 10_000;
/// Most bytes of text and types of them.
const MAX_SESSION_BYTES: usize = 16 * 1024 * 1024;

/// The statements and portals a session has made, by the client's names; `""` is the unnamed one.
#[derive(Debug, Default)]
pub(crate) struct SessionStatements {
    statements: HashMap<String, Stated>,
    portals: HashMap<String, StatementKey>,
    bytes: usize,
}

/// A statement of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stated {
    /// What it says.
    pub(crate) key: StatementKey,
    /// Definitions were at least this new when the client prepared it. A client that prepares a statement
    /// again because definitions have changed must never be given one from before the change.
    pub(crate) schema_epoch: u64,
}

impl SessionStatements {
    /// The text behind a statement name.
    pub(crate) fn statement(&self, name: &str) -> Option<&Stated> {
        self.statements.get(name)
    }

    /// The text behind a portal name.
    pub(crate) fn portal(&self, name: &str) -> Option<&StatementKey> {
        self.portals.get(name)
    }

    /// Whether one more statement of this size may be kept.
    pub(crate) fn has_room(&self, key: &StatementKey) -> bool {
        self.statements.len() < MAX_SESSION_STATEMENTS && self.bytes + key.bytes() <= MAX_SESSION_BYTES
    }

    /// Applies what an answered message changed.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::DefineStatement(name, stated) => {
                self.bytes += stated.key.bytes();
                if let Some(old) = self.statements.insert(name, stated) {
                    self.bytes = self.bytes.saturating_sub(old.key.bytes());
                }
            }
            Change::DropStatement(name) => {
                if let Some(old) = self.statements.remove(&name) {
                    self.bytes = self.bytes.saturating_sub(old.key.bytes());
                }
            }
            Change::DropAllStatements => {
                self.statements.clear();
                self.bytes = 0;
            }
            Change::DefinePortal(name, key) => {
                self.portals.insert(name, key);
            }
            Change::DropPortal(name) => {
                self.portals.remove(&name);
            }
        }
    }

    /// Portals do not outlive their transaction.
    pub(crate) fn transaction_ended(&mut self) {
        self.portals.clear();
    }
}

/// A change to [`SessionStatements`] that takes effect once PostgreSQL has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Parse succeeded.
    DefineStatement(String, Stated),
    /// Close or DEALLOCATE succeeded.
    DropStatement(String),
    /// DEALLOCATE ALL or DISCARD ALL succeeded.
    DropAllStatements,
    /// Bind succeeded.
    DefinePortal(String, StatementKey),
    /// Close of a portal succeeded.
    DropPortal(String),
}

/// A change to [`ServerStatements`] that takes effect once PostgreSQL has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerChange {
    /// This text is now prepared under this name of ours.
    Prepared(StatementKey, Rc<str>),
    /// The unnamed statement now is this text.
    Unnamed(StatementKey),
    /// The name of ours is gone.
    Gone(StatementKey),
    /// No prepared statement is left.
    AllGone,
}

/// Most statements kept prepared on one server connection; PostgreSQL holds each one's plan in memory.
const MAX_SERVER_STATEMENTS: usize = 512;
/// Texts remembered as "seen once", to tell a repeated unnamed statement from a one-off.
const SEEN_ONCE: usize = 1024;

/// What is prepared on one server connection.
#[derive(Debug)]
pub(crate) struct ServerStatements {
    prepared: LruCache<StatementKey, Prepared>,
    unnamed: Option<Stated>,
    seen: HashSet<u64>,
    hasher: RandomState,
    tag: String,
    next: u64,
}

#[derive(Debug)]
struct Prepared {
    name: Rc<str>,
    schema_epoch: u64,
}

impl ServerStatements {
    /// Nothing prepared. `tag` must be unguessable for clients.
    pub(crate) fn new(tag: String) -> Self {
        ServerStatements {
            prepared: LruCache::new(NonZeroUsize::new(MAX_SERVER_STATEMENTS).unwrap_or(NonZeroUsize::MIN)),
            unnamed: None,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            tag,
            next: 0,
        }
    }

    /// The server-side name of a text, if it was prepared when definitions were at least as new as
    /// `schema_epoch`. PostgreSQL refuses to run an older one where its result type has changed since.
    pub(crate) fn find(&mut self, key: &StatementKey, schema_epoch: u64) -> Option<Rc<str>> {
        let found = self.prepared.get(key)?;
        (found.schema_epoch >= schema_epoch).then(|| Rc::clone(&found.name))
    }

    /// Whether the connection's unnamed statement is this text, prepared as [`ServerStatements::find`] asks.
    pub(crate) fn unnamed_is(&self, key: &StatementKey, schema_epoch: u64) -> bool {
        self.unnamed
            .as_ref()
            .is_some_and(|u| u.key == *key && u.schema_epoch >= schema_epoch)
    }

    /// A server-side name not used before.
    pub(crate) fn fresh_name(&mut self) -> Rc<str> {
        self.next = self.next.saturating_add(1);
        Rc::from(format!("postern_{}_{}", self.tag, self.next))
    }

    /// Whether this text came before as an unnamed statement; remembers it.
    pub(crate) fn seen_before(&mut self, key: &StatementKey) -> bool {
        if self.seen.len() >= SEEN_ONCE {
            self.seen.clear();
        }
        !self.seen.insert(self.hasher.hash_one(key))
    }

    /// The statement to close before another may be prepared, when the connection is full.
    pub(crate) fn overflow(&self) -> Option<(StatementKey, Rc<str>)> {
        if self.prepared.len() < MAX_SERVER_STATEMENTS {
            return None;
        }
        self.prepared
            .peek_lru()
            .map(|(key, prepared)| (key.clone(), Rc::clone(&prepared.name)))
    }

    /// Applies what PostgreSQL confirmed. `schema_epoch` is that of the time when it was asked for.
    pub(crate) fn apply(&mut self, change: ServerChange, schema_epoch: u64) {
        match change {
            ServerChange::Prepared(key, name) => {
                self.prepared.put(key, Prepared { name, schema_epoch });
            }
            ServerChange::Unnamed(key) => self.unnamed = Some(Stated { key, schema_epoch }),
            ServerChange::Gone(key) => {
                self.prepared.pop(&key);
            }
            ServerChange::AllGone => self.forget_all(),
        }
    }

    /// A simple Query drops the unnamed statement.
    pub(crate) fn forget_unnamed(&mut self) {
        self.unnamed = None;
    }

    /// Nothing is prepared any more (DISCARD ALL).
    pub(crate) fn forget_all(&mut self) {
        self.prepared.clear();
        self.unnamed = None;
    }
}
