//! `max_statements_per_s` of the policy.

use super::kit::*;
use postern_policy::Policy;

const POLICY: &str = "
version: 1
limits: {max_statements_per_s: 4}
roles:
  app: {mode: enforce, database_role: app, search_path: shop, statements: [select, transaction], schemas: [shop]}
  owner: {mode: open, database_role: owner, limits: {max_statements_per_s: 1000}}
";

fn kit() -> Kit {
    let mut kit = Kit::new();
    kit.validator.set_policy(Policy::parse(POLICY).unwrap());
    kit
}

fn run(kit: &mut Kit, ticket: &[u8]) -> Vec<Option<String>> {
    let messages = [M::Parse("", "SELECT 1"), M::Bind("", ""), M::Execute(""), M::Sync];
    kit.codes(ticket, &[], &payload(&messages))
}

#[test]
fn who_is_too_fast_is_refused_and_may_try_again() {
    let mut kit = kit();
    let ticket = kit.ticket("ann");
    let fast = || Some("53400".to_owned());
    for _ in 0..4 {
        assert_eq!(run(&mut kit, &ticket), [None, None, None, None]);
    }
    assert_eq!(run(&mut kit, &ticket), [fast(), fast(), fast(), None]);
    assert_eq!(kit.records.last().unwrap().action, Some("too-fast"));
    assert_eq!(kit.refused(&ticket, "SELECT 1").code.as_str(), "53400");
    // All sessions of the user together, and nobody else.
    kit.session = postern_types::SessionId([6; 16]);
    let other = kit.ticket("ann");
    assert_eq!(run(&mut kit, &other), [fast(), fast(), fast(), None]);
    kit.session = SESSION;
    let olga = kit.ticket("olga");
    assert_eq!(run(&mut kit, &olga), [None, None, None, None]);
    kit.now += 250;
    assert_eq!(run(&mut kit, &ticket), [None, None, None, None]);
    assert_eq!(run(&mut kit, &ticket), [fast(), fast(), fast(), None]);
}

#[test]
fn each_statement_of_an_exchange_counts() {
    let mut kit = kit();
    let ticket = kit.ticket("ann");
    kit.verdicts(
        &ticket,
        &[],
        &query("SELECT 1; SELECT 2; SELECT 3; SELECT 4; SELECT 5; SELECT 6"),
    );
    // Two are owed.
    kit.now += 500;
    assert_eq!(kit.refused(&ticket, "SELECT 1").code.as_str(), "53400");
    kit.now += 250;
    assert_eq!(kit.codes(&ticket, &[], &query("SELECT 1")), [None]);
    // What runs nothing is free.
    for _ in 0..20 {
        assert_eq!(kit.codes(&ticket, &[], &payload(&[M::Sync])), [None]);
    }
}

#[test]
fn a_pace_of_nothing_is_a_mistake() {
    assert!(Policy::parse(&POLICY.replace("s: 4", "s: 0")).is_err());
}
