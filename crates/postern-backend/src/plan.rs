//! From the messages of an exchange and their verdicts to what is sent to PostgreSQL.
//!
//! Pure. It trusts the Query Validator's verdicts (their seal was opened before) and nothing else: a
//! statement text that does not equal the one the session prepared is refused, and so is a name it does
//! not know. Client text reaches PostgreSQL only for messages whose verdict is `Allow`.

mod bound;
mod guards;

use crate::replies::{CLOSE_COMPLETE, Op, PARSE_COMPLETE, Reply, Treatment};
use crate::statements::{Change, ServerChange, ServerStatements, SessionStatements, Stated, StatementKey};
use postern_types::ring::{Deallocate, Definition, DefinitionKind, Effects, Verdict};
use postern_types::{Refusal, SqlState};
use postern_wire::{EncodeError, FrontendMessage, Target, TransactionStatus};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A portal that never exists: executing it fails, which fails an open transaction as any error would.
const POISON_PORTAL: &str = "postern_refused";

/// What the planner may look at.
pub(crate) struct Context<'a> {
    /// Statements and portals of the session.
    pub(crate) session: &'a SessionStatements,
    /// Statements of the connection that will run the exchange.
    pub(crate) server: &'a mut ServerStatements,
    /// Transaction status before the exchange.
    pub(crate) status: TransactionStatus,
    /// Counts changes of definitions through this Backend.
    pub(crate) schema_epoch: u64,
    /// Texts the Query Validator saw for names that the exchange does not define itself.
    pub(crate) definitions: &'a [Definition],
    /// For each message whether a Describe of its portal comes before it, which the client did not ask. Empty is
    /// none.
    pub(crate) hidden: &'a [bool],
}

/// One message with its verdict and the bytes it came in.
pub(crate) type Judged<'a> = (FrontendMessage<'a>, &'a [u8], &'a Verdict);

