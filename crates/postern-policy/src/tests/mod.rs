//! What a policy lets through, statement by statement.

mod documents;

use super::*;
use postern_sql::SqlLimits;
use postern_types::{ErrorDetail, Refusal};

const POLICY: &str = "\
version: 1
limits: {max_rows: 1000}
roles:
  app:
    mode: enforce
    database_role: app
    search_path: shop
    statements: [select, insert, update, delete, transaction]
    schemas: [shop]
    functions: [shop.total, shop.city]
    limits: {max_bytes: 5000, statement_timeout_ms: 2000}
  reader:
    mode: enforce
    database_role: reader
    search_path: shop, extra
    statements: [select, show, set, explain, cursor, copy_out, call, merge, copy_in, lock, truncate, listen, notify]
    schemas: [shop, extra, other]
    functions: [shop.p]
    catalog: read
    errors: code-only
  bare:
    mode: enforce
    database_role: bare
    statements: [select]
    schemas: [shop]
  owner:
    mode: open
    database_role: owner
    limits: {max_statement_bytes: 10}
";

fn policy() -> Policy {
    Policy::parse(POLICY).unwrap()
}

fn judge(roles: &[&str], text: &str) -> Result<(), Refusal> {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let policy = policy();
    let rights = policy.rights(&roles).unwrap();
    let analysis =
        postern_sql::analyse(text, &SqlLimits::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    analysis
        .statements
        .iter()
        .try_for_each(|statement| rights.judge(statement))
}

#[track_caller]
fn allowed(role: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(judge(&[role], text), Ok(()), "{role}: {text}");
    }
}

#[track_caller]
fn refused(role: &str, texts: &[&str]) {
    for text in texts {
        let refusal = judge(&[role], text).expect_err(text);
        assert_eq!(refusal.code.as_str(), "42501", "{role}: {text}");
        assert!(
            !refusal.fatal && refusal.message.starts_with("permission denied"),
            "{text}: {refusal}"
        );
    }
}

#[test]
fn a_role_held_to_a_list_does_what_is_listed() {
    allowed(
        "app",
        &[
            "select * from customers",
            "select * from shop.customers c join orders o on o.customer = c.id",
            "insert into orders values (1) returning id",
            "insert into orders select * from orders",
            "update customers set name = lower(name)",
            "delete from shop.orders",
            "with x as (delete from orders returning *) select count(*) from x",
            "begin; savepoint a; rollback to a; commit",
            "set transaction isolation level serializable",
            "select now(), version(), current_schema(), pg_typeof(1)",
            "select shop.total(1), total(2), (address).city",
            "select nextval('orders_id_seq'), currval('shop.orders_id_seq'::regclass)",
            "select currval(pg_get_serial_sequence('orders', 'id')), lastval()",
            "select 'orders'::regclass, current_setting('timezone')",
            "select g, g.g, v.key, u.a from generate_series(1, 2) g, json_each('{}') v, unnest(array[1]) u(a)",
            "select to_tsvector('english'::regconfig, 'a'), upper('a'), sum(1), 1 + 1, gen_random_uuid()",
            "select 'x'::shop.colour, 1::pg_catalog.int4",
            "select pg_advisory_xact_lock(1)",
            "select * from generate_series(1, 3)",
            "values (1)",
            "table orders",
            "select 1",
        ],
    );
}

