//! Who may do what to which object.

use super::{allowed, judge, policy, refused};
use crate::ACCESS_SCHEMA;

const YAML: &str = "\
version: 1
roles:
  analyst: {mode: enforce, database_role: analyst, search_path: shop, access: cedar, functions: [random]}
  reader: {mode: enforce, database_role: analyst, search_path: shop, access: cedar, catalog: read}
  strict: {mode: enforce, database_role: analyst, search_path: shop, access: cedar, require_where: true, require_parameters: true, max_joins: 1}
  only_named: {mode: enforce, database_role: app, search_path: shop, named: true, statements: [select, transaction]}
  lists: {mode: enforce, database_role: app, search_path: shop, statements: [select], schemas: [shop], functions: [pg_read_file]}
";

const CEDAR: &str = r#"
@id("orders")
permit (principal in Role::"analyst", action in [Action::"select", Action::"update"], resource in Table::"shop.orders");
permit (principal in Role::"analyst", action == Action::"select", resource == Column::"shop.customers.name");
permit (principal in Role::"analyst", action == Action::"select", resource in Schema::"pg_catalog");
permit (principal in Role::"analyst", action == Action::"select", resource == Table::"shop.pay");
permit (principal in Role::"analyst", action == Action::"select", resource == Table::"shop.events");
permit (principal in Role::"analyst", action == Action::"call", resource in Schema::"shop");
permit (principal in Role::"analyst", action == Action::"call", resource == Function::"shop.bump");
permit (principal in Role::"analyst", action == Action::"explain", resource);
permit (principal in Role::"analyst", action in [Action::"listen", Action::"notify"], resource == Channel::"news");
permit (principal in Role::"analyst", action == Action::"set", resource);
permit (principal in Role::"analyst", action == Action::"set", resource == Setting::"work_mem");
permit (principal in Role::"analyst", action == Action::"copy", resource in Table::"shop.orders");
forbid (principal, action, resource == Column::"shop.orders.note");

permit (principal in Role::"strict", action == Action::"select", resource in Schema::"shop");
"#;

/// The rule's line in the file above.
const NOTE: &str = "access.cedar:15";

#[test]
fn what_a_rule_permits_may_be_done() {
    let policy = policy(YAML, CEDAR);
    allowed(
        &policy,
        &["analyst"],
        &[
            "select id, total from orders",
            "select o.total from shop.orders as o where o.id = 1",
            "select count(*) from orders",
            "with o as (select total from orders) select * from o",
            "update orders set total = 1 where id = 2",
            "select name from customers",
            "select relname from pg_class",
            "select at from events",
            "select lower(name) from customers",
            "select shop.price(id) from orders",
            "select shop.bump(id) from orders",
            "select random()",
            "explain select id from orders",
            "listen news",
            "notify news, 'x'",
            "set statement_timeout = 5",
            "set work_mem = '1MB'",
            "show timezone",
            "begin",
            "rollback",
            "declare c cursor for select id from orders",
            "fetch c",
            "copy orders (id, total) to stdout",
            "discard all",
        ],
    );
}

#[test]
fn what_no_rule_permits_may_not() {
    let policy = policy(YAML, CEDAR);
    refused(
        &policy,
        &["analyst"],
        &[
            ("select card from customers", "no rule"),
            ("select * from customers", "no rule"),
            ("select name from customers where card = 'x'", "no rule"),
            ("select name from customers order by card", "no rule"),
            ("select c from customers c", "no rule"),
            ("select ctid from customers", "no rule"),
            ("select count(*) from customers", "no rule"),
            ("select note from orders", NOTE),
            ("select * from orders", NOTE),
            ("update orders set note = 'x' where id = 1", NOTE),
            (
                "select o.total from orders o where exists (select 1 from hidden.salaries)",
                "no rule",
            ),
            ("delete from orders", "no rule"),
            ("insert into orders (id) values (1)", "no rule"),
            (
                "with d as (delete from orders returning id) select * from d",
                "no rule",
            ),
            ("truncate orders", "no rule"),
            ("lock table orders", "no rule"),
            ("select total from orders for update", "no rule"),
            ("select code from countries", "no rule"),
            ("create table shop.x (a int8)", "no rule"),
            ("drop table orders", "no rule"),
            ("copy countries to stdout", "no rule"),
            ("listen other", "no rule"),
            ("notify other", "no rule"),
            ("show data_directory", "no rule"),
        ],
    );
}

