//! Which named statement a client's statement is.

use super::super::NamedIndex;
use postern_sql::SqlLimits;
use postern_sql::canonical::{Value, analyse_whole};

const FILE: &str = "
-- name: by_id
-- roles: app
SELECT id, name FROM users WHERE id = $1;
-- name: first_user
-- roles: app
SELECT id, name FROM users WHERE id = 1;
-- name: everybody
-- roles: support
SELECT id, name FROM users;
-- name: several
-- roles: app
-- list: $1 up to 3
SELECT id FROM users WHERE id IN ($1);
";

fn find(sql: &str, roles: &[&str]) -> Option<(String, String, Vec<Value>)> {
    let index = NamedIndex::from_files(&[("queries/a.sql", FILE)], &["app", "support"]).unwrap();
    let whole = analyse_whole(sql, &SqlLimits::default())
        .unwrap()
        .statements
        .unwrap();
    let found = index.find(&whole.first().unwrap().canonical, roles)?;
    Some((found.statement.name.clone(), found.sql, found.bound.values))
}

#[test]
fn a_role_finds_its_own_statements_only() {
    let everybody = "select id, name from users";
    assert!(find(everybody, &["app"]).is_none());
    assert!(find(everybody, &[]).is_none());
    assert_eq!(find(everybody, &["app", "support"]).unwrap().0, "everybody");
}

#[test]
fn the_statement_with_the_fewest_slots_is_taken() {
    let name = |sql: &str| find(sql, &["app"]).unwrap().0;
    assert_eq!(name("SELECT id, name FROM users WHERE id = 1"), "first_user");
    assert_eq!(name("SELECT id, name FROM users WHERE id = 2"), "by_id");
    assert_eq!(name("SELECT id, name FROM users WHERE id = $1"), "by_id");
}

#[test]
fn what_runs_is_the_text_of_the_policy() {
    let (_, sql, values) = find("/* x */ select ID , \"name\" from users where id = -7", &["app"]).unwrap();
    assert_eq!(sql, "SELECT id, name FROM users WHERE id = $1");
    assert!(matches!(&values[..], [Value::Literal(l)] if l.text.as_deref() == Some("-7")));
    let (_, sql, values) = find("SELECT id FROM users WHERE id IN (1, 2, 3)", &["app"]).unwrap();
    assert_eq!(sql, "SELECT id FROM users WHERE id IN ($1, $2, $3)");
    assert_eq!(values.len(), 3);
    assert!(find("SELECT id FROM users WHERE id IN (1, 2, 3, 4)", &["app"]).is_none());
}
