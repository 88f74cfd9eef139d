//! Statements that libpg_query's fingerprint takes for the same, or that look alike in some other way, and are
//! not the same.

use super::*;

/// Pairs of texts that differ in what they do.
const DIFFERENT: &[(&str, &str)] = &[
    // What a hash of sorted and shortened lists calls the same.
    (
        "DO $$BEGIN PERFORM 1; END$$",
        "DO $$BEGIN PERFORM pg_sleep(9); END$$",
    ),
    (
        "DO LANGUAGE plpgsql 'BEGIN END'",
        "DO LANGUAGE plpython3u 'BEGIN END'",
    ),
    ("SET ROLE a", "SET ROLE postgres"),
    ("SET ROLE a", "SET LOCAL ROLE a"),
    ("SET search_path TO a", "SET search_path TO b"),
    ("SET search_path TO a, b", "SET search_path TO b, a"),
    ("SET SESSION AUTHORIZATION a", "SET SESSION AUTHORIZATION b"),
    (
        "SELECT set_config('application_name', 'x', false)",
        "SELECT set_config('role', 'x', false)",
    ),
    (
        "SELECT set_config('a.b', 'x', false)",
        "SELECT set_config('a.b', 'x', true)",
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u SECURITY DEFINER AS 'SELECT 1'",
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    ),
    ("SELECT * FROM users_01", "SELECT * FROM users_99"),
    ("SELECT a, b FROM t", "SELECT b, a FROM t"),
    ("SELECT a FROM t", "SELECT a, a FROM t"),
    ("SELECT f($1, $2)", "SELECT f($2)"),
    ("SELECT f($1, $2)", "SELECT f($2, $1)"),
    ("SELECT mod(a, b) FROM t", "SELECT mod(b, a) FROM t"),
    ("SELECT a - b FROM t", "SELECT b - a FROM t"),
    (
        "SELECT a FROM t WHERE tenant_id = $1",
        "SELECT a FROM t WHERE tenant_id = 42",
    ),
    (
        "SELECT a FROM t WHERE tenant_id = $1",
        "SELECT a FROM t WHERE tenant_id = $2",
    ),
    (
        "SELECT a FROM t WHERE a = true",
        "SELECT a FROM t WHERE a = false",
    ),
    ("SELECT '1'::int", "SELECT '1'::text"),
    ("SELECT '1'::numeric(5,2)", "SELECT '1'::numeric(5,3)"),
    ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT ALL"),
    ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 2"),
    ("SELECT a FROM t LIMIT 1", "SELECT a FROM t OFFSET 1"),
    (
        "SELECT a FROM t ORDER BY a FETCH FIRST 1 ROW ONLY",
        "SELECT a FROM t ORDER BY a FETCH FIRST 1 ROW WITH TIES",
    ),
    ("SELECT pg_read_file('a')", "SELECT pg_read_file('/etc/passwd')"),
    ("LISTEN a", "LISTEN b"),
    ("NOTIFY a", "NOTIFY b"),
    ("NOTIFY a, 'x'", "NOTIFY a, 'y'"),
    (
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "BEGIN ISOLATION LEVEL READ COMMITTED",
    ),
    ("BEGIN READ ONLY", "BEGIN READ WRITE"),
    ("BEGIN", "BEGIN READ ONLY"),
    // Order and repetition in lists.
    ("SELECT a FROM t, u", "SELECT a FROM u, t"),
    ("SELECT a FROM t ORDER BY a, b", "SELECT a FROM t ORDER BY b, a"),
    ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"),
    (
        "SELECT a FROM t ORDER BY a",
        "SELECT a FROM t ORDER BY a NULLS FIRST",
    ),
    (
        "SELECT a FROM t ORDER BY a USING <",
        "SELECT a FROM t ORDER BY a USING >",
    ),
    ("SELECT a FROM t GROUP BY a, b", "SELECT a FROM t GROUP BY a"),
    (
        "INSERT INTO t (a, b) VALUES (1, 2)",
        "INSERT INTO t (b, a) VALUES (1, 2)",
    ),
    ("INSERT INTO t VALUES (1), (2)", "INSERT INTO t VALUES (2), (1)"),
    ("INSERT INTO t VALUES (1), (1)", "INSERT INTO t VALUES (1)"),
    ("SELECT a IN (1, 2) FROM t", "SELECT a IN (2, 1) FROM t"),
    ("SELECT a IN (1, 1) FROM t", "SELECT a IN (1) FROM t"),
    ("UPDATE t SET a = 1, b = 2", "UPDATE t SET b = 2, a = 1"),
    // Conditions.
    ("DELETE FROM t WHERE a = 1", "DELETE FROM t"),
    (
        "SELECT a FROM t WHERE a = 1 AND b",
        "SELECT a FROM t WHERE a = 1 OR b",
    ),
    ("SELECT a FROM t WHERE a AND b", "SELECT a FROM t WHERE b AND a"),
    ("SELECT a FROM t WHERE NOT a", "SELECT a FROM t WHERE a"),
    ("SELECT a FROM t WHERE a = b", "SELECT a FROM t WHERE a <> b"),
    ("SELECT a FROM t WHERE a < b", "SELECT a FROM t WHERE a <= b"),
    (
        "SELECT a FROM t WHERE a LIKE b",
        "SELECT a FROM t WHERE a ILIKE b",
    ),
    (
        "SELECT a FROM t WHERE a IS NULL",
        "SELECT a FROM t WHERE a IS NOT NULL",
    ),
    (
        "SELECT a FROM t WHERE a IN (1)",
        "SELECT a FROM t WHERE a NOT IN (1)",
    ),
    (
        "SELECT a FROM t WHERE a = ANY (b)",
        "SELECT a FROM t WHERE a = ALL (b)",
    ),
    (
        "SELECT a FROM t WHERE a BETWEEN 1 AND 2",
        "SELECT a FROM t WHERE a BETWEEN SYMMETRIC 1 AND 2",
    ),
    (
        "SELECT a FROM t WHERE EXISTS (SELECT 1)",
        "SELECT a FROM t WHERE NOT EXISTS (SELECT 1)",
    ),
    (
        "SELECT a FROM t WHERE a OPERATOR(x.=) b",
        "SELECT a FROM t WHERE a = b",
    ),
    (
        "SELECT a FROM t WHERE a COLLATE \"C\" < b",
        "SELECT a FROM t WHERE a COLLATE \"de\" < b",
    ),
    // Where rows come from.
    ("SELECT a FROM t", "SELECT a FROM ONLY t"),
    ("SELECT a FROM t", "SELECT a FROM s.t"),
    ("SELECT a FROM t", "SELECT a FROM d.s.t"),
    ("SELECT a FROM t x", "SELECT a FROM t y"),
    ("SELECT a FROM t", "SELECT a FROM \"T\""),
    ("SELECT a FROM t", "SELECT DISTINCT a FROM t"),
    ("SELECT DISTINCT a FROM t", "SELECT DISTINCT ON (a) a FROM t"),
    (
        "SELECT a FROM t JOIN u USING (a)",
        "SELECT a FROM t LEFT JOIN u USING (a)",
    ),
    (
        "SELECT a FROM t JOIN u USING (a)",
        "SELECT a FROM t JOIN u USING (b)",
    ),
    (
        "SELECT a FROM t JOIN u USING (a)",
        "SELECT a FROM t NATURAL JOIN u",
    ),
    (
        "SELECT a FROM t UNION SELECT a FROM u",
        "SELECT a FROM t UNION ALL SELECT a FROM u",
    ),
    (
        "SELECT a FROM t EXCEPT SELECT a FROM u",
        "SELECT a FROM u EXCEPT SELECT a FROM t",
    ),
    ("SELECT a FROM t FOR UPDATE", "SELECT a FROM t FOR SHARE"),
    (
        "SELECT a FROM t FOR UPDATE",
        "SELECT a FROM t FOR UPDATE SKIP LOCKED",
    ),
    (
        "SELECT a FROM t TABLESAMPLE system (1)",
        "SELECT a FROM t TABLESAMPLE system (2)",
    ),
    ("SELECT a FROM f() WITH ORDINALITY", "SELECT a FROM f()"),
    ("SELECT a FROM LATERAL f(1)", "SELECT a FROM f(1)"),
    (
        "WITH c AS (SELECT 1) SELECT a FROM c",
        "WITH RECURSIVE c AS (SELECT 1) SELECT a FROM c",
    ),
    (
        "WITH c AS MATERIALIZED (SELECT 1) SELECT a FROM c",
        "WITH c AS (SELECT 1) SELECT a FROM c",
    ),
    ("SELECT a INTO x FROM t", "SELECT a FROM t"),
    // Calls.
    ("SELECT count(a) FROM t", "SELECT count(DISTINCT a) FROM t"),
    ("SELECT count(*) FROM t", "SELECT count(a) FROM t"),
    ("SELECT f(a) FILTER (WHERE b) FROM t", "SELECT f(a) FROM t"),
    ("SELECT f(a ORDER BY b) FROM t", "SELECT f(a) FROM t"),
    ("SELECT f(x => 1)", "SELECT f(y => 1)"),
    ("SELECT f(VARIADIC a) FROM t", "SELECT f(a) FROM t"),
    (
        "SELECT f(a) OVER (PARTITION BY b) FROM t",
        "SELECT f(a) OVER (ORDER BY b) FROM t",
    ),
    (
        "SELECT sum(a) OVER (ROWS 1 PRECEDING) FROM t",
        "SELECT sum(a) OVER (RANGE 1 PRECEDING) FROM t",
    ),
    ("SELECT s.f(a) FROM t", "SELECT f(a) FROM t"),
    (
        "SELECT extract(year FROM a) FROM t",
        "SELECT extract(month FROM a) FROM t",
    ),
    ("SELECT current_user", "SELECT session_user"),
    (
        "SELECT CASE WHEN a THEN 1 END FROM t",
        "SELECT CASE a WHEN b THEN 1 END FROM t",
    ),
    (
        "SELECT a AT TIME ZONE 'UTC' FROM t",
        "SELECT a AT TIME ZONE 'CET' FROM t",
    ),
    ("SELECT coalesce(a, b) FROM t", "SELECT greatest(a, b) FROM t"),
    ("SELECT greatest(a, b) FROM t", "SELECT least(a, b) FROM t"),
    ("SELECT a[1] FROM t", "SELECT a[1:1] FROM t"),
    ("SELECT a[1:] FROM t", "SELECT a[:1] FROM t"),
    ("SELECT ROW(a) FROM t", "SELECT a FROM t"),
    (
        "SELECT json_object('a' : 1 NULL ON NULL)",
        "SELECT json_object('a' : 1 ABSENT ON NULL)",
    ),
    // Names of results.
    ("SELECT a AS x FROM t", "SELECT a AS y FROM t"),
    ("SELECT a FROM t", "SELECT a AS a FROM t"),
    // Literals of other types with the same digits.
    ("SELECT 1", "SELECT '1'"),
    ("SELECT 1", "SELECT 1.0"),
    ("SELECT 0", "SELECT NULL"),
    ("SELECT ''", "SELECT NULL"),
    ("SELECT false", "SELECT 0"),
    ("SELECT B'1'", "SELECT X'1'"),
    ("SELECT B'1'", "SELECT '1'"),
    ("SELECT 0", "SELECT ''"),
    // Changing rows.
    (
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
    ),
    (
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1",
        "INSERT INTO t VALUES (1) ON CONFLICT (b) DO UPDATE SET a = 1",
    ),
    (
        "INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1)",
        "INSERT INTO t OVERRIDING USER VALUE VALUES (1)",
    ),
    ("INSERT INTO t DEFAULT VALUES", "INSERT INTO t VALUES (DEFAULT)"),
    ("DELETE FROM t RETURNING a", "DELETE FROM t"),
    (
        "UPDATE t SET a = 1 RETURNING OLD.a",
        "UPDATE t SET a = 1 RETURNING NEW.a",
    ),
    (
        "UPDATE t SET a = 1 WHERE CURRENT OF c",
        "UPDATE t SET a = 1 WHERE CURRENT OF d",
    ),
    (
        "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE",
        "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DO NOTHING",
    ),
    ("TRUNCATE t", "TRUNCATE t CASCADE"),
    ("TRUNCATE t", "TRUNCATE t RESTART IDENTITY"),
    // The rest.
    ("COPY t TO STDOUT", "COPY t FROM STDIN"),
    ("COPY t TO STDOUT", "COPY t TO '/tmp/x'"),
    ("COPY t TO '/tmp/x'", "COPY t TO PROGRAM '/tmp/x'"),
    ("COPY t TO STDOUT (FORMAT csv)", "COPY t TO STDOUT (FORMAT text)"),
    ("COPY t (a) TO STDOUT", "COPY t (b) TO STDOUT"),
    ("EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1"),
    ("EXPLAIN (FORMAT json) SELECT 1", "EXPLAIN (FORMAT text) SELECT 1"),
    ("LOCK t IN SHARE MODE", "LOCK t IN ACCESS SHARE MODE"),
    ("LOCK t NOWAIT", "LOCK t"),
    (
        "DECLARE c CURSOR FOR SELECT 1",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ),
    ("DECLARE c CURSOR FOR SELECT 1", "DECLARE d CURSOR FOR SELECT 1"),
    ("FETCH 1 FROM c", "FETCH 2 FROM c"),
    ("FETCH 1 FROM c", "MOVE 1 FROM c"),
    ("FETCH NEXT FROM c", "FETCH ALL FROM c"),
    ("PREPARE a AS SELECT 1", "PREPARE b AS SELECT 1"),
    ("EXECUTE a(1)", "EXECUTE a(2)"),
    ("DEALLOCATE a", "DEALLOCATE ALL"),
    ("DISCARD ALL", "DISCARD TEMP"),
    ("COMMIT", "ROLLBACK"),
    ("COMMIT", "COMMIT AND CHAIN"),
    ("SAVEPOINT a", "SAVEPOINT b"),
    ("ROLLBACK TO a", "ROLLBACK TO b"),
    ("PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION 'b'"),
    ("SHOW a", "SHOW b"),
    ("RESET a", "RESET ALL"),
    ("CALL p(1)", "CALL p(2)"),
    ("CALL p()", "SELECT p()"),
    ("GRANT SELECT ON t TO a", "GRANT SELECT ON t TO b"),
    (
        "GRANT SELECT ON t TO a",
        "GRANT SELECT ON t TO a WITH GRANT OPTION",
    ),
    ("GRANT SELECT ON t TO a", "REVOKE SELECT ON t FROM a"),
    ("CREATE TABLE t (a int)", "CREATE TABLE t (a text)"),
    ("CREATE TABLE t (a int)", "CREATE TEMP TABLE t (a int)"),
    ("CREATE TABLE t (a int)", "CREATE TABLE IF NOT EXISTS t (a int)"),
    (
        "CREATE TABLESPACE x LOCATION '/a'",
        "CREATE TABLESPACE x LOCATION '/b'",
    ),
    (
        "CREATE VIEW v AS SELECT 1",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
    ),
    ("CREATE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (a)"),
    ("DROP TABLE t", "DROP TABLE t CASCADE"),
    ("DROP TABLE t", "DROP VIEW t"),
    (
        "ALTER ROLE a SET search_path TO b",
        "ALTER ROLE a SET search_path TO c",
    ),
    ("ALTER TABLE t ADD a int", "ALTER TABLE t DROP a"),
    ("VACUUM t", "VACUUM FULL t"),
    ("LOAD 'a'", "LOAD 'b'"),
    (
        "SELECT * FROM XMLTABLE('/a' PASSING x COLUMNS b text PATH 'c')",
        "SELECT * FROM XMLTABLE('/a' PASSING x COLUMNS b text PATH 'd')",
    ),
    (
        "SELECT * FROM JSON_TABLE(j, '$.a' COLUMNS (b int PATH '$.b'))",
        "SELECT * FROM JSON_TABLE(j, '$.a' COLUMNS (b int PATH '$.c'))",
    ),
];

