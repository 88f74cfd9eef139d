//! Tests of the planner: what reaches PostgreSQL for what a client sent.

use super::*;
use postern_wire::{
    Limits, frontend_messages, put_bind, put_describe, put_execute, put_parse, put_query, put_sync,
};

const NO_VALUES: &[u8] = &[0, 0, 0, 0, 0, 0];

struct Bench {
    session: SessionStatements,
    server: ServerStatements,
    status: TransactionStatus,
    epoch: u64,
    definitions: Vec<Definition>,
    hidden: Vec<bool>,
}

impl Bench {
    fn new() -> Self {
        Bench {
            session: SessionStatements::default(),
            server: ServerStatements::new("tag".into()),
            status: TransactionStatus::Idle,
            epoch: 0,
            definitions: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Plans a payload with one verdict for all messages, or the given ones.
    fn plan(&mut self, payload: &[u8], verdicts: &[Verdict]) -> (Vec<u8>, VecDeque<Op>) {
        let limits = Limits::default();
        let messages: Vec<_> = frontend_messages(payload, &limits)
            .collect::<Result<_, _>>()
            .unwrap();
        let allow = Verdict::Allow(Effects::default());
        let judged: Vec<Judged<'_>> = messages
            .iter()
            .enumerate()
            .map(|(i, (m, raw))| (*m, *raw, verdicts.get(i).unwrap_or(&allow)))
            .collect();
        let mut out = Vec::new();
        let context = Context {
            session: &self.session,
            server: &mut self.server,
            status: self.status,
            schema_epoch: self.epoch,
            definitions: &self.definitions,
            hidden: &self.hidden,
        };
        let ops = plan(&judged, context, &mut out);
        (out, ops)
    }

    /// Pretends that PostgreSQL confirmed everything.
    fn confirm(&mut self, ops: VecDeque<Op>) {
        for op in ops {
            if let Some(change) = op.change {
                self.session.apply(change);
            }
            if let Some(change) = op.server_change {
                self.server.apply(change, self.epoch);
            }
        }
    }

    fn define(&mut self, name: &str, sql: &str) {
        self.definitions.push(Definition {
            kind: DefinitionKind::Statement,
            name: name.into(),
            sql: sql.into(),
            parameter_types: Vec::new(),
        });
    }
}

fn tags(bytes: &[u8]) -> String {
    frontend_messages(bytes, &Limits::default())
        .map(|m| char::from(m.unwrap().1[0]))
        .collect()
}

fn parse_sync(name: &str, sql: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    put_parse(&mut payload, name, sql, []).unwrap();
    put_sync(&mut payload);
    payload
}

fn run_sync(statement: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    put_bind(&mut payload, "", statement, NO_VALUES).unwrap();
    put_execute(&mut payload, "", 0).unwrap();
    put_sync(&mut payload);
    payload
}

#[test]
fn a_named_statement_is_prepared_once_per_connection_whoever_asks() {
    let mut bench = Bench::new();
    let (out, ops) = bench.plan(&parse_sync("a", "SELECT 1"), &[]);
    assert_eq!(tags(&out), "PS");
    bench.confirm(ops);
    let (out, ops) = bench.plan(&parse_sync("b", "SELECT 1"), &[]);
    assert_eq!(tags(&out), "S", "the same text is not prepared again");
    assert_eq!(ops[0].treatment, Treatment::Local(PARSE_COMPLETE));
    bench.confirm(ops);
    bench.define("b", "SELECT 1");
    let (out, _) = bench.plan(&run_sync("b"), &[]);
    assert_eq!(tags(&out), "BES");
    assert!(String::from_utf8_lossy(&out).contains("postern_tag_1"));
}

#[test]
fn a_statement_missing_on_this_connection_is_prepared_first() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT 1"), &[]);
    bench.confirm(ops);
    bench.server = ServerStatements::new("other".into());
    bench.define("a", "SELECT 1");
    let (out, ops) = bench.plan(&run_sync("a"), &[]);
    assert_eq!(tags(&out), "PBES");
    assert_eq!(ops[0].treatment, Treatment::Swallow);
}

#[test]
fn a_text_other_than_the_judged_one_never_runs() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT secret"), &[]);
    bench.confirm(ops);
    bench.define("a", "SELECT harmless");
    let (out, ops) = bench.plan(&run_sync("a"), &[]);
    assert_eq!(tags(&out), "ES", "only the poison and Sync");
    assert!(String::from_utf8_lossy(&out).contains(POISON_PORTAL));
    assert!(
        matches!(&ops[0].treatment, Treatment::Refuse(r) if r.code == SqlState::INVALID_SQL_STATEMENT_NAME)
    );
}

