//! How fast verdicts are. Run with `cargo test --release -p postern-query-validator speed -- --ignored --nocapture`.

use super::policies::CATALOG;
use crate::exchange::Asker;
use crate::verdicts::Verdicts;
use postern_policy::{Policy, Rights, Who};
use postern_sql::SqlLimits;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const POLICY: &str = "
version: 1
roles: {app: {mode: enforce, database_role: app, search_path: shop, statements: [select], schemas: [shop]}}
";

fn asker<'a>(roles: &'a [String], rights: &'a Rights<'a>) -> Asker<'a> {
    Asker {
        too_fast: None,
        roles,
        rights,
        who: Who {
            user: "ann",
            tenant: None,
        },
        reference: 0,
        record_key: None,
    }
}

#[test]
fn a_text_seen_before_is_not_judged_again() {
    let policy = Policy::parse(POLICY).unwrap();
    let roles = ["app".to_owned()];
    let rights = policy.rights(&roles).unwrap();
    let mut verdicts = Verdicts::new(SqlLimits::default());
    let first = verdicts.judge(&asker(&roles, &rights), "select 1");
    assert!(Arc::ptr_eq(
        &first,
        &verdicts.judge(&asker(&roles, &rights), "select 1")
    ));
    assert!(!Arc::ptr_eq(
        &first,
        &verdicts.judge(&asker(&roles, &rights), "select 2")
    ));
    // Texts of more bytes than are kept push the first one out.
    for n in 0..1200 {
        verdicts.judge(
            &asker(&roles, &rights),
            &format!("select '{n}{}'", "x".repeat(16_000)),
        );
    }
    assert!(!Arc::ptr_eq(
        &first,
        &verdicts.judge(&asker(&roles, &rights), "select 1")
    ));
}

#[test]
fn a_long_text_and_a_refused_one_are_not_judged_again_either() {
    let policy = Policy::parse(POLICY).unwrap();
    let roles = ["app".to_owned()];
    let rights = policy.rights(&roles).unwrap();
    let mut verdicts = Verdicts::new(SqlLimits::default());
    for text in [
        format!("select '{}'", "x".repeat(500_000)),
        format!("select {}", "(".repeat(500_000)),
        "select from where".to_owned(),
    ] {
        let first = verdicts.judge(&asker(&roles, &rights), &text);
        assert!(Arc::ptr_eq(
            &first,
            &verdicts.judge(&asker(&roles, &rights), &text)
        ));
        assert!(!Arc::ptr_eq(
            &first,
            &verdicts.judge(&asker(&roles, &rights), &format!("{text} "))
        ));
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn verdicts_per_second() {
    let cedar =
        r#"permit (principal in Role::"app", action == Action::"select", resource in Schema::"shop");"#;
    let by_rules = POLICY.replace("statements: [select], schemas: [shop]", "access: cedar");
    let by_tenant = format!("{POLICY}tenants: {{column: tenant_id}}\n");
    let with_catalog = |yaml: &str, more: &[(&str, &str)]| {
        let mut files = vec![("policy.yaml", yaml), ("catalog.json", CATALOG)];
        files.extend_from_slice(more);
        Policy::load(&files).unwrap()
    };
    for (by, policy) in [
        ("lists of names", Policy::parse(POLICY).unwrap()),
        (
            "rules in Cedar",
            with_catalog(&by_rules, &[("access.cedar", cedar)]),
        ),
        ("lists and tenants", with_catalog(&by_tenant, &[])),
    ] {
        let text = "select o.id, p.id from orders o join orders p on p.id = o.id and p.tenant_id = 'acme' \
                    where o.id = $1 and o.tenant_id = 'acme'";
        per_second(by, &policy, text);
    }
}

fn per_second(by: &str, policy: &Policy, text: &str) {
    let roles = ["app".to_owned()];
    let rights = policy.rights(&roles).unwrap();
    let mut asker = asker(&roles, &rights);
    asker.who.tenant = Some("acme");
    let mut verdicts = Verdicts::new(SqlLimits::default());
    assert!(
        verdicts.judge(&asker, text).outcome.is_ok(),
        "{by}: {:?}",
        verdicts.judge(&asker, text).outcome
    );
    for (what, rounds, fresh) in [("seen", 5_000_000u32, false), ("new", 50_000, true)] {
        let start = Instant::now();
        for n in 0..rounds {
            if fresh {
                black_box(verdicts.judge(&asker, &format!("{text} and o.id = '{n}'")));
            } else {
                black_box(verdicts.judge(&asker, black_box(text)));
            }
        }
        let rate = f64::from(rounds) / start.elapsed().as_secs_f64();
        println!("{by}, {what}: {rate:.0} verdicts/s");
    }
}
