//! Mistakes in a policy directory: file, line, and what would be right.

use super::{database, load};
use crate::Policy;

const YAML: &str = "\
version: 1
roles:
  analyst: {mode: enforce, database_role: analyst, search_path: shop, access: cedar}
  app: {mode: enforce, database_role: app}
";

/// One mistake each: the rules, and what must be said.
#[test]
fn a_mistake_in_the_rules_is_told_with_its_line() {
    for (cedar, line, said) in [
        (
            "permit (principal, action, resource)",
            None,
            "unexpected end of input",
        ),
        (
            "\npermit (principal, action == Action::\"read\", resource);",
            Some(2),
            "Action::\"read\"",
        ),
        (
            "permit (principal in Role::\"nobody\", action, resource);",
            Some(1),
            "no role `nobody`",
        ),
        (
            "permit (principal in Role::\"app\", action, resource);",
            Some(1),
            "`access: cedar`",
        ),
        (
            "permit (\n  principal in Role::\"analyst\",\n  action == Action::\"select\",\n  resource in Table::\"shop.ordrs\"\n);",
            Some(4),
            "no table `shop.ordrs`",
        ),
        (
            "permit (principal, action == Action::\"select\", resource == Column::\"shop.orders.totl\");",
            Some(1),
            "no column",
        ),
        (
            "permit (principal, action == Action::\"call\", resource == Function::\"shop.prise\");",
            Some(1),
            "no function",
        ),
        (
            "permit (principal, action == Action::\"select\", resource in Schema::\"shp\");",
            Some(1),
            "no schema",
        ),
        (
            "permit (principal, action == Action::\"select\", resource in Table::\"orders\");",
            Some(1),
            "schema.table",
        ),
        (
            "permit (principal, action == Action::\"ddl\", resource == Database::\"shop\");",
            Some(1),
            "this",
        ),
        (
            "permit (principal, action == Action::\"set\", resource == Setting::\"Work_Mem\");",
            Some(1),
            "lower case",
        ),
        (
            "permit (principal, action == Action::\"delete\", resource == Column::\"shop.orders.total\");",
            Some(1),
            "",
        ),
        (
            "permit (principal, action == Action::\"select\", resource) when { resource.secret };",
            Some(1),
            "secret",
        ),
        (
            "permit (principal == ?principal, action, resource);",
            None,
            "templates",
        ),
    ] {
        let mistakes = load(YAML, cedar).expect_err(cedar);
        let found = mistakes.iter().find(|mistake| {
            mistake.file.as_deref() == Some("access.cedar")
                && mistake.message.contains(said)
                && (line.is_none() || mistake.line == line)
        });
        assert!(found.is_some(), "{cedar}: {mistakes:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let yaml = "\
version: 1
tenants: {column: tenant_id, tables: [shop.orders, shop.nothing, shop.countries, wrong]}
roles:
  a: {mode: open, database_role: a, named: true}
  b: {mode: enforce, database_role: pg_x, access: cedar, statements: [select]}
  c: {mode: enforce, database_role: c, functions: ['f(x)']}
";
    let mistakes = load(yaml, "permit (principal, action, resource);").unwrap_err();
    let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    for expected in [
        "policy.yaml:2:",
        "policy.yaml:4:",
        "policy.yaml:5:",
        "policy.yaml:6:",
        "shop.nothing",
        "no column `tenant_id`",
        "SCHEMA.TABLE",
        "search_path",
        "mode: open",
        "belongs to PostgreSQL",
        "without arguments",
    ] {
        assert!(
            text.iter().any(|line| line.contains(expected)),
            "{expected}: {text:#?}"
        );
    }
}

#[test]
fn files_that_are_needed_are_missed() {
    let missing = |files: &[(&str, &str)]| -> Vec<String> {
        let mistakes = Policy::load(files).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect()
    };
    assert!(missing(&[("access.cedar", "")])[0].contains("catalog.json"));
    let found = missing(&[("policy.yaml", YAML)]);
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("access.cedar: it is missing")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("catalog.json: it is missing")),
        "{found:?}"
    );
    let where_needed = "version: 1\nroles: {a: {mode: enforce, database_role: a, search_path: s, schemas: [s], require_where: true}}\n";
    assert!(missing(&[("policy.yaml", where_needed)])[0].starts_with("catalog.json"));
    let tenancy = "version: 1\nroles: {a: {mode: enforce, database_role: a, tenancy: prove}}\n";
    assert!(missing(&[("policy.yaml", tenancy)])[0].contains("tenants"));
    assert!(missing(&[("policy.yaml", "a: \u{fffd}"), ("catalog.json", "{}")]).len() >= 2);
}

#[test]
fn the_hash_is_over_all_files_of_the_policy_and_no_others() {
    let yaml = "version: 1\nroles: {a: {mode: open, database_role: a}}\n";
    let hash = |files: &[(&str, &str)]| Policy::load(files).unwrap().hash();
    let json = database::json();
    let alone = hash(&[("policy.yaml", yaml)]);
    assert_eq!(
        alone,
        hash(&[("policy.yaml", yaml), ("notes.txt", "x"), ("tests/a.yaml", "x")])
    );
    assert_eq!(alone, Policy::parse(yaml).unwrap().hash());
    let with_catalog = hash(&[("policy.yaml", yaml), ("catalog.json", &json)]);
    assert_ne!(alone, with_catalog);
    assert_eq!(
        with_catalog,
        hash(&[("catalog.json", &json), ("policy.yaml", yaml)])
    );
    assert_ne!(alone, hash(&[("policy.yaml", &format!("{yaml} "))]));
    assert_eq!(format!("{alone}").len(), 64);
    assert!(format!("{alone}").starts_with(&format!("{:016x}", alone.short())));
}
