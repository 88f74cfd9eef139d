//! Files of statements.

use crate::canonical::written;

#[test]
fn statements_are_cut_at_semicolons_with_their_comments() {
    let text =
        "-- one\n/* two */\nSELECT ';', -- three\n  (1);-- four\n;;\n\n-- five\nSELECT $$;$$\n-- six\n";
    let found = written(text).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|one| {
            let comments = |list: &[super::super::Comment]| {
                list.iter()
                    .map(|c| format!("{}{}", c.line, c.text))
                    .collect::<Vec<_>>()
            };
            (
                one.sql.as_str(),
                one.line,
                comments(&one.before),
                comments(&one.inside),
            )
        })
        .collect();
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            (
                "SELECT ';', -- three\n  (1)",
                3,
                owned(&["1-- one", "2/* two */"]),
                owned(&["3-- three", "4-- four"])
            ),
            ("SELECT $$;$$", 8, owned(&["7-- five"]), owned(&["9-- six"])),
        ]
    );
}

#[test]
fn semicolons_in_parentheses_are_part_of_a_statement() {
    let found = written("CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3").unwrap();
    assert_eq!(found.len(), 2);
    // A parenthesis that is never opened does no harm.
    assert_eq!(written("SELECT 1); SELECT 2").unwrap().len(), 2);
}

#[test]
fn comments_without_a_statement_come_at_the_end() {
    let found = written("SELECT 1;\n-- left over\n").unwrap();
    assert_eq!(found.len(), 2);
    assert!(found[1].sql.is_empty() && found[1].before[0].line == 2);
    assert!(written("").unwrap().is_empty() && written(" ;; ").unwrap().is_empty());
}

#[test]
fn a_file_that_the_lexer_can_not_read_is_an_error() {
    for text in ["SELECT 'a", "/* a", "SELECT $a$ b", "SELECT \"a"] {
        let error = written(text).unwrap_err();
        assert!(error.message.contains("unterminated"), "{text}: {error}");
    }
}
