//! What the client's prepared statements and portals were made from.
//!
//! Each exchange must stand alone, so the text of every statement and portal that it uses but does not
//! create is sent along as a [`Definition`]. A Parse counts only when its ParseComplete came back. Whether
//! a name exists is the Backend's to say; a definition too many does no harm, one too few is an error of
//! the client's or means that it was forgotten to keep memory bounded.

use postern_types::ring::{Definition, DefinitionKind};
use postern_types::{Refusal, SqlState};
use postern_wire::Target;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// How much a session may have remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementLimits {
    /// Most statements, and most portals.
    pub count: usize,
    /// Most bytes of SQL text and names of statements.
    pub bytes: usize,
}

/// More ParseComplete messages than Parse messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer has more ParseComplete than its exchange has Parse")]
pub struct NotAsked;

#[derive(Debug)]
struct Text {
    sql: String,
    parameter_types: Vec<u32>,
}

#[derive(Debug)]
struct Remembered {
    text: Rc<Text>,
    used: u64,
}

#[derive(Debug)]
enum Change {
    Parse { name: String, text: Rc<Text> },
    Close { name: String },
}

/// The exchange that is being put together.
#[derive(Debug, Default)]
struct Draft {
    changes: Vec<Change>,
    portals: Vec<String>,
    definitions: Vec<Definition>,
}

/// The bookkeeping of one session.
#[derive(Debug)]
pub struct Statements {
    limits: StatementLimits,
    clock: u64,
    bytes: usize,
    confirmed: HashMap<String, Remembered>,
    /// Changes of exchanges that are under way, oldest first.
    pending: VecDeque<(u64, Change)>,
    portals: HashMap<String, Remembered>,
    draft: Draft,
}

impl Statements {
    /// Nothing remembered.
    pub fn new(limits: StatementLimits) -> Self {
        Statements {
            limits,
            clock: 0,
            bytes: 0,
            confirmed: HashMap::new(),
            pending: VecDeque::new(),
            portals: HashMap::new(),
            draft: Draft::default(),
        }
    }

    /// A Parse in the exchange that is being put together.
    ///
    /// # Errors
    /// FATAL 54000 when the text alone is more than a session may have remembered.
    pub fn parse(
        &mut self,
        name: &str,
        sql: &str,
        parameter_types: impl Iterator<Item = u32>,
    ) -> Result<(), Refusal> {
        if name.len().saturating_add(sql.len()) > self.limits.bytes {
            return Err(Refusal::fatal(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the statement is larger than all that a session may keep prepared",
            ));
        }
        let text = Rc::new(Text {
            sql: sql.to_owned(),
            parameter_types: parameter_types.collect(),
        });
        let name = name.to_owned();
        self.draft.changes.push(Change::Parse { name, text });
        Ok(())
    }

    /// A Bind in the exchange that is being put together.
    pub fn bind(&mut self, portal: &str, statement: &str) {
        let text = match find(self.draft.changes.iter().rev(), statement) {
            Some(text) => Some(text),
            None => self.define(DefinitionKind::Statement, statement),
        };
        if !self.draft.portals.iter().any(|name| name == portal) {
            self.draft.portals.push(portal.to_owned());
        }
        match text {
            Some(text) => {
                let used = self.tick();
                make_room(&mut self.portals, self.limits.count, portal);
                self.portals.insert(portal.to_owned(), Remembered { text, used });
            }
            None => {
                self.portals.remove(portal);
            }
        }
    }

