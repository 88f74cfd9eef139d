//! Two statements that differ anywhere outside a slot are never the same.

use super::*;
use crate::canonical::strip;
use crate::tree::Tree;
use proptest::prelude::*;

/// Statements with many kinds of node.
const STATEMENTS: &[&str] = &[
    "SELECT a, b AS x, count(*) FILTER (WHERE c > 3) FROM s.t AS u JOIN v USING (id) WHERE a = 7 AND b IN (1, 2) \
     GROUP BY a, 2 HAVING max(d) < 'x' ORDER BY a DESC NULLS LAST LIMIT 10 OFFSET 5 FOR UPDATE OF u",
    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10) SELECT n, -n::int8, \
     CASE WHEN n = 1 THEN NULL ELSE true END FROM c, LATERAL f(n, x => 2) WITH ORDINALITY AS g (h, i)",
    "INSERT INTO t (a, b[1], c.d) VALUES (1, 'x', DEFAULT), (2, NULL, 3.5) ON CONFLICT (a) WHERE b \
     DO UPDATE SET a = excluded.a WHERE t.b RETURNING OLD.a, t.*",
    "UPDATE ONLY t AS x SET a = 1, (b, c) = (SELECT 1, 2) FROM u WHERE x.id = u.id AND a ~ 'p' RETURNING x.a",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED AND b THEN UPDATE SET c = 1 WHEN NOT MATCHED THEN INSERT (a) \
     VALUES (1)",
    "SELECT sum(a) OVER w, a[1:2], (r).f, ROW(1, 2), ARRAY[[1], [2]], extract(year FROM d), d AT TIME ZONE 'UTC', \
     a COLLATE \"C\", B'101', interval '1' day FROM t WINDOW w AS (PARTITION BY b ORDER BY c ROWS 1 PRECEDING)",
    "DO LANGUAGE plpgsql $$BEGIN PERFORM 1; END$$",
    "CREATE FUNCTION f(a int, OUT b text) RETURNS text LANGUAGE sql SECURITY DEFINER SET x = 1 AS 'SELECT 1'",
    "COPY t (a, b) FROM STDIN (FORMAT csv, DELIMITER ';')",
    "SET LOCAL search_path TO a, b",
    "CREATE TABLESPACE x LOCATION '/a'",
];

/// Changes the value at the place of this number, counting through the tree.
fn mutate(tree: &mut Tree, place: &mut usize, how: u8) -> bool {
    let here = *place == 0;
    *place = place.wrapping_sub(1);
    if here {
        let changed = match tree {
            Tree::Nothing => Tree::Flag(true),
            Tree::Flag(flag) => Tree::Flag(!*flag),
            Tree::Number(number) => Tree::Number(number.wrapping_add(1 + i64::from(how))),
            Tree::Text(text) => Tree::Text(format!("{text}{}", char::from(b'a' + how % 26))),
            Tree::List(items) => {
                let mut items = items.clone();
                match (how % 3, items.len()) {
                    (0, _) | (_, 0) => items.push(Tree::Number(1)),
                    (1, _) => _ = items.pop(),
                    (_, length) if length > 1 && items[0] != items[length - 1] => items.swap(0, length - 1),
                    _ => items.push(items[0].clone()),
                }
                Tree::List(items)
            }
            Tree::Node(kind, fields) => {
                let mut fields = fields.clone();
                if how.is_multiple_of(2) && !fields.is_empty() {
                    fields.pop();
                    Tree::Node(kind, fields)
                } else {
                    Tree::Node(if *kind == "A" { "B" } else { "A" }, fields)
                }
            }
        };
        let differs = changed != *tree;
        *tree = changed;
        return differs;
    }
    match tree {
        Tree::List(items) => items
            .iter_mut()
            .any(|item| *place < usize::MAX / 2 && mutate(item, place, how)),
        Tree::Node(_, fields) => fields
            .iter_mut()
            .any(|(_, value)| *place < usize::MAX / 2 && mutate(value, place, how)),
        _ => false,
    }
}

fn of_tree(tree: &Tree) -> Option<Canonical> {
    Canonical::of(tree)
}