#[test]
fn functions_that_are_not_harmless_are_called_by_name_only() {
    let policy = policy(YAML, CEDAR);
    refused(
        &policy,
        &["analyst"],
        &[
            ("select shop.as_owner(1)", "no rule names this very function"),
            (
                "select shop.crosstab('select 1')",
                "no rule names this very function",
            ),
            ("select current_setting('x')", "no rule"),
            ("select query_to_xml('select 1', true, true, '')", "no rule"),
            ("select table_to_xml('pg_authid', true, true, '')", "no rule"),
            ("select pg_read_file('/etc/passwd')", "no rule"),
            ("call shop.close_day()", "no rule names this very function"),
        ],
    );
    // A role without rules may call what is harmless, and no more.
    allowed(&policy, &["reader"], &["select lower('A')"]);
    refused(
        &policy,
        &["reader"],
        &[
            ("select random()", "no rule"),
            ("select shop.price(1)", "no rule"),
        ],
    );
}

#[test]
fn some_kinds_are_never_allowed() {
    let all = r#"permit (principal in Role::"analyst", action, resource);"#;
    let policy = policy(YAML, all);
    refused(
        &policy,
        &["analyst"],
        &[
            ("do $$ begin end $$", "DO is never"),
            ("prepare p as select 1", "PREPARE and EXECUTE"),
            ("execute p", "PREPARE and EXECUTE"),
            ("copy orders to '/tmp/x'", "COPY with a file"),
            ("copy orders from program 'id'", "COPY with a file"),
            ("prepare transaction 'x'", "two-phase"),
            ("load 'x'", "LOAD"),
            ("vacuum orders", "maintenance"),
            ("discard temp", "DISCARD"),
            ("set role postgres", "what nobody may change"),
            ("set session authorization postgres", "what nobody may change"),
            (
                "select set_config('role', 'postgres', false)",
                "what nobody may change",
            ),
            ("set search_path = hidden", "names would mean"),
            ("set row_security = off", "no rule names this very setting"),
            (
                "select set_config('session_replication_role', 'replica', false)",
                "no rule names this very setting",
            ),
            (
                "select rolpassword from pg_authid",
                "no rule names this very table",
            ),
        ],
    );
}

#[test]
fn what_is_behind_a_view_counts_unless_a_rule_opens_it() {
    let behind = ("select amount from pay", "no rule");
    refused(&policy(YAML, CEDAR), &["analyst"], &[behind]);
    let opened = CEDAR.replace(
        r#"permit (principal in Role::"analyst", action == Action::"select", resource == Table::"shop.pay");"#,
        r#"@opens("view") permit (principal in Role::"analyst", action == Action::"select", resource == Table::"shop.pay");"#,
    );
    allowed(&policy(YAML, &opened), &["analyst"], &["select amount from pay"]);
    // Only the very view: a rule for its schema does not open it.
    let schema = opened.replace("resource == Table::\"shop.pay\"", "resource in Schema::\"shop\"");
    refused(&policy(YAML, &schema), &["analyst"], &[behind]);
}

#[test]
fn a_rule_for_a_table_is_one_for_what_inherits_from_it() {
    let policy = policy(YAML, CEDAR);
    allowed(&policy, &["analyst"], &["select what from events"]);
    refused(
        &policy,
        &["analyst"],
        &[("select what from hidden.events_old", "no rule")],
    );
}