/// Pairs of texts that PostgreSQL's grammar reads as the same tree.
const SAME: &[(&str, &str)] = &[
    ("SELECT a FROM t", "select A from T;"),
    ("SELECT a FROM t", "SELECT/**/\"a\"\n FROM t -- x"),
    ("SELECT a::int FROM t", "SELECT CAST(a AS int) FROM t"),
    ("SELECT a FROM t WHERE a != 1", "SELECT a FROM t WHERE a <> 1"),
    ("SELECT 'a''b'", "SELECT $$a'b$$"),
    ("SELECT E'\\x61'", "SELECT 'a'"),
    ("SELECT (a) FROM t", "SELECT a FROM t"),
    ("SELECT 10", "SELECT 0x0A"),
    (
        "SELECT a FROM t LIMIT 1",
        "SELECT a FROM t FETCH FIRST 1 ROWS ONLY",
    ),
    ("INSERT INTO t AS x VALUES (1)", "INSERT INTO t AS X (VALUES (1))"),
];

#[test]
fn statements_that_differ_are_not_the_same() {
    for (a, b) in DIFFERENT {
        let (one, other) = (canonical(a), canonical(b));
        assert!(one != other, "{a} = {b}");
        assert!(one.digest() != other.digest(), "digests of {a} and {b}");
        assert_eq!(one, canonical(a), "{a}");
    }
}

#[test]
fn a_statement_without_slots_matches_none_that_differs() {
    for (a, b) in DIFFERENT {
        for (policy, client) in [(a, b), (b, a)] {
            if policy.contains('$') && !policy.contains("$$") && !policy.contains("'$") {
                continue;
            }
            assert_eq!(matched(policy, client), None, "{policy} matches {client}");
            assert!(matched(policy, policy).is_some(), "{policy}");
        }
    }
}

#[test]
fn spelling_does_not_count() {
    for (a, b) in SAME {
        assert_eq!(canonical(a), canonical(b), "{a} and {b}");
        assert_eq!(canonical(a).digest(), canonical(b).digest());
        assert_eq!(canonical(a).shape(), canonical(b).shape());
    }
}

/// Of the pairs above, some that the fingerprint of libpg_query can't tell apart.
#[test]
fn a_fingerprint_would_not_do() {
    let same = |a: &str, b: &str| {
        pg_query::fingerprint(a, 0, 0).unwrap().value == pg_query::fingerprint(b, 0, 0).unwrap().value
    };
    let collide = DIFFERENT.iter().filter(|(a, b)| same(a, b)).count();
    assert!(collide >= 31, "{collide} pairs collide");
}
