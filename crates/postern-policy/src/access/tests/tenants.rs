//! Whether a statement keeps to the rows of one tenant.

use super::{judge, load, policy, refused};
use crate::{Policy, Source, Tenancy, TenantType};

const CEDAR: &str = r#"permit (principal in Role::"app", action, resource);"#;

fn tenants(tenancy: &str) -> Policy {
    let yaml = format!(
        "version: 1\ntenants: {{column: tenant_id}}\nroles:\n  app: {{mode: enforce, database_role: app, search_path: shop, access: cedar, tenancy: {tenancy}}}\n"
    );
    policy(&yaml, CEDAR)
}

/// What is demanded of the values of a statement that is let through.
#[track_caller]
fn demands(policy: &Policy, text: &str) -> Vec<Source> {
    let judged = judge(policy, &["app"], text);
    let demands = judged
        .outcome
        .unwrap_or_else(|denial| panic!("{text}: {denial:?}"));
    assert!(demands.iter().all(|demand| demand.kind == TenantType::Integer));
    demands.into_iter().map(|demand| demand.source).collect()
}

#[test]
fn every_table_of_tenants_must_be_bound_to_the_tenant() {
    let policy = tenants("prove");
    let parameter = || vec![Source::Parameter(1)];
    for text in [
        "select total from orders where tenant_id = $1",
        "select total from orders where id = $2 and $1 = tenant_id",
        "with o as (select total from orders where tenant_id = $1) select * from o",
        "select total from orders o join customers c on c.tenant_id = o.tenant_id where o.tenant_id = $1",
        "select (select name from customers where tenant_id = $1) from countries",
        "select total from orders where tenant_id = $1 union select id from customers where tenant_id = $1",
        "update orders set total = 1 where tenant_id = $1",
        "delete from orders where tenant_id = $1 and id = $2",
        "insert into orders (id, tenant_id) values ($2, $1), ($3, $1)",
        "insert into orders (id, tenant_id) select id, tenant_id from customers where tenant_id = $1",
    ] {
        assert_eq!(demands(&policy, text), parameter(), "{text}");
    }
    let literal = Source::Literal("7".to_owned());
    assert_eq!(
        demands(&policy, "select total from orders where tenant_id = 7"),
        [literal]
    );
    assert_eq!(demands(&policy, "select code from countries"), []);
    assert_eq!(demands(&policy, "begin"), []);
}

#[test]
fn what_could_reach_another_tenant_is_refused() {
    let rule = "tenancy: not shown";
    let texts = [
        "select total from orders",
        "select total from orders where tenant_id = $1 or true",
        "select total from orders where tenant_id in ($1, $2)",
        "select total from orders where tenant_id <> $1",
        "select total from orders where not tenant_id = $1",
        "select total from orders where tenant_id is null",
        "select total from orders where tenant_id = id",
        "select total from orders where id = $1",
        "select o.total from orders o join customers c on c.id = o.id where o.tenant_id = $1",
        "select o.total from orders o left join customers c on c.tenant_id = $1 where o.id = $2",
        "select name from customers where tenant_id = $1 and exists (select 1 from orders)",
        "select total from orders where tenant_id = $1 union select id from customers",
        "with o as (select total from orders) select * from o",
        "update orders set total = 1",
        "update orders set tenant_id = id where tenant_id = $1",
        "update orders set tenant_id = null where tenant_id = $1",
        "delete from orders where id = $1",
        "delete from orders using customers c where orders.tenant_id = $1",
        "insert into orders (id) values (1)",
        "insert into orders (id, tenant_id) values (1, null)",
        "insert into orders (id, tenant_id) values (1, $1), (2, default)",
        "insert into orders (id, tenant_id) select id, id from customers where tenant_id = $1",
        "truncate orders",
        "copy orders to stdout",
        "copy (select total from orders) to stdout",
        "explain analyze delete from orders",
        "select total from orders where tenant_id = (select 1)",
    ];
    let policy = tenants("prove");
    for text in texts {
        refused(&policy, &["app"], &[(text, rule)]);
    }
}

#[test]
fn row_level_security_must_be_on() {
    let policy = tenants("rls");
    refused(
        &policy,
        &["app"],
        &[(
            "select total from orders",
            "tenancy: row-level security is not on",
        )],
    );
    assert_eq!(demands(&policy, "select id from guarded"), []);
    refused(
        &policy,
        &["app"],
        &[("truncate guarded", "tenancy: row-level security does not hold")],
    );
    let both = tenants("both");
    refused(
        &both,
        &["app"],
        &[
            ("select id from guarded", "tenancy: not shown"),
            (
                "select total from orders where tenant_id = $1",
                "tenancy: row-level security is not on",
            ),
        ],
    );
    assert_eq!(
        demands(&both, "select id from guarded where tenant_id = $1"),
        [Source::Parameter(1)]
    );
}

#[test]
fn a_role_that_says_nothing_has_to_prove_it() {
    let yaml = "version: 1\ntenants: {column: tenant_id}\nroles:\n  app: {mode: enforce, database_role: app, search_path: shop, access: cedar}\n";
    refused(
        &policy(yaml, CEDAR),
        &["app"],
        &[("select total from orders", "tenancy")],
    );
    assert_eq!(demands(&tenants("none"), "select total from orders"), []);
}

#[test]
fn listed_tables_are_the_only_ones() {
    let yaml = "version: 1\ntenants: {column: tenant_id, tables: [shop.orders]}\nroles:\n  app: {mode: enforce, database_role: app, search_path: shop, access: cedar}\n";
    let policy = policy(yaml, CEDAR);
    refused(&policy, &["app"], &[("select total from orders", "tenancy")]);
    assert_eq!(demands(&policy, "select name from customers"), []);
}

#[test]
fn the_database_is_told_the_tenant_and_no_session_changes_it() {
    let policy = tenants("both");
    let rights = policy.rights(&["app".to_owned()]).unwrap();
    assert_eq!(rights.tenancy(), Tenancy::Both);
    let pair = |value: &str| Some(("app.tenant_id".to_owned(), value.to_owned()));
    assert_eq!(rights.tenant_setting(Some("7")), pair("7"));
    assert_eq!(rights.tenant_setting(None), pair(""));
    for text in [
        "set app.tenant_id = '8'",
        "reset app.tenant_id",
        "select set_config('app.tenant_id', '8', true)",
    ] {
        refused(&policy, &["app"], &[(text, "what nobody may change")]);
    }
    // Temporary tables come last, or a name would mean another table than was judged.
    let settings = rights.session_settings(&[]).unwrap();
    assert!(settings.contains(&("search_path".to_owned(), "shop, pg_temp".to_owned())));
    let none = tenants("none");
    assert_eq!(
        none.rights(&["app".to_owned()])
            .unwrap()
            .tenant_setting(Some("7")),
        None
    );
}

#[test]
fn a_column_that_can_not_be_compared_is_a_mistake() {
    let yaml = "version: 1\ntenants: {column: nothing}\nroles:\n  app: {mode: open, database_role: app}\n";
    let mistakes = load(yaml, "").unwrap_err();
    assert!(
        mistakes
            .iter()
            .any(|m| m.message.contains("no table with a column `nothing`")),
        "{mistakes:?}"
    );
}
