use super::*;
use proptest::prelude::*;

fn statements() -> Statements {
    Statements::new(StatementLimits {
        count: 3,
        bytes: 1000,
    })
}

fn parse(s: &mut Statements, name: &str, sql: &str) {
    s.parse(name, sql, std::iter::empty()).unwrap();
}

fn sent(s: &mut Statements, exchange: u64) -> Vec<(DefinitionKind, String, String)> {
    let definitions = s.finish(exchange);
    definitions.into_iter().map(|d| (d.kind, d.name, d.sql)).collect()
}

fn statement(name: &str, sql: &str) -> (DefinitionKind, String, String) {
    (DefinitionKind::Statement, name.to_owned(), sql.to_owned())
}

#[test]
fn what_an_exchange_makes_itself_needs_no_definition() {
    let mut s = statements();
    parse(&mut s, "", "SELECT 1");
    s.bind("", "");
    s.refer(Target::Portal, "");
    assert_eq!(sent(&mut s, 1), []);
}

#[test]
fn a_confirmed_statement_is_defined_once_per_exchange() {
    let mut s = statements();
    parse(&mut s, "a", "SELECT 1");
    assert_eq!(sent(&mut s, 1), []);
    s.parsed(1, 1).unwrap();
    s.ended(1, false);
    s.bind("", "a");
    s.bind("", "a");
    s.refer(Target::Statement, "a");
    s.refer(Target::Portal, "");
    assert_eq!(sent(&mut s, 2), [statement("a", "SELECT 1")]);
}

#[test]
fn a_statement_under_way_is_defined_and_a_failed_one_is_not() {
    let mut s = statements();
    parse(&mut s, "a", "SELECT 1");
    sent(&mut s, 1);
    s.bind("", "a");
    assert_eq!(sent(&mut s, 2), [statement("a", "SELECT 1")]);
    s.ended(1, true);
    s.ended(2, true);
    s.bind("", "a");
    assert_eq!(sent(&mut s, 3), []);
}

#[test]
fn a_failed_second_parse_leaves_the_first() {
    let mut s = statements();
    parse(&mut s, "a", "SELECT 1");
    sent(&mut s, 1);
    s.parsed(1, 1).unwrap();
    s.ended(1, false);
    parse(&mut s, "a", "SELECT 2");
    sent(&mut s, 2);
    s.ended(2, true);
    s.bind("", "a");
    assert_eq!(sent(&mut s, 3), [statement("a", "SELECT 1")]);
}

#[test]
fn close_forgets_only_when_it_was_carried_out() {
    let mut s = statements();
    parse(&mut s, "a", "SELECT 1");
    sent(&mut s, 1);
    s.parsed(1, 1).unwrap();
    s.ended(1, false);
    s.close(Target::Statement, "a");
    sent(&mut s, 2);
    s.ended(2, true);
    assert_eq!(s.len(), 1);
    s.close(Target::Statement, "a");
    sent(&mut s, 3);
    s.ended(3, false);
    assert!(s.is_empty());
}

#[test]
fn a_portal_carries_its_statements_text_into_later_exchanges() {
    let mut s = statements();
    parse(&mut s, "a", "SELECT 1");
    s.bind("p", "a");
    sent(&mut s, 1);
    s.refer(Target::Portal, "p");
    assert_eq!(
        sent(&mut s, 2),
        [(DefinitionKind::Portal, "p".to_owned(), "SELECT 1".to_owned())]
    );
    s.no_transaction();
    s.refer(Target::Portal, "p");
    assert_eq!(sent(&mut s, 3), []);
}

#[test]
fn more_parse_complete_than_parse_is_an_error() {
    let mut s = statements();
    parse(&mut s, "a", "SELECT 1");
    sent(&mut s, 1);
    parse(&mut s, "b", "SELECT 2");
    sent(&mut s, 2);
    assert_eq!(s.parsed(1, 2), Err(NotAsked));
    assert_eq!(s.parsed(7, 1), Err(NotAsked));
}

#[test]
fn one_statement_above_the_limit_is_refused() {
    let mut s = statements();
    let refusal = s.parse("a", &"x".repeat(1001), std::iter::empty()).unwrap_err();
    assert!(refusal.fatal);
    assert_eq!(refusal.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
}

proptest! {
    #[test]
    fn memory_is_bounded_and_the_newest_is_kept(steps in prop::collection::vec((0u8..20, 0usize..400), 1..80)) {
        let mut s = statements();
        for (exchange, (name, length)) in (1u64..).zip(steps) {
            let name = format!("s{name}");
            parse(&mut s, &name, &"x".repeat(length));
            sent(&mut s, exchange);
            s.parsed(exchange, 1).unwrap();
            s.ended(exchange, false);
            prop_assert!(s.len() <= 3 && s.bytes <= 1000);
            prop_assert_eq!(
                s.bytes,
                s.confirmed.iter().map(|(n, r)| n.len() + r.text.sql.len()).sum::<usize>()
            );
            s.refer(Target::Statement, &name);
            prop_assert_eq!(s.finish(exchange + 1000).len(), 1);
        }
    }
}
