//! The words of a role's `statements` list.

use postern_sql::{StatementKind, Transaction};
use postern_types::CopyDirection;
use serde::Deserialize;

/// One word of a role's `statements` list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementWord {
    /// SELECT, VALUES, TABLE.
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE; it inserts, updates and deletes without these words.
    Merge,
    /// BEGIN, COMMIT, ROLLBACK, SAVEPOINT, SET TRANSACTION; not two-phase commit.
    Transaction,
    /// SET, RESET and `set_config` of a few harmless settings.
    Set,
    /// SHOW of a few harmless settings.
    Show,
    /// COPY FROM STDIN.
    CopyIn,
    /// COPY TO STDOUT.
    CopyOut,
    /// EXPLAIN; what it explains must be listed as well.
    Explain,
    /// DECLARE, FETCH, MOVE; the query must be listed as well.
    Cursor,
    /// LOCK TABLE.
    Lock,
    /// TRUNCATE.
    Truncate,
    /// LISTEN.
    Listen,
    /// NOTIFY.
    Notify,
    /// CALL.
    Call,
}

impl StatementWord {
    /// Privileges on tables that statements of this word need; to read what is looked for is among those of all that
    /// change something.
    pub(crate) fn privileges(self) -> &'static [&'static str] {
        use StatementWord as W;
        match self {
            W::Select | W::CopyOut | W::Cursor | W::Explain | W::Lock => &["select"],
            W::Insert => &["insert", "select"],
            W::CopyIn => &["insert"],
            W::Update => &["update", "select"],
            W::Delete => &["delete", "select"],
            W::Merge => &["insert", "update", "delete", "select"],
            W::Truncate => &["truncate"],
            W::Transaction | W::Set | W::Show | W::Listen | W::Notify | W::Call => &[],
        }
    }
}

/// How a kind of statement stands to the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// It needs this word.
    Word(StatementWord),
    /// It only lets go of something, so it needs none.
    Free,
    /// No word allows it to a role that is held to a list.
    Never,
}

/// Written as a full list, so that a new kind has to be thought about.
pub(crate) fn listing(kind: StatementKind) -> Listing {
    use StatementKind as K;
    use StatementWord as W;
    match kind {
        K::Select => Listing::Word(W::Select),
        K::Insert => Listing::Word(W::Insert),
        K::Update => Listing::Word(W::Update),
        K::Delete => Listing::Word(W::Delete),
        K::Merge => Listing::Word(W::Merge),
        K::Transaction(Transaction::Prepare | Transaction::FinishPrepared) => Listing::Never,
        K::Transaction(_) => Listing::Word(W::Transaction),
        K::Set | K::SetLocal | K::Reset => Listing::Word(W::Set),
        K::Show => Listing::Word(W::Show),
        K::Copy {
            direction: CopyDirection::In,
            client: true,
        } => Listing::Word(W::CopyIn),
        K::Copy {
            direction: CopyDirection::Out,
            client: true,
        } => Listing::Word(W::CopyOut),
        K::Explain => Listing::Word(W::Explain),
        K::DeclareCursor { .. } | K::Fetch => Listing::Word(W::Cursor),
        K::Lock => Listing::Word(W::Lock),
        K::Truncate => Listing::Word(W::Truncate),
        K::Listen => Listing::Word(W::Listen),
        K::Notify => Listing::Word(W::Notify),
        K::Call => Listing::Word(W::Call),
        K::ResetAll | K::Deallocate | K::CloseCursor | K::Unlisten | K::Discard { all: true } => {
            Listing::Free
        }
        // EXECUTE could name a statement that another session of the shared connection prepared.
        K::Prepare
        | K::Execute
        | K::Copy { client: false, .. }
        | K::Discard { all: false }
        | K::Ddl
        | K::Do
        | K::Load
        | K::Maintenance
        | K::Other => Listing::Never,
    }
}