    /// A Describe or Execute in the exchange that is being put together.
    pub fn refer(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => {
                if find(self.draft.changes.iter().rev(), name).is_none() {
                    self.define(DefinitionKind::Statement, name);
                }
            }
            Target::Portal => {
                if !self.draft.portals.iter().any(|made| made == name) {
                    self.define(DefinitionKind::Portal, name);
                }
            }
        }
    }

    /// A Close in the exchange that is being put together.
    pub fn close(&mut self, target: Target, name: &str) {
        let name = name.to_owned();
        match target {
            Target::Statement => self.draft.changes.push(Change::Close { name }),
            Target::Portal => {
                self.portals.remove(&name);
            }
        }
    }

    /// Ends the draft: it is exchange `exchange` now. Gives the definitions to send along.
    pub fn finish(&mut self, exchange: u64) -> Vec<Definition> {
        let draft = std::mem::take(&mut self.draft);
        self.pending
            .extend(draft.changes.into_iter().map(|change| (exchange, change)));
        draft.definitions
    }

    /// `count` more ParseComplete messages of this exchange arrived.
    ///
    /// # Errors
    /// `NotAsked` when it has not that many Parse messages left.
    pub fn parsed(&mut self, exchange: u64, count: u32) -> Result<(), NotAsked> {
        for _ in 0..count {
            loop {
                match self.pending.front() {
                    Some((id, _)) if *id == exchange => {}
                    _ => return Err(NotAsked),
                }
                match self.pending.pop_front() {
                    Some((_, Change::Parse { name, text })) => {
                        self.confirm(name, text);
                        break;
                    }
                    // A Close before a Parse that was completed was completed too.
                    Some((_, Change::Close { name })) => self.forget(&name),
                    None => return Err(NotAsked),
                }
            }
        }
        Ok(())
    }

    /// The exchange was answered in full. What was not completed did not happen. When nothing failed, the
    /// statements closed after its last Parse are gone.
    pub fn ended(&mut self, exchange: u64, failed: bool) {
        while let Some((id, _)) = self.pending.front() {
            if *id != exchange {
                return;
            }
            if let Some((_, Change::Close { name })) = self.pending.pop_front()
                && !failed
            {
                self.forget(&name);
            }
        }
    }

    /// No transaction is open and nothing is under way, so there are no portals.
    pub fn no_transaction(&mut self) {
        self.portals.clear();
    }

    /// Statements remembered.
    pub fn len(&self) -> usize {
        self.confirmed.len()
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.confirmed.is_empty()
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }

    /// Looks a name up outside the draft and adds its definition to the draft, once.
    fn define(&mut self, kind: DefinitionKind, name: &str) -> Option<Rc<Text>> {
        let text = match kind {
            DefinitionKind::Statement => self.look_up_statement(name),
            DefinitionKind::Portal => self.portals.get(name).map(|portal| Rc::clone(&portal.text)),
        }?;
        let known = |d: &Definition| d.kind == kind && d.name == name;
        if !self.draft.definitions.iter().any(known) {
            self.draft.definitions.push(Definition {
                kind,
                name: name.to_owned(),
                sql: text.sql.clone(),
                parameter_types: text.parameter_types.clone(),
            });
        }
        Some(text)
    }

    fn look_up_statement(&mut self, name: &str) -> Option<Rc<Text>> {
        let under_way = find(self.pending.iter().rev().map(|(_, change)| change), name);
        if under_way.is_some() {
            return under_way;
        }
        let used = self.tick();
        let remembered = self.confirmed.get_mut(name)?;
        remembered.used = used;
        Some(Rc::clone(&remembered.text))
    }

    fn confirm(&mut self, name: String, text: Rc<Text>) {
        self.forget(&name);
        let size = name.len().saturating_add(text.sql.len());
        while self.confirmed.len() >= self.limits.count || self.bytes.saturating_add(size) > self.limits.bytes
        {
            let Some(oldest) = oldest(&self.confirmed) else {
                break;
            };
            self.forget(&oldest);
        }
        self.bytes = self.bytes.saturating_add(size);
        let used = self.tick();
        self.confirmed.insert(name, Remembered { text, used });
    }

    fn forget(&mut self, name: &str) {
        if let Some(gone) = self.confirmed.remove(name) {
            let size = name.len().saturating_add(gone.text.sql.len());
            self.bytes = self.bytes.saturating_sub(size);
        }
    }
}

/// The text of the newest Parse of this name.
fn find<'a>(mut newest_first: impl Iterator<Item = &'a Change>, wanted: &str) -> Option<Rc<Text>> {
    newest_first.find_map(|change| match change {
        Change::Parse { name, text } if name == wanted => Some(Rc::clone(text)),
        _ => None,
    })
}

/// Linear, but only walked when a session is at its limit.
fn oldest(names: &HashMap<String, Remembered>) -> Option<String> {
    names
        .iter()
        .min_by_key(|(_, remembered)| remembered.used)
        .map(|(name, _)| name.clone())
}

fn make_room(names: &mut HashMap<String, Remembered>, limit: usize, newcomer: &str) {
    if names.len() >= limit
        && !names.contains_key(newcomer)
        && let Some(oldest) = oldest(names)
    {
        names.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