#[test]
fn kinds_that_are_not_listed_are_refused_wherever_they_stand() {
    refused(
        "app",
        &[
            "create table t (a int)",
            "drop table orders",
            "select 1 into t",
            "create table t as select 1",
            "truncate orders",
            "merge into orders using customers on true when matched then delete",
            "explain select 1",
            "explain analyze delete from orders",
            "copy orders from stdin",
            "copy orders to stdout",
            "copy (select 1) to stdout",
            "prepare p as select 1",
            "execute p",
            "declare c cursor for select 1",
            "fetch 1 from c",
            "do 'begin end'",
            "call p()",
            "set application_name = 'x'",
            "show all",
            "listen c",
            "notify c",
            "lock orders",
            "vacuum",
            "load 'x'",
            "grant all on orders to public",
            "create function f() returns int language sql as 'select 1'",
            "create trigger t before insert on orders execute function f()",
            "create rule r as on insert to orders do nothing",
            "create view v as select 1",
            "create operator + (function = f)",
            "create cast (int as text) without function",
            "create domain d as int",
            "alter role app set search_path = evil",
            "prepare transaction 'x'",
            "commit prepared 'x'",
            "commit; drop table orders",
        ],
    );
    refused(
        "bare",
        &[
            "with x as (delete from shop.t returning 1) select 1",
            "begin",
            "select 1 for update; begin",
        ],
    );
    // EXPLAIN, COPY and cursors need what they run listed as well.
    allowed(
        "reader",
        &[
            "explain select 1",
            "copy (select 1) to stdout",
            "declare c cursor for select 1",
        ],
    );
    refused(
        "reader",
        &[
            "explain analyze delete from t",
            "copy (delete from t returning 1) to stdout",
        ],
    );
    refused(
        "reader",
        &[
            "copy t to '/tmp/x'",
            "copy t to program 'sh'",
            "copy t from '/etc/passwd'",
        ],
    );
    refused("reader", &["prepare p as select 1", "execute p"]);
}

#[test]
fn tables_outside_the_listed_schemas_are_refused() {
    refused(
        "app",
        &[
            "select * from secret.t",
            "select * from public.t",
            "select (select 1 from secret.t)",
            "with x as (delete from secret.t returning 1) select 1",
            "insert into orders select * from secret.t",
            "update orders set a = (select 1 from secret.t)",
            "select * from otherdb.shop.orders",
            "select * from pg_temp.orders",
            "select * from \"SHOP\".orders",
            "with t as (select 1) select * from secret.t",
            "select * from (with t as (select 1) select 1) x, secret.t",
        ],
    );
    // Without a search_path nobody knows what an unqualified name means.
    refused("bare", &["select * from t"]);
    allowed(
        "bare",
        &["select * from shop.t", "with t as (select 1) select * from t"],
    );
    allowed("reader", &["select * from a, shop.b, extra.c, other.d"]);
}

#[test]
fn the_catalogue_is_closed_unless_it_is_opened_for_reading() {
    refused(
        "app",
        &[
            "select * from pg_class",
            "select * from pg_catalog.pg_class",
            "select * from information_schema.tables",
            "select * from pg_stat_activity",
            "select pg_get_viewdef(1)",
        ],
    );
    allowed(
        "reader",
        &[
            "select * from pg_class",
            "select * from pg_catalog.pg_attribute",
            "select * from information_schema.tables",
            "select pg_get_expr(null, 1), pg_catalog.pg_table_is_visible(1)",
            "select 'a'::information_schema.sql_identifier",
            // What psql asks for \\d of a table with rules, statistics and publications.
            "select pg_get_ruledef(1, true), pg_get_statisticsobjdef_columns(1), pg_relation_is_publishable('x')",
        ],
    );
    refused(
        "reader",
        &[
            "select * from pg_authid",
            "select * from pg_catalog.pg_shadow",
            "select * from pg_stats",
            "select * from pg_stat_activity",
            "select * from pg_largeobject",
            "truncate pg_class",
            "lock pg_class",
            "copy pg_class from stdin",
            "copy pg_authid to stdout",
        ],
    );
}

#[test]
fn functions_that_nothing_is_known_of_are_refused_however_they_are_called() {
    refused(
        "app",
        &[
            "select shop.run('x')",
            "select run('x')",
            "call shop.wipe()",
            "select ('x'::text).run",
            "select f.run from lower('x') f",
            "select lower.run from lower('x')",
            "select (select f.run) from rows from (lower('x')) f",
            "select u.run from unnest(array['x']) u",
            "select brin_summarize_range('orders', 1)",
            "select regclassin('orders')",
        ],
    );
}