#[test]
fn reading_the_catalogue_does_not_reach_secrets() {
    let policy = policy(YAML, CEDAR);
    allowed(&policy, &["reader"], &["select relname from pg_class"]);
    refused(
        &policy,
        &["reader"],
        &[
            ("select rolname from pg_authid", "no rule"),
            ("select id from orders", "no rule"),
        ],
    );
    refused(
        &policy,
        &["strict"],
        &[("select relname from pg_class where relname = $1", "no rule")],
    );
}

#[test]
fn constraints_of_a_role_hold_besides_its_rules() {
    let policy = policy(YAML, CEDAR);
    allowed(
        &policy,
        &["strict"],
        &[
            "select o.id from orders o join customers c on o.id = c.id where o.id = $1",
            "select id from (select id from orders where id = $1) o",
        ],
    );
    refused(
        &policy,
        &["strict"],
        &[
            ("select id from orders", "require_where"),
            (
                "select (select id from orders) from orders where id = $1",
                "require_where",
            ),
            (
                "select id from orders where id = $1 union select id from orders",
                "require_where",
            ),
            (
                "with o as (select id from orders) select id from o where id = $1",
                "require_where",
            ),
            ("select id from orders where id = 1", "require_parameters"),
            (
                "select o.id from orders o, customers c, countries t where o.id = $1 and c.id = $1 and t.code = $2",
                "max_joins",
            ),
        ],
    );
    // Without WHERE a whole table would be changed.
    refused(&policy, &["analyst"], &[("delete from orders", "no rule")]);
}

#[test]
fn a_role_of_named_statements_runs_nothing_else_that_touches_rows() {
    let policy = policy(YAML, CEDAR);
    allowed(&policy, &["only_named"], &["begin", "commit"]);
    refused(
        &policy,
        &["only_named"],
        &[
            ("select code from countries", "lists of role only_named"),
            ("explain select 1", "lists of role"),
        ],
    );
}

#[test]
fn a_function_can_be_allowed_to_a_role_with_lists() {
    let policy = policy(YAML, CEDAR);
    allowed(&policy, &["lists"], &["select pg_read_file('x')"]);
    refused(
        &policy,
        &["lists"],
        &[(
            "select query_to_xml('select 1', true, true, '')",
            "lists of role lists",
        )],
    );
}

#[test]
fn what_can_not_be_resolved_is_refused_as_postgresql_would() {
    let policy = policy(YAML, CEDAR);
    for (text, code) in [
        ("select 1 from nothing", "42P01"),
        ("select nothing from orders", "42703"),
    ] {
        let denial = judge(&policy, &["analyst"], text).outcome.unwrap_err();
        assert_eq!(denial.refusal.code.as_str(), code, "{text}");
    }
}

#[test]
fn the_client_is_told_neither_rule_nor_object() {
    let policy = policy(YAML, CEDAR);
    let denial = judge(&policy, &["analyst"], "select card from customers")
        .outcome
        .unwrap_err();
    assert_eq!(denial.refusal.code.as_str(), "42501");
    let told = &denial.refusal.message;
    assert_eq!(
        told,
        "permission denied: the policy does not allow this statement"
    );
    // Where the operator wants it so, the client is told both.
    let detailed = denial.detailed().message;
    assert!(
        detailed.contains("no rule permits it") && detailed.contains("shop.customers.card"),
        "{detailed}"
    );
}

#[test]
fn users_and_tenants_can_be_told_apart() {
    let of_ann =
        r#"permit (principal == User::"ann", action == Action::"select", resource in Schema::"shop");"#;
    let of_eight =
        r#"permit (principal in Tenant::"8", action == Action::"select", resource in Schema::"shop");"#;
    let roles = ["analyst".to_owned()];
    let ann = policy(YAML, of_ann);
    allowed(&ann, &["analyst"], &["select code from countries"]);
    assert!(ann.rights(&roles).unwrap().is_personal());
    // The user of these tests is of tenant 7.
    let eight = policy(YAML, of_eight);
    refused(&eight, &["analyst"], &[("select code from countries", "no rule")]);
    assert!(eight.rights(&roles).unwrap().is_personal());
    assert!(!policy(YAML, CEDAR).rights(&roles).unwrap().is_personal());
}