fn names_and_constants(sql: &str) -> Vec<String> {
    use pg_query::protobuf::Token;
    let kept = [
        Token::Ident,
        Token::Sconst,
        Token::Iconst,
        Token::Fconst,
        Token::Bconst,
    ]
    .map(|kind| kind as i32);
    crate::lexer::tokens(sql)
        .unwrap()
        .iter()
        .filter(|token| kept.contains(&token.token))
        .map(|token| {
            let span = usize::try_from(token.start).unwrap()..usize::try_from(token.end).unwrap();
            sql.get(span).unwrap().to_lowercase()
        })
        .collect()
}

/// Whether a text of the same statement with other literals or tokens is the same statement.
fn parsed(sql: &str) -> Option<Canonical> {
    let found = whole_statements(sql, &SqlLimits::default()).ok()??;
    match found.as_slice() {
        [one] => Some(one.canonical.clone()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_tree_that_differs_anywhere_is_another(which in 0..STATEMENTS.len(), place in 0usize..400, how: u8) {
        let original = canonical(STATEMENTS[which]);
        let policy = pattern(STATEMENTS[which]);
        let mut tree = original.tree.clone();
        let mut at = place;
        if !mutate(&mut tree, &mut at, how) {
            return Ok(());
        }
        let Some(other) = of_tree(&tree) else { return Ok(()) };
        prop_assert!(other != original);
        prop_assert!(other.digest() != original.digest());
        prop_assert_eq!(policy.matches(&other), None);
        // And the other way round.
        prop_assert_eq!(super::super::matching::compare(&tree, 0, &[], &original.tree), None);
    }

    /// With a slot in place of one literal, all others still count.
    #[test]
    fn a_slot_opens_its_own_place_only(a in 0i32..4, b in 0i32..4, c in 0i32..4) {
        let client = format!("SELECT x FROM t WHERE a = {a} AND b = {b} OR c IN ({c}, 9)");
        for (slot, sql) in [
            (0, format!("SELECT x FROM t WHERE a = $1 AND b = {b} OR c IN ({c}, 9)")),
            (1, format!("SELECT x FROM t WHERE a = {a} AND b = $1 OR c IN ({c}, 9)")),
            (2, format!("SELECT x FROM t WHERE a = {a} AND b = {b} OR c IN ($1, 9)")),
        ] {
            prop_assert!(matched(&sql, &client).is_some());
            for other in 0..3 {
                if other == slot {
                    continue;
                }
                let mut numbers = [a, b, c];
                numbers[other] += 1;
                let [a, b, c] = numbers;
                let changed = format!("SELECT x FROM t WHERE a = {a} AND b = {b} OR c IN ({c}, 9)");
                prop_assert_eq!(matched(&sql, &changed), None);
            }
        }
    }

    /// Cuts, doubles and swaps words of a text. Where the result is still the same statement, it has the same
    /// names and constants in the same order: what differs are blanks and words such as AS.
    #[test]
    fn a_text_with_other_names_or_constants_is_another(
        which in 0..STATEMENTS.len(), at in 0usize..80, other in 0usize..80, how in 0u8..3,
    ) {
        let sql = STATEMENTS[which];
        let mut words: Vec<&str> = sql.split_inclusive(|c: char| !c.is_alphanumeric()).collect();
        let (at, other) = (at % words.len(), other % words.len());
        match how {
            0 => _ = words.remove(at),
            1 => words.insert(at, words[at]),
            _ => words.swap(at, other),
        }
        let changed = words.concat();
        if let Some(found) = parsed(&changed)
            && found == canonical(sql)
        {
            prop_assert_eq!(names_and_constants(sql), names_and_constants(&changed));
        }
    }
}

#[test]
fn positions_are_all_that_is_left_out() {
    for sql in STATEMENTS {
        // Blanks in front move every position.
        let moved = canonical(&format!("   /* moved */   {sql}"));
        assert_eq!(moved, canonical(sql), "{sql}");
        assert!(strip::parameters(&moved.tree).unwrap().is_empty());
    }
}