#[test]
fn what_a_text_names_is_judged_as_what_it_names() {
    refused(
        "app",
        &[
            "select nextval('secret.numbers')",
            "select nextval('secret.numbers'::regclass)",
            "select nextval($1)",
            "select nextval('16384')",
            "select nextval(('shop' || '.a')::regclass)",
            "select ('secret.numbers'::regclass).nextval",
            "select currval('secret.numbers')",
            "select currval(pg_get_serial_sequence('secret.t', 'id'))",
            "select setval('orders_id_seq', 1)",
            "select 'secret.t'::regclass",
            "select regclass 'secret.t'",
            "select cast('secret.t' as pg_catalog.regclass)",
            "select '{secret.t}'::regclass[]",
            "select 16384::regclass",
            "select $1::regclass",
            "select regclass('secret.t')",
            "select * from json_to_record('{}') as t(a regclass)",
            "select to_regclass('secret.t')",
            "select 'now'::regproc, 'x'::regtype, 'x'::regrole",
            "select has_table_privilege('a', 'secret.t', 'select')",
            "select col_description(1, 1)",
            "select current_setting('data_directory')",
            "select current_setting($1)",
        ],
    );
    // Who may only read moves no sequence on.
    refused("bare", &["select nextval('shop.orders_id_seq')"]);
    allowed(
        "reader",
        &[
            "select to_regclass('secret.t'), 16384::regclass, 'secret.t'::regtype",
            "select has_table_privilege('a', 'secret.t', 'select')",
            "select (information_schema._pg_expandarray(indkey)).n from pg_index",
        ],
    );
}

#[test]
fn dangerous_functions_are_refused() {
    refused(
        "app",
        &[
            "select pg_read_file('/etc/passwd')",
            "select pg_catalog.pg_read_binary_file('x')",
            "select \"pg_read_file\"('x')",
            "select ('x'::text).pg_read_file",
            "select * from pg_ls_dir('.')",
            "select pg_stat_file('x')",
            "select lo_import('x'), lo_export(1, 'x')",
            "select loread(1, 2)",
            "select * from dblink('x', 'select 1') as t(a int)",
            "select query_to_xml('select 1', true, true, '')",
            "select table_to_xml('secret.t', true, true, '')",
            "select database_to_xml(true, true, '')",
            "select * from ts_stat('select 1')",
            "select set_config('application_name', 'x', true)",
            "select pg_terminate_backend(1)",
            "select pg_cancel_backend(1)",
            "select pg_reload_conf()",
            "select pg_logical_slot_get_changes('x', null, null)",
            "select pg_switch_wal()",
            "select pg_notify('c', 'x')",
            "select pg_stat_get_activity(null)",
            "select pg_something_new()",
            "select secret.f()",
            "select pg_temp.f()",
            "select 1 operator(secret.+) 1",
            "select 1::secret.t",
            "insert into orders values (pg_read_file('x'))",
            "select 1 order by pg_read_file('x')",
            "select * from orders tablesample secret.m (1)",
        ],
    );
    refused(
        "reader",
        &[
            "call secret.p()",
            "call pg_read_file('x')",
            "explain select pg_read_file('x')",
        ],
    );
    allowed(
        "reader",
        &["call p()", "call shop.p()", "select current_setting('timezone')"],
    );
}

#[test]
fn harmless_settings_may_be_changed_and_shown_where_listed() {
    allowed(
        "reader",
        &[
            "set application_name = 'x'",
            "set local timezone = 'UTC'",
            "set time zone 'UTC'",
            "set DateStyle = ISO",
            "set extra_float_digits = 3",
            "set statement_timeout = 0",
            "reset statement_timeout",
            "set client_encoding = 'utf-8'",
            "set names 'UTF8'",
            "set standard_conforming_strings = on",
            "show timezone",
            "show transaction isolation level",
            "show server_version",
            "select set_config('TimeZone', $1, false)",
            "select pg_catalog.set_config('application_name', 'x', true)",
        ],
    );
    refused(
        "reader",
        &[
            "set search_path = evil",
            "set schema 'evil'",
            "set work_mem = '1TB'",
            "set session_replication_role = replica",
            "set row_security = off",
            "set session characteristics as transaction read write",
            "set a.b = 1",
            "reset search_path",
            "show all",
            "show hba_file",
            "show ssl_key_file",
            "select set_config('work_mem', '1TB', true)",
            "select set_config('search_path', 'evil', true)",
            "select set_config($1, 'x', true)",
            "select set_config(name, 'view, foreign-table', false) from shop.t",
            "set timezone from current; set work_mem from current",
        ],
    );
}

