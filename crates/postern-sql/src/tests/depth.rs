//! Deep texts, at the bounds and far above them, and what they may never do: overflow the stack.

use super::{error, one};
use crate::depth::Depth;
use crate::{SqlLimits, StatementKind, analyse, deep, parse};
use pg_query::protobuf::Token;

/// Every way there is to put something on top of something else, `n` times.
fn towers(n: usize) -> Vec<String> {
    let around = |open: &str, middle: &str, close: &str| [&open.repeat(n), middle, &close.repeat(n)].concat();
    vec![
        format!("select 1{}", "+1".repeat(n)),
        format!("select a{}", "||','".repeat(n)),
        format!("select a{}", "->'b'".repeat(n)),
        format!("select 1{}", " operator(pg_catalog.+) 1".repeat(n)),
        format!("select {}true", "not ".repeat(n)),
        format!("select {}a", "- ".repeat(n)),
        format!("select {}a", "@ ".repeat(n)),
        format!("select 1{}", "::int".repeat(n)),
        format!("select a{}", " collate \"C\"".repeat(n)),
        format!("select a{}", " at time zone 'utc'".repeat(n)),
        format!("select 1{}", " union select 1".repeat(n)),
        format!("select 1{}", " union all select 1, 2".repeat(n)),
        format!("select 1{}", " except select 1".repeat(n)),
        format!("select 1 from a{}", " cross join b".repeat(n)),
        format!("select 1 from a{}", " left join b on a.x = b.x".repeat(n)),
        format!("select 1 from a{}{}", " join b".repeat(n), " on true".repeat(n)),
        around("select (", "1", ")"),
        format!("select {}", around("(", "1", ")")),
        format!("select {}", around("(select ", "1", ")")),
        format!("select {}", around("exists (select ", "1", ")")),
        format!("select {}", around("f(", "1", ")")),
        format!("select {}", around("a[", "1", "]")),
        format!("select array{}", around("[", "1", "]")),
        format!("select {}", around("row(1,", "1", ")")),
        format!("select {}", around("1 + (", "1", ") + 1")),
        format!("select {}", around("a and (b or (", "c", "))")),
        format!("select {}", around("1 in (", "1", ")")),
        format!("select {}", around("coalesce(", "1", ")")),
        format!("select {}", around("cast(", "1", " as int)")),
        format!("select {}", around("case when ", "true", " then 1 end")),
        format!("select {}", around("case when true then 1 else ", "1", " end")),
        format!("select * from {}", around("(select * from ", "a", ") x")),
        format!("select * from {}", around("(", "a cross join b", ")")),
        format!(
            "{}select 1",
            "with a as (".repeat(n) + "select 1" + &") select 1".repeat(n - 1) + ") "
        ),
        around("(", "select 1", ")"),
        around("select 1 union (", "select 1", ")"),
        format!("select grouping sets {}", around("(", "a", ")")),
        format!("select from t group by {}", around("grouping sets (", "a", ")")),
        format!(
            "select * from json_table(a, '$' columns ({}))",
            around("nested '$' columns (", "b int path '$'", ")")
        ),
        format!("select xmlelement(name a, {})", around("xmlconcat(", "b", ")")),
        around(
            "create function f() returns int begin atomic ",
            "select 1",
            "; end",
        ),
        format!("explain {}", around("(", "select 1", ")")),
        format!("prepare p as {}", around("(", "select 1", ")")),
        format!("create view v as {}", around("(", "select 1", ")")),
        format!("copy ({}) to stdout", around("(", "select 1", ")")),
        format!("create table t (a int default {})", around("(", "1", ")")),
        format!("insert into t values ({})", around("(", "1", ")")),
        format!("update t set a = {}", around("(", "1", ")")),
        around("begin;", "", ""),
    ]
}

fn start(text: &str) -> String {
    text.chars().take(60).collect()
}

#[test]
fn no_text_overflows_the_stack() {
    for n in [50, 99, 100, 199, 500, 1000, 5_000, 30_000] {
        for text in towers(n) {
            if let Err(error) = analyse(&text, &SqlLimits::default()) {
                let code = error.code.as_str().to_owned();
                assert!(
                    ["54001", "54000", "42601"].contains(&code.as_str()),
                    "{n} {}: {code}",
                    start(&text)
                );
            }
        }
    }
}

