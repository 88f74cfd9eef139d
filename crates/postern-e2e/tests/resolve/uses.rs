//! Where values go, where result columns come from, and what is done to what.

use crate::database::Database;
use postern_sql::resolve::{Action, Object, Origin, Place, Resolved};

fn places(database: &Database, resolved: &Resolved) -> String {
    let uses = resolved.uses.iter();
    let mut all: Vec<String> = uses
        .map(|u| format!("{} {:?}", database.column(u.relation.0, u.column), u.place))
        .collect();
    all.sort();
    all.join(", ")
}

fn origin(database: &Database, resolved: &Resolved, at: usize) -> String {
    match &resolved.outputs.as_ref().unwrap()[at].origin {
        Origin::Direct { relation, column } => database.column(relation.0, *column),
        Origin::Derived(columns) => {
            let columns = columns
                .iter()
                .map(|(relation, column)| database.column(relation.0, *column));
            format!("from {}", columns.collect::<Vec<_>>().join(", "))
        }
        Origin::Constant => "constant".to_owned(),
    }
}

fn actions(database: &Database, resolved: &Resolved) -> Vec<String> {
    let shown = resolved.actions.iter().map(|used| {
        let object = match &used.object {
            Object::Relation(relation) => database.name(relation.0),
            Object::Column(relation, column) => database.column(relation.0, *column),
            Object::Function(function) => {
                let function = database.catalog.function_by_oid(function.0).unwrap();
                format!("{}.{}()", function.schema, function.name)
            }
            Object::Schema(name) => format!("schema {name}"),
            Object::Setting(name) => format!("setting {name}"),
            Object::Channel(name) => format!("channel {name}"),
            Object::Database => "database".to_owned(),
        };
        let via = used
            .via
            .map(|via| format!(" via {}", database.name(via.0)))
            .unwrap_or_default();
        format!("{:?} {object}{via}", used.action)
    });
    shown.collect()
}

