//! Named statements: what goes on in place of what the client sent.

use super::kit::{M, definition, payload, query, record_key};
use crate::exchange::{self, Asker, Decision};
use crate::verdicts::Verdicts;
use postern_inspect::MaskKey;
use postern_policy::{Policy, Who};
use postern_sql::SqlLimits;
use postern_types::ring::{BoundStatement, Definition, DefinitionKind, Effects, Guard, Verdict};
use postern_types::{ColumnRules, Expect, KeptForm, KeptValue, Mask, Refusal};
use postern_wire::{
    BindValues, FrontendMessage, Limits, bind_tail, frontend_messages, put_bind, put_execute, put_parse,
    put_sync,
};

const POLICY: &str = "
version: 1
roles:
  app: {mode: enforce, database_role: app, named: true, statements: [transaction, select]}
  other: {mode: enforce, database_role: app, named: true}
  shadow: {mode: shadow, database_role: app, named: true}
  hashed: {mode: open, database_role: app, record_parameters: hash}
  open: {mode: open, database_role: app}
";

const QUERIES: &str = "
-- name: by_id -- roles: app, shadow -- max_rows: 1 -- mask: ssn=last4
SELECT id, ssn FROM users WHERE id = $1;
-- name: move -- roles: app
UPDATE t SET a = $1, b = $2 WHERE c = $3;
-- name: mine -- roles: app -- tenant: $1 -- read_only: true -- timeout_ms: 50
SELECT a FROM t WHERE tenant_id = $1 AND b = $2;
-- name: typed -- roles: app -- types: int8, text
SELECT a FROM t WHERE b = $1 AND c = $2;
-- name: many -- roles: app -- list: $1, $2 up to 100
INSERT INTO t (a, b) VALUES ($1, $2);
-- name: load -- roles: app
COPY t FROM STDIN;
-- name: all -- roles: app
SELECT a FROM t;
-- name: role -- roles: app
SET ROLE postgres;
-- name: patient -- roles: app -- record: $2=hash, $1=clear -- types: text, int4, any
SELECT a FROM patients WHERE ward = $1 AND id = $2 AND note <> $3;
-- name: patients -- roles: app -- record: $1=hash -- list: $1 up to 9
SELECT a FROM patients WHERE id IN ($1);
";

struct Bench {
    policy: Policy,
    verdicts: Verdicts,
    roles: Vec<String>,
    tenant: Option<&'static str>,
    key: MaskKey,
}

impl Bench {
    fn new() -> Bench {
        Bench::of("app")
    }

    fn of(role: &str) -> Bench {
        let files = [("policy.yaml", POLICY), ("queries/a.sql", QUERIES)];
        Bench {
            policy: Policy::load(&files).unwrap_or_else(|mistakes| panic!("{mistakes:?}")),
            verdicts: Verdicts::new(SqlLimits::default()),
            roles: vec![role.to_owned()],
            tenant: Some("7"),
            key: record_key(),
        }
    }

    fn decide(&mut self, definitions: &[Definition], payload: &[u8]) -> Decision {
        self.try_decide(definitions, payload).unwrap()
    }

    fn try_decide(&mut self, definitions: &[Definition], payload: &[u8]) -> Result<Decision, Refusal> {
        let rights = self.policy.rights(&self.roles).unwrap();
        let asker = Asker {
            too_fast: None,
            roles: &self.roles,
            rights: &rights,
            who: Who {
                user: "ann",
                tenant: self.tenant,
            },
            reference: 1,
            record_key: Some(&self.key),
        };
        exchange::decide(
            &asker,
            &mut self.verdicts,
            &Limits::default(),
            definitions,
            payload,
        )
    }

    /// A simple Query: the text that goes on and what is told with it.
    fn query(&mut self, sql: &str) -> Result<(String, Effects), Refusal> {
        let came = query(sql);
        let decision = self.decide(&[], &came);
        let sent = decision.payload.unwrap_or(came);
        match (&decision.verdicts[..], &messages(&sent)[..]) {
            ([Verdict::Allow(effects)], [FrontendMessage::Query { sql }]) => {
                Ok(((*sql).to_owned(), effects.clone()))
            }
            ([Verdict::Refuse(refusal)], _) => Err(refusal.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn bound(&mut self, sql: &str) -> Vec<BoundStatement> {
        self.query(sql).unwrap().1.bound
    }

    #[track_caller]
    fn code(&mut self, sql: &str) -> String {
        self.query(sql).unwrap_err().code.to_string()
    }
}

fn messages(payload: &[u8]) -> Vec<FrontendMessage<'_>> {
    frontend_messages(payload, &Limits::default())
        .map(|message| message.unwrap().0)
        .collect()
}

fn texts(statement: &BoundStatement) -> Vec<Option<&str>> {
    statement.values.iter().map(Option::as_deref).collect()
}

fn refusals(decision: &Decision) -> Vec<Option<String>> {
    decision
        .verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Allow(_) => None,
            Verdict::Refuse(refusal) => Some(refusal.code.to_string()),
        })
        .collect()
}

