//! The cases of `tests/attacks`: ways round a gate, numbers 12 to 39 of the project's list, as data.
//!
//! Each case is first shown to work straight against the database; then the same bytes go through a ring, and the effect must not
//! happen there. `tests/attacks/README.md` describes the files. There is one test for each policy, with one
//! ring for all its cases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

mod client;
mod effect;
mod format;
mod judge;
mod scene;
mod snapshot;

use std::collections::BTreeMap;

macro_rules! policies {
    ($($name:ident),* $(,)?) => {
        /// Every policy that has a test.
        const POLICIES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[tokio::test]
            async fn $name() {
                judge::every_case_of(stringify!($name)).await;
            }
        )*
    };
}

policies![app, analyst, tenants, named, answers];

/// A file whose policy no test runs would be dead letters.
#[test]
fn every_file_belongs_to_a_policy_that_is_run() {
    for file in format::files() {
        assert!(
            POLICIES.contains(&file.policy.as_str()),
            "{}: no test runs policy `{}`",
            file.name,
            file.policy
        );
    }
    for name in format::policy_names() {
        assert!(POLICIES.contains(&name.as_str()), "no test runs policy `{name}`");
    }
}

#[test]
fn every_heading_has_cases() {
    let mut count: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for case in format::files().iter().flat_map(format::File::cases) {
        let (all, pending) = count.entry(case.heading).or_default();
        *all += 1;
        *pending += usize::from(case.pending.is_some());
    }
    println!("heading  cases  pending");
    for (heading, (all, pending)) in &count {
        println!("{heading:7}  {all:5}  {pending:7}");
    }
    let total: usize = count.values().map(|(all, _)| all).sum();
    println!("  total  {total:5}");
    for heading in 12..=39 {
        assert!(count.contains_key(&heading), "heading {heading} has no case");
    }
    assert!(total >= 150, "only {total} cases");
}