#[test]
fn the_schema_is_one_that_operators_can_use() {
    assert!(cedar_policy::Schema::from_cedarschema_str(ACCESS_SCHEMA).is_ok());
}

#[test]
fn a_condition_takes_a_column_out_of_what_its_table_grants() {
    for grant in [
        r#"resource in Table::"shop.orders") unless { resource == Column::"shop.orders.note" };"#,
        r#"resource in Table::"shop.orders") when { resource != Column::"shop.orders.note" };"#,
        r#"resource in Schema::"shop") unless { resource == Column::"shop.orders.note" };"#,
    ] {
        let rules = format!("permit (principal in Role::\"analyst\", action == Action::\"select\", {grant}");
        let policy = policy(YAML, &rules);
        allowed(&policy, &["analyst"], &["select id, total from orders"]);
        refused(
            &policy,
            &["analyst"],
            &[
                ("select note from orders", "no rule permits it"),
                ("select * from orders", "no rule permits it"),
                ("select id from orders where note = 'x'", "no rule permits it"),
                ("select o from orders o", "no rule permits it"),
            ],
        );
    }
    // Named with `==` and a condition, a table gives itself and no column.
    let rules = r#"permit (principal in Role::"analyst", action == Action::"select", resource == Table::"shop.pay")
                   when { principal in Role::"analyst" };"#;
    refused(
        &policy(YAML, rules),
        &["analyst"],
        &[("select * from pay", "no rule permits it")],
    );
}

#[test]
fn every_column_there_is_today_is_not_every_column_there_will_be() {
    let one_by_one = r#"
permit (principal in Role::"analyst", action == Action::"select", resource == Column::"shop.countries.code");
permit (principal in Role::"analyst", action == Action::"select", resource == Column::"shop.countries.name");
permit (principal in Role::"analyst", action == Action::"copy", resource);
"#;
    let columns = policy(YAML, one_by_one);
    allowed(
        &columns,
        &["analyst"],
        &[
            "select code, name from countries",
            "select count(*), code from countries group by code",
            "select x.* from (select code, name from countries) x",
            "select x from (select code from countries) x",
            "with c as (select code, name from countries) select * from c",
            "select (row(code, name)) from countries",
            "select a.code from countries a join countries b using (code)",
            "copy countries (code, name) to stdout",
        ],
    );
    let whole = [
        "select * from countries",
        "table countries",
        "select c.* from countries c",
        "select c from countries c",
        "select (c).* from countries c",
        "select c::text from countries as c (x, y)",
        "select 1 from countries c where c is null",
        "select j.* from (countries a cross join countries b) j",
        "select j from (countries a join countries b using (code)) j",
        "select * from countries a join countries b using (code)",
        "select code from (select * from countries) x",
        "select code from countries a natural join countries b",
        "select code from countries where exists (select * from countries)",
        "select code from countries union select x.name from (table countries) x",
        "copy countries to stdout",
        "copy (select * from countries) to stdout",
    ];
    refused(&columns, &["analyst"], &whole.map(|text| (text, "no rule")));

    let table = |resource: &str| {
        let rule = format!(
            r#"permit (principal in Role::"analyst", action in [Action::"select", Action::"copy"], {resource});"#
        );
        policy(YAML, &rule)
    };
    for resource in [
        r#"resource in Table::"shop.countries""#,
        r#"resource == Table::"shop.countries""#,
        r#"resource in Schema::"shop""#,
    ] {
        // COPY of a query is about the database.
        let whole: Vec<&str> = whole
            .into_iter()
            .filter(|text| !text.starts_with("copy ("))
            .collect();
        allowed(&table(resource), &["analyst"], &whole);
    }
}
