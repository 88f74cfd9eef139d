use super::one;
use crate::{Access, StatementKind, TableUse};

/// Tables as `schema.name`, with `!` behind those that are written.
fn tables(text: &str) -> Vec<String> {
    let show = |t: &TableUse| {
        let schema = t.schema.as_ref().map(|s| format!("{s}.")).unwrap_or_default();
        let mark = if t.access == Access::Write { "!" } else { "" };
        format!("{schema}{}{mark}", t.name)
    };
    let mut found: Vec<String> = one(text).tables.iter().map(show).collect();
    found.sort();
    found
}

fn functions(text: &str) -> Vec<String> {
    one(text).functions.iter().map(|f| f.name.clone()).collect()
}

#[test]
fn names_are_read_as_postgresql_reads_them() {
    assert_eq!(tables("select * from Shop.T"), ["shop.t"]);
    assert_eq!(tables(r#"select * from "Shop"."T""#), ["Shop.T"]);
    assert_eq!(tables(r#"select * from U&"s\0068op".t"#), ["shop.t"]);
    assert_eq!(tables(r#"select * from U&"s!0068op" UESCAPE '!' .t"#), ["shop.t"]);
    // Cut to 63 bytes, so that a longer name is not taken for another one.
    let long = "a".repeat(70);
    assert_eq!(tables(&format!("select * from {long}")), ["a".repeat(63)]);
    assert_eq!(tables("select * from only t"), ["t"]);
    assert_eq!(tables("select * from db.s.t"), ["s.t"]);
    assert_eq!(
        one("select * from db.s.t").tables[0].catalog.as_deref(),
        Some("db")
    );
    // A no-break space is a letter of a name, not white space.
    assert_eq!(tables("select * from a\u{a0}b"), ["a\u{a0}b"]);
    assert_eq!(one("select 0x_1f, 1_000").kind, StatementKind::Select);
}

#[test]
fn tables_are_found_wherever_they_hide() {
    for (text, expected) in [
        ("select (select a from s.b) from a", &["a", "s.b"][..]),
        ("select 1 where exists (table s.t)", &["s.t"]),
        (
            "with x as (delete from s.t returning *) select * from x",
            &["s.t!"],
        ),
        ("with x as (select 1) insert into t select * from x", &["t!"]),
        (
            "insert into t select * from u returning (select 1 from v)",
            &["t!", "u", "v"],
        ),
        (
            "insert into t values (1) on conflict (a) do update set a = (select 1 from u)",
            &["t!", "u"],
        ),
        (
            "update t set a = 1 from u where exists (select 1 from v)",
            &["t!", "u", "v"],
        ),
        ("delete from t using u", &["t!", "u"]),
        (
            "merge into t using (select 1 from u) x on true when matched then update set a = (select 1 from v)",
            &["t!", "u", "v"],
        ),
        ("select 1 into s.t from u", &["s.t!", "u"]),
        ("create table s.t as select * from u", &["s.t!", "u"]),
        (
            "explain analyze delete from t where a in (select 1 from u)",
            &["t!", "u"],
        ),
        ("explain create table t as select * from u", &["t!", "u"]),
        ("declare c cursor for select * from t", &["t"]),
        ("prepare p as delete from t", &["t!"]),
        ("copy s.t to stdout", &["s.t"]),
        ("copy s.t from stdin", &["s.t!"]),
        ("copy (delete from t returning *) to stdout", &["t!"]),
        (
            "copy (select * from a union select * from b) to stdout",
            &["a", "b"],
        ),
        ("lock a, s.b", &["a!", "s.b!"]),
        ("truncate a, s.b", &["a!", "s.b!"]),
        ("create view v as select * from t", &["t", "v!"]),
        (
            "create rule r as on insert to t do also delete from u",
            &["t!", "u!"],
        ),
        ("select * from (values ((select 1 from t))) x", &["t"]),
        (
            "select * from a join lateral (select * from b) x on exists (select 1 from c)",
            &["a", "b", "c"],
        ),
        ("select * from rows from (f((select 1 from t)))", &["t"]),
        (
            "select * from t tablesample bernoulli ((select 1 from u))",
            &["t", "u"],
        ),
        (
            "select sum(a) filter (where exists (select 1 from u)) over (order by (select 1 from v)) from t",
            &["t", "u", "v"],
        ),
        (
            "select 1 order by (select 1 from t) limit (select 1 from u) offset (select 1 from v)",
            &["t", "u", "v"],
        ),
        (
            "select case when exists (select 1 from t) then 1 end, array(select 1 from u), row((select 1 from v))",
            &["t", "u", "v"],
        ),
        (
            "select json_object('a': (select 1 from t)), xmlelement(name x, (select 1 from u))",
            &["t", "u"],
        ),
        (
            "select * from json_table((select a from t), '$' columns (x int path '$'))",
            &["t"],
        ),
        (
            "select * from xmltable('/a' passing (select a from t) columns x int)",
            &["t"],
        ),
        ("select * from a for update of a", &["a"]),
        ("values ((select 1 from t))", &["t"]),
        ("call p((select 1 from t))", &["t"]),
        ("execute p((select 1 from t))", &["t"]),
        (
            "create function f() returns int begin atomic select a from t; end",
            &["t"],
        ),
    ] {
        assert_eq!(tables(text), expected, "{text}");
    }
}

#[test]
fn a_cte_hides_a_table_only_where_postgresql_lets_it() {
    for (text, expected) in [
        ("with t as (select 1) select * from t", &[][..]),
        // Not recursive: inside, the name still means the table.
        ("with t as (select * from t) select * from t", &["t"]),
        ("with recursive t as (select * from t) select * from t", &[]),
        (
            "with a as (select * from b), b as (select 1) select * from a",
            &["b"],
        ),
        (
            "with a as (select 1), b as (select * from a) select * from b",
            &[],
        ),
        // Out of its scope.
        (
            "select * from (with t as (select 1) select * from t) x, t",
            &["t"],
        ),
        (
            "select (with t as (select 1) select 1), (select 1 from t)",
            &["t"],
        ),
        // In scope of a nested query.
        ("with t as (select 1) select (select 1 from t)", &[]),
        // With a schema it is always a table.
        ("with t as (select 1) select * from s.t", &["s.t"]),
        // A target is never a CTE.
        ("with t as (select 1) delete from t", &["t!"]),
        ("with t as (select 1) insert into t select 1", &["t!"]),
        ("with t as (select 1) update t set a = 1 from t x", &["t!"]),
        ("with t as (select 1) select 1 into t from t", &["t!"]),
        // The arms of a set operation see it.
        ("with t as (select 1) select * from t union select * from t", &[]),
    ] {
        assert_eq!(tables(text), expected, "{text}");
    }
}

#[test]
fn functions_are_found_in_every_notation() {
    for (text, expected) in [
        ("select pg_catalog.lower('A')", &["lower"][..]),
        ("select \"lower\"('A')", &["lower"]),
        ("select * from generate_series(1, 2)", &["generate_series"]),
        ("select ('/etc/passwd'::text).pg_read_file", &["pg_read_file"]),
        ("select (select pg_sleep(1))", &["pg_sleep"]),
        ("call s.p()", &["p"]),
        ("select * from t tablesample s.m (1)", &["m"]),
        ("insert into t values (nextval('s'))", &["nextval"]),
        ("select 1 order by f(1)", &["f"]),
        ("select count(*) over (partition by f(1))", &["count", "f"]),
        ("explain select f(1)", &["f"]),
        ("copy t from stdin where f(a)", &["f"]),
    ] {
        assert_eq!(functions(text), expected, "{text}");
    }
    assert_eq!(one("select s.f(1)").functions[0].schema.as_deref(), Some("s"));
    assert_eq!(one("select 1 operator(evil.+) 2").schemas, ["evil"]);
    assert_eq!(one("select 1::evil.t").schemas, ["evil"]);
    assert_eq!(one("select a collate evil.c from t").schemas, ["evil"]);
    assert_eq!(one("select 1 = any (select 2)").schemas, [""; 0]);
    assert_eq!(
        one("select a from t order by a using operator(evil.<)").schemas,
        ["evil"]
    );
    assert_eq!(one("select 1 operator(evil.=) any (select 2)").schemas, ["evil"]);
}

#[test]
fn parts_name_what_runs_inside() {
    use StatementKind as K;
    for (text, parts) in [
        ("select 1", &[][..]),
        ("insert into t values (1)", &[]),
        ("insert into t select 1", &[K::Select]),
        ("with x as (delete from t returning 1) select 1", &[K::Delete]),
        ("explain analyze update t set a = 1", &[K::Update]),
        ("explain analyze create table t as select 1", &[K::Select, K::Ddl]),
        (
            "copy (insert into t values (1) returning 1) to stdout",
            &[K::Insert],
        ),
        (
            "prepare p as merge into t using u on true when matched then delete",
            &[K::Merge],
        ),
        ("declare c cursor for select 1", &[K::Select]),
        (
            "create function f() returns int begin atomic delete from t; select 1; end",
            &[K::Select, K::Delete],
        ),
    ] {
        assert_eq!(one(text).parts, parts, "{text}");
    }
}
