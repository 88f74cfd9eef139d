//! What may stand in the place of a slot.

use super::*;
use crate::canonical::PatternError;
use LiteralKind::{BigInteger, Boolean, Integer, Numeric, String as Text};

fn values(policy: &str, client: &str) -> Vec<Value> {
    matched(policy, client)
        .unwrap_or_else(|| panic!("{policy} does not match {client}"))
        .values
}

#[test]
fn a_literal_becomes_a_parameter_of_its_own_type() {
    let table = [
        ("42", Integer, "42"),
        ("-42", Integer, "-42"),
        ("- 42", Integer, "-42"),
        ("0", Integer, "0"),
        ("2147483647", Integer, "2147483647"),
        ("2147483648", BigInteger, "2147483648"),
        ("-2147483648", Integer, "-2147483648"),
        ("-9223372036854775808", BigInteger, "-9223372036854775808"),
        ("9223372036854775808", Numeric, "9223372036854775808"),
        ("1.50", Numeric, "1.50"),
        ("-.5", Numeric, "-.5"),
        ("1e9", Numeric, "1e9"),
        ("0x1F", Integer, "31"),
        ("'x'", Text, "x"),
        ("''", Text, ""),
        ("'O''Brien; DROP TABLE t'", Text, "O'Brien; DROP TABLE t"),
        ("E'\\n'", Text, "\n"),
        ("$q$a$q$", Text, "a"),
        ("TRUE", Boolean, "true"),
        ("false", Boolean, "false"),
    ];
    for (client, kind, text) in table {
        let values = values(
            "SELECT a FROM t WHERE a = $1",
            &format!("SELECT a FROM t WHERE a = {client}"),
        );
        assert_eq!(values, [literal(kind, text)], "{client}");
    }
    let null = values("SELECT a FROM t WHERE a = $1", "SELECT a FROM t WHERE a = NULL");
    assert!(matches!(&null[..], [Value::Literal(l)] if l.kind == LiteralKind::Null && l.text.is_none()));
    let oids = [LiteralKind::Null, Boolean, Text, Integer, BigInteger, Numeric].map(LiteralKind::type_oid);
    assert_eq!(oids, [0, 16, 0, 23, 20, 1700]);
}

#[test]
fn nothing_but_a_parameter_or_a_literal_fits_into_a_slot() {
    for client in [
        "b",
        "t.b",
        "1 + 1",
        "(SELECT 1)",
        "f()",
        "'1'::int",
        "int '1'",
        "- $1",
        "+1",
        "ARRAY[1]",
        "ROW(1)",
        "current_user",
        "B'1'",
        "X'1'",
        "DEFAULT",
        "a IS NULL",
        "NOT true",
        "(1, 2)",
        "CAST(NULL AS int)",
        "0xFFFFFFFFFF",
        "1_000_000_000_000",
        "N'x'",
        "'a' COLLATE \"C\"",
        "1 OR true",
    ] {
        let sql = format!("SELECT a FROM t WHERE a = {client}");
        let parsed = whole_statements(&sql, &SqlLimits::default());
        let Ok(Some(statements)) = parsed else {
            assert_eq!(client, "DEFAULT", "{sql}");
            continue;
        };
        let policy = pattern("SELECT a FROM t WHERE a = $1");
        assert_eq!(policy.matches(&statements[0].canonical), None, "{client}");
    }
}

#[test]
fn a_cast_stays_a_cast() {
    let policy = "SELECT a FROM t WHERE a = $1::int";
    assert_eq!(
        values(policy, "SELECT a FROM t WHERE a = '5'::int"),
        [literal(Text, "5")]
    );
    assert_eq!(
        values(policy, "SELECT a FROM t WHERE a = CAST(5 AS int)"),
        [literal(Integer, "5")]
    );
    assert_eq!(
        values(policy, "SELECT a FROM t WHERE a = $1::int"),
        [Value::Parameter(1)]
    );
    for other in [
        "'5'",
        "5",
        "'5'::text",
        "'5'::int8",
        "'5'::int::int",
        "$1",
        "-5::int",
    ] {
        assert_eq!(
            matched(policy, &format!("SELECT a FROM t WHERE a = {other}")),
            None,
            "{other}"
        );
    }
    // A minus before a cast belongs to the result of the cast.
    assert_eq!(
        values("SELECT -$1::int", "SELECT -5::int"),
        [literal(Integer, "5")]
    );
}