/// Plans an exchange: appends the bytes for PostgreSQL to `out` and returns the replies to await.
pub(crate) fn plan(messages: &[Judged<'_>], context: Context<'_>, out: &mut Vec<u8>) -> VecDeque<Op> {
    let mut planner = Planner {
        block: context.status != TransactionStatus::Idle,
        sealed_read_only: false,
        context,
        out,
        ops: VecDeque::with_capacity(messages.len() + 1),
        statements: HashMap::new(),
        portals: HashMap::new(),
        prepared: Vec::new(),
        unnamed: None,
        closed: Vec::new(),
        describe_first: false,
    };
    let mut refused = false;
    for (at, (message, raw, verdict)) in messages.iter().enumerate() {
        // After a refusal PostgreSQL skips to Sync; what lies between is not sent at all.
        let ends = matches!(message, FrontendMessage::Sync | FrontendMessage::Flush);
        if refused && !ends {
            continue;
        }
        planner.describe_first = planner.context.hidden.get(at).copied().unwrap_or(false);
        refused |= planner.message(message, raw, verdict).is_err();
    }
    planner.ops
}

/// The message could not be let through; a poison message stands in its place.
struct Refused;

struct Planner<'c, 'o> {
    context: Context<'c>,
    out: &'o mut Vec<u8>,
    ops: VecDeque<Op>,
    /// Statements that earlier messages of this exchange define.
    statements: HashMap<String, (StatementKey, Effects)>,
    /// Portals that earlier messages of this exchange define.
    portals: HashMap<String, (StatementKey, Effects)>,
    /// Server-side names that earlier messages of this exchange prepare.
    prepared: Vec<(StatementKey, Rc<str>)>,
    /// The server's unnamed statement after the messages planned so far.
    unnamed: Option<StatementKey>,
    /// Server-side statements that earlier messages of this exchange drop.
    closed: Vec<StatementKey>,
    /// A transaction block is open after the messages planned so far, if they succeed.
    block: bool,
    /// The implicit transaction has been made read-only.
    sealed_read_only: bool,
    /// The portal of the Execute that is being planned is described before it runs.
    describe_first: bool,
}

impl Planner<'_, '_> {
    fn message(
        &mut self,
        message: &FrontendMessage<'_>,
        raw: &[u8],
        verdict: &Verdict,
    ) -> Result<(), Refused> {
        let effects = match verdict {
            Verdict::Allow(effects) => effects,
            Verdict::Refuse(refusal) => return self.refuse(refusal.clone()),
        };
        match message {
            FrontendMessage::Query { sql } => self.query(sql, effects),
            FrontendMessage::Parse {
                name,
                sql,
                parameter_types,
            } => {
                let types: Vec<u32> = parameter_types.iter().collect();
                self.parse(name, StatementKey::new(sql, &types), effects)
            }
            FrontendMessage::Bind {
                portal,
                statement,
                tail,
            } => self.bind(portal, statement, tail, effects),
            FrontendMessage::Describe {
                target: Target::Statement,
                name,
            } => self.describe_statement(name, effects.parameters.as_deref()),
            FrontendMessage::Describe {
                target: Target::Portal,
                name,
            } => {
                // A name that no Bind of the session made may be a cursor made by SQL. Only a statement
                // that was let through can have made it, so PostgreSQL may say what its columns are.
                let bound = self.portals.contains_key(*name) || self.context.session.portal(name).is_some();
                if bound {
                    self.portal(name)?;
                }
                self.forward(Reply::DescribePortal, raw);
                Ok(())
            }
            FrontendMessage::Execute { portal, .. } => self.execute(portal, raw, effects),
            FrontendMessage::Close { target, name } => {
                self.close(*target, name, raw);
                Ok(())
            }
            FrontendMessage::Sync => {
                self.forward(Reply::Sync, raw);
                Ok(())
            }
            FrontendMessage::Flush => {
                self.out.extend_from_slice(raw);
                Ok(())
            }
            _ => self.refuse(Refusal::error(
                SqlState::PROTOCOL_VIOLATION,
                "this message can't be part of a query",
            )),
        }
    }

    fn forward(&mut self, reply: Reply, raw: &[u8]) {
        self.out.extend_from_slice(raw);
        self.ops.push_back(Op::new(reply, Treatment::Forward));
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), Refused> {
        // The name is a constant without NUL: it always encodes.
        let _ = postern_wire::put_execute(self.out, POISON_PORTAL, 0);
        self.ops
            .push_back(Op::new(Reply::Execute, Treatment::Refuse(refusal)));
        Err(Refused)
    }

    /// A message that does not encode is refused; nothing of it is in `out`.
    fn encoded(&mut self, result: Result<(), EncodeError>) -> Result<(), Refused> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(Refusal::error(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("this message can't be sent to the database: {error}"),
            )),
        }
    }

    fn query(&mut self, sql: &str, effects: &Effects) -> Result<(), Refused> {
        if !effects.bound.is_empty() {
            return self.bound(&effects.bound);
        }
        let mut op = Op::new(Reply::Query, Treatment::Forward);
        match &effects.deallocates {
            Some(Deallocate::Named(name)) => {
                let text = self.deallocate(name, sql, &mut op)?;
                let result = postern_wire::put_query(self.out, &text);
                self.encoded(result)?;
            }
            Some(Deallocate::All) => {
                drops_all(&mut op);
                let result = postern_wire::put_query(self.out, sql);
                self.encoded(result)?;
            }
            None => {
                let result = postern_wire::put_query(self.out, sql);
                self.encoded(result)?;
            }
        }
        self.ops.push_back(op);
        Ok(())
    }

    /// DEALLOCATE of a statement made by Parse: the same for its server-side name. Of any other name
    /// (made by SQL PREPARE, or unknown): as the client wrote it.
    fn deallocate(&mut self, name: &str, sql: &str, op: &mut Op) -> Result<String, Refused> {
        let Some(Stated { key, .. }) = self.known_statement(name) else {
            if name.starts_with("postern_") {
                self.refuse(no_such_statement(name))?;
            }
            return Ok(sql.to_owned());
        };
        let server_name = self.ensure_prepared(&key, 0)?;
        self.closed.push(key.clone());
        self.prepared.retain(|(k, _)| *k != key);
        op.change = Some(Change::DropStatement(name.to_owned()));
        op.server_change = Some(ServerChange::Gone(key));
        Ok(format!("DEALLOCATE \"{server_name}\""))
    }

    fn parse(&mut self, name: &str, key: StatementKey, effects: &Effects) -> Result<(), Refused> {
        if !name.is_empty() && self.known_statement(name).is_some() {
            return self.refuse(Refusal::error(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if !self.context.session.has_room(&key) {
            return self.refuse(Refusal::error(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "this session holds too many prepared statements; close some",
            ));
        }
        self.statements
            .insert(name.to_owned(), (key.clone(), effects.clone()));
        let schema_epoch = self.context.schema_epoch;
        let stated = Stated {
            key: key.clone(),
            schema_epoch,
        };
        let define = Change::DefineStatement(name.to_owned(), stated);

        let failed = self.context.status == TransactionStatus::Failed;
        if let Some(server_name) = self.find_prepared(&key, 0).filter(|_| !failed) {
            if self.find_prepared(&key, schema_epoch).is_some() {
                let mut op = Op::new(Reply::Parse, Treatment::Local(PARSE_COMPLETE));
                op.change = Some(define);
                self.ops.push_back(op);
                return Ok(());
            }
            // Definitions may have changed since; PostgreSQL would keep the old result type.
            self.close_on_server(&server_name, key.clone())?;
        }
        // A text seen for the first time without a name is likely not to come again.
        let one_off = name.is_empty() && !self.context.server.seen_before(&key);
        let special = effects.deallocates.is_some();
        let mut op = Op::new(Reply::Parse, Treatment::Forward);
        op.change = Some(define);
        if one_off || failed || special {
            let text = match &effects.deallocates {
                Some(Deallocate::Named(target)) => {
                    let mut ignored = Op::new(Reply::Parse, Treatment::Forward);
                    self.deallocate(target, &key.sql, &mut ignored)?
                }
                _ => key.sql.to_string(),
            };
            self.parse_unnamed(&key, &text, op)
        } else {
            self.parse_named(&key, op).map(|_| ())
        }
    }

    fn parse_unnamed(&mut self, key: &StatementKey, text: &str, mut op: Op) -> Result<(), Refused> {
        let result = postern_wire::put_parse(self.out, "", text, key.types.iter().copied());
        self.encoded(result)?;
        op.server_change = Some(ServerChange::Unnamed(key.clone()));
        self.unnamed = Some(key.clone());
        self.ops.push_back(op);
        Ok(())
    }

    fn parse_named(&mut self, key: &StatementKey, mut op: Op) -> Result<Rc<str>, Refused> {
        if let Some((old, old_name)) = self.context.server.overflow()
            && self.prepared.is_empty()
        {
            self.close_on_server(&old_name, old)?;
        }
        let server_name = self.context.server.fresh_name();
        let result = postern_wire::put_parse(self.out, &server_name, &key.sql, key.types.iter().copied());
        self.encoded(result)?;
        op.server_change = Some(ServerChange::Prepared(key.clone(), Rc::clone(&server_name)));
        self.prepared.push((key.clone(), Rc::clone(&server_name)));
        self.closed.retain(|k| k != key);
        self.ops.push_back(op);
        Ok(server_name)
    }

    fn close_on_server(&mut self, server_name: &str, key: StatementKey) -> Result<(), Refused> {
        let result = postern_wire::put_close(self.out, Target::Statement, server_name);
        self.encoded(result)?;
        let mut op = Op::new(Reply::Close, Treatment::Swallow);
        op.server_change = Some(ServerChange::Gone(key.clone()));
        self.ops.push_back(op);
        self.prepared.retain(|(k, _)| *k != key);
        self.closed.push(key);
        Ok(())
    }

    /// The server-side name under which a text is prepared, counting this exchange's own messages.
    fn find_prepared(&mut self, key: &StatementKey, schema_epoch: u64) -> Option<Rc<str>> {
        if let Some((_, name)) = self.prepared.iter().find(|(k, _)| k == key) {
            return Some(Rc::clone(name));
        }
        if self.closed.contains(key) {
            return None;
        }
        self.context.server.find(key, schema_epoch)
    }

    /// The server-side name of a text, prepared when definitions were at least as new as `schema_epoch`.
    fn ensure_prepared(&mut self, key: &StatementKey, schema_epoch: u64) -> Result<Rc<str>, Refused> {
        if let Some(name) = self.find_prepared(key, schema_epoch) {
            return Ok(name);
        }
        if let Some(stale) = self.find_prepared(key, 0) {
            self.close_on_server(&stale, key.clone())?;
        }
        self.parse_named(key, Op::new(Reply::Parse, Treatment::Swallow))
    }

    /// The server-side name to use for a statement in Bind or Describe; `""` is the unnamed one.
    fn server_name(&mut self, stated: &Stated) -> Result<Rc<str>, Refused> {
        let Stated { key, schema_epoch } = stated;
        let unnamed = match &self.unnamed {
            Some(current) => current == key,
            None => self.context.server.unnamed_is(key, *schema_epoch),
        };
        if unnamed {
            Ok(Rc::from(""))
        } else {
            self.ensure_prepared(key, *schema_epoch)
        }
    }

    /// A statement the session has prepared, or prepares in this exchange.
    fn known_statement(&self, name: &str) -> Option<Stated> {
        match self.statements.get(name) {
            Some((key, _)) => Some(self.stated_here(key)),
            None => self.context.session.statement(name).cloned(),
        }
    }

    /// A statement that this exchange prepares.
    fn stated_here(&self, key: &StatementKey) -> Stated {
        Stated {
            key: key.clone(),
            schema_epoch: self.context.schema_epoch,
        }
    }

    /// The statement of a Bind or Describe: the session must have it, with the text that the Query
    /// Validator judged.
    fn judged_statement(&mut self, name: &str) -> Result<Stated, Refused> {
        if let Some((key, _)) = self.statements.get(name) {
            return Ok(self.stated_here(key));
        }
        let known = self.context.session.statement(name);
        match known {
            Some(stated) if self.is_defined(DefinitionKind::Statement, name, &stated.key) => {
                Ok(stated.clone())
            }
            _ => {
                self.refuse(no_such_statement(name))?;
                Err(Refused)
            }
        }
    }

    fn is_defined(&self, kind: DefinitionKind, name: &str, key: &StatementKey) -> bool {
        self.context
            .definitions
            .iter()
            .any(|d| d.kind == kind && d.name == name && d.sql == *key.sql && d.parameter_types == *key.types)
    }

    fn bind(&mut self, portal: &str, statement: &str, tail: &[u8], effects: &Effects) -> Result<(), Refused> {
        let stated = self.judged_statement(statement)?;
        let server_name = if effects.deallocates.is_some() && !self.unnamed_holds(&stated.key) {
            // DEALLOCATE prepared in an earlier exchange: its text names a server-side statement that
            // may have changed since.
            self.reparse_special(&stated.key, effects)?;
            Rc::from("")
        } else {
            self.server_name(&stated)?
        };
        let key = stated.key;
        let result = postern_wire::put_bind(self.out, portal, &server_name, tail);
        self.encoded(result)?;
        self.portals
            .insert(portal.to_owned(), (key.clone(), effects.clone()));
        let mut op = Op::new(Reply::Bind, Treatment::Forward);
        op.change = Some(Change::DefinePortal(portal.to_owned(), key));
        self.ops.push_back(op);
        Ok(())
    }

    fn unnamed_holds(&self, key: &StatementKey) -> bool {
        self.unnamed.as_ref() == Some(key)
    }

    fn reparse_special(&mut self, key: &StatementKey, effects: &Effects) -> Result<(), Refused> {
        let text = match &effects.deallocates {
            Some(Deallocate::Named(target)) => {
                let mut ignored = Op::new(Reply::Parse, Treatment::Swallow);
                self.deallocate(target, &key.sql, &mut ignored)?
            }
            _ => key.sql.to_string(),
        };
        self.parse_unnamed(key, &text, Op::new(Reply::Parse, Treatment::Swallow))
    }

    /// `parameters`: which of the statement's parameters the client is told of, in which order.
    fn describe_statement(&mut self, name: &str, parameters: Option<&[u16]>) -> Result<(), Refused> {
        let stated = self.judged_statement(name)?;
        let server_name = self.server_name(&stated)?;
        let result = postern_wire::put_describe(self.out, Target::Statement, &server_name);
        self.encoded(result)?;
        let treatment = match parameters {
            Some(order) => Treatment::Parameters(Rc::from(order)),
            None => Treatment::Forward,
        };
        self.ops.push_back(Op::new(Reply::DescribeStatement, treatment));
        Ok(())
    }

    /// A portal of Describe or Execute: bound in this exchange, or earlier with the text that was judged.
    fn portal(&mut self, name: &str) -> Result<Effects, Refused> {
        if let Some((_, effects)) = self.portals.get(name) {
            return Ok(effects.clone());
        }
        match self.context.session.portal(name) {
            Some(key) if self.is_defined(DefinitionKind::Portal, name, key) => Ok(Effects::default()),
            _ => {
                self.refuse(Refusal::error(
                    SqlState::INVALID_CURSOR_NAME,
                    format!("portal \"{name}\" does not exist"),
                ))?;
                Err(Refused)
            }
        }
    }

    /// `own` is told with the Execute itself: it holds for a portal that was bound earlier, too.
    fn execute(&mut self, portal: &str, raw: &[u8], own: &Effects) -> Result<(), Refused> {
        let effects = self.portal(portal)?;
        self.before(own.guard)?;
        if self.describe_first {
            // Its answer is forwarded: the Response Validator needs it, and keeps it from the client.
            let result = postern_wire::put_describe(self.out, Target::Portal, portal);
            self.encoded(result)?;
            self.ops
                .push_back(Op::new(Reply::DescribePortal, Treatment::Forward));
        }
        self.out.extend_from_slice(raw);
        let mut op = Op::new(Reply::Execute, Treatment::Forward);
        match effects.deallocates {
            Some(Deallocate::All) => drops_all(&mut op),
            Some(Deallocate::Named(name)) => {
                if let Some(Stated { key, .. }) = self.known_statement(&name) {
                    op.change = Some(Change::DropStatement(name));
                    op.server_change = Some(ServerChange::Gone(key));
                }
            }
            None => {}
        }
        self.ops.push_back(op);
        self.after(own.guard, own.block)
    }

    fn close(&mut self, target: Target, name: &str, raw: &[u8]) {
        match target {
            Target::Statement => {
                // The connection keeps it: another session may want the same text.
                self.statements.remove(name);
                let mut op = Op::new(Reply::Close, Treatment::Local(CLOSE_COMPLETE));
                op.change = Some(Change::DropStatement(name.to_owned()));
                self.ops.push_back(op);
            }
            Target::Portal => {
                self.portals.remove(name);
                self.out.extend_from_slice(raw);
                let mut op = Op::new(Reply::Close, Treatment::Forward);
                op.change = Some(Change::DropPortal(name.to_owned()));
                self.ops.push_back(op);
            }
        }
    }
}

fn drops_all(op: &mut Op) {
    op.change = Some(Change::DropAllStatements);
    op.server_change = Some(ServerChange::AllGone);
}

fn no_such_statement(name: &str) -> Refusal {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{name}\" does not exist")
    };
    Refusal::error(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
