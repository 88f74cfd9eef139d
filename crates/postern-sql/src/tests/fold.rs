//! Cutting lists short changes no fact.

use super::one;
use crate::{SqlLimits, fold, parse};
use proptest::prelude::*;

fn folded(text: &str) -> Option<fold::Folded> {
    fold::fold(text, &crate::lexer::tokens(text).unwrap())
}

#[test]
fn bulk_statements_are_cut_short() {
    let parameters: String = (1..=65_535).map(|n| format!("${n},")).collect();
    let rows: String = (1..=65_534).map(|n| format!("(${n}), ")).collect();
    let cast: String = (1..=16_000)
        .map(|n| format!("(${n}::varchar, ${n}::int4),\n"))
        .collect();
    for text in [
        format!("select 1 from t where a in ({parameters}1)"),
        format!("select 1 from t where a = any (array[{parameters}1])"),
        format!("insert into t values ({parameters}1)"),
        format!("insert into t values {rows}(1) on conflict do nothing returning a"),
        format!("insert into t (a, b) values {cast}(1, 2)"),
        format!(
            "insert into t values {}(1, 'x')",
            "(-1, 'it''s'), (null, E'\\n'), (default, $a$b$a$),".repeat(10_000)
        ),
    ] {
        let short = folded(&text).unwrap();
        assert!(
            short.tokens < 200,
            "{}: {}",
            short.tokens,
            short.text.chars().take(300).collect::<String>()
        );
        assert_eq!(crate::lexer::tokens(&short.text).unwrap().len(), short.tokens);
        assert_eq!(one(&text), one(&short.text));
    }
}

#[test]
fn what_says_something_stays() {
    let names: String = (0..500).map(|n| format!("a{n}(),")).collect();
    let types: String = (0..500).map(|n| format!("1::t{n},")).collect();
    let rows: String = (0..500).map(|n| format!("(1, 2::t{n}),")).collect();
    for text in [
        format!("select f({names}1)"),
        format!("select f({types}1)"),
        format!("insert into t values {rows}(1, 2)"),
        format!("select {}1", "set_config('a', 'b', false), ".repeat(200)),
        format!(
            "create table t as select 1 where a in ({}'pg_temp')",
            "'a',".repeat(500)
        ),
    ] {
        assert_eq!(
            folded(&text),
            None,
            "{}",
            text.chars().take(60).collect::<String>()
        );
    }
}

#[test]
fn an_error_is_where_it_is_in_the_whole_text() {
    let list = "1, ".repeat(400);
    let text = format!("select a from t where a in ({list}1) and b in ({list}2) frum c");
    let found = super::error(&text);
    assert_eq!(found.message, "syntax error at or near \"frum\"");
    assert_eq!(
        found.position,
        Some(u32::try_from(text.find("frum").unwrap() + 1).unwrap())
    );
    let text = format!("select a from t where a in ({list}1");
    assert_eq!(
        super::error(&text).position,
        Some(u32::try_from(text.len() + 1).unwrap())
    );
}

fn piece() -> impl Strategy<Value = String> {
    let constant = prop::sample::select(vec![
        "1",
        "2.5",
        "'x'",
        "$1",
        "null",
        "true",
        "default",
        "-1",
        "- 2",
        "$1::int",
        "'a'::text",
        "now()",
        "a",
        "f(1)",
        "(select b from s.c)",
        "$2::s.t",
        "1+1",
        "/* c */ 1",
        "set_config('a','b',true)",
        "'x'::name::text",
        "array[1,2]",
    ]);
    (constant, 1usize..30).prop_map(|(constant, n)| vec![constant; n].join(", "))
}

fn list() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 1..4).prop_map(|pieces| pieces.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_short_text_says_what_the_long_one_says(
        lists in prop::collection::vec((list(), 1usize..40), 1..4),
        form in 0usize..6,
    ) {
        let rows = lists
            .iter()
            .map(|(list, n)| vec![format!("({list})"); *n].join(", "))
            .collect::<Vec<_>>()
            .join(" , ");
        let all = lists.iter().map(|(list, _)| list.as_str()).collect::<Vec<_>>().join(",");
        let bulk = "1, ".repeat(300);
        let text = match form {
            0 => format!("insert into t values {rows} returning g({bulk}1)"),
            1 => format!("select x from u where a in ({all}) or b in ({bulk}1)"),
            2 => format!("select h({all}), array[{bulk}1], array[[{all}], [{all}]]"),
            3 => format!("values {rows}; delete from d where a in ({bulk}1)"),
            4 => format!("select {rows} from v where a in ({bulk}1)"),
            _ => format!("with c as (values {rows}) select from c, r where a in ({bulk}1)"),
        };
        let limits = SqlLimits::default();
        let whole = parse(&text, &limits).map_err(|(error, _)| error.message);
        if let Some(short) = folded(&text) {
            prop_assert_eq!(short.tokens, crate::lexer::tokens(&short.text).unwrap().len());
            prop_assert_eq!(&whole, &parse(&short.text, &limits).map_err(|(error, _)| error.message));
        }
    }

    #[test]
    fn any_tokens_fold_without_harm(
        tokens in prop::collection::vec(prop::sample::select(vec!["(", ")", "[", "]", ",", "1", "a", "::", "int", "-", "'x'", "(1,2),"]), 0..900)
    ) {
        let text = tokens.join(" ");
        if let Some(short) = folded(&text) {
            prop_assert!(short.text.len() < text.len());
            prop_assert_eq!(short.original(short.text.len()), text.len());
        }
    }
}