#[test]
fn an_interval_with_fields_means_another_thing_as_a_parameter() {
    let day = "SELECT $1::interval day";
    assert_eq!(matched(day, "SELECT interval '1' day"), None);
    assert_eq!(matched(day, "SELECT '1'::interval day"), None);
    assert_eq!(values(day, "SELECT $1::interval day"), [Value::Parameter(1)]);
    assert_eq!(
        values("SELECT $1::interval", "SELECT interval '1 day'"),
        [literal(Text, "1 day")]
    );
    assert_eq!(
        values("SELECT $1::varchar(3)", "SELECT 'abcd'::varchar(3)"),
        [literal(Text, "abcd")]
    );
    assert_eq!(
        matched("SELECT $1::varchar(3)", "SELECT 'abcd'::varchar(4)"),
        None
    );
}

#[test]
fn parameters_may_be_numbered_otherwise() {
    let policy = "UPDATE t SET a = $1, b = $2 WHERE c = $3";
    assert_eq!(
        values(policy, "UPDATE t SET a = $3, b = $1 WHERE c = $2"),
        [Value::Parameter(3), Value::Parameter(1), Value::Parameter(2)]
    );
    assert_eq!(
        values(policy, "UPDATE t SET a = 'x', b = $1 WHERE c = 7"),
        [literal(Text, "x"), Value::Parameter(1), literal(Integer, "7")]
    );
}

#[test]
fn each_parameter_stands_for_one_slot() {
    let policy = "UPDATE t SET a = $1, b = $2 WHERE c = $3";
    for client in [
        "UPDATE t SET a = $1, b = $1 WHERE c = $2",
        "UPDATE t SET a = $1, b = $2 WHERE c = $4",
        "UPDATE t SET a = $2, b = $3 WHERE c = $4",
        "UPDATE t SET a = 1, b = $2 WHERE c = $3",
        "UPDATE t SET a = 1, b = 1 WHERE c = $2",
    ] {
        assert_eq!(matched(policy, client), None, "{client}");
    }
}

#[test]
fn a_slot_that_is_there_twice_has_one_value() {
    let policy = "SELECT a FROM t WHERE a = $1 OR b = $1";
    let two =
        |one: &str, other: &str| matched(policy, &format!("SELECT a FROM t WHERE a = {one} OR b = {other}"));
    assert_eq!(two("7", "7").unwrap().values, [literal(Integer, "7")]);
    assert_eq!(two("$1", "$1").unwrap().values, [Value::Parameter(1)]);
    for (one, other) in [
        ("7", "8"),
        ("7", "'7'"),
        ("7", "7.0"),
        ("1.0", "1.00"),
        ("$1", "$2"),
        ("$1", "7"),
        ("NULL", "7"),
    ] {
        assert_eq!(two(one, other), None, "{one} and {other}");
    }
}

#[test]
fn no_slot_where_a_number_is_a_position() {
    for (sql, slot) in [
        ("SELECT a FROM t ORDER BY $1", 1),
        ("SELECT a FROM t ORDER BY a, ($1) DESC", 1),
        ("SELECT a FROM t GROUP BY $1", 1),
        ("SELECT a FROM t GROUP BY a, ROLLUP (b, $1)", 1),
        ("SELECT a FROM t GROUP BY GROUPING SETS ((a, $1), ())", 1),
        ("SELECT DISTINCT ON ($1) a FROM t", 1),
        ("SELECT $1::int FROM (SELECT a FROM t ORDER BY $2) x", 2),
        ("(SELECT a FROM t) UNION (SELECT $1::int) ORDER BY $2", 2),
    ] {
        let error = Pattern::new(sql, Vec::new(), &SqlLimits::default()).unwrap_err();
        assert_eq!(error, PatternError::Position(slot), "{sql}");
    }
    // Inside of an expression it is a value.
    assert_eq!(
        values(
            "SELECT a FROM t ORDER BY a = $1",
            "SELECT a FROM t ORDER BY a = 2"
        ),
        [literal(Integer, "2")]
    );
    assert_eq!(
        matched("SELECT a FROM t ORDER BY 1", "SELECT a FROM t ORDER BY 2"),
        None
    );
}