#[test]
fn an_unknown_statement_or_portal_is_refused_as_postgresql_would() {
    let mut bench = Bench::new();
    bench.define("ghost", "SELECT 1");
    let (_, ops) = bench.plan(&run_sync("ghost"), &[]);
    assert!(
        matches!(&ops[0].treatment, Treatment::Refuse(r) if r.code == SqlState::INVALID_SQL_STATEMENT_NAME)
    );
    let mut payload = Vec::new();
    put_execute(&mut payload, "ghost", 0).unwrap();
    put_sync(&mut payload);
    let (_, ops) = bench.plan(&payload, &[]);
    assert!(matches!(&ops[0].treatment, Treatment::Refuse(r) if r.code == SqlState::INVALID_CURSOR_NAME));
}

#[test]
fn after_a_refusal_nothing_but_sync_is_sent() {
    let refuse = Verdict::Refuse(Refusal::error(SqlState::INSUFFICIENT_PRIVILEGE, "no"));
    let mut payload = Vec::new();
    put_parse(&mut payload, "", "DROP TABLE t", []).unwrap();
    put_bind(&mut payload, "", "", NO_VALUES).unwrap();
    put_describe(&mut payload, Target::Portal, "").unwrap();
    put_execute(&mut payload, "", 0).unwrap();
    put_sync(&mut payload);
    let mut bench = Bench::new();
    let (out, ops) = bench.plan(&payload, &[refuse]);
    assert_eq!(tags(&out), "ES");
    assert!(!String::from_utf8_lossy(&out).contains("DROP"));
    assert_eq!(ops.len(), 2);
}

#[test]
fn a_refused_query_never_reaches_the_database() {
    let refuse = Verdict::Refuse(Refusal::error(SqlState::INSUFFICIENT_PRIVILEGE, "no"));
    let mut payload = Vec::new();
    put_query(&mut payload, "DROP TABLE t").unwrap();
    let (out, _) = Bench::new().plan(&payload, &[refuse]);
    assert!(!String::from_utf8_lossy(&out).contains("DROP"));
}

#[test]
fn a_one_off_unnamed_statement_is_not_kept_and_a_repeated_one_is() {
    let mut bench = Bench::new();
    let mut payload = Vec::new();
    put_parse(&mut payload, "", "SELECT 1", []).unwrap();
    put_bind(&mut payload, "", "", NO_VALUES).unwrap();
    put_execute(&mut payload, "", 0).unwrap();
    put_sync(&mut payload);
    let mut sent = Vec::new();
    for _ in 0..3 {
        let (out, ops) = bench.plan(&payload, &[]);
        bench.confirm(ops);
        sent.push(tags(&out));
    }
    assert_eq!(sent, ["PBES", "PBES", "BES"]);
}

#[test]
fn a_name_in_use_is_refused() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT 1"), &[]);
    bench.confirm(ops);
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT 2"), &[]);
    assert!(
        matches!(&ops[0].treatment, Treatment::Refuse(r) if r.code == SqlState::DUPLICATE_PREPARED_STATEMENT)
    );
}

#[test]
fn definitions_that_changed_make_a_new_preparation() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT * FROM t"), &[]);
    bench.confirm(ops);
    bench.epoch = 1;
    let (out, ops) = bench.plan(&parse_sync("b", "SELECT * FROM t"), &[]);
    assert_eq!(tags(&out), "CPS", "closed on the server, then parsed anew");
    assert_eq!(ops[0].treatment, Treatment::Swallow);
}

#[test]
fn a_statement_prepared_after_a_change_never_runs_as_one_from_before() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT * FROM t"), &[]);
    bench.confirm(ops);
    let stale = std::mem::replace(&mut bench.server, ServerStatements::new("other".into()));
    bench.epoch = 1;
    let (_, ops) = bench.plan(&parse_sync("b", "SELECT * FROM t"), &[]);
    bench.confirm(ops);
    bench.server = stale;
    bench.define("a", "SELECT * FROM t");
    bench.define("b", "SELECT * FROM t");

    let (out, _) = bench.plan(&run_sync("a"), &[]);
    assert_eq!(
        tags(&out),
        "BES",
        "PostgreSQL says of the old one that its result type changed"
    );
    let (out, ops) = bench.plan(&run_sync("b"), &[]);
    assert_eq!(tags(&out), "CPBES");
    bench.confirm(ops);
    let (out, _) = bench.plan(&run_sync("b"), &[]);
    assert_eq!(tags(&out), "BES", "the new one stays");
    let mut describe = Vec::new();
    put_describe(&mut describe, Target::Statement, "b").unwrap();
    put_sync(&mut describe);
    assert_eq!(tags(&bench.plan(&describe, &[]).0), "DS");
}

