use super::{error, one};
use crate::{SqlLimits, StatementKind, analyse};

#[test]
fn depth_bombs_are_refused() {
    let n = 100_000;
    let repeat = |text: &str| text.repeat(n);
    for bomb in [
        format!("select {}1{}", repeat("("), repeat(")")),
        format!("select {}1{}", repeat("(select "), repeat(")")),
        format!("select array{}1{}", repeat("["), repeat("]")),
        format!("select {} true", repeat("not ")),
        format!("select {} 1", repeat("- ")),
        format!("select 1{}", repeat("+1")),
        format!("select 1{}", repeat("::int")),
        format!("select 1{}", " is null".repeat(4_000)),
        format!("select 1{}", " union select 1".repeat(60_000)),
        format!("select 1 from a{}", " cross join b".repeat(50_000)),
        format!(
            "select {}1{}",
            "case when true then ".repeat(40_000),
            " end".repeat(40_000)
        ),
        "create function f() returns int begin atomic ".repeat(20_000),
        format!("select {}", "a(".repeat(n)),
    ] {
        let found = error(&bomb);
        assert!(found.message.len() < 200);
        assert!(
            ["54001", "42601"].contains(&found.code.as_str()),
            "{}: {}",
            bomb.chars().take(40).collect::<String>(),
            found.code
        );
    }
    // Parentheses in strings and comments are no nesting.
    assert_eq!(
        one(&format!("select '{}' /* {} */", repeat("("), repeat("["))).kind,
        StatementKind::Select
    );
    // Wide is not deep.
    let wide = format!("select 1 where 1 in ({}1)", "1,".repeat(400_000));
    assert!(wide.len() < SqlLimits::default().max_bytes);
    assert_eq!(one(&wide).kind, StatementKind::Select);
    let ands = format!("select 1 where a = 1{}", " and a = 1".repeat(3_000));
    assert_eq!(one(&ands).kind, StatementKind::Select);
    let ors = format!("select 1 where a = 1{}", " or a = 1".repeat(3_000));
    assert_eq!(one(&ors).kind, StatementKind::Select);
}

#[test]
fn ordinary_depth_is_served() {
    for text in [
        format!("select 1{}", "+1".repeat(40)),
        format!("select a{}", "||','||a".repeat(20)),
        format!("select {}1{}", "(".repeat(150), ")".repeat(150)),
        format!("select 1{}", " union all select 1".repeat(80)),
        format!("select {}1{}", "(select ".repeat(10), ")".repeat(10)),
        format!("select 1 from a{}", " join b using (c)".repeat(30)),
    ] {
        assert_eq!(
            one(&text).kind,
            StatementKind::Select,
            "{}",
            text.chars().take(40).collect::<String>()
        );
    }
}

#[test]
fn size_is_bounded() {
    let limits = SqlLimits {
        max_bytes: 20,
        max_nesting: 3,
        max_statements: 2,
        ..SqlLimits::default()
    };
    let code = |text: &str| analyse(text, &limits).unwrap_err().code;
    assert_eq!(code("select 'aaaaaaaaaaaaaa'").as_str(), "54000");
    assert_eq!(code("select ((((1))))").as_str(), "54001");
    assert_eq!(code("begin;begin;begin").as_str(), "54000");
    assert!(analyse("begin;;;;;;begin;", &limits).is_ok());
    assert!(analyse("select '((((((('", &limits).is_ok());
}