#[test]
fn slots_are_for_statements_that_take_parameters() {
    for sql in [
        "PREPARE p AS SELECT $1::int",
        "EXPLAIN SELECT $1::int",
        "CREATE TABLE x AS SELECT $1::int",
        "CREATE FUNCTION f(int) RETURNS int BEGIN ATOMIC SELECT $1; END",
        "EXECUTE p($1)",
        "COPY (SELECT $1::int) TO STDOUT",
        "CREATE RULE r AS ON INSERT TO t DO ALSO SELECT $1::int",
    ] {
        let error = Pattern::new(sql, Vec::new(), &SqlLimits::default()).unwrap_err();
        assert_eq!(error, PatternError::Kind, "{sql}");
    }
    for sql in [
        "CALL p($1)",
        "DECLARE c CURSOR FOR SELECT a FROM t WHERE a = $1",
        "MERGE INTO t USING u ON t.a = $1 WHEN MATCHED THEN DELETE",
        "VALUES ($1::int)",
    ] {
        assert_eq!(pattern(sql).slots(), 1, "{sql}");
    }
}

#[test]
fn slots_are_numbered_without_a_gap() {
    let error = |sql| Pattern::new(sql, Vec::new(), &SqlLimits::default()).unwrap_err();
    assert_eq!(error("SELECT $2::int"), PatternError::Gap(1));
    assert_eq!(error("SELECT $1::int, $3::int"), PatternError::Gap(2));
    assert_eq!(error("SELECT 1; SELECT 2"), PatternError::NotOne);
    assert_eq!(error(""), PatternError::NotOne);
    assert_eq!(error("SELECT $70000::int"), PatternError::TooLarge);
    assert_eq!(error("SELECT $0::int"), PatternError::TooLarge);
    assert!(matches!(error("SELEC"), PatternError::Syntax(_)));
}

#[test]
fn a_limit_may_be_a_slot() {
    let policy = "SELECT a FROM t LIMIT $1 OFFSET $2";
    assert_eq!(
        values(policy, "SELECT a FROM t LIMIT 10 OFFSET 20"),
        [literal(Integer, "10"), literal(Integer, "20")]
    );
    assert_eq!(matched(policy, "SELECT a FROM t OFFSET 20"), None);
    assert_eq!(
        matched("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT $1"),
        None
    );
}

#[test]
fn a_deep_or_large_statement_is_no_named_one() {
    let deep = format!("SELECT a{} FROM t", " - a".repeat(900));
    assert!(whole_statements(&deep, &SqlLimits::default()).unwrap().is_none());
    let wide = format!("SELECT a FROM t WHERE a IN ({}1)", "1,".repeat(20_000));
    assert!(whole_statements(&wide, &SqlLimits::default()).unwrap().is_none());
    let fits = format!("SELECT a FROM t WHERE a IN ({}1)", "1,".repeat(2000));
    assert!(whole_statements(&fits, &SqlLimits::default()).unwrap().is_some());
}

#[test]
fn debug_shows_no_values() {
    let bound = matched("SELECT $1::text", "SELECT 'secret'::text").unwrap();
    let shown = format!(
        "{bound:?} {:?} {:?}",
        canonical("SELECT 'secret'"),
        pattern("SELECT $1::text")
    );
    assert!(!shown.contains("secret"), "{shown}");
}
