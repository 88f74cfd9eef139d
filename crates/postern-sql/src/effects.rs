//! What a statement leaves behind, as far as sharing a connection is concerned.

use crate::references::References;
use crate::setting::Scope;
use crate::tree::Tree;
use crate::{StatementKind, Transaction};
use postern_types::StatementShape;
use postern_types::ring::{Deallocate, Effects};

/// Functions of PostgreSQL that leave something in the session.
const STATEFUL: [&str; 9] = [
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "setseed",
    "set_limit",
    "set_curcfg",
    "pg_replication_origin_session_setup",
    "pg_replication_origin_xact_setup",
];

pub(crate) fn of(kind: StatementKind, node: &Tree, references: &References) -> Effects {
    let kinds = || std::iter::once(kind).chain(references.parts.iter().copied());
    let discard_all = kind == StatementKind::Discard { all: true };
    Effects {
        pins: references.temporary
            || kinds().any(makes_state)
            || references.functions.iter().any(|f| is_stateful(&f.name))
            || references
                .settings
                .iter()
                .any(|s| s.name.is_none() || s.scope == Scope::Session)
            || mentions_temporary(kind, node),
        changes_schema: kinds().any(|k| {
            matches!(
                k,
                StatementKind::Ddl | StatementKind::Do | StatementKind::Call | StatementKind::Other
            )
        }),
        deallocates: match kind {
            StatementKind::Deallocate if node.flag("isall") || node.text("name").is_empty() => {
                Some(Deallocate::All)
            }
            StatementKind::Deallocate => Some(Deallocate::Named(node.text("name").to_owned())),
            _ if discard_all => Some(Deallocate::All),
            _ => None,
        },
        ends_transaction: matches!(
            kind,
            StatementKind::Transaction(
                Transaction::Commit | Transaction::Rollback | Transaction::RollbackTo | Transaction::Prepare
            )
        ),
        resets_settings: discard_all || kind == StatementKind::ResetAll,
        block: block(kind, node),
        ..Effects::default()
    }
}

/// Whether it begins or ends a transaction block.
fn block(kind: StatementKind, node: &Tree) -> Option<bool> {
    match kind {
        StatementKind::Transaction(Transaction::Begin) => Some(true),
        // AND CHAIN begins the next one.
        StatementKind::Transaction(Transaction::Commit | Transaction::Rollback) => Some(node.flag("chain")),
        StatementKind::Transaction(Transaction::Prepare) => Some(false),
        _ => None,
    }
}

/// Kinds that leave session state. Written as a full list, so that a new kind has to be thought about.
fn makes_state(kind: StatementKind) -> bool {
    use StatementKind as K;
    match kind {
        K::Select
        | K::Insert
        | K::Update
        | K::Delete
        | K::Merge
        | K::Transaction(_)
        | K::SetLocal
        | K::Show
        | K::ResetAll
        | K::Deallocate
        | K::DeclareCursor { hold: false }
        | K::Fetch
        | K::CloseCursor
        | K::Copy { .. }
        | K::Explain
        | K::Unlisten
        | K::Notify
        | K::Lock
        | K::Truncate
        | K::Ddl
        | K::Maintenance => false,
        K::Set
        | K::Reset
        | K::Discard { .. }
        | K::Prepare
        | K::Execute
        | K::DeclareCursor { hold: true }
        | K::Listen
        | K::Do
        | K::Call
        | K::Load
        | K::Other => true,
    }
}

fn is_stateful(function: &str) -> bool {
    STATEFUL.contains(&function) || function.starts_with("dblink")
}

/// A definition of something in pg_temp: function, type, operator.
fn mentions_temporary(kind: StatementKind, node: &Tree) -> bool {
    kind == StatementKind::Ddl && contains_text(node, |text| text.starts_with("pg_temp"))
}

fn contains_text(node: &Tree, wanted: fn(&str) -> bool) -> bool {
    match node {
        Tree::Text(text) => wanted(text),
        Tree::List(items) => items.iter().any(|item| contains_text(item, wanted)),
        Tree::Node(_, fields) => fields.iter().any(|(_, value)| contains_text(value, wanted)),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) => false,
    }
}

/// What the statement may answer with.
pub(crate) fn shape(kind: StatementKind, node: &Tree) -> StatementShape {
    use StatementKind as K;
    let rows = match kind {
        K::Select | K::Show | K::Explain | K::Execute | K::Call => true,
        K::Insert | K::Update | K::Delete | K::Merge => node.get("returning_clause") != &Tree::Nothing,
        K::Fetch => !node.flag("ismove"),
        // Another kind that answers with rows breaks its contract and is stopped.
        _ => false,
    };
    let copy = match kind {
        K::Copy {
            direction,
            client: true,
        } => Some(direction),
        _ => None,
    };
    StatementShape { rows, copy }
}