#[test]
fn the_stack_of_the_worker_suffices_for_all_that_the_parser_hands_out() {
    // Past the guard, straight to the parser.
    for n in [1000, 2000, 2600, 3300, 4900, 9000] {
        for text in towers(n) {
            let name = start(&text);
            let outcome = deep::run(move || {
                parse(
                    &text,
                    &SqlLimits {
                        max_statements: 1_000_000,
                        ..SqlLimits::default()
                    },
                )
            });
            if let Err((error, _)) = outcome {
                assert!(
                    ["54001", "42601"].contains(&error.code.as_str()),
                    "{n} {name}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_megabyte_of_stack_suffices_for_plain_texts() {
    std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(|| {
            for n in [20, 33, 49, 50, 90, 98, 99, 100] {
                for text in towers(n) {
                    if crate::guard::is_plain(&text, &SqlLimits::default()) {
                        let _ = parse(&text, &SqlLimits::default());
                    }
                }
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn what_applications_send_is_served() {
    for text in [
        format!("select 1{}", "+1".repeat(1000)),
        format!("select a{}", "||','||a".repeat(500)),
        format!(
            "select 1 from a{}",
            " left join b on a.x = b.x and a.y = b.y".repeat(500)
        ),
        format!(
            "select 1{}",
            " union all select a, b from c where d = 1".repeat(800)
        ),
        format!("select {}1{}", "(select ".repeat(150), ")".repeat(150)),
        format!("select {}1{}", "(".repeat(200), ")".repeat(200)),
        format!("select case {} end", "when a = 1 then b + 1 ".repeat(1500)),
        format!("select 1 where {} false", "(a = 1 and b = 2) or ".repeat(1200)),
        format!("update t set a = case {} end", "when id = 1 then 2 ".repeat(2000)),
    ] {
        let kind = one(&text).kind;
        assert!(
            matches!(kind, StatementKind::Select | StatementKind::Update),
            "{}",
            start(&text)
        );
    }
    let script = "insert into t select a from b join c using (d) where e = 1 + 1;".repeat(700);
    assert_eq!(super::all(&script).len(), 700);
}

#[test]
fn what_is_above_a_bound_is_refused_as_too_complex() {
    for text in [
        format!("select 1{}", "+1".repeat(1001)),
        format!("select 1 from a{}", " cross join b".repeat(1001)),
        format!("select 1{}", " union select 1".repeat(1001)),
        format!("select {}1{}", "(".repeat(201), ")".repeat(201)),
        format!(
            "select {}1{}",
            "case when ".repeat(201),
            " then 1 end".repeat(201)
        ),
        format!("select a{}", ",a".repeat(30_000)),
    ] {
        let found = error(&text);
        assert_eq!(found.code.as_str(), "54001", "{}", start(&text));
        assert!(found.message.starts_with("statement too complex"));
    }
}

#[test]
fn the_depth_is_that_of_the_deepest_place() {
    let depth = |text: &str| {
        let mut depth = Depth::new(&SqlLimits::default());
        for token in crate::lexer::tokens(text).unwrap() {
            depth.token(Token::try_from(token.token).unwrap()).unwrap();
        }
        depth.finish().unwrap()
    };
    for (text, wanted) in [
        ("select 1", 1),
        ("select 1 + 1 + 1", 3),
        ("select (1 + 1) + 1 + 1", 5),
        ("select 1 + 1, 1 + 1, 1 + 1", 2),
        ("select a = 1 and b = 1 or c = 1", 2),
        ("select 1, 2 union select 3, 4 union select 5, 6", 3),
        ("select 1 from a join b on c = d join e on f = g", 4),
        ("select 1 + 1; select 1; select 1 + 1 + 1; select 1", 3),
        ("select case when case a when 1 then 2 end then 3 end", 3),
        ("select '((((', 1 -- ((((", 1),
    ] {
        assert_eq!(depth(text), wanted, "{text}");
    }
}

#[test]
fn a_message_does_not_repeat_a_long_text() {
    let found = error(&format!("select '{}", "é".repeat(100_000)));
    assert!(
        found
            .message
            .starts_with("unterminated quoted string at or near \"'é")
    );
    assert!(found.message.len() < 1100);
    assert_eq!(found.position, Some(8));
}