#[test]
fn nobody_changes_how_texts_are_read_or_who_one_is() {
    for role in ["app", "reader", "owner"] {
        refused(
            role,
            &[
                "set standard_conforming_strings = off",
                "set standard_conforming_strings = 'of'",
                "set \"Standard_Conforming_Strings\" = 0",
                "set local standard_conforming_strings from current",
                "set backslash_quote = on",
                "set client_encoding = 'SJIS'",
                "set names 'GBK'",
                "set client_encoding = SQL_ASCII",
                "select set_config('standard_conforming_strings', 'off', false)",
                "select set_config('client_encoding', $1, false)",
                "select set_config('standard_' || 'conforming_strings', 'off', false)",
                "select set_config($1, $2, true)",
                "set role postgres",
                "set local role postgres",
                "set role none",
                "reset role",
                "set session authorization postgres",
                "set session authorization default",
                "reset session authorization",
                "select set_config('role', 'postgres', true)",
                "set postern.tenant = 'other'",
                "set local \"Postern\".tenant = 'other'",
                "reset postern.tenant",
                "select set_config('postern.tenant', 'other', true)",
                "update pg_settings set setting = 'off' where name = 'standard_conforming_strings'",
                "with x as (update pg_catalog.pg_settings set setting = $1 returning 1) select 1",
                "alter role owner set standard_conforming_strings = off",
                "alter database d set client_encoding = 'SJIS'",
                "create function f() returns int language sql set role = postgres as 'select 1'",
            ],
        );
    }
}

#[test]
fn an_open_role_does_the_rest() {
    allowed(
        "owner",
        &[
            "create table t (a int)",
            "drop schema s cascade",
            "set search_path = a, b",
            "set work_mem = '1MB'",
            "reset all",
            "discard all",
            "do 'begin end'",
            "select * from pg_authid",
            "select pg_read_file('x')",
            "copy t to '/tmp/x'",
            "prepare p as select 1",
            "execute p",
            "reset standard_conforming_strings",
            "select pg_catalog.set_config('search_path', '', false)",
            // As pg_dump does it.
            "select set_config(name, 'view, foreign-table', false) from pg_settings where name = 'x'",
        ],
    );
}

#[test]
fn letting_go_needs_no_word() {
    allowed(
        "app",
        &[
            "deallocate all",
            "deallocate x",
            "close all",
            "unlisten *",
            "reset all",
            "discard all",
        ],
    );
    allowed("app", &["select pg_advisory_unlock_all()"]);
    refused("app", &["discard temp", "discard plans"]);
}

#[test]
fn each_role_allows_what_it_allows_and_the_first_lends_its_name() {
    assert!(judge(&["bare", "owner"], "create table t (a int)").is_ok());
    assert!(judge(&["app", "reader"], "explain select * from other.t").is_ok());
    // No single one of them allows all of it.
    assert!(judge(&["app", "reader"], "insert into orders select * from other.t").is_err());
    // What nobody may do no role lends.
    assert!(judge(&["app", "owner"], "set role postgres").is_err());
    let policy = policy();
    let roles = ["reader".to_owned(), "owner".to_owned()];
    let rights = policy.rights(&roles).unwrap();
    assert_eq!((rights.database_role(), rights.is_open()), ("reader", true));
    assert_eq!(rights.search_path(), ["shop", "extra"]);
    assert_eq!(rights.error_detail(), ErrorDetail::CodeOnly);
    assert!(policy.rights(&["app".to_owned(), "typo".to_owned()]).is_none());
    assert!(policy.rights(&[]).is_none());
}
