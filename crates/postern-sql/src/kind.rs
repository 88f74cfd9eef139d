//! What kind of statement a node is.

use crate::tree::Tree;
use postern_types::CopyDirection;

/// The kind of a statement, as far as policy and pooling tell kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatementKind {
    /// SELECT, VALUES, TABLE.
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// Transaction control, SET TRANSACTION and SET CONSTRAINTS included.
    Transaction(Transaction),
    /// SET for the session.
    Set,
    /// SET LOCAL.
    SetLocal,
    /// SHOW.
    Show,
    /// RESET of one setting, or SET … TO DEFAULT.
    Reset,
    /// RESET ALL.
    ResetAll,
    /// DISCARD; `all` for DISCARD ALL.
    Discard {
        /// DISCARD ALL.
        all: bool,
    },
    /// DEALLOCATE.
    Deallocate,
    /// PREPARE as SQL.
    Prepare,
    /// EXECUTE as SQL.
    Execute,
    /// DECLARE CURSOR.
    DeclareCursor {
        /// WITH HOLD: it outlives the transaction.
        hold: bool,
    },
    /// FETCH and MOVE.
    Fetch,
    /// CLOSE.
    CloseCursor,
    /// COPY.
    Copy {
        /// Into or out of the database.
        direction: CopyDirection,
        /// To or from the client, rather than a file or program on the server.
        client: bool,
    },
    /// EXPLAIN; what it explains is among the statement's parts.
    Explain,
    /// LISTEN.
    Listen,
    /// UNLISTEN.
    Unlisten,
    /// NOTIFY.
    Notify,
    /// LOCK TABLE.
    Lock,
    /// TRUNCATE.
    Truncate,
    /// Anything that changes definitions, rights or the server's configuration; SELECT INTO and CREATE
    /// TABLE AS included.
    Ddl,
    /// DO.
    Do,
    /// CALL.
    Call,
    /// LOAD.
    Load,
    /// VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH MATERIALIZED VIEW, CHECKPOINT.
    Maintenance,
    /// A kind this crate does not know.
    Other,
}

/// The kinds of transaction control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transaction {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT.
    Savepoint,
    /// RELEASE.
    Release,
    /// ROLLBACK TO.
    RollbackTo,
    /// PREPARE TRANSACTION.
    Prepare,
    /// COMMIT PREPARED, ROLLBACK PREPARED.
    FinishPrepared,
    /// SET TRANSACTION, SET CONSTRAINTS: they hold until the transaction ends.
    Mode,
}

impl StatementKind {
    /// One or two lower-case words for ledgers.
    pub fn name(self) -> &'static str {
        match self {
            StatementKind::Select => "select",
            StatementKind::Insert => "insert",
            StatementKind::Update => "update",
            StatementKind::Delete => "delete",
            StatementKind::Merge => "merge",
            StatementKind::Transaction(_) => "transaction",
            StatementKind::Set | StatementKind::SetLocal => "set",
            StatementKind::Show => "show",
            StatementKind::Reset | StatementKind::ResetAll => "reset",
            StatementKind::Discard { .. } => "discard",
            StatementKind::Deallocate => "deallocate",
            StatementKind::Prepare => "prepare",
            StatementKind::Execute => "execute",
            StatementKind::DeclareCursor { .. } => "declare cursor",
            StatementKind::Fetch => "fetch",
            StatementKind::CloseCursor => "close cursor",
            StatementKind::Copy {
                direction: CopyDirection::In,
                ..
            } => "copy in",
            StatementKind::Copy {
                direction: CopyDirection::Out,
                ..
            } => "copy out",
            StatementKind::Explain => "explain",
            StatementKind::Listen => "listen",
            StatementKind::Unlisten => "unlisten",
            StatementKind::Notify => "notify",
            StatementKind::Lock => "lock",
            StatementKind::Truncate => "truncate",
            StatementKind::Ddl => "ddl",
            StatementKind::Do => "do",
            StatementKind::Call => "call",
            StatementKind::Load => "load",
            StatementKind::Maintenance => "maintenance",
            StatementKind::Other => "other",
        }
    }
}

/// `DISCARD_ALL` and `CURSOR_OPT_HOLD` as libpg_query numbers them.
const DISCARD_ALL: i64 = pg_query::protobuf::DiscardMode::DiscardAll as i64;
const CURSOR_OPT_HOLD: i64 = 0x20;

