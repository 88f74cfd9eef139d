//! How fast verdicts are. Run with `cargo test --release -p postern-query-validator speed -- --ignored --nocapture`.

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
        roles,
        rights,
        who: Who {
            user: "ann",
            tenant: None,
        },
        reference: 0,
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
    let policy = Policy::parse(POLICY).unwrap();
    let roles = ["app".to_owned()];
    let rights = policy.rights(&roles).unwrap();
    let mut verdicts = Verdicts::new(SqlLimits::default());
    let text = "select o.id, c.name from orders o join customers c on c.id = o.customer where o.id = $1";
    for (what, rounds, fresh) in [("seen", 5_000_000u32, false), ("new", 100_000, true)] {
        let start = Instant::now();
        for n in 0..rounds {
            if fresh {
                black_box(verdicts.judge(&asker(&roles, &rights), &format!("{text} and {n} = {n}")));
            } else {
                black_box(verdicts.judge(&asker(&roles, &rights), black_box(text)));
            }
        }
        let rate = f64::from(rounds) / start.elapsed().as_secs_f64();
        println!("{what}: {rate:.0} verdicts/s");
    }
}
