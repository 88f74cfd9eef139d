use super::one;
use crate::Scope;
use postern_types::ring::{Deallocate, Effects};
use postern_types::{CopyDirection, StatementShape};

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