#[test]
fn places_origins_and_actions() {
    let database = &Database::start(None);
    for (sql, expected) in [
        ("SELECT ssn FROM users", "users.ssn Output"),
        (
            "SELECT id FROM users WHERE ssn = 'x'",
            "users.id Output, users.ssn Condition",
        ),
        ("SELECT 1 FROM users ORDER BY ssn", "users.ssn Order"),
        ("SELECT 1 FROM users GROUP BY ssn", "users.ssn Group"),
        (
            "SELECT count(*) FROM (SELECT DISTINCT ssn FROM users) s",
            "users.ssn Group",
        ),
        (
            "SELECT count(*) FROM (SELECT ssn FROM users UNION SELECT 'x') s",
            "users.ssn Group",
        ),
        ("SELECT count(*) FROM (SELECT ssn FROM users) s", ""),
        (
            "SELECT upper(ssn) FROM users",
            "users.ssn Argument, users.ssn Output",
        ),
        (
            "SELECT CASE WHEN ssn = 'x' THEN 1 END FROM users",
            "users.ssn Condition, users.ssn Output",
        ),
        (
            "SELECT 1 FROM users u JOIN stored s ON s.ssn = 'x'",
            "stored.ssn Join, users.ssn Join",
        ),
        ("SELECT rank() OVER (ORDER BY ssn) FROM users", "users.ssn Window"),
        (
            "INSERT INTO other.users SELECT 1, ssn FROM app.users",
            "users.ssn Value",
        ),
        (
            "UPDATE users SET email = ssn WHERE id = 1",
            "users.id Condition, users.ssn Value",
        ),
        (
            "SELECT s.x FROM (SELECT ssn AS x, email FROM users) s",
            "users.ssn Output",
        ),
        (
            "SELECT mail FROM people",
            "people.mail Output, users.email Output, users.feeling Condition",
        ),
        ("SELECT (SELECT ssn FROM users LIMIT 1)", "users.ssn Output"),
        (
            "SELECT 1 WHERE 'x' IN (SELECT ssn FROM users)",
            "users.ssn Condition",
        ),
        (
            "SELECT label FROM base",
            "base.label Output, child.label Output, grandchild.label Output",
        ),
        (
            "WITH x AS (SELECT ssn FROM users) SELECT 1 FROM x WHERE ssn = 'y'",
            "users.ssn Condition",
        ),
        ("UPDATE users SET email = 'x' RETURNING ssn", "users.ssn Output"),
        ("COPY users (ssn) TO STDOUT", "users.ssn Output"),
        ("CREATE TABLE y AS SELECT ssn FROM users", "users.ssn Value"),
    ] {
        assert_eq!(places(database, &database.one(sql)), expected, "{sql}");
    }

    for (sql, expected) in [
        ("SELECT ssn FROM users", "users.ssn"),
        ("SELECT s.x FROM (SELECT ssn AS x FROM people) s", "users.ssn"),
        ("SELECT ssn FROM rich", "users.ssn"),
        ("SELECT ssn FROM stored", "users.ssn"),
        ("SELECT loud FROM people", "from users.ssn"),
        (
            "SELECT ssn FROM users UNION ALL SELECT email FROM users",
            "from users.email, users.ssn",
        ),
        (
            "SELECT ssn FROM users UNION ALL SELECT ssn FROM users",
            "users.ssn",
        ),
        ("SELECT 'x'", "constant"),
        ("SELECT count(*) FROM users", "constant"),
        (
            "SELECT coalesce(ssn, email) FROM users",
            "from users.email, users.ssn",
        ),
        ("SELECT (u).ssn FROM users u", "users.ssn"),
        ("SELECT (SELECT ssn FROM users LIMIT 1)", "from users.ssn"),
        (
            "SELECT row_to_json(t) FROM tenants t",
            "from tenants.tenant_id, tenants.name",
        ),
        (
            "SELECT t::text FROM tenants t",
            "from tenants.tenant_id, tenants.name",
        ),
        (
            "SELECT s::text FROM (SELECT name FROM tenants) s",
            "from tenants.name",
        ),
        ("SELECT v FROM tenants t, upper(t.name) v", "from tenants.name"),
        (
            "WITH RECURSIVE r AS (SELECT label FROM base UNION SELECT label FROM r) SELECT label FROM r",
            "base.label",
        ),
        ("DELETE FROM users RETURNING ssn", "users.ssn"),
        (
            "SELECT email FROM users u JOIN stored s USING (email)",
            "users.email",
        ),
    ] {
        assert_eq!(origin(database, &database.one(sql), 0), expected, "{sql}");
    }

    for (sql, expected) in [
        ("SELECT ssn FROM users", "Select app.users"),
        ("SELECT ssn FROM users", "Select users.ssn"),
        ("SELECT 1 FROM people", "Select app.users via app.people"),
        (
            "SELECT loud FROM people",
            "Call pg_catalog.upper() via app.people",
        ),
        ("SELECT total FROM rich", "Select app.users via app.people"),
        ("SELECT 1 FROM base", "Select app.grandchild via app.base"),
        ("INSERT INTO tenants (name) VALUES ('x')", "Insert tenants.name"),
        (
            "INSERT INTO events (what) VALUES ('x')",
            "Insert app.events_2024 via app.events",
        ),
        ("UPDATE users SET email = 'x'", "Update users.email"),
        ("DELETE FROM base", "Delete app.child via app.base"),
        ("DELETE FROM people", "Delete app.users via app.people"),
        (
            "UPDATE people SET mail = 'x'",
            "Update users.email via app.people",
        ),
        ("TRUNCATE tenants CASCADE", "Truncate app.orders"),
        ("TRUNCATE base", "Truncate app.child via app.base"),
        ("LOCK people", "Lock app.users via app.people"),
        ("SELECT id FROM users FOR UPDATE", "Lock app.users"),
        ("SELECT over('1')", "Call app.over()"),
        ("SELECT u.shout FROM users u", "Call app.shout()"),
        (
            "SELECT feeling === 'x'::text FROM users",
            "Call app.mood_equals()",
        ),
        ("SELECT email::address FROM users", "Call app.to_address()"),
        ("SELECT * FROM pairs(1)", "Call app.pairs()"),
        ("SELECT set_config('Role', 'x', true)", "Set setting role"),
        ("SELECT set_config(email, 'x', true) FROM users", "Set setting *"),
        ("SELECT pg_notify('a', 'b')", "Notify channel a"),
        ("SET ROLE postgres", "Set setting role"),
        ("SHOW all", "Select setting *"),
        ("LISTEN a", "Listen channel a"),
        ("EXPLAIN SELECT ssn FROM users", "Select users.ssn"),
        ("EXPLAIN ANALYZE DELETE FROM users", "Delete app.users"),
        ("PREPARE p AS DELETE FROM users", "Delete app.users"),
        ("DO 'BEGIN END'", "Call database"),
        ("CALL work(1)", "Call app.work()"),
        ("COPY users TO STDOUT", "Copy app.users"),
        ("COPY (SELECT ssn FROM users) TO STDOUT", "Select users.ssn"),
        ("COPY users FROM PROGRAM 'x'", "Copy database"),
        ("COPY tenants FROM STDIN", "Insert tenants.name"),
        ("DROP TABLE users", "Ddl app.users"),
        ("CREATE TABLE other.x (a int)", "Ddl schema other"),
        (
            "WITH d AS (DELETE FROM users RETURNING 1) SELECT 1",
            "Delete app.users",
        ),
        ("SELECT ssn INTO y FROM users", "Select users.ssn"),
    ] {
        let found = actions(database, &database.one(sql));
        assert!(found.iter().any(|action| action == expected), "{sql}: {found:?}");
    }
    assert!(
        !actions(database, &database.one("SELECT mail FROM people"))
            .contains(&"Select users.ssn via app.people".to_owned())
    );
    assert!(
        !actions(database, &database.one("SELECT id FROM ONLY base"))
            .iter()
            .any(|a| a.contains("child"))
    );
    assert!(
        database.one("EXECUTE p").opaque && database.one("FETCH c").opaque && database.one("DO 'x'").opaque
    );
    let code = |sql: &str| database.resolve(sql).unwrap_err().code.as_str().to_owned();
    assert_eq!(code("INSERT INTO ruled VALUES (1)"), "0A000");
    assert_eq!(code("SELECT * FROM pg_temp.users"), "42P01");

    for (sql, has_where, parameters, literals, joins) in [
        ("SELECT id FROM users", false, false, false, 0),
        ("SELECT id FROM users WHERE true", false, false, false, 0),
        ("SELECT id FROM users WHERE id = $1", true, true, false, 0),
        ("SELECT 1", true, false, true, 0),
        ("DELETE FROM users", false, false, false, 0),
        (
            "WITH d AS (DELETE FROM users RETURNING id) SELECT id FROM d WHERE id = 1",
            false,
            false,
            true,
            0,
        ),
        (
            "SELECT id FROM users WHERE id = 1 UNION SELECT id FROM orders",
            false,
            false,
            true,
            0,
        ),
        (
            "SELECT 1 FROM rich r, users u JOIN orders o ON true WHERE u.id = 1",
            true,
            false,
            true,
            2,
        ),
    ] {
        let found = database.one(sql);
        assert_eq!(
            (found.has_where, found.parameters, found.literals, found.joins),
            (has_where, parameters, literals, joins),
            "{sql}"
        );
    }
    assert!(
        !database
            .one("SELECT 1")
            .actions
            .iter()
            .any(|a| a.action == Action::Select)
    );
    assert!(
        !database
            .one("SELECT 1")
            .uses
            .iter()
            .any(|u| u.place == Place::Output)
    );
}
