use super::kit::*;
use postern_ledger::{Event, Outcome};
use postern_types::ring::{CleanBody, DefinitionKind, Effects, Verdict};
use postern_types::{Contract, ErrorDetail, Expect, StatementShape};

const REFUSED: Option<&str> = Some("42501");

#[track_caller]
fn codes(kit: &mut Kit, ticket: &[u8], messages: &[M<'_>], expected: &[Option<&str>]) {
    let found = kit.codes(ticket, &[], &payload(messages));
    assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
}

#[test]
fn an_allowed_query_runs_under_a_contract() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let CleanBody::Run {
        verdicts,
        steps,
        contract,
        ..
    } = kit.exchange(&ticket, &[], &query("begin; select * from orders"))
    else {
        panic!("not run");
    };
    let effects = Effects {
        block: Some(true),
        ..Effects::default()
    };
    assert_eq!(verdicts, [Verdict::Allow(effects)]);
    let rows = StatementShape {
        rows: true,
        copy: None,
    };
    let expected = vec![Expect::Query(vec![StatementShape::default(), rows])];
    assert_eq!(steps, expected);
    let sequence = kit.sequence;
    let (header, contract) = kit.contract(&contract);
    assert_eq!((header.session, header.exchange), (SESSION, sequence));
    assert_eq!(
        contract,
        Contract {
            user: "ann".to_owned(),
            tenant: Some("acme".to_owned()),
            steps: expected,
            max_rows: Some(10),
            max_bytes: None,
            error_detail: ErrorDetail::Full,
            notifications: false,
            roles: contract.roles.clone(),
            over: Default::default(),
            statements: Vec::new(),
            rules: 0,
            trace: None,
        }
    );
    let record = kit.records.last().unwrap();
    assert_eq!((record.event, record.result), (Event::Exchange, Outcome::Allowed));
    assert_eq!(
        (record.actor.as_deref(), record.action, record.digests),
        (Some("ann"), Some("transaction"), 1)
    );
}

#[test]
fn one_refused_statement_refuses_the_whole_query() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    for sql in [
        "drop table orders",
        "select 1; drop table orders",
        "commit; set role postgres; select 1",
        "begin; select * from secret.t; commit",
        "with x as (delete from orders returning 1) select 1",
        "select 1 into t",
        "explain analyze insert into orders values (1)",
        "do 'begin end'",
        "copy orders to program 'sh'",
    ] {
        let refusal = kit.refused(&ticket, sql);
        assert_eq!(refusal.code.as_str(), "42501", "{sql}");
        assert!(
            !refusal.message.contains("app") && !refusal.message.contains("polic"),
            "{refusal}"
        );
        let record = kit.records.last().unwrap();
        assert_eq!((record.event, record.result), (Event::Exchange, Outcome::Refused));
        assert_eq!(record.sqlstate.as_deref(), Some("42501"));
    }
    let syntax = kit.refused(&ticket, "select 1; selec 2");
    assert_eq!((syntax.code.as_str(), syntax.position), ("42601", Some(11)));
    assert_eq!(kit.query(&ticket, ""), Verdict::Allow(Default::default()));
}

#[test]
fn a_refused_statement_gives_neither_columns_nor_a_portal() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let bad = "select * from secret.t";
    codes(
        &mut kit,
        &ticket,
        &[
            M::Parse("s", bad),
            M::DescribeStatement("s"),
            M::Bind("p", "s"),
            M::DescribePortal("p"),
            M::Execute("p"),
            M::Sync,
        ],
        &[REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, None],
    );
    // An older statement, of which only the name is in the exchange.
    for (kind, messages) in [
        (DefinitionKind::Statement, [M::DescribeStatement("old"), M::Sync]),
        (DefinitionKind::Statement, [M::Bind("", "old"), M::Sync]),
        (DefinitionKind::Portal, [M::DescribePortal("old"), M::Sync]),
        (DefinitionKind::Portal, [M::Execute("old"), M::Sync]),
    ] {
        let found = kit.codes(&ticket, &[definition(kind, "old", bad)], &payload(&messages));
        assert_eq!(found[0].as_deref(), REFUSED);
        let found = kit.codes(
            &ticket,
            &[definition(kind, "old", "select 1")],
            &payload(&messages),
        );
        assert_eq!(found[0], None);
    }
}

#[test]
fn a_name_means_what_it_means_at_that_point() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let bad = "select * from secret.t";
    // Close and Parse again under the same name, in both directions.
    codes(
        &mut kit,
        &ticket,
        &[
            M::Parse("s", "select 1"),
            M::CloseStatement("s"),
            M::Parse("s", bad),
            M::Bind("", "s"),
            M::Execute(""),
            M::Sync,
        ],
        &[None, None, REFUSED, REFUSED, REFUSED, None],
    );
    codes(
        &mut kit,
        &ticket,
        &[
            M::Parse("", bad),
            M::Parse("", "select 1"),
            M::Bind("", ""),
            M::Execute(""),
            M::Sync,
        ],
        &[REFUSED, None, None, None, None],
    );
    // A portal keeps the statement it was made of.
    codes(
        &mut kit,
        &ticket,
        &[
            M::Parse("", "select 1"),
            M::Bind("p", ""),
            M::Parse("", bad),
            M::Execute("p"),
            M::Bind("p", ""),
            M::Execute("p"),
            M::Sync,
        ],
        &[None, None, REFUSED, None, REFUSED, REFUSED, None],
    );
    // Closed: it is nothing any more, whatever stood before.
    let closed = payload(&[M::CloseStatement("s"), M::Bind("", "s"), M::Execute(""), M::Sync]);
    let found = kit.codes(
        &ticket,
        &[definition(DefinitionKind::Statement, "s", "select 1")],
        &closed,
    );
    assert_eq!(
        found.iter().map(Option::as_deref).collect::<Vec<_>>(),
        [None, Some("26000"), Some("34000"), None]
    );
}

