//! Named statements: the files `queries/*.sql`.
//!
//! ```sql
//! -- name: invoices_of_customer
//! -- roles: app, support
//! -- max_rows: 100
//! -- mask: iban=last4
//! -- tenant: $1
//! SELECT id, iban, total FROM invoices WHERE tenant_id = $1 AND customer_id = $2;
//! ```
//!
//! Annotations are `-- key: value` comments in front of the statement, several on a line if separated by
//! another `--`. A key that nobody knows is a mistake, and so is an annotation behind the beginning of its
//! statement. Keys: `name` and `roles`, which every statement needs; `max_rows`, `max_bytes`, `mask`, `tenant`,
//! `timeout_ms`, `read_only`, `types`, `list`, `record`; see [`NamedStatement`].
//!
//! A statement of a client is looked up by the digest of its shape and then compared as a whole, in
//! `postern_sql::canonical`. What runs is the text that stands here.

mod annotation;
mod read;
mod types;

#[cfg(test)]
mod tests;

use crate::document::PolicyError;
use postern_sql::Statement;
use postern_sql::canonical::{Bound, Canonical, Pattern, Value};
use postern_types::{Keep, Mask};
use std::collections::HashMap;
use std::sync::Arc;

/// One named statement.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedStatement {
    /// Its name, unlike any other.
    pub name: String,
    /// Roles whose users may run it.
    pub roles: Vec<String>,
    /// The policy's own text, without the semicolon.
    pub sql: String,
    /// Most rows of its answer.
    pub max_rows: Option<u64>,
    /// Most bytes of the rows of its answer.
    pub max_bytes: Option<u64>,
    /// How columns of its answer are masked, by the position of the column, from 0.
    pub masks: Vec<(u16, Mask)>,
    /// Names of the columns of its answer as far as the text tells them; `None` where not even their number
    /// is known.
    pub outputs: Option<Vec<Option<String>>>,
    /// What must be the tenant of the session.
    pub tenant: Option<TenantRule>,
    /// Longest run in milliseconds.
    pub timeout_ms: Option<u32>,
    /// It runs in a read-only transaction.
    pub read_only: bool,
    /// OIDs of the types of `$1`, `$2`, …; 0 where the client may say. Empty when the policy names none.
    pub types: Vec<u32>,
    /// Slots of which values are recorded, and how.
    pub record: Vec<(u16, Keep)>,
    /// File of the policy directory.
    pub file: String,
    /// Line of the statement, from 1.
    pub line: u64,
    pattern: Pattern,
}

/// What must be the tenant of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRule {
    /// This slot.
    Slot(u16),
    /// This column of the answer, by position from 0, in every row.
    Column(u16),
}

impl NamedStatement {
    /// The facts about it.
    pub fn statement(&self) -> &Statement {
        self.pattern.statement()
    }

    /// What other statements are compared with.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

/// A statement of a client that is a named one.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Which.
    pub statement: Arc<NamedStatement>,
    /// What to run: the policy's text, its lists as long as the client's.
    pub sql: String,
    /// What the client has in the place of each parameter of `sql`, and how long its lists are.
    pub bound: Bound,
    /// OIDs of the types that the policy names for the parameters of `sql`; 0 where it names none.
    pub types: Vec<u32>,
    /// Of each parameter of `sql`, its slot in the policy's text, and how its value is recorded if it is.
    pub record: Vec<(u16, Option<Keep>)>,
    /// Which parameter of `sql` must be the tenant of the session, from 0.
    pub tenant: Option<usize>,
}

/// All named statements of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedIndex {
    statements: Vec<Arc<NamedStatement>>,
    /// By shape; those with fewer slots first, then by name.
    by_shape: HashMap<[u8; 32], Vec<Arc<NamedStatement>>>,
}

impl NamedIndex {
    /// Reads files, given as paths and texts. `roles` are those of policy.yaml.
    ///
    /// # Errors
    /// Every mistake, with file and line.
    pub fn from_files(
        files: &[(impl AsRef<str>, impl AsRef<str>)],
        roles: &[&str],
    ) -> Result<NamedIndex, Vec<PolicyError>> {
        read::files(files, roles)
    }

    /// The named statement that `statement` is, if it is one that a user with one of these roles may run.
    /// Where several match, it is the one with the fewest slots.
    pub fn find(&self, statement: &Canonical, roles: &[&str]) -> Option<Match> {
        let candidates = self.by_shape.get(&statement.shape())?;
        candidates
            .iter()
            .filter(|named| named.roles.iter().any(|role| roles.contains(&role.as_str())))
            .find_map(|named| matching(named, statement))
    }

    /// All of them, by file and line.
    pub fn iter(&self) -> impl Iterator<Item = &NamedStatement> {
        self.statements.iter().map(AsRef::as_ref)
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&NamedStatement> {
        self.iter().find(|named| named.name == name)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    fn of(statements: Vec<Arc<NamedStatement>>) -> NamedIndex {
        let mut by_shape: HashMap<_, Vec<Arc<NamedStatement>>> = HashMap::new();
        for named in &statements {
            by_shape
                .entry(named.pattern.canonical().shape())
                .or_default()
                .push(Arc::clone(named));
        }
        for candidates in by_shape.values_mut() {
            candidates.sort_by(|a, b| (a.pattern.slots(), &a.name).cmp(&(b.pattern.slots(), &b.name)));
        }
        NamedIndex { statements, by_shape }
    }
}

fn matching(named: &Arc<NamedStatement>, statement: &Canonical) -> Option<Match> {
    let bound = named.pattern.matches(statement)?;
    let slots = named.pattern.slot_of_each(&bound.counts);
    let types: Vec<u32> = slots
        .iter()
        .map(|slot| {
            let at = usize::from(slot.saturating_sub(1));
            named.types.get(at).copied().unwrap_or(0)
        })
        .collect();
    let fit = bound.values.iter().zip(&types).all(|(value, oid)| match value {
        Value::Literal(literal) => types::takes(*oid, literal.kind),
        Value::Parameter(_) => true,
    });
    let tenant = match named.tenant {
        Some(TenantRule::Slot(slot)) => Some(slots.iter().position(|one| *one == slot)?),
        Some(TenantRule::Column(_)) | None => None,
    };
    let recorded = |slot: &u16| {
        named
            .record
            .iter()
            .find(|(one, _)| one == slot)
            .map(|(_, keep)| *keep)
    };
    let record = slots.iter().map(|slot| (*slot, recorded(slot))).collect();
    fit.then(|| Match {
        statement: Arc::clone(named),
        sql: named.pattern.expand(&bound.counts),
        bound,
        types,
        record,
        tenant,
    })
}