#[test]
fn an_unnamed_statement_prepared_after_a_change_never_runs_as_one_from_before() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("", "SELECT * FROM t"), &[]);
    bench.confirm(ops);
    let stale = std::mem::replace(&mut bench.server, ServerStatements::new("other".into()));
    bench.define("", "SELECT * FROM t");
    bench.epoch = 1;
    let (_, ops) = bench.plan(&parse_sync("", "SELECT * FROM t"), &[]);
    bench.confirm(ops);
    assert_eq!(tags(&bench.plan(&run_sync(""), &[]).0), "BES");
    bench.server = stale;
    assert_eq!(tags(&bench.plan(&run_sync(""), &[]).0), "PBES");
}

#[test]
fn deallocate_of_a_protocol_statement_names_it_as_the_server_knows_it() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT 1"), &[]);
    bench.confirm(ops);
    let mut payload = Vec::new();
    put_query(&mut payload, "DEALLOCATE a").unwrap();
    let effects = Effects {
        deallocates: Some(Deallocate::Named("a".into())),
        ..Effects::default()
    };
    let (out, ops) = bench.plan(&payload, &[Verdict::Allow(effects)]);
    assert!(String::from_utf8_lossy(&out).contains("DEALLOCATE \"postern_tag_1\""));
    bench.confirm(ops);
    assert!(bench.session.statement("a").is_none());
}

#[test]
fn in_a_failed_transaction_postgresql_itself_decides() {
    let mut bench = Bench::new();
    let (_, ops) = bench.plan(&parse_sync("a", "SELECT 1"), &[]);
    bench.confirm(ops);
    bench.status = TransactionStatus::Failed;
    let (out, ops) = bench.plan(&parse_sync("b", "SELECT 1"), &[]);
    assert_eq!(tags(&out), "PS");
    assert_eq!(ops[0].treatment, Treatment::Forward);
}

fn bound(
    sql: &str,
    values: &[Option<&str>],
    guard: postern_types::ring::Guard,
) -> postern_types::ring::BoundStatement {
    postern_types::ring::BoundStatement {
        sql: sql.into(),
        parameter_types: vec![23; values.len()],
        values: values.iter().map(|value| value.map(str::to_owned)).collect(),
        block: None,
        guard,
    }
}

fn simple(statements: Vec<postern_types::ring::BoundStatement>) -> (Vec<u8>, Vec<Verdict>) {
    let mut payload = Vec::new();
    put_query(&mut payload, "").unwrap();
    let effects = Effects {
        bound: statements,
        ..Effects::default()
    };
    (payload, vec![Verdict::Allow(effects)])
}

const READS: postern_types::ring::Guard = postern_types::ring::Guard {
    read_only: true,
    timeout_ms: None,
};

#[test]
fn a_simple_query_with_values_apart_is_bound() {
    let mut bench = Bench::new();
    let none = postern_types::ring::Guard::default();
    let (payload, verdicts) = simple(vec![
        bound("SELECT $1", &[Some("7")], none),
        bound("DELETE FROM t WHERE a = $1", &[None], none),
    ]);
    let (out, ops) = bench.plan(&payload, &verdicts);
    assert_eq!(tags(&out), "PBDEPBDES");
    let treatments: Vec<_> = ops.iter().map(|op| (op.reply, op.treatment.clone())).collect();
    let one = [
        (Reply::Parse, Treatment::Swallow),
        (Reply::Bind, Treatment::Swallow),
        (Reply::DescribePortal, Treatment::Rows),
        (Reply::Execute, Treatment::Forward),
    ];
    let sync = [(Reply::Sync, Treatment::Forward)];
    assert_eq!(treatments, [&one[..], &one[..], &sync[..]].concat());
    bench.confirm(ops);
    // Seen a second time it is prepared under a name, and a third time it is there.
    assert_eq!(tags(&bench.plan(&payload, &verdicts).0), "PBDEPBDES");
    let (_, ops) = bench.plan(&payload, &verdicts);
    bench.confirm(ops);
    assert_eq!(tags(&bench.plan(&payload, &verdicts).0), "BDEBDES");
}

#[test]
fn a_read_only_run_in_a_block_is_between_a_savepoint_and_its_release() {
    let mut bench = Bench::new();
    bench.status = TransactionStatus::InTransaction;
    let (payload, verdicts) = simple(vec![
        bound("SELECT 1", &[], READS),
        bound("DELETE FROM t", &[], READS),
    ]);
    let (out, _) = bench.plan(&payload, &verdicts);
    let text = String::from_utf8_lossy(&out);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}"));
    assert!(at("SAVEPOINT postern_read_only") < at("transaction_read_only"));
    assert!(at("transaction_read_only") < at("RELEASE SAVEPOINT"));
}

