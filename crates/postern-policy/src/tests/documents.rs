//! The file itself: limits, start-up parameters and errors.

use super::{POLICY, policy};
use crate::Policy;
use postern_sql::SqlLimits;
use postern_types::Refusal;

#[test]
fn limits_come_from_the_role_or_from_the_top() {
    let policy = policy();
    let limits = |role: &str| policy.rights(&[role.to_owned()]).unwrap().limits();
    assert_eq!(limits("app").max_rows, Some(1000));
    assert_eq!(limits("app").max_bytes, Some(5000));
    assert_eq!(limits("owner").max_bytes, None);
    let roles = ["owner".to_owned()];
    let rights = policy.rights(&roles).unwrap();
    assert_eq!(
        rights.judge_length("select 123").map_err(|r| r.code.to_string()),
        Ok(())
    );
    assert_eq!(
        rights.judge_length("select 1234").unwrap_err().code.as_str(),
        "54000"
    );
}

fn settings(role: &str, parameters: &[(&str, &str)]) -> Result<Vec<(String, String)>, Refusal> {
    let policy = policy();
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    policy
        .rights(&[role.to_owned()])
        .unwrap()
        .session_settings(&parameters)
}

#[test]
fn start_up_parameters_are_a_short_list() {
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(
        settings(
            "app",
            &[
                ("application_name", "x"),
                ("TimeZone", "UTC"),
                ("client_encoding", "UTF-8")
            ]
        ),
        Ok(vec![
            pair("search_path", "shop"),
            pair("statement_timeout", "2000"),
            pair("application_name", "x"),
            pair("timezone", "UTC"),
        ])
    );
    for encoding in ["UTF8", "utf8", "'utf-8'", "unicode", "SQL_ASCII"] {
        assert!(
            settings("app", &[("client_encoding", encoding)]).is_ok(),
            "{encoding}"
        );
    }
    for (name, value) in [
        ("client_encoding", "SJIS"),
        ("client_encoding", "GBK"),
        ("client_encoding", ""),
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("search_path", "evil"),
        ("session_replication_role", "replica"),
        ("standard_conforming_strings", "off"),
        ("Role", "postgres"),
        ("replication", "database"),
        ("_pq_.x", "1"),
        ("postern.tenant", "other"),
        ("statement_timeout", "0"),
        ("row_security", "off"),
    ] {
        let refusal = settings("app", &[(name, value)]).expect_err(name);
        assert_eq!((refusal.code.as_str(), refusal.fatal), ("22023", true), "{name}");
    }
    assert_eq!(
        settings("owner", &[("search_path", "a, b")]),
        Ok(vec![pair("search_path", "a, b")])
    );
    assert!(settings("owner", &[("role", "postgres")]).is_err());
    assert!(settings("reader", &[("statement_timeout", "0")]).is_ok());
}

#[test]
fn a_limit_on_time_can_not_be_lifted() {
    let listed = POLICY.replace("delete, transaction]", "delete, transaction, set]");
    let policy = Policy::parse(&listed).unwrap();
    let judge = |text: &str| {
        let analysis = postern_sql::analyse(text, &SqlLimits::default()).unwrap();
        policy
            .rights(&["app".to_owned()])
            .unwrap()
            .judge(&analysis.statements[0])
    };
    assert!(judge("set statement_timeout = 0").is_err());
    assert!(judge("set local statement_timeout = 0").is_err());
    assert!(judge("set lock_timeout = 0").is_ok());
}

#[test]
fn defaults_for_transactions_are_for_roles_that_may_begin_one() {
    let texts = [
        "set session characteristics as transaction isolation level serializable, read only",
        "set default_transaction_read_only = off",
        "reset default_transaction_isolation",
    ];
    for (words, may) in [("set", false), ("transaction", false), ("transaction, set", true)] {
        let listed = POLICY.replace("delete, transaction]", &format!("delete, {words}]"));
        let policy = Policy::parse(&listed).unwrap();
        let rights = policy.rights(&["app".to_owned()]).unwrap();
        for text in texts {
            let analysis = postern_sql::analyse(text, &SqlLimits::default()).unwrap();
            let judged = rights.judge(&analysis.statements[0]);
            assert_eq!(judged.is_ok(), may, "{words}: {text}");
        }
    }
}

#[track_caller]
fn error(yaml: &str) -> String {
    Policy::parse(yaml).unwrap_err().to_string()
}

#[test]
fn errors_say_where_and_what_to_do() {
    let unknown = error(&POLICY.replace("catalog: read", "catalogue: read"));
    assert!(
        unknown.starts_with("line 19, column 5: ")
            && unknown.contains("catalogue")
            && !unknown.contains(" at line"),
        "{unknown}"
    );
    let word = error(&POLICY.replace("[select]", "[select, drop]"));
    assert!(word.starts_with("line 24") && word.contains("drop"), "{word}");
    let version = error(&POLICY.replace("version: 1", "version: 2"));
    assert!(
        version.starts_with("line 1,") && version.contains("version: 1"),
        "{version}"
    );
    let path = error(&POLICY.replace("search_path: shop, extra", "search_path: shop, hidden"));
    assert!(
        path.starts_with("line 15") && path.contains("`hidden`") && path.contains("schemas"),
        "{path}"
    );
    let quoted = error(&POLICY.replace("search_path: shop, extra", "search_path: '\"$user\", shop'"));
    assert!(quoted.contains("plain lower-case"), "{quoted}");
    let catalog = error(&POLICY.replace("[shop, extra, other]", "[shop, extra, pg_catalog]"));
    assert!(catalog.contains("`catalog: read`"), "{catalog}");
    let open = error(&POLICY.replace("mode: open", "mode: open\n    schemas: [shop]"));
    assert!(open.contains("mode: enforce"), "{open}");
    assert!(
        error(&POLICY.replace("mode: open", "mode: ajar")).contains("line 27"),
        "{}",
        error(&POLICY.replace("mode: open", "mode: ajar"))
    );
    assert!(error(&POLICY.replace("    database_role: owner\n", "")).contains("database_role"));
    assert!(
        error(&format!("{POLICY}  app: {{mode: open, database_role: x}}\n")).contains("app"),
        "twice the same role"
    );
    for text in [
        "",
        "]",
        "version: 1",
        "roles: {}",
        "\u{0}",
        "version: 1\nroles: {}\nroles: {}",
    ] {
        assert!(Policy::parse(text).is_err(), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_policy_or_an_error(text in "\\PC{0,200}") {
        let _ = Policy::parse(&text);
    }
}
