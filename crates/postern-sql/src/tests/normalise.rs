//! Statements without their literals.

use crate::{Normalised, SqlLimits, normalise};
use proptest::prelude::*;

fn one(text: &str) -> Normalised {
    let mut found = normalise(text, &SqlLimits::default()).unwrap();
    assert_eq!(found.len(), 1, "{text}");
    found.remove(0)
}

#[test]
fn literals_become_slots_after_the_parameters() {
    for (text, expected) in [
        ("select * from t where a = 1", "select * from t where a = $1"),
        (
            "SELECT a\n FROM t -- secret\n WHERE b='x' AND c=$2",
            "SELECT a FROM t WHERE b=$3 AND c=$2",
        ),
        ("select 1 from t limit 5", "select 1 from t limit $1"),
        ("select 'x', -5, 7.5", "select $1, -5, $2"),
        ("select a from t where b = -5", "select a from t where b = $1"),
        (
            "select a from t where b in (1,2)",
            "select a from t where b in ($1,$2)",
        ),
        (
            "insert into t values (1, 'a'), (2, null)",
            "insert into t values ($1, $2), ($3, null)",
        ),
        (
            "select a from t where d > date '2020-01-01'",
            "select a from t where d > $1::date",
        ),
        (
            "select a from t where d > now() - interval '1' day",
            "select a from t where d > now() - $1::interval day",
        ),
        (
            "select a::varchar(10) from t where b = '1'::int",
            "select a::varchar(10) from t where b = $1::int",
        ),
        (
            "select a, count(*) from t group by 1 order by 2",
            "select a, count(*) from t group by 1 order by 2",
        ),
        (
            "update t set a = 'x''y', b = true where c = E'\\n'",
            "update t set a = $1, b = true where c = $2",
        ),
        ("select /* card 4111 */ a from t;", "select a from t"),
        ("begin", "begin"),
        (
            "select a from t where b like 'x%' and c between 1 and 2",
            "select a from t where b like $1 and c between $2 and $3",
        ),
    ] {
        let Normalised {
            text: found,
            complete,
        } = one(text);
        assert_eq!((found.as_str(), complete), (expected, true), "{text}");
    }
}

#[test]
fn what_can_not_be_a_parameter_is_hidden() {
    for (text, expected) in [
        ("set application_name = 'secret'", "set application_name = ?"),
        ("alter role x password 'secret'", "alter role x password ?"),
        ("do $$ begin raise notice 'secret'; end $$", "do ?"),
        ("copy t from '/etc/passwd'", "copy t from ?"),
        ("notify c, 'secret'", "notify c, ?"),
    ] {
        let Normalised {
            text: found,
            complete,
        } = one(text);
        assert_eq!((found.as_str(), complete), (expected, false), "{text}");
    }
}

#[test]
fn statements_are_told_apart() {
    let found = normalise("begin; select 'a'; ; commit", &SqlLimits::default()).unwrap();
    let texts: Vec<_> = found.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(texts, ["begin", "select $1", "commit"]);
}

#[test]
fn long_texts_give_nothing_and_wrong_ones_an_error() {
    let long = format!("select '{}'", "secret".repeat(10_000));
    assert_eq!(normalise(&long, &SqlLimits::default()), Ok(Vec::new()));
    assert!(normalise("selec 1", &SqlLimits::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_string_comes_through(
        (before, after) in prop::sample::select(vec![
            ("select * from t where a = ", ""),
            ("select ", ", b from t order by 1"),
            ("insert into t (a) values (", ") on conflict do nothing"),
            ("update t set a = coalesce(", ", b) where c is not null"),
            ("set work_mem = ", ""),
            ("select date ", ""),
            ("explain select ", ""),
            ("declare c cursor for select ", ""),
            ("comment on table t is ", ""),
            ("select a from json_table('[]'::jsonb, ", " columns (a int path '$')) j"),
            ("select xmlparse(document ", ")"),
        ]),
        secret in "[a-z]{0,4}SECRET[a-z' ]{0,4}",
        comment in any::<bool>(),
    ) {
        let literal = format!("'{}'", secret.replace('\'', "''"));
        let comment = if comment { "/* SECRET */" } else { "" };
        let text = format!("{before}{literal}{comment}{after}");
        for found in normalise(&text, &SqlLimits::default()).unwrap_or_default() {
            prop_assert!(!found.text.contains("SECRET"), "{}", found.text);
        }
    }
}
