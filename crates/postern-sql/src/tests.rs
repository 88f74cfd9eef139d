//! What is found in a text, judged by the rules the policy builds on.

use super::*;
use postern_types::ring::{Deallocate, Effects};
use postern_types::{CopyDirection, StatementShape};
use proptest::prelude::*;

fn all(text: &str) -> Vec<Statement> {
    analyse(text, &SqlLimits::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .statements
}

fn one(text: &str) -> Statement {
    let mut statements = all(text);
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

fn error(text: &str) -> SyntaxError {
    analyse(text, &SqlLimits::default()).unwrap_err()
}

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
fn kinds_are_told_apart() {
    use StatementKind as K;
    use Transaction as T;
    for (text, kind) in [
        ("select 1", K::Select),
        ("table t", K::Select),
        ("values (1)", K::Select),
        ("select 1 into t", K::Ddl),
        ("(select 1 into t) union select 2", K::Ddl),
        ("insert into t values (1)", K::Insert),
        ("update t set a = 1", K::Update),
        ("delete from t", K::Delete),
        ("merge into t using u on true when matched then delete", K::Merge),
        ("begin", K::Transaction(T::Begin)),
        ("start transaction read only", K::Transaction(T::Begin)),
        ("end", K::Transaction(T::Commit)),
        ("abort", K::Transaction(T::Rollback)),
        ("savepoint a", K::Transaction(T::Savepoint)),
        ("release a", K::Transaction(T::Release)),
        ("rollback to a", K::Transaction(T::RollbackTo)),
        ("prepare transaction 'x'", K::Transaction(T::Prepare)),
        ("commit prepared 'x'", K::Transaction(T::FinishPrepared)),
        (
            "set transaction isolation level serializable",
            K::Transaction(T::Mode),
        ),
        ("set constraints all deferred", K::Transaction(T::Mode)),
        ("set a.b = 1", K::Set),
        ("set session characteristics as transaction read only", K::Set),
        ("set local a.b = 1", K::SetLocal),
        ("reset a.b", K::Reset),
        ("set a.b to default", K::Reset),
        ("reset all", K::ResetAll),
        ("show all", K::Show),
        ("discard all", K::Discard { all: true }),
        ("discard temp", K::Discard { all: false }),
        ("deallocate x", K::Deallocate),
        ("prepare x as select 1", K::Prepare),
        ("execute x(1)", K::Execute),
        ("declare c cursor for select 1", K::DeclareCursor { hold: false }),
        (
            "declare c cursor with hold for select 1",
            K::DeclareCursor { hold: true },
        ),
        ("fetch 1 from c", K::Fetch),
        ("move 1 in c", K::Fetch),
        ("close c", K::CloseCursor),
        (
            "copy t from stdin",
            K::Copy {
                direction: CopyDirection::In,
                client: true,
            },
        ),
        (
            "copy (select 1) to stdout",
            K::Copy {
                direction: CopyDirection::Out,
                client: true,
            },
        ),
        (
            "copy t from '/etc/passwd'",
            K::Copy {
                direction: CopyDirection::In,
                client: false,
            },
        ),
        (
            "copy t to program 'sh'",
            K::Copy {
                direction: CopyDirection::Out,
                client: false,
            },
        ),
        ("explain analyze delete from t", K::Explain),
        ("listen c", K::Listen),
        ("unlisten *", K::Unlisten),
        ("notify c, 'x'", K::Notify),
        ("lock t", K::Lock),
        ("truncate t", K::Truncate),
        ("create table t (a int)", K::Ddl),
        ("create table t as select 1", K::Ddl),
        ("alter role r set a.b = 1", K::Ddl),
        ("alter system set a.b = 1", K::Ddl),
        ("grant select on t to r", K::Ddl),
        ("create rule r as on insert to t do also delete from u", K::Ddl),
        ("drop owned by r", K::Ddl),
        ("comment on table t is 'x'", K::Ddl),
        ("security label on table t is 'x'", K::Ddl),
        ("do 'begin end'", K::Do),
        ("call p()", K::Call),
        ("load 'x'", K::Load),
        ("vacuum t", K::Maintenance),
        ("analyze", K::Maintenance),
        ("checkpoint", K::Maintenance),
    ] {
        assert_eq!(one(text).kind, kind, "{text}");
    }
}

#[test]
fn stacked_statements_are_split_whatever_the_disguise() {
    let kinds = |text: &str| all(text).iter().map(|s| s.kind.name()).collect::<Vec<_>>();
    assert_eq!(kinds("commit; drop table t"), ["transaction", "ddl"]);
    assert_eq!(kinds(";;select 1;;"), ["select"]);
    assert_eq!(kinds(""), [""; 0]);
    assert_eq!(kinds("-- nothing"), [""; 0]);
    // A nested comment ends where PostgreSQL ends it, and /*! is nothing special.
    assert_eq!(kinds("/* /* */ drop table t; */ select 1"), ["select"]);
    assert_eq!(kinds("/*! drop table t */ select 1"), ["select"]);
    assert_eq!(kinds("select 1 --; drop table t"), ["select"]);
    assert_eq!(kinds("select 1 -- x\n; drop table t"), ["select", "ddl"]);
    // A backslash is an ordinary character in a plain string, and an escape in E''.
    assert_eq!(kinds(r"select '\'; drop table t; --'"), ["select", "ddl"]);
    assert_eq!(kinds(r"select E'\'; drop table t; --'"), ["select"]);
    assert_eq!(kinds("select $a$; drop table t; $a$"), ["select"]);
    assert_eq!(kinds("select 'a'\n'; drop table t'"), ["select"]);
    assert_eq!(kinds(r"select U&'\0027; drop table t; --'"), ["select"]);
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

#[test]
fn what_leaves_session_state_pins() {
    for text in [
        "set a.b = 1",
        "set session a.b = 1",
        "set session characteristics as transaction read only",
        "reset a.b",
        "create temp table t (a int)",
        "create temporary view v as select 1",
        "create temp sequence s",
        "create table pg_temp.t (a int)",
        "create function pg_temp.f() returns int language sql as 'select 1'",
        "create type pg_temp.t as (a int)",
        "select 1 into temp t",
        "create temp table t as select 1",
        "explain analyze create temp table t as select 1",
        "listen c",
        "declare c cursor with hold for select 1",
        "select pg_advisory_lock(1)",
        "select pg_catalog.pg_try_advisory_lock_shared(1, 2)",
        "insert into t select 1 where pg_try_advisory_lock(1)",
        "prepare x as select 1",
        "execute x",
        "select set_config('a.b', '1', false)",
        "select set_config('a.b', '1', $1)",
        "select set_config($1, '1', true)",
        "select set_config(setting_name => 'a.b', new_value => '1', is_local => true)",
        "do 'begin end'",
        "call p()",
        "load 'x'",
        "discard temp",
        "discard all",
        "select dblink_connect('x')",
        "select setseed(0.5)",
    ] {
        assert!(one(text).effects.pins, "{text}");
    }
}

#[test]
fn what_leaves_nothing_does_not_pin() {
    for text in [
        "select * from t for update",
        "insert into t values (nextval('s'))",
        "update t set a = 1",
        "delete from t",
        "merge into t using u on true when matched then delete",
        "values (1)",
        "begin",
        "commit",
        "savepoint a",
        "set local a.b = 1",
        "set transaction read only",
        "set constraints all immediate",
        "select set_config('a.b', '1', true)",
        "select pg_advisory_xact_lock(1)",
        "select pg_advisory_unlock_all()",
        "show all",
        "explain analyze select 1",
        "copy t from stdin",
        "lock t",
        "truncate t",
        "notify c",
        "unlisten *",
        "close all",
        "reset all",
        "deallocate all",
        "create table t (a int)",
        "declare c cursor for select 1",
        "fetch 1 from c",
        "vacuum",
    ] {
        assert!(!one(text).effects.pins, "{text}");
    }
}

#[test]
fn other_effects() {
    let effects = |text: &str| one(text).effects;
    assert!(effects("create table t (a int)").changes_schema);
    assert!(effects("select 1 into t").changes_schema);
    assert!(effects("explain analyze create table t as select 1").changes_schema);
    assert!(effects("do 'x'").changes_schema);
    assert!(!effects("truncate t").changes_schema);
    assert_eq!(
        effects("deallocate x").deallocates,
        Some(Deallocate::Named("x".into()))
    );
    assert_eq!(
        effects("deallocate \"X\"").deallocates,
        Some(Deallocate::Named("X".into()))
    );
    assert_eq!(effects("deallocate all").deallocates, Some(Deallocate::All));
    assert_eq!(effects("discard all").deallocates, Some(Deallocate::All));
    assert_eq!(effects("discard plans").deallocates, None);
    for ending in [
        "commit",
        "rollback",
        "end",
        "rollback to a",
        "prepare transaction 'x'",
        "commit and chain",
    ] {
        assert!(effects(ending).ends_transaction, "{ending}");
    }
    for other in ["begin", "savepoint a", "release a", "select 1"] {
        assert!(!effects(other).ends_transaction, "{other}");
    }
    assert!(effects("reset all").resets_settings && effects("discard all").resets_settings);
    assert!(!effects("reset a.b").resets_settings);
    assert_eq!(effects("select 1"), Effects::default());
}

#[test]
fn shapes() {
    let rows = |text: &str| {
        one(text).shape
            == StatementShape {
                rows: true,
                copy: None,
            }
    };
    let nothing = |text: &str| one(text).shape == StatementShape::default();
    for text in [
        "select 1",
        "values (1)",
        "insert into t values (1) returning a",
        "update t set a = 1 returning a",
        "delete from t returning a",
        "merge into t using u on true when matched then delete returning *",
        "show all",
        "explain delete from t",
        "fetch 1 from c",
        "execute p",
        "call p()",
    ] {
        assert!(rows(text), "{text}");
    }
    for text in [
        "insert into t values (1)",
        "select 1 into t",
        "move 1 in c",
        "copy t from '/x'",
        "begin",
        "create table t ()",
    ] {
        assert!(nothing(text), "{text}");
    }
    assert_eq!(one("copy t from stdin").shape.copy, Some(CopyDirection::In));
    assert_eq!(one("copy t to stdout").shape.copy, Some(CopyDirection::Out));
}

#[test]
fn settings_are_named_whatever_their_spelling() {
    let setting = |text: &str| {
        let found = one(text).settings;
        assert_eq!(found.len(), 1, "{text}");
        let change = &found[0];
        (
            change.name.clone().unwrap_or_default(),
            change.value.clone().unwrap_or_default(),
            change.scope,
        )
    };
    let change = |name: &str, value: &str, scope| (name.to_owned(), value.to_owned(), scope);
    for (text, expected) in [
        ("set role evil", change("role", "evil", Scope::Session)),
        ("set local \"Role\" = evil", change("role", "evil", Scope::Local)),
        (
            "set session authorization evil",
            change("session_authorization", "evil", Scope::Session),
        ),
        (
            "set session authorization default",
            change("session_authorization", "", Scope::Reset),
        ),
        ("reset role", change("role", "", Scope::Reset)),
        ("set role none", change("role", "none", Scope::Session)),
        (
            "set names 'SJIS'",
            change("client_encoding", "SJIS", Scope::Session),
        ),
        ("set schema 'evil'", change("search_path", "evil", Scope::Session)),
        (
            "set search_path = a, b",
            change("search_path", "a, b", Scope::Session),
        ),
        ("set time zone 'UTC'", change("timezone", "UTC", Scope::Session)),
        (
            "SET STANDARD_CONFORMING_STRINGS TO OFF",
            change("standard_conforming_strings", "off", Scope::Session),
        ),
        (
            "set extra_float_digits = 3",
            change("extra_float_digits", "3", Scope::Session),
        ),
        ("set a.b from current", change("a.b", "", Scope::Session)),
        (
            "select set_config('Role', 'evil', true)",
            change("role", "evil", Scope::Local),
        ),
        (
            "select pg_catalog.set_config('role', 'evil', 'f')",
            change("role", "evil", Scope::Session),
        ),
        (
            "select set_config('role'::text, $1, false)",
            change("role", "", Scope::Session),
        ),
        (
            "select set_config('ro' || 'le', 'evil', true)",
            change("", "evil", Scope::Local),
        ),
        (
            "alter role r set standard_conforming_strings = off",
            change("standard_conforming_strings", "off", Scope::Session),
        ),
        (
            "create function f() returns int language sql set role = evil as 'select 1'",
            change("role", "evil", Scope::Session),
        ),
    ] {
        assert_eq!(setting(text), expected, "{text}");
    }
    assert!(one("reset all").settings.is_empty());
    assert!(one("set transaction read only").settings.is_empty());
}

#[test]
fn syntax_errors_are_postgresqls_own() {
    for (text, message, position) in [
        ("selec 1", "syntax error at or near \"selec\"", Some(1)),
        ("select 1; foo bar", "syntax error at or near \"foo\"", Some(11)),
        ("select a a a", "syntax error at or near \"a\"", Some(12)),
        (
            "select 'é', from from t",
            "syntax error at or near \"from\"",
            Some(13),
        ),
        ("select (1", "syntax error at end of input", Some(10)),
        (
            "select 'abc",
            "unterminated quoted string at or near \"'abc\"",
            Some(8),
        ),
        (
            "select 1 /* x",
            "unterminated /* comment at or near \"/* x\"",
            Some(10),
        ),
        ("select $1 $2", "syntax error at or near \"$2\"", Some(11)),
    ] {
        let found = error(text);
        assert_eq!(
            (found.message.as_str(), found.position),
            (message, position),
            "{text}"
        );
        assert_eq!(found.code.as_str(), "42601", "{text}");
    }
    assert_eq!(error("create assertion a check (true)").code.as_str(), "0A000");
}

#[test]
fn depth_bombs_are_refused() {
    let n = 100_000;
    let repeat = |text: &str| text.repeat(n);
    for bomb in [
        format!("select {}1{}", repeat("("), repeat(")")),
        format!("select {}1{}", repeat("(select "), repeat(")")),
        format!("select array{}1{}", repeat("["), repeat("]")),
        format!("select {} true", repeat("not ")),
        format!("select {} 1", repeat("- ")),
        format!("select 1{}", repeat("+1")),
        format!("select 1{}", repeat("::int")),
        format!("select 1{}", " is null".repeat(10_000)),
        format!("select 1{}", " union select 1".repeat(60_000)),
        format!("select 1 from a{}", " cross join b".repeat(50_000)),
        format!(
            "select {}1{}",
            "case when true then ".repeat(40_000),
            " end".repeat(40_000)
        ),
        "create function f() returns int begin atomic ".repeat(20_000),
        format!("select {}", "a(".repeat(n)),
    ] {
        let found = error(&bomb);
        assert!(found.message.len() < 200, "{}", &found.message[..200]);
        assert!(
            ["54001", "42601"].contains(&found.code.as_str()),
            "{}: {}",
            &bomb[..40],
            found.code
        );
    }
    // Parentheses in strings and comments are no nesting.
    assert_eq!(
        one(&format!("select '{}' /* {} */", repeat("("), repeat("["))).kind,
        StatementKind::Select
    );
    // Wide is not deep.
    let wide = format!("select 1 where 1 in ({}1)", "1,".repeat(400_000));
    assert!(wide.len() < SqlLimits::default().max_bytes);
    assert_eq!(one(&wide).kind, StatementKind::Select);
    let ands = format!("select 1 where a = 1{}", " and a = 1".repeat(10_000));
    assert_eq!(one(&ands).kind, StatementKind::Select);
    let ors = format!("select 1 where a = 1{}", " or a = 1".repeat(10_000));
    assert_eq!(one(&ors).kind, StatementKind::Select);
}

#[test]
fn ordinary_depth_is_served() {
    for text in [
        format!("select 1{}", "+1".repeat(40)),
        format!("select a{}", "||','||a".repeat(20)),
        format!("select {}1{}", "(".repeat(150), ")".repeat(150)),
        format!("select 1{}", " union all select 1".repeat(80)),
        format!("select {}1{}", "(select ".repeat(10), ")".repeat(10)),
        format!("select 1 from a{}", " join b using (c)".repeat(30)),
    ] {
        assert_eq!(one(&text).kind, StatementKind::Select, "{}", &text[..40]);
    }
}

#[test]
fn size_is_bounded() {
    let limits = SqlLimits {
        max_bytes: 20,
        max_nesting: 3,
        max_statements: 2,
    };
    let code = |text: &str| analyse(text, &limits).unwrap_err().code;
    assert_eq!(code("select 'aaaaaaaaaaaaaa'").as_str(), "54000");
    assert_eq!(code("select ((((1))))").as_str(), "54001");
    assert_eq!(code("begin;begin;begin").as_str(), "54000");
    assert!(analyse("begin;;;;;;begin;", &limits).is_ok());
    assert!(analyse("select '((((((('", &limits).is_ok());
}

#[test]
fn new_syntax_is_understood_and_newer_is_refused() {
    one("merge into t using u on true when not matched by source then delete returning merge_action(), t.*");
    one("select * from json_table('[]', '$[*]' columns (a int path '$.a'))");
    one("update t set a = 1 returning old.a, new.a");
    assert_eq!(
        error("select from graph_table (g match (a)) where").code.as_str(),
        "42601"
    );
}

proptest! {
    #[test]
    fn any_text_is_analysed_or_refused(text in "\\PC{0,80}") {
        let _ = analyse(&text.replace('\0', ""), &SqlLimits::default());
    }

    #[test]
    fn any_mix_of_tokens_is_analysed_or_refused(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "select", "from", "t", "(", ")", ",", "with", "as", "insert into", "values", "1", "'x'", "union", ";",
            "delete", "where", "=", "$1", "returning", "*", "create table", "case", "end", "[", "]", "E'\\'", "--", "/*",
        ]), 0..40)
    ) {
        let _ = analyse(&tokens.join(" "), &SqlLimits::default());
    }

    #[test]
    fn a_position_is_inside_the_text(text in "[a-z '(),;]{0,40}") {
        if let Err(error) = analyse(&text, &SqlLimits::default())
            && let Some(position) = error.position
        {
            prop_assert!(position >= 1);
            prop_assert!(position as usize <= text.chars().count() + 1);
        }
    }
}
