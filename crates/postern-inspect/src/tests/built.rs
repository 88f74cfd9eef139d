//! Expectations from the messages of an exchange.

use super::message::{ROWS, SILENT, execute};
use crate::{Expectations, NotAnExchange};
use postern_types::{Expect, StatementShape};
use postern_wire::{FrontendMessage as F, Target};

fn build(messages: &[(F<'_>, &[StatementShape])]) -> Result<Vec<Expect>, NotAnExchange> {
    let mut expectations = Expectations::new();
    for (message, shapes) in messages {
        expectations.push(message, shapes)?;
    }
    expectations.finish()
}

fn bind(portal: &str) -> F<'_> {
    F::Bind {
        portal,
        statement: "s",
        tail: b"\0\0\0\0\0\0",
    }
}

fn describe(name: &str) -> F<'_> {
    F::Describe {
        target: Target::Portal,
        name,
    }
}

fn run(portal: &str) -> F<'_> {
    F::Execute { portal, max_rows: 5 }
}

#[test]
fn a_simple_query_has_the_shapes_of_its_statements() {
    let built = build(&[(
        F::Query {
            sql: "insert …; select …",
        },
        &[SILENT, ROWS],
    )]);
    assert_eq!(built, Ok(vec![Expect::Query(vec![SILENT, ROWS])]));
}

#[test]
fn extended_messages_map_one_to_one() {
    let describe_statement = F::Describe {
        target: Target::Statement,
        name: "s",
    };
    let close = F::Close {
        target: Target::Statement,
        name: "s",
    };
    let built = build(&[
        (describe_statement, &[]),
        (bind(""), &[]),
        (describe(""), &[]),
        (run(""), &[ROWS]),
        (close, &[]),
        (F::Sync, &[]),
    ]);
    let expected = vec![
        Expect::DescribeStatement,
        Expect::Bind,
        Expect::DescribePortal,
        execute(ROWS, 5, true),
        Expect::Close,
        Expect::Sync,
    ];
    assert_eq!(built, Ok(expected));
}

#[test]
fn only_the_portal_described_last_counts_as_described() {
    let table: Vec<(&str, Vec<F<'_>>, bool)> = vec![
        ("described", vec![describe("a")], true),
        ("not described", vec![], false),
        ("another portal bound", vec![describe("a"), bind("b")], true),
        ("bound again", vec![describe("a"), bind("a")], false),
        ("another described", vec![describe("a"), describe("b")], false),
        ("another executed", vec![describe("a"), run("b")], false),
        ("executed before", vec![describe("a"), run("a")], true),
        (
            "closed",
            vec![
                describe("a"),
                F::Close {
                    target: Target::Portal,
                    name: "a",
                },
            ],
            false,
        ),
        (
            "a statement described",
            vec![
                describe("a"),
                F::Describe {
                    target: Target::Statement,
                    name: "a",
                },
            ],
            false,
        ),
    ];
    for (name, before, expected) in table {
        let mut messages: Vec<(F<'_>, &[StatementShape])> =
            before.into_iter().map(|m| (m, &[ROWS][..])).collect();
        messages.push((run("a"), &[ROWS]));
        messages.push((F::Sync, &[]));
        let built = build(&messages).unwrap();
        assert_eq!(built[built.len() - 2], execute(ROWS, 5, expected), "{name}");
    }
}

#[test]
fn what_is_not_one_exchange_is_refused() {
    assert_eq!(build(&[]), Err(NotAnExchange::Unfinished));
    assert_eq!(build(&[(bind(""), &[])]), Err(NotAnExchange::Unfinished));
    for end in [F::Sync, F::Flush, F::Query { sql: "" }] {
        assert_eq!(build(&[(end, &[]), (F::Sync, &[])]), Err(NotAnExchange::AfterEnd));
    }
    let misplaced = [
        F::CopyData(b""),
        F::CopyDone,
        F::CopyFail { reason: "" },
        F::Terminate,
        F::Password(b""),
        F::FunctionCall,
    ];
    for message in misplaced {
        assert_eq!(build(&[(message, &[])]), Err(NotAnExchange::Misplaced));
    }
}

fn build_by_columns(messages: &[(F<'_>, &[StatementShape])]) -> Vec<Expect> {
    let mut expectations = Expectations::by_columns();
    for (message, shapes) in messages {
        expectations.push(message, shapes).unwrap();
    }
    expectations.finish().unwrap()
}

#[test]
fn where_columns_matter_every_portal_is_described_once_before_it_runs() {
    let built = build_by_columns(&[
        (bind("a"), &[]),
        (run("a"), &[ROWS]),
        (run("a"), &[ROWS]),
        (bind("a"), &[]),
        (run("a"), &[ROWS]),
        (run("b"), &[SILENT]),
        (describe("c"), &[]),
        (run("c"), &[ROWS]),
        (F::Sync, &[]),
    ]);
    let rows = execute(ROWS, 5, true);
    let expected = vec![
        Expect::Columns,
        Expect::Bind,
        Expect::HiddenDescribe,
        rows.clone(),
        rows.clone(),
        Expect::Bind,
        Expect::HiddenDescribe,
        rows.clone(),
        execute(SILENT, 5, false),
        Expect::DescribePortal,
        rows,
        Expect::Sync,
    ];
    assert_eq!(built, expected);
}

#[test]
fn steps_are_retraced_only_from_the_messages_they_were_made_of() {
    let messages = [bind("a"), describe("a"), bind("b"), run("b"), F::Sync];
    let honest = [
        Expect::Columns,
        Expect::Bind,
        Expect::DescribePortal,
        Expect::Bind,
        Expect::HiddenDescribe,
        execute(ROWS, 5, true),
        Expect::Sync,
    ];
    let hidden = Expectations::retrace(&messages, &honest);
    assert_eq!(hidden, Some(vec![false, false, false, true, false]));
    // The description of portal a is not that of portal b.
    let mut lie = honest.to_vec();
    lie.remove(4);
    assert_eq!(Expectations::retrace(&messages, &lie), None);
    // Other messages, fewer, more, in another order.
    assert_eq!(Expectations::retrace(&messages[..4], &honest), None);
    assert_eq!(Expectations::retrace(&messages, &honest[..6]), None);
    let mut turned = messages;
    turned.swap(0, 1);
    assert_eq!(Expectations::retrace(&turned, &honest), None);
    let mut other_limit = honest.to_vec();
    other_limit[5] = execute(ROWS, 0, true);
    assert_eq!(Expectations::retrace(&messages, &other_limit), None);
    let query = [Expect::Columns, Expect::Query(vec![ROWS])];
    assert_eq!(
        Expectations::retrace(&[F::Query { sql: "select 1" }], &query),
        Some(vec![false])
    );
}
