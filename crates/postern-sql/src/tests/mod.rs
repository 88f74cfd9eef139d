//! What is found in a text, judged by the rules the policy builds on.

mod bounds;
mod copy;
mod cost;
mod depth;
mod effects;
mod fold;
mod normalise;
mod references;

use super::*;
use postern_types::CopyDirection;
use proptest::prelude::*;

fn all(text: &str) -> Vec<Statement> {
    analyse(text, &SqlLimits::default())
        .unwrap_or_else(|error| panic!("{}: {error}", text.chars().take(200).collect::<String>()))
        .statements
}

fn one(text: &str) -> Statement {
    let mut statements = all(text);
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

fn error(text: &str) -> SyntaxError {
    analyse(text, &SqlLimits::default()).unwrap_err()
}

#[test]
fn kinds_are_told_apart() {
    use StatementKind as K;
    use Transaction as T;
    for (text, kind) in [
        ("select 1", K::Select),
        ("table t", K::Select),
        ("values (1)", K::Select),
        ("select 1 into t", K::Ddl),
        ("(select 1 into t) union select 2", K::Ddl),
        ("insert into t values (1)", K::Insert),
        ("update t set a = 1", K::Update),
        ("delete from t", K::Delete),
        ("merge into t using u on true when matched then delete", K::Merge),
        ("begin", K::Transaction(T::Begin)),
        ("start transaction read only", K::Transaction(T::Begin)),
        ("end", K::Transaction(T::Commit)),
        ("abort", K::Transaction(T::Rollback)),
        ("savepoint a", K::Transaction(T::Savepoint)),
        ("release a", K::Transaction(T::Release)),
        ("rollback to a", K::Transaction(T::RollbackTo)),
        ("prepare transaction 'x'", K::Transaction(T::Prepare)),
        ("commit prepared 'x'", K::Transaction(T::FinishPrepared)),
        (
            "set transaction isolation level serializable",
            K::Transaction(T::Mode),
        ),
        ("set constraints all deferred", K::Transaction(T::Mode)),
        ("set a.b = 1", K::Set),
        ("set session characteristics as transaction read only", K::Set),
        ("set local a.b = 1", K::SetLocal),
        ("reset a.b", K::Reset),
        ("set a.b to default", K::Reset),
        ("reset all", K::ResetAll),
        ("show all", K::Show),
        ("discard all", K::Discard { all: true }),
        ("discard temp", K::Discard { all: false }),
        ("deallocate x", K::Deallocate),
        ("prepare x as select 1", K::Prepare),
        ("execute x(1)", K::Execute),
        ("declare c cursor for select 1", K::DeclareCursor { hold: false }),
        (
            "declare c cursor with hold for select 1",
            K::DeclareCursor { hold: true },
        ),
        ("fetch 1 from c", K::Fetch),
        ("move 1 in c", K::Fetch),
        ("close c", K::CloseCursor),
        (
            "copy t from stdin",
            K::Copy {
                direction: CopyDirection::In,
                client: true,
            },
        ),
        (
            "copy (select 1) to stdout",
            K::Copy {
                direction: CopyDirection::Out,
                client: true,
            },
        ),
        (
            "copy t from '/etc/passwd'",
            K::Copy {
                direction: CopyDirection::In,
                client: false,
            },
        ),
        (
            "copy t to program 'sh'",
            K::Copy {
                direction: CopyDirection::Out,
                client: false,
            },
        ),
        ("explain analyze delete from t", K::Explain),
        ("listen c", K::Listen),
        ("unlisten *", K::Unlisten),
        ("notify c, 'x'", K::Notify),
        ("lock t", K::Lock),
        ("truncate t", K::Truncate),
        ("create table t (a int)", K::Ddl),
        ("create table t as select 1", K::Ddl),
        ("alter role r set a.b = 1", K::Ddl),
        ("alter system set a.b = 1", K::Ddl),
        ("grant select on t to r", K::Ddl),
        ("create rule r as on insert to t do also delete from u", K::Ddl),
        ("drop owned by r", K::Ddl),
        ("comment on table t is 'x'", K::Ddl),
        ("security label on table t is 'x'", K::Ddl),
        ("do 'begin end'", K::Do),
        ("call p()", K::Call),
        ("load 'x'", K::Load),
        ("vacuum t", K::Maintenance),
        ("analyze", K::Maintenance),
        ("checkpoint", K::Maintenance),
    ] {
        assert_eq!(one(text).kind, kind, "{text}");
    }
}

#[test]
fn stacked_statements_are_split_whatever_the_disguise() {
    let kinds = |text: &str| all(text).iter().map(|s| s.kind.name()).collect::<Vec<_>>();
    assert_eq!(kinds("commit; drop table t"), ["transaction", "ddl"]);
    assert_eq!(kinds(";;select 1;;"), ["select"]);
    assert_eq!(kinds(""), [""; 0]);
    assert_eq!(kinds("-- nothing"), [""; 0]);
    // A nested comment ends where PostgreSQL ends it, and /*! is nothing special.
    assert_eq!(kinds("/* /* */ drop table t; */ select 1"), ["select"]);
    assert_eq!(kinds("/*! drop table t */ select 1"), ["select"]);
    assert_eq!(kinds("select 1 --; drop table t"), ["select"]);
    assert_eq!(kinds("select 1 -- x\n; drop table t"), ["select", "ddl"]);
    // A backslash is an ordinary character in a plain string, and an escape in E''.
    assert_eq!(kinds(r"select '\'; drop table t; --'"), ["select", "ddl"]);
    assert_eq!(kinds(r"select E'\'; drop table t; --'"), ["select"]);
    assert_eq!(kinds("select $a$; drop table t; $a$"), ["select"]);
    assert_eq!(kinds("select 'a'\n'; drop table t'"), ["select"]);
    assert_eq!(kinds(r"select U&'\0027; drop table t; --'"), ["select"]);
}

#[test]
fn syntax_errors_are_postgresqls_own() {
    for (text, message, position) in [
        ("selec 1", "syntax error at or near \"selec\"", Some(1)),
        ("select 1; foo bar", "syntax error at or near \"foo\"", Some(11)),
        ("select a a a", "syntax error at or near \"a\"", Some(12)),
        (
            "select 'é', from from t",
            "syntax error at or near \"from\"",
            Some(13),
        ),
        ("select (1", "syntax error at end of input", Some(10)),
        (
            "select 'abc",
            "unterminated quoted string at or near \"'abc\"",
            Some(8),
        ),
        (
            "select 1 /* x",
            "unterminated /* comment at or near \"/* x\"",
            Some(10),
        ),
        ("select $1 $2", "syntax error at or near \"$2\"", Some(11)),
    ] {
        let found = error(text);
        assert_eq!(
            (found.message.as_str(), found.position),
            (message, position),
            "{text}"
        );
        assert_eq!(found.code.as_str(), "42601", "{text}");
    }
    assert_eq!(error("create assertion a check (true)").code.as_str(), "0A000");
}

#[test]
fn new_syntax_is_understood_and_newer_is_refused() {
    one("merge into t using u on true when not matched by source then delete returning merge_action(), t.*");
    one("select * from json_table('[]', '$[*]' columns (a int path '$.a'))");
    one("update t set a = 1 returning old.a, new.a");
    assert_eq!(
        error("select from graph_table (g match (a)) where").code.as_str(),
        "42601"
    );
}

proptest! {
    #[test]
    fn any_text_is_analysed_or_refused(text in "\\PC{0,80}") {
        let _ = analyse(&text.replace('\0', ""), &SqlLimits::default());
    }

    #[test]
    fn any_mix_of_tokens_is_analysed_or_refused(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "select", "from", "t", "(", ")", ",", "with", "as", "insert into", "values", "1", "'x'", "union", ";",
            "delete", "where", "=", "$1", "returning", "*", "create table", "case", "end", "[", "]", "E'\\'", "--", "/*",
        ]), 0..40)
    ) {
        let _ = analyse(&tokens.join(" "), &SqlLimits::default());
    }

    #[test]
    fn a_position_is_inside_the_text(text in "[a-z '(),;]{0,40}") {
        if let Err(error) = analyse(&text, &SqlLimits::default())
            && let Some(position) = error.position
        {
            prop_assert!(position >= 1);
            prop_assert!(position as usize <= text.chars().count() + 1);
        }
    }
}