#[test]
fn a_query_without_values_goes_on_as_the_policy_writes_it() {
    let mut bench = Bench::new();
    let (text, effects) = bench.query("select /* hi */ a\n from T").unwrap();
    assert_eq!((text.as_str(), effects), ("SELECT a FROM t", Effects::default()));
}

#[test]
fn literals_go_on_as_parameters() {
    let mut bench = Bench::new();
    let (text, effects) = bench.query("SELECT id, ssn FROM users WHERE id = 42").unwrap();
    assert_eq!(text, "", "no text goes on beside the bound one");
    let [one] = &effects.bound[..] else { panic!() };
    assert_eq!(one.sql, "SELECT id, ssn FROM users WHERE id = $1");
    assert_eq!(
        (&one.parameter_types[..], &texts(one)[..]),
        (&[23][..], &[Some("42")][..])
    );
    let many = bench.bound("INSERT INTO t (a, b) VALUES (1, 'x'), (-2.5, NULL)");
    assert_eq!(many[0].sql, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
    assert_eq!(many[0].parameter_types, [23, 0, 1700, 0]);
    assert_eq!(texts(&many[0]), [Some("1"), Some("x"), Some("-2.5"), None]);
}

#[test]
fn nothing_but_named_statements_and_transactions_runs() {
    let mut bench = Bench::new();
    for sql in [
        "SELECT id, ssn, name FROM users WHERE id = 42",
        "SELECT id, ssn FROM users WHERE id = 42 OR true",
        "SELECT id, ssn FROM users",
        "SELECT 1",
        "SELECT a FROM t; SELECT 1",
        "SELECT a FROM t; DROP TABLE t",
        "BEGIN; SELECT 1; COMMIT",
        "TABLE t",
        "EXPLAIN SELECT a FROM t",
        "PREPARE p AS SELECT a FROM t",
        "DECLARE c CURSOR FOR SELECT a FROM t",
        "COPY (SELECT a FROM t) TO STDOUT",
    ] {
        assert_eq!(bench.code(sql), "42501", "{sql}");
    }
    let (text, effects) = bench.query("BEGIN").unwrap();
    assert_eq!(
        (text.as_str(), effects.bound.len(), effects.block),
        ("BEGIN", 0, Some(true))
    );
    assert_eq!(Bench::of("other").code("SELECT a FROM t"), "42501");
}

#[test]
fn what_nobody_may_do_has_no_name() {
    assert_eq!(Bench::new().code("SET ROLE postgres"), "42501");
}

#[test]
fn several_statements_go_on_together_as_they_are_or_bound() {
    let mut bench = Bench::new();
    let (text, effects) = bench.query("begin; select a from t; commit").unwrap();
    assert_eq!(
        (text.as_str(), effects.bound.len()),
        ("begin\n;\nSELECT a FROM t\n;\ncommit", 0)
    );
    let bound = bench.bound("begin; UPDATE t SET a = 1, b = 2 WHERE c = 3; commit");
    let seen: Vec<_> = bound.iter().map(|one| (one.sql.as_str(), one.block)).collect();
    assert_eq!(
        seen,
        [
            ("begin", Some(true)),
            ("UPDATE t SET a = $1, b = $2 WHERE c = $3", None),
            ("commit", Some(false))
        ]
    );
    assert_eq!(
        bench.code("COPY t FROM STDIN; UPDATE t SET a = 1, b = 2 WHERE c = 3"),
        "0A000"
    );
    assert_eq!(bench.query("COPY t FROM STDIN").unwrap().0, "COPY t FROM STDIN");
}

#[test]
fn a_simple_query_has_no_parameters() {
    assert_eq!(
        Bench::new().code("SELECT id, ssn FROM users WHERE id = $1"),
        "42P02"
    );
}

#[test]
fn how_a_statement_is_to_run_goes_with_it() {
    let mut bench = Bench::new();
    let bound = bench.bound("SELECT a FROM t WHERE tenant_id = 7 AND b = 'x'");
    let guard = Guard {
        read_only: true,
        timeout_ms: Some(50),
    };
    assert_eq!(bound[0].guard, guard);
    // What the database is told is the ticket's, whatever type it has there.
    assert_eq!(
        (&bound[0].parameter_types[..], texts(&bound[0])),
        (&[0, 0][..], vec![Some("7"), Some("x")])
    );
    let sql = "SELECT a FROM t WHERE tenant_id = $1 AND b = $2";
    let tail = bind_tail(&[(false, Some(b"7")), (false, None)], &[0, 0]).unwrap();
    let mut came = Vec::new();
    put_parse(&mut came, "", sql, []).unwrap();
    put_bind(&mut came, "", "", &tail).unwrap();
    put_execute(&mut came, "", 0).unwrap();
    put_sync(&mut came);
    let decision = bench.decide(&[], &came);
    let Verdict::Allow(execute) = &decision.verdicts[2] else {
        panic!()
    };
    assert_eq!(execute.guard, guard);
}

#[test]
fn another_tenant_is_refused() {
    let mut bench = Bench::new();
    for literal in ["8", "'8'", "'07'", "NULL", "7.0", "-7"] {
        let sql = format!("SELECT a FROM t WHERE tenant_id = {literal} AND b = 1");
        assert_eq!(bench.code(&sql), "42501", "{literal}");
    }
    bench.tenant = None;
    assert_eq!(
        bench.code("SELECT a FROM t WHERE tenant_id = 7 AND b = 1"),
        "42501"
    );
    // The verdict on a text is remembered, whose tenant it is for is not.
    bench.tenant = Some("8");
    assert_eq!(
        bench.code("SELECT a FROM t WHERE tenant_id = 7 AND b = 1"),
        "42501"
    );
    assert!(
        bench
            .query("SELECT a FROM t WHERE tenant_id = 8 AND b = 1")
            .is_ok()
    );
}

#[test]
fn a_bound_tenant_is_looked_at_in_text_and_binary() {
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    let raw: Vec<u8> = (0..16u8).map(|n| n * 0x11).collect();
    let table: &[(&'static str, bool, Option<&[u8]>, bool)] = &[
        ("7", false, Some(b"7"), true),
        ("7", false, Some(b"8"), false),
        ("7", false, Some(b"07"), false),
        ("7", false, None, false),
        ("7", true, Some(&[0, 7]), true),
        ("7", true, Some(&[0, 0, 0, 7]), true),
        ("7", true, Some(&[0, 0, 0, 0, 0, 0, 0, 7]), true),
        ("7", true, Some(&[0, 0, 0, 8]), false),
        ("7", true, Some(&[0, 0, 7]), false),
        ("7", true, Some(b"7"), true),
        ("acme", true, Some(b"acme"), true),
        ("acme", true, Some(b"acmf"), false),
        (uuid, true, Some(&raw), true),
        (uuid, true, Some(&raw[..15]), false),
    ];
    for (tenant, binary, value, fine) in table {
        let mut bench = Bench::new();
        bench.tenant = Some(tenant);
        let sql = "SELECT a FROM t WHERE tenant_id = $2 AND b = $1";
        let tail = bind_tail(&[(false, Some(b"b")), (*binary, *value)], &[0, 0]).unwrap();
        let mut came = Vec::new();
        put_parse(&mut came, "s", sql, []).unwrap();
        put_bind(&mut came, "p", "s", &tail).unwrap();
        put_execute(&mut came, "p", 0).unwrap();
        put_sync(&mut came);
        let decision = bench.decide(&[], &came);
        if !fine {
            assert_eq!(
                refusals(&decision)[1].as_deref(),
                Some("42501"),
                "{tenant} {value:?}"
            );
            assert_eq!(
                refusals(&decision)[2].as_deref(),
                Some("34000"),
                "nothing to execute"
            );
            continue;
        }
        let sent = decision.payload.unwrap();
        let FrontendMessage::Bind { tail, .. } = messages(&sent)[1] else {
            panic!()
        };
        let values: Vec<_> = BindValues::new(tail).unwrap().iter().collect();
        assert_eq!(
            values,
            [(false, Some(tenant.as_bytes())), (false, Some(&b"b"[..]))]
        );
    }
}

#[test]
fn parameters_are_put_into_the_policys_order() {
    let mut bench = Bench::new();
    let sql = "UPDATE t SET a = $3, b = 'lit' WHERE c = $1";
    // $2 is not used: not the statement of the policy.
    let unused = bench.decide(&[], &payload(&[M::Parse("s", sql), M::Sync]));
    assert_eq!(refusals(&unused)[0].as_deref(), Some("42501"));

    let sql = "UPDATE t SET a = $2, b = 'lit' WHERE c = $1";
    let tail = bind_tail(&[(true, Some(b"one")), (false, Some(b"two"))], &[0, 1, 0, 1]).unwrap();
    let mut came = Vec::new();
    put_parse(&mut came, "s", sql, [20]).unwrap();
    put_bind(&mut came, "p", "s", &tail).unwrap();
    came.extend(payload(&[
        M::DescribeStatement("s"),
        M::DescribePortal("p"),
        M::Execute("p"),
        M::Sync,
    ]));
    let decision = bench.decide(&[], &came);
    assert!(refusals(&decision).iter().all(Option::is_none));
    let sent = decision.payload.unwrap();
    let sent = messages(&sent);
    let FrontendMessage::Parse {
        name,
        sql,
        parameter_types,
    } = sent[0]
    else {
        panic!()
    };
    assert_eq!((name, sql), ("s", "UPDATE t SET a = $1, b = $2 WHERE c = $3"));
    assert_eq!(parameter_types.iter().collect::<Vec<_>>(), [0, 0, 20]);
    let FrontendMessage::Bind {
        portal,
        statement,
        tail,
    } = sent[1]
    else {
        panic!()
    };
    assert_eq!((portal, statement), ("p", "s"));
    let values = BindValues::new(tail).unwrap();
    assert_eq!(
        values.iter().collect::<Vec<_>>(),
        [
            (false, Some(&b"two"[..])),
            (false, Some(&b"lit"[..])),
            (true, Some(&b"one"[..]))
        ]
    );
    assert_eq!(values.result_formats(), [0, 1, 0, 1]);
    let Verdict::Allow(describe) = &decision.verdicts[2] else {
        panic!()
    };
    assert_eq!(describe.parameters, Some(vec![2, 0]));
    let Verdict::Allow(portal) = &decision.verdicts[3] else {
        panic!()
    };
    assert_eq!(portal.parameters, None);
}

#[test]
fn a_later_exchange_finds_the_policys_text_under_the_name() {
    let mut bench = Bench::new();
    let own = Definition {
        parameter_types: vec![23],
        ..definition(
            DefinitionKind::Statement,
            "s",
            "select id, ssn from users where id = $1",
        )
    };
    let tail = bind_tail(&[(false, Some(b"1"))], &[0, 0]).unwrap();
    let mut came = Vec::new();
    put_bind(&mut came, "", "s", &tail).unwrap();
    put_execute(&mut came, "", 0).unwrap();
    put_sync(&mut came);
    let decision = bench.decide(std::slice::from_ref(&own), &came);
    assert!(refusals(&decision).iter().all(Option::is_none));
    assert_eq!(decision.payload, None, "the values are as the client sent them");
    let definitions = decision.definitions.unwrap();
    assert_eq!(definitions[0].sql, "SELECT id, ssn FROM users WHERE id = $1");
    assert_eq!(
        (definitions[0].name.as_str(), &definitions[0].parameter_types[..]),
        ("s", &[23][..])
    );
    // The definition of something else stays, and its use is refused.
    let bad = definition(DefinitionKind::Statement, "s", "SELECT 1");
    let decision = bench.decide(&[bad], &came);
    assert_eq!(refusals(&decision)[0].as_deref(), Some("42501"));
    assert_eq!(decision.definitions, None);
}

#[test]
fn the_number_of_values_must_be_that_of_the_clients_statement() {
    let mut bench = Bench::new();
    let sql = "UPDATE t SET a = $1, b = 1 WHERE c = $2";
    for count in [0, 1, 3] {
        let values = vec![(false, Some(&b"x"[..])); count];
        let mut came = Vec::new();
        put_parse(&mut came, "", sql, []).unwrap();
        put_bind(&mut came, "", "", &bind_tail(&values, &[0, 0]).unwrap()).unwrap();
        put_sync(&mut came);
        assert_eq!(
            refusals(&bench.decide(&[], &came))[1].as_deref(),
            Some("08P01"),
            "{count}"
        );
    }
}

#[test]
fn types_of_the_policy_hold() {
    let mut bench = Bench::new();
    let sql = "SELECT a FROM t WHERE b = $1 AND c = $2";
    let mut parse = |types: &[u32]| {
        let mut came = Vec::new();
        put_parse(&mut came, "s", sql, types.iter().copied()).unwrap();
        put_sync(&mut came);
        let decision = bench.decide(&[], &came);
        match refusals(&decision)[0].clone() {
            Some(code) => Err(code),
            None => match messages(&decision.payload.unwrap())[0] {
                FrontendMessage::Parse { parameter_types, .. } => {
                    Ok(parameter_types.iter().collect::<Vec<_>>())
                }
                ref other => panic!("{other:?}"),
            },
        }
    };
    assert_eq!(parse(&[]), Ok(vec![20, 25]));
    assert_eq!(parse(&[20]), Ok(vec![20, 25]));
    assert_eq!(parse(&[0, 25]), Ok(vec![20, 25]));
    assert_eq!(parse(&[23]), Err("42501".to_owned()));
    assert_eq!(parse(&[20, 25, 25]), Err("42P02".to_owned()));
    let types = |bound: Vec<BoundStatement>| bound[0].parameter_types.clone();
    assert_eq!(
        types(bench.bound("SELECT a FROM t WHERE b = 1 AND c = 'x'")),
        [20, 25]
    );
    assert_eq!(bench.code("SELECT a FROM t WHERE b = 1 AND c = 2"), "42501");
    assert_eq!(bench.code("SELECT a FROM t WHERE b = 1.5 AND c = 'x'"), "42501");
}

#[test]
fn what_the_answer_may_be_is_in_the_contract() {
    let mut bench = Bench::new();
    let decision = bench.decide(
        &[],
        &query("SELECT a FROM t; SELECT id, ssn FROM users WHERE id = 1"),
    );
    let [first, second] = &decision.rules[..] else {
        panic!()
    };
    assert_eq!(*first, Default::default());
    assert_eq!(second.max_rows, Some(1));
    let ColumnRules::Listed(columns) = &second.columns else {
        panic!()
    };
    let masks: Vec<_> = columns.iter().map(|column| column.mask.clone()).collect();
    assert_eq!(masks, [None, Some(Mask::Last4)]);
    assert_eq!(decision.steps[0], Expect::Columns);
    let plain = bench.decide(&[], &query("SELECT a FROM t"));
    assert!(plain.rules.is_empty() && plain.steps.len() == 1);
}

#[test]
fn a_refusal_in_a_pipeline_is_of_its_own_message() {
    let mut bench = Bench::new();
    let decision = bench.decide(
        &[],
        &payload(&[
            M::Parse("a", "SELECT a FROM t"),
            M::Bind("", "a"),
            M::Execute(""),
            M::Parse("b", "SELECT secret FROM t"),
            M::Bind("", "b"),
            M::Execute(""),
            M::Sync,
        ]),
    );
    let codes = refusals(&decision);
    assert_eq!(codes[..3], [None, None, None]);
    assert!(
        codes[3..6].iter().all(|code| code.as_deref() == Some("42501")),
        "{codes:?}"
    );
    assert_eq!(codes[6], None);
}

#[test]
fn where_the_policy_is_not_enforced_the_clients_text_runs() {
    let mut bench = Bench::of("shadow");
    let (text, effects) = bench.query("select id, ssn from users where id = 1").unwrap();
    assert_eq!(
        (text.as_str(), effects.bound.len()),
        ("select id, ssn from users where id = 1", 0)
    );
    assert!(bench.query("SELECT 1").is_ok());
}

#[test]
fn a_text_seen_before_is_not_parsed_again() {
    let mut bench = Bench::new();
    let came = query("SELECT id, ssn FROM users WHERE id = 42");
    let first = bench.decide(&[], &came);
    let second = bench.decide(&[], &came);
    assert_eq!((first.payload, first.verdicts), (second.payload, second.verdicts));
}

/// What is recorded of an exchange, in short.
fn kept(decision: &Decision) -> Vec<String> {
    let hash_of = |hash: &[u8; 16]| {
        let known = ["4711", "7", "dialysis", "9"];
        let found = known
            .iter()
            .find(|text| postern_inspect::hashes(&record_key(), text).contains(hash));
        format!("hash of {}", found.unwrap_or(&"something else"))
    };
    let one = |KeptValue { of, form }: &KeptValue| match form {
        KeptForm::Null => format!("{of} null"),
        KeptForm::Hash(hash) => format!("{of} {}", hash_of(hash)),
        KeptForm::Clear(value) => format!("{of} {value}"),
    };
    decision.kept.iter().map(one).collect()
}

/// Parse, Bind with these values, Execute, Sync.
fn bound(sql: &str, types: &[u32], values: &[(bool, Option<&[u8]>)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_parse(&mut out, "", sql, types.iter().copied()).unwrap();
    put_bind(&mut out, "", "", &bind_tail(values, &[0, 0]).unwrap()).unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    out
}

#[test]
fn values_are_recorded_by_the_policys_own_slots() {
    let mut bench = Bench::new();
    let whole = ["$1 dialysis", "$2 hash of 4711"];
    let simple = query("SELECT a FROM patients WHERE ward = 'dialysis' AND id = 4711 AND note <> 'x'");
    assert_eq!(kept(&bench.decide(&[], &simple)), whole);
    // The client numbers its parameters otherwise, sends one in binary, and writes another one out.
    let sql = "SELECT a FROM patients WHERE ward = $2 AND id = $1 AND note <> 'x'";
    let id = 4711i32.to_be_bytes();
    let sent = [(true, Some(&id[..])), (false, Some(&b"dialysis"[..]))];
    assert_eq!(kept(&bench.decide(&[], &bound(sql, &[], &sent))), whole);
    assert_eq!(
        kept(&bench.decide(&[], &bound(sql, &[], &[(false, None), (false, None)]))),
        ["$1 null", "$2 null"]
    );
    let list = query("SELECT a FROM patients WHERE id IN (7, 4711)");
    assert_eq!(
        kept(&bench.decide(&[], &list)),
        ["$1 hash of 7", "$1 hash of 4711"]
    );
}

#[test]
fn nothing_is_recorded_of_values_that_the_policy_does_not_name_or_refuses() {
    let mut bench = Bench::new();
    let unnamed = query("SELECT id, ssn FROM users WHERE id = 4711");
    assert_eq!(bench.decide(&[], &unnamed).kept, []);
    let refused = query("SELECT a FROM patients WHERE ward = 'dialysis' AND id = 4711");
    let refused = bench.decide(&[], &refused);
    assert!(refused.refusal().is_some());
    assert_eq!(refused.kept, []);
}

#[test]
fn a_role_may_have_all_parameters_recorded_as_hashes() {
    let mut bench = Bench::of("hashed");
    let id = 4711i32.to_be_bytes();
    let sent = [(true, Some(&id[..])), (false, Some(&b"7"[..])), (false, None)];
    let decision = bench.decide(&[], &bound("SELECT $1, $2, $3", &[], &sent));
    assert_eq!(kept(&decision), ["$1 hash of 4711", "$2 hash of 7", "$3 null"]);
    // Literals are no parameters.
    assert_eq!(bench.decide(&[], &query("SELECT 4711")).kept, []);
}

#[test]
fn a_client_can_not_have_values_recorded_without_end() {
    let mut bench = Bench::of("hashed");
    let nulls = [(false, None::<&[u8]>); 60_000];
    let mut out = Vec::new();
    put_parse(&mut out, "", "SELECT $1", []).unwrap();
    for binds in 1..=3 {
        put_bind(&mut out, "", "", &bind_tail(&nulls, &[0, 0]).unwrap()).unwrap();
        let mut whole = out.clone();
        put_sync(&mut whole);
        match bench.try_decide(&[], &whole) {
            Ok(decision) => assert_eq!((binds, decision.kept.len()), (1, 60_000)),
            Err(refusal) => assert!(
                binds > 1 && refusal.fatal && refusal.code.to_string() == "54000",
                "{refusal:?}"
            ),
        }
    }
    // Where nothing is recorded there is nothing to bound.
    let mut whole = out.clone();
    put_sync(&mut whole);
    let mut bench = Bench::of("open");
    assert_eq!(bench.try_decide(&[], &whole).unwrap().kept, []);
}
