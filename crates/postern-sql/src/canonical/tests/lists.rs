//! Lists of declared slots.

use super::*;
use crate::canonical::{ListSlots, PatternError};
use proptest::prelude::*;

fn list(first: u16, last: u16, max_items: u32) -> ListSlots {
    ListSlots {
        first,
        last,
        max_items,
    }
}

fn with_lists(sql: &str, lists: &[ListSlots]) -> Pattern {
    Pattern::new(sql, lists.to_vec(), &SqlLimits::default()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn an_in_list_may_be_of_any_declared_length() {
    let pattern = with_lists(
        "SELECT a FROM t WHERE b = $1 AND a IN ($2) AND c = $3",
        &[list(2, 2, 3)],
    );
    let client = |items: &str| {
        canonical(&format!(
            "SELECT a FROM t WHERE b = $1 AND a IN ({items}) AND c = $2"
        ))
    };
    let bound = pattern.matches(&client("7, 'x', 9")).unwrap();
    assert_eq!(bound.counts, [3]);
    assert_eq!(
        bound.values,
        [
            Value::Parameter(1),
            literal(LiteralKind::Integer, "7"),
            literal(LiteralKind::String, "x"),
            literal(LiteralKind::Integer, "9"),
            Value::Parameter(2),
        ]
    );
    assert_eq!(
        pattern.expand(&bound.counts),
        "SELECT a FROM t WHERE b = $1 AND a IN ($2, $3, $4) AND c = $5"
    );
    assert_eq!(pattern.slot_of_each(&bound.counts), [1, 2, 2, 2, 3]);
    assert!(pattern.matches(&client("1, 2, 3, 4")).is_none());
    assert!(pattern.matches(&client("1, b")).is_none());
    assert!(pattern.matches(&client("SELECT 1")).is_none());
    assert_eq!(
        pattern.expand(&[1]),
        "SELECT a FROM t WHERE b = $1 AND a IN ($2) AND c = $3"
    );
}

#[test]
fn a_list_that_is_not_declared_has_the_length_that_is_written() {
    let pattern = with_lists("SELECT a FROM t WHERE a IN ($1, $2)", &[]);
    for (items, fits) in [("1, 2", true), ("1", false), ("1, 2, 3", false)] {
        let client = canonical(&format!("SELECT a FROM t WHERE a IN ({items})"));
        assert_eq!(pattern.matches(&client).is_some(), fits, "{items}");
    }
    let rows = with_lists("INSERT INTO t VALUES ($1)", &[]);
    assert!(
        rows.matches(&canonical("INSERT INTO t VALUES (1), (2)"))
            .is_none()
    );
}

#[test]
fn rows_of_values_repeat_as_a_whole() {
    let pattern = with_lists(
        "INSERT INTO t (a, b, c, d) VALUES ($1, lower($2), 0, $3::int) ON CONFLICT DO NOTHING",
        &[list(1, 3, 10)],
    );
    let client = canonical(
        "INSERT INTO t (a, b, c, d) VALUES (1, lower('X'), 0, '3'::int), ($1, lower($2), 0, $3::int) \
         ON CONFLICT DO NOTHING",
    );
    let bound = pattern.matches(&client).unwrap();
    assert_eq!((bound.values.len(), bound.own_parameters()), (6, 3));
    assert_eq!(
        pattern.expand(&bound.counts),
        "INSERT INTO t (a, b, c, d) VALUES ($1, lower($2), 0, $3::int), ($4, lower($5), 0, $6::int) \
         ON CONFLICT DO NOTHING"
    );
    for wrong in [
        "INSERT INTO t (a, b, c, d) VALUES (1, lower('X'), 1, 3::int) ON CONFLICT DO NOTHING",
        "INSERT INTO t (a, b, c, d) VALUES (1, lower('X'), 0, 3::int), (1, 'x', 0, 3::int) ON CONFLICT DO NOTHING",
        "INSERT INTO t (a, b, c, d) VALUES (1, lower('X'), 0, 3::int), (1, lower('X'), 2, 3::int) ON CONFLICT DO NOTHING",
    ] {
        assert!(pattern.matches(&canonical(wrong)).is_none(), "{wrong}");
    }
}

#[test]
fn two_lists_repeat_each_by_itself() {
    let sql = "SELECT a FROM t WHERE a IN ($1) AND b IN ($2) AND c = $3 AND d IN ( $4 /* x */ )";
    let pattern = with_lists(sql, &[list(4, 4, 5), list(1, 1, 5)]);
    let client = canonical("SELECT a FROM t WHERE a IN (1,2) AND b IN (3) AND c = 4 AND d IN (5,6,7)");
    let bound = pattern.matches(&client).unwrap();
    assert_eq!(bound.counts, [2, 3]);
    let texts: Vec<_> = bound
        .values
        .iter()
        .map(|value| match value {
            Value::Literal(literal) => literal.text.clone().unwrap(),
            Value::Parameter(_) => panic!(),
        })
        .collect();
    assert_eq!(texts, ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(
        pattern.expand(&bound.counts),
        "SELECT a FROM t WHERE a IN ($1, $2) AND b IN ($3) AND c = $4 AND d IN ( $5 /* x */ ,  $6 /* x */ ,  $7 /* x */ )"
    );
}

#[test]
fn a_list_must_be_the_one_item_of_an_in_or_values() {
    let wrong: &[(&str, &[ListSlots])] = &[
        ("SELECT a FROM t WHERE a = $1", &[list(1, 1, 5)]),
        ("SELECT a FROM t WHERE a IN ($1, $2)", &[list(1, 2, 5)]),
        ("SELECT a FROM t WHERE a IN ($1, $2)", &[list(1, 1, 5)]),
        ("SELECT a FROM t WHERE a IN ($1) AND b = $1", &[list(1, 1, 5)]),
        ("SELECT a FROM t WHERE a IN ($1) AND b IN ($1)", &[list(1, 1, 5)]),
        ("INSERT INTO t VALUES ($1, $2), ($3, $4)", &[list(1, 2, 5)]),
        ("INSERT INTO t VALUES ($1, $2)", &[list(1, 1, 5)]),
        ("INSERT INTO t VALUES ($1, $2)", &[list(1, 2, 5), list(2, 2, 5)]),
        ("INSERT INTO t VALUES ($1, $2)", &[list(1, 3, 5)]),
        ("INSERT INTO t VALUES ($1, $2)", &[list(1, 2, 0)]),
        ("SELECT f($1)", &[list(1, 1, 5)]),
        ("SELECT a FROM t WHERE a = ANY (ARRAY[$1])", &[list(1, 1, 5)]),
    ];
    for (sql, lists) in wrong {
        let error = Pattern::new(sql, lists.to_vec(), &SqlLimits::default()).unwrap_err();
        assert!(matches!(error, PatternError::List { .. }), "{sql}: {error}");
    }
    let error = Pattern::new(
        "INSERT INTO t VALUES ($1, $2)",
        vec![list(1, 2, 40_000)],
        &SqlLimits::default(),
    );
    assert_eq!(error.unwrap_err(), PatternError::TooManyParameters);
}

proptest! {
    /// Whatever the lengths, the expanded text matches the pattern, with its parameters in order.
    #[test]
    fn an_expanded_text_is_what_a_client_would_send(rows in 1u32..6, items in 1u32..6) {
        let sql = "WITH x AS (INSERT INTO t VALUES ($1, $2) RETURNING a) SELECT a FROM x WHERE a IN ($3) AND b = $4";
        let pattern = with_lists(sql, &[list(1, 2, 5), list(3, 3, 5)]);
        let bound = pattern.matches(&canonical(&pattern.expand(&[rows, items]))).unwrap();
        prop_assert_eq!(bound.counts, vec![rows, items]);
        let numbers: Vec<Value> = (1..=u16::try_from(rows * 2 + items + 1).unwrap()).map(Value::Parameter).collect();
        prop_assert_eq!(bound.values, numbers);
    }
}