#[test]
fn without_a_block_nothing_that_writes_follows_a_read_only_run() {
    let none = postern_types::ring::Guard::default();
    let mut bench = Bench::new();
    let (payload, verdicts) = simple(vec![
        bound("SELECT 1", &[], READS),
        bound("DELETE FROM t", &[], none),
    ]);
    let (out, ops) = bench.plan(&payload, &verdicts);
    assert!(!String::from_utf8_lossy(&out).contains("SAVEPOINT"));
    let Treatment::Refuse(refusal) = &ops.back().unwrap().treatment else {
        panic!("{ops:?}")
    };
    assert_eq!(refusal.code, SqlState::FEATURE_NOT_SUPPORTED);
    // A block that begins first makes it fine.
    let begin = postern_types::ring::BoundStatement {
        block: Some(true),
        ..bound("BEGIN", &[], none)
    };
    let (payload, verdicts) = simple(vec![
        begin,
        bound("SELECT 1", &[], READS),
        bound("DELETE FROM t", &[], none),
    ]);
    let (out, ops) = Bench::new().plan(&payload, &verdicts);
    assert!(String::from_utf8_lossy(&out).contains("RELEASE SAVEPOINT"));
    assert!(ops.iter().all(|op| !matches!(op.treatment, Treatment::Refuse(_))));
}

#[test]
fn a_time_limit_is_put_back_after_the_statement() {
    let guard = postern_types::ring::Guard {
        read_only: false,
        timeout_ms: Some(250),
    };
    let (payload, verdicts) = simple(vec![bound("SELECT 1", &[], guard)]);
    let (out, ops) = Bench::new().plan(&payload, &verdicts);
    let text = String::from_utf8_lossy(&out);
    assert!(text.contains("'statement_timeout', '250', true"));
    assert!(text.contains("current_setting('postern.outer_timeout')"));
    // Of all that the client sees one Execute.
    let seen = ops
        .iter()
        .filter(|op| op.reply == Reply::Execute && op.treatment == Treatment::Forward);
    assert_eq!(seen.count(), 1);
}

#[test]
fn a_describe_is_answered_in_the_clients_terms() {
    let mut payload = Vec::new();
    put_parse(&mut payload, "a", "SELECT $1, $2", []).unwrap();
    put_describe(&mut payload, Target::Statement, "a").unwrap();
    put_sync(&mut payload);
    let effects = Effects {
        parameters: Some(vec![1]),
        ..Effects::default()
    };
    let verdicts = [Verdict::Allow(Effects::default()), Verdict::Allow(effects)];
    let (_, ops) = Bench::new().plan(&payload, &verdicts);
    let order: Rc<[u16]> = Rc::from([1u16]);
    assert_eq!(ops[1].treatment, Treatment::Parameters(Rc::clone(&order)));
    let mut replies = crate::replies::Replies::new(ops);
    assert_eq!(replies.take(b'1'), Ok(crate::replies::Fate::Forward));
    assert_eq!(replies.take(b't'), Ok(crate::replies::Fate::Parameters(order)));
    assert_eq!(replies.take(b'T'), Ok(crate::replies::Fate::Forward));
}

#[test]
fn a_portal_is_described_before_it_runs_where_the_steps_say_so() {
    let mut bench = Bench::new();
    let mut payload = Vec::new();
    put_parse(&mut payload, "", "SELECT 1", []).unwrap();
    put_bind(&mut payload, "p", "", NO_VALUES).unwrap();
    put_execute(&mut payload, "p", 0).unwrap();
    put_sync(&mut payload);
    let (out, _) = bench.plan(&payload, &[]);
    assert_eq!(tags(&out), "PBES");
    bench.hidden = vec![false, false, true, false];
    let (out, ops) = bench.plan(&payload, &[]);
    assert_eq!(tags(&out), "PBDES");
    let describes = ops.iter().find(|op| op.reply == Reply::DescribePortal).unwrap();
    assert_eq!(
        describes.treatment,
        Treatment::Forward,
        "the Response Validator needs it"
    );
    // What is refused is not described either.
    let refuse = Verdict::Refuse(Refusal::error(SqlState::INSUFFICIENT_PRIVILEGE, "no"));
    let allow = Verdict::Allow(Effects::default());
    let verdicts = [allow.clone(), allow.clone(), refuse, allow];
    let (out, _) = bench.plan(&payload, &verdicts);
    assert_eq!(tags(&out), "PBES", "only the poison message");
}
