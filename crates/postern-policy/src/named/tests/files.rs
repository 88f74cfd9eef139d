//! Files of named statements, and the mistakes in them.

use super::super::{NamedIndex, TenantRule};
use postern_types::{Keep, Mask};

fn read(text: &str) -> Result<NamedIndex, Vec<String>> {
    NamedIndex::from_files(&[("queries/a.sql", text)], &["app", "support"])
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[test]
fn every_annotation_is_read() {
    let index = read(
        "/* Invoices. */\n\
         -- name: invoices -- roles: app, support\n\
         -- Finds: what a customer owes.\n\
         -- max_rows: 100\n-- max_bytes: 4096\n-- mask: iban=last4, mail=email\n-- tenant: $1\n\
         -- timeout_ms: 250\n-- read_only: true\n-- types: int8, any\n-- list: $2 up to 20\n-- record: $2=hash, $1=clear\n\
         SELECT id, iban, lower(email) AS mail -- the address\n\
         FROM invoices WHERE tenant_id = $1 AND id IN ($2)\n;\n\n\
         -- name: touch\n-- roles: app\n\
         UPDATE invoices SET seen = now() WHERE id = $1;\n",
    )
    .unwrap();
    assert_eq!(index.len(), 2);
    let first = index.get("invoices").unwrap();
    assert_eq!(first.roles, ["app", "support"]);
    assert_eq!((first.max_rows, first.max_bytes), (Some(100), Some(4096)));
    assert_eq!(first.masks, [(1, Mask::Last4), (2, Mask::Email)]);
    assert_eq!(first.tenant, Some(TenantRule::Slot(1)));
    assert_eq!((first.timeout_ms, first.read_only), (Some(250), true));
    assert_eq!(first.types, [20, 0]);
    assert_eq!(first.record, [(2, Keep::Hash), (1, Keep::Clear)]);
    assert_eq!((first.file.as_str(), first.line), ("queries/a.sql", 13));
    assert!(first.sql.starts_with("SELECT id") && first.sql.ends_with("IN ($2)"));
    let list = first.pattern().lists().first().unwrap();
    assert_eq!((list.first, list.last, list.max_items), (2, 2, 20));
    let second = index.get("touch").unwrap();
    assert_eq!(second.outputs, Some(vec![]));
    assert_eq!(
        (second.max_rows, second.read_only, second.timeout_ms),
        (None, false, None)
    );
}

#[test]
fn a_tenant_may_be_a_column_of_the_answer() {
    let index = read("-- name: a -- roles: app -- tenant: t.x\nSELECT a, b AS \"t.x\" FROM t").unwrap();
    assert_eq!(index.get("a").unwrap().tenant, Some(TenantRule::Column(1)));
}

#[test]
fn mistakes_are_told_with_file_line_and_what_would_be_right() {
    let head = "-- name: a\n-- roles: app\n";
    let table: &[(&str, &str)] = &[
        (
            "SELECT 1",
            "queries/a.sql:1: the statement needs an annotation in front of it such as `-- name: get_user_by_id`",
        ),
        (
            "-- name: a\nSELECT 1",
            "queries/a.sql:2: the statement needs an annotation in front of it such as `-- roles: app`",
        ),
        (
            "-- name: a b\n-- roles: app\nSELECT 1",
            "queries/a.sql:1: a name is 1 to 100 letters",
        ),
        (
            "-- name: a\n-- name: b\n-- roles: app\nSELECT 1",
            "queries/a.sql:2: `name` is there twice",
        ),
        (
            "-- name: a\n-- roles: ap\nSELECT 1",
            "queries/a.sql:2: policy.yaml has no role `ap`",
        ),
        (
            "-- name: a\n-- roles: app,\nSELECT 1",
            "queries/a.sql:2: `roles` is one or more",
        ),
        (
            &format!("{head}-- max_row: 1\nSELECT 1"),
            "queries/a.sql:3: no such annotation as `max_row`",
        ),
        (
            &format!("{head}-- max_rows: 0\nSELECT 1"),
            "queries/a.sql:3: `max_rows` is a whole number",
        ),
        (
            &format!("{head}-- timeout_ms: 5s\nSELECT 1"),
            "queries/a.sql:3: `timeout_ms` is a whole number",
        ),
        (
            &format!("{head}-- mask: ssn=last5\nSELECT ssn FROM t"),
            "queries/a.sql:3: `last5`: no such mask",
        ),
        (
            &format!("{head}-- mask: ssn\nSELECT ssn FROM t"),
            "queries/a.sql:3: `mask` is written COLUMN=MASK",
        ),
        (
            &format!("{head}-- mask: ssn=last4\nSELECT sn FROM t"),
            "queries/a.sql:3: the answer must have one column `ssn`",
        ),
        (
            &format!("{head}-- mask: ssn=last4\nSELECT ssn, a AS ssn FROM t"),
            "queries/a.sql:3: the answer must have one column `ssn`",
        ),
        (
            &format!("{head}-- mask: ssn=last4\nSELECT * FROM t"),
            "queries/a.sql:3: where column `ssn` is can't be told",
        ),
        (
            &format!("{head}-- mask: a=last4,a=null\nSELECT a FROM t"),
            "queries/a.sql:3: column `a` is masked twice",
        ),
        (
            &format!("{head}-- tenant: $2\nSELECT $1::int"),
            "queries/a.sql:3: the statement has no slot $2",
        ),
        (
            &format!("{head}-- tenant: $x\nSELECT $1::int"),
            "queries/a.sql:3: `$x` is no slot",
        ),
        (
            &format!("{head}-- tenant: t\nSELECT $1::int"),
            "queries/a.sql:3: the answer must have one column `t`",
        ),
        (
            &format!("{head}-- list: $1\n-- tenant: $1\nSELECT a FROM t WHERE a IN ($1)"),
            "queries/a.sql:4: $1 is in a list",
        ),
        (
            &format!("{head}-- read_only: yes\nSELECT 1"),
            "queries/a.sql:3: `read_only` is true or false",
        ),
        (
            &format!("{head}-- read_only: true\nDELETE FROM t"),
            "queries/a.sql:3: `read_only` is for statements that only SELECT",
        ),
        (
            &format!("{head}-- read_only: true\nWITH d AS (DELETE FROM t RETURNING a) SELECT a FROM d"),
            "queries/a.sql:3: `read_only` is for",
        ),
        (
            &format!("{head}-- types: int8\nSELECT $1::int, $2::int"),
            "queries/a.sql:3: `types` names 1 types",
        ),
        (
            &format!("{head}-- record: $2=hash\nSELECT $1::int"),
            "queries/a.sql:3: the statement has no slot $2",
        ),
        (
            &format!("{head}-- record: $1=hash, $1=clear\nSELECT $1::int"),
            "queries/a.sql:3: $1 is recorded twice; keep one",
        ),
        (
            &format!("{head}-- record: $1=plain\nSELECT $1::int"),
            "queries/a.sql:3: values are recorded as `hash` or `clear`, not as `plain`",
        ),
        (
            &format!("{head}-- types: mood\nSELECT $1::int"),
            "queries/a.sql:3: `mood` is no type for a slot",
        ),
        (
            &format!("{head}-- list: $1, $3\nSELECT $1::int"),
            "queries/a.sql:3: the slots of a list follow",
        ),
        (
            &format!("{head}-- list: $1\nSELECT $1::int"),
            "queries/a.sql:3: the slots $1 to $1 of `list`",
        ),
        (
            &format!("{head}-- list: $1 up to 70000\nSELECT a FROM t WHERE a IN ($1)"),
            "65535 parameters",
        ),
        (
            &format!("{head}SELECT\n a FROM FROM t"),
            "queries/a.sql:4: syntax error at or near \"FROM\"",
        ),
        (
            &format!("{head}SELECT 'a"),
            "queries/a.sql:3: unterminated quoted string",
        ),
        (
            &format!("{head}SELECT $2::int"),
            "queries/a.sql:3: slots are numbered $1, $2, … without a gap; $1 is missing",
        ),
        (
            &format!("{head}SELECT a FROM t ORDER BY $1"),
            "queries/a.sql:3: $1 stands by itself in ORDER BY",
        ),
        (
            &format!("{head}PREPARE p AS SELECT $1::int"),
            "queries/a.sql:3: $1 can't be a slot in this kind",
        ),
        (
            &format!("{head}SELECT 1 -- max_rows: 5\n"),
            "queries/a.sql:3: an annotation stands in front of its statement",
        ),
        (
            &format!("{head}SELECT 1; -- max_rows: 5\n"),
            "queries/a.sql:3: an annotation stands in front of its statement",
        ),
        (
            &format!("{head}SELECT 1;\n-- max_rows: 5\n"),
            "queries/a.sql:4: these annotations have no statement",
        ),
        (
            &format!("{head}SELECT 1;\n{head}SELECT 2"),
            "queries/a.sql:6: the name `a` is taken by queries/a.sql:3",
        ),
        (
            &format!("{head}SELECT 1;\n-- name: b\n-- roles: app\nselect  1"),
            "queries/a.sql:6: role `app` has this very statement as `a` in queries/a.sql:3",
        ),
    ];
    for (text, expected) in table {
        let mistakes = read(text).unwrap_err();
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(expected)),
            "{text}\n{mistakes:#?}"
        );
    }
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let files = [
        ("queries/a.sql", "-- name: x\nSELECT 1"),
        (
            "queries/b.sql",
            "-- name: x\n-- roles: app\nSELEC 1;\n-- name: y\n-- roles: app\n-- max_rows: x\nSELECT 2",
        ),
    ];
    let mistakes = NamedIndex::from_files(&files, &["app"]).unwrap_err();
    let places: Vec<_> = mistakes
        .iter()
        .map(|m| (m.file.clone().unwrap(), m.line.unwrap()))
        .collect();
    assert_eq!(
        places,
        [
            ("queries/a.sql".to_owned(), 2),
            ("queries/b.sql".to_owned(), 3),
            ("queries/b.sql".to_owned(), 6)
        ]
    );
}

#[test]
fn files_without_statements_are_fine() {
    assert!(read("").unwrap().is_empty());
    assert!(
        read("-- Nothing here yet.\n;;\n/* name: x */")
            .unwrap()
            .is_empty()
    );
}