/// The kind of a statement node; `None` for nodes that are not statements.
pub(crate) fn of(node: &Tree) -> Option<StatementKind> {
    use StatementKind as K;
    // Asked of every node of every tree.
    if !node.kind().ends_with("Stmt") {
        return None;
    }
    let kind = match node.kind() {
        "SelectStmt" if has_into(node) => K::Ddl,
        "SelectStmt" => K::Select,
        "InsertStmt" => K::Insert,
        "UpdateStmt" => K::Update,
        "DeleteStmt" => K::Delete,
        "MergeStmt" => K::Merge,
        "TransactionStmt" => transaction(node.number("kind")),
        "ConstraintsSetStmt" => K::Transaction(Transaction::Mode),
        "VariableSetStmt" => variable_set(node),
        "VariableShowStmt" => K::Show,
        "DiscardStmt" => K::Discard {
            all: node.number("target") == DISCARD_ALL,
        },
        "DeallocateStmt" => K::Deallocate,
        "PrepareStmt" => K::Prepare,
        "ExecuteStmt" => K::Execute,
        "DeclareCursorStmt" => K::DeclareCursor {
            hold: node.number("options") & CURSOR_OPT_HOLD != 0,
        },
        "FetchStmt" => K::Fetch,
        "ClosePortalStmt" => K::CloseCursor,
        "CopyStmt" => copy(node),
        "ExplainStmt" => K::Explain,
        "ListenStmt" => K::Listen,
        "UnlistenStmt" => K::Unlisten,
        "NotifyStmt" => K::Notify,
        "LockStmt" => K::Lock,
        "TruncateStmt" => K::Truncate,
        "DoStmt" => K::Do,
        "CallStmt" => K::Call,
        "LoadStmt" => K::Load,
        "VacuumStmt" | "ClusterStmt" | "ReindexStmt" | "RefreshMatViewStmt" | "CheckPointStmt" => {
            K::Maintenance
        }
        "ReturnStmt" | "RawStmt" => return None,
        other if is_definition(other) => K::Ddl,
        _ => K::Other,
    };
    Some(kind)
}

fn is_definition(node: &str) -> bool {
    const PREFIXES: [&str; 5] = ["Create", "Alter", "Drop", "Grant", "Import"];
    const NAMES: [&str; 12] = [
        "CommentStmt",
        "SecLabelStmt",
        "DefineStmt",
        "IndexStmt",
        "RenameStmt",
        "RuleStmt",
        "CompositeTypeStmt",
        "ViewStmt",
        "DropdbStmt",
        "ReplicaIdentityStmt",
        "ReassignOwnedStmt",
        "CreatedbStmt",
    ];
    node.ends_with("Stmt") && (PREFIXES.iter().any(|p| node.starts_with(p)) || NAMES.contains(&node))
}

/// SELECT INTO is a SELECT by its node; in a set operation the INTO is in the leftmost arm.
fn has_into(select: &Tree) -> bool {
    let mut node = select;
    // Bounded by the depth of the tree.
    while node.kind() == "SelectStmt" {
        if node.get("into_clause") != &Tree::Nothing {
            return true;
        }
        node = node.get("larg");
    }
    false
}

fn transaction(kind: i64) -> StatementKind {
    use pg_query::protobuf::TransactionStmtKind as P;
    let kind = match i32::try_from(kind).ok().and_then(|k| P::try_from(k).ok()) {
        Some(P::TransStmtBegin | P::TransStmtStart) => Transaction::Begin,
        Some(P::TransStmtCommit) => Transaction::Commit,
        Some(P::TransStmtRollback) => Transaction::Rollback,
        Some(P::TransStmtSavepoint) => Transaction::Savepoint,
        Some(P::TransStmtRelease) => Transaction::Release,
        Some(P::TransStmtRollbackTo) => Transaction::RollbackTo,
        Some(P::TransStmtPrepare) => Transaction::Prepare,
        Some(P::TransStmtCommitPrepared | P::TransStmtRollbackPrepared) => Transaction::FinishPrepared,
        Some(P::Undefined) | None => return StatementKind::Other,
    };
    StatementKind::Transaction(kind)
}

fn variable_set(node: &Tree) -> StatementKind {
    use pg_query::protobuf::VariableSetKind as P;
    match i32::try_from(node.number("kind"))
        .ok()
        .and_then(|k| P::try_from(k).ok())
    {
        Some(P::VarSetMulti) if node.text("name").starts_with("TRANSACTION") => {
            StatementKind::Transaction(Transaction::Mode)
        }
        Some(P::VarSetValue | P::VarSetCurrent | P::VarSetMulti | P::VarSetDefault)
            if node.flag("is_local") =>
        {
            StatementKind::SetLocal
        }
        Some(P::VarSetValue | P::VarSetCurrent | P::VarSetMulti) => StatementKind::Set,
        Some(P::VarReset | P::VarSetDefault) => StatementKind::Reset,
        Some(P::VarResetAll) => StatementKind::ResetAll,
        Some(P::Undefined) | None => StatementKind::Other,
    }
}

fn copy(node: &Tree) -> StatementKind {
    StatementKind::Copy {
        direction: if node.flag("is_from") {
            CopyDirection::In
        } else {
            CopyDirection::Out
        },
        client: node.text("filename").is_empty() && !node.flag("is_program"),
    }
}