#[test]
fn what_does_not_exist_is_answered_as_postgresql_answers() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let mut message = |m: M<'_>| match kit.verdicts(&ticket, &[], &payload(&[m, M::Sync])).remove(0) {
        Verdict::Refuse(refusal) => format!("{refusal}"),
        Verdict::Allow(_) => panic!("allowed"),
    };
    assert_eq!(
        message(M::Bind("", "x")),
        "26000: prepared statement \"x\" does not exist"
    );
    assert_eq!(
        message(M::Bind("", "")),
        "26000: unnamed prepared statement does not exist"
    );
    assert_eq!(
        message(M::DescribeStatement("x")),
        "26000: prepared statement \"x\" does not exist"
    );
    assert_eq!(message(M::Execute("x")), "34000: portal \"x\" does not exist");
    // It may be a cursor made by SQL, whose text was judged then; PostgreSQL says whether there is one.
    let described = kit.codes(&ticket, &[], &payload(&[M::DescribePortal("x"), M::Sync]));
    assert_eq!(described, [None, None]);
}

#[test]
fn one_bad_member_of_a_pipeline_is_refused_alone() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    codes(
        &mut kit,
        &ticket,
        &[
            M::Parse("", "insert into orders values (1)"),
            M::Bind("", ""),
            M::Execute(""),
            M::Parse("", "drop table orders"),
            M::Bind("", ""),
            M::Execute(""),
            M::Parse("", "select 1"),
            M::Bind("", ""),
            M::Execute(""),
            M::Sync,
        ],
        &[
            None, None, None, REFUSED, REFUSED, REFUSED, None, None, None, None,
        ],
    );
}

#[test]
fn a_prepared_statement_is_one_statement() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    codes(
        &mut kit,
        &ticket,
        &[
            M::Parse("", "select 1; select 2"),
            M::Bind("", ""),
            M::Execute(""),
            M::Sync,
        ],
        &[Some("42601"), Some("42601"), Some("42601"), None],
    );
    codes(
        &mut kit,
        &ticket,
        &[M::Parse("", ""), M::Bind("", ""), M::Execute(""), M::Sync],
        &[None; 4],
    );
}

#[test]
fn effects_come_with_query_parse_and_bind() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("olga");
    let pins = |verdict: &Verdict| matches!(verdict, Verdict::Allow(effects) if effects.pins);
    assert!(pins(
        &kit.query(&ticket, "select 1; set work_mem = '1MB'; select 2")
    ));
    assert!(!pins(&kit.query(&ticket, "select 1")));
    let messages = [M::Parse("", "listen c"), M::Bind("", ""), M::Execute(""), M::Sync];
    let verdicts = kit.verdicts(&ticket, &[], &payload(&messages));
    assert_eq!(
        verdicts.iter().map(pins).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    let several = kit.refused(&ticket, "deallocate a; deallocate b");
    assert_eq!(several.code.as_str(), "0A000");
    assert!(matches!(
        kit.query(&ticket, "deallocate a; deallocate a"),
        Verdict::Allow(_)
    ));
}

#[test]
fn nothing_runs_between_reset_all_and_the_settings_being_put_back() {
    let mut kit = Kit::new();
    for user in ["ann", "olga"] {
        let ticket = kit.ticket(user);
        assert!(matches!(kit.query(&ticket, "select 1; reset all"), Verdict::Allow(e) if e.resets_settings));
        assert_eq!(kit.refused(&ticket, "reset all; select 1").code.as_str(), "0A000");
        let reset = || [M::Parse("r", "reset all"), M::Bind("", "r"), M::Execute("")];
        let with = |more: Vec<M<'static>>| payload(&reset().into_iter().chain(more).collect::<Vec<_>>());
        let count = |codes: Vec<Option<String>>| codes.iter().flatten().filter(|c| *c == "0A000").count();
        assert_eq!(
            count(kit.codes(&ticket, &[], &with(vec![M::CloseStatement("r"), M::Sync]))),
            0
        );
        // In the same implicit transaction.
        assert_eq!(count(kit.codes(&ticket, &[], &with(vec![M::Flush]))), 1);
        let more = vec![M::Parse("", "select 1"), M::Bind("", ""), M::Execute(""), M::Sync];
        assert_eq!(count(kit.codes(&ticket, &[], &with(more))), 3);
    }
}
