//! Which relation instances are certainly held to one tenant, as policy would judge it.

use crate::database::Database;
use postern_sql::resolve::{Access, Bound, Inserted, RelationInstance};

/// Whether every instance of a relation with a tenant column is held to `$1`, directly or by way of others,
/// and whatever is written into such a column is `$1`.
fn is_held(database: &Database, sql: &str) -> bool {
    let resolved = database.one(sql);
    let all = &resolved.tenancy;
    let tenant = |instance: &RelationInstance| {
        let relation = database.catalog.relation_by_oid(instance.relation.0).unwrap();
        relation.column("tenant_id").map(|column| column.number)
    };
    let proves = |bound: &Bound, held: &[(usize, i16)]| match bound {
        Bound::Parameter(number) => *number == 1,
        Bound::OtherColumn { instance, column } => held.contains(&(*instance, *column)),
        Bound::Literal(_) | Bound::Setting(_) => false,
    };
    let mut held: Vec<(usize, i16)> = Vec::new();
    loop {
        let mut more = Vec::new();
        for (number, instance) in all.iter().enumerate() {
            let mut columns: Vec<i16> = Vec::new();
            if instance.access == Access::Insert {
                let written = instance.written.iter().filter(|w| {
                    w.values
                        .iter()
                        .all(|v| matches!(v, Inserted::Known(bound) if proves(bound, &held)))
                });
                columns.extend(written.map(|w| w.column));
            } else {
                let bounds = instance.bounds.iter().filter(|(_, bound)| proves(bound, &held));
                columns.extend(bounds.map(|(column, _)| *column));
            }
            more.extend(columns.into_iter().map(|column| (number, column)));
        }
        more.retain(|spot| !held.contains(spot));
        if more.is_empty() {
            break;
        }
        held.extend(more);
    }
    all.iter().enumerate().all(|(number, instance)| {
        let Some(column) = tenant(instance) else {
            return true;
        };
        let updated = instance
            .written
            .iter()
            .find(|w| w.column == column && instance.access == Access::Update);
        let stays = updated.is_none_or(|w| {
            w.values
                .iter()
                .all(|v| matches!(v, Inserted::Known(bound) if proves(bound, &held)))
        });
        stays && held.contains(&(number, column))
    })
}

#[test]
fn tenants_are_held_or_not() {
    let database = &Database::start(None);
    let held = [
        "SELECT * FROM users WHERE tenant_id = $1",
        "SELECT * FROM users WHERE $1 = users.tenant_id AND email = 'x'",
        "SELECT * FROM users WHERE tenant_id = $1::int",
        "SELECT * FROM users WHERE tenant_id IN ($1)",
        "SELECT * FROM users u JOIN orders o ON o.tenant_id = u.tenant_id WHERE u.tenant_id = $1",
        "SELECT * FROM users JOIN orders USING (tenant_id) WHERE tenant_id = $1",
        "SELECT * FROM users NATURAL JOIN tenants WHERE tenant_id = $1",
        "SELECT * FROM users u LEFT JOIN orders o ON o.tenant_id = u.tenant_id AND o.user_id = u.id WHERE u.tenant_id = $1",
        "SELECT * FROM users u LEFT JOIN orders o ON u.tenant_id = $1 AND o.tenant_id = u.tenant_id WHERE u.tenant_id = $1",
        "SELECT * FROM orders o RIGHT JOIN users u ON o.tenant_id = u.tenant_id WHERE u.tenant_id = $1",
        "SELECT * FROM users u, orders o WHERE u.tenant_id = o.tenant_id AND o.tenant_id = $1",
        "SELECT * FROM (SELECT * FROM users) s WHERE tenant_id = $1",
        "SELECT * FROM (SELECT * FROM users WHERE tenant_id = $1 LIMIT 5) s",
        "SELECT tenant_id, n FROM (SELECT tenant_id, count(*) n FROM users GROUP BY tenant_id) s WHERE s.tenant_id = $1",
        "SELECT * FROM (SELECT tenant_id FROM users UNION ALL SELECT tenant_id FROM orders) s WHERE tenant_id = $1",
        "SELECT id FROM users WHERE tenant_id = $1 UNION SELECT id FROM orders WHERE tenant_id = $1",
        "WITH x AS (SELECT * FROM users WHERE tenant_id = $1) SELECT * FROM x",
        "WITH x AS (SELECT * FROM users) SELECT * FROM x WHERE tenant_id = $1",
        "WITH x AS (SELECT * FROM users) SELECT * FROM x a JOIN x b USING (tenant_id) WHERE tenant_id = $1",
        "SELECT * FROM people WHERE tenant_id = $1",
        "SELECT * FROM rich WHERE tenant_id = $1",
        "SELECT * FROM both_ids WHERE tenant_id = $1",
        "SELECT * FROM counts WHERE tenant_id = $1",
        "SELECT * FROM users u WHERE tenant_id = $1 AND EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = u.tenant_id)",
        "SELECT (SELECT count(*) FROM orders o WHERE o.tenant_id = u.tenant_id) FROM users u WHERE u.tenant_id = $1",
        "SELECT * FROM users u, LATERAL (SELECT * FROM orders o WHERE o.tenant_id = u.tenant_id LIMIT 1) s WHERE u.tenant_id = $1",
        "SELECT * FROM events WHERE tenant_id = $1",
        "UPDATE users SET email = 'x' WHERE tenant_id = $1",
        "UPDATE users SET tenant_id = $1 WHERE tenant_id = $1",
        "UPDATE users SET email = 'x' FROM orders o WHERE o.tenant_id = users.tenant_id AND users.tenant_id = $1",
        "DELETE FROM users WHERE tenant_id = $1 AND id = 4",
        "DELETE FROM orders o USING users u WHERE u.tenant_id = o.tenant_id AND u.tenant_id = $1",
        "DELETE FROM people WHERE tenant_id = $1",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x'), ($1, 'y')",
        "INSERT INTO orders (tenant_id, user_id) SELECT tenant_id, id FROM users WHERE tenant_id = $1",
        "INSERT INTO orders (tenant_id, user_id) SELECT $1, id FROM users WHERE tenant_id = $1",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x') ON CONFLICT (tenant_id, email) DO UPDATE SET ssn = 'x'",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x') ON CONFLICT (email) DO UPDATE SET ssn = 'x' WHERE users.tenant_id = $1",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x') ON CONFLICT (email) DO UPDATE SET ssn = 'x' WHERE users.tenant_id = excluded.tenant_id",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x') ON CONFLICT ON CONSTRAINT users_tenant_id_email_key DO UPDATE SET ssn = 'x'",
        "INSERT INTO people (tenant_id, mail) VALUES ($1, 'x')",
        "WITH d AS (DELETE FROM orders WHERE tenant_id = $1 RETURNING tenant_id, user_id) INSERT INTO users (tenant_id) SELECT tenant_id FROM d",
        "MERGE INTO orders o USING users u ON o.tenant_id = u.tenant_id AND u.tenant_id = $1 WHEN MATCHED THEN DELETE",
        "SELECT 1",
    ];
    let loose = [
        "SELECT * FROM users",
        "SELECT * FROM users WHERE tenant_id = $2",
        "SELECT * FROM users WHERE tenant_id = $1 OR true",
        "SELECT * FROM users WHERE tenant_id <> $1",
        "SELECT * FROM users WHERE tenant_id >= $1",
        "SELECT * FROM users WHERE NOT tenant_id = $1",
        "SELECT * FROM users WHERE (tenant_id = $1) IS NOT NULL",
        "SELECT * FROM users WHERE coalesce(tenant_id, 0) = $1",
        "SELECT * FROM users WHERE tenant_id = $1 + 0",
        "SELECT * FROM users WHERE tenant_id IN ($1, 2)",
        "SELECT * FROM users WHERE tenant_id = $1::varchar(1)::int",
        "SELECT * FROM users WHERE id = $1",
        "SELECT * FROM users HAVING tenant_id = $1",
        "SELECT count(*) FILTER (WHERE tenant_id = $1) FROM users",
        "SELECT CASE WHEN tenant_id = $1 THEN 1 END FROM users",
        "SELECT * FROM users u LEFT JOIN orders o ON o.tenant_id = u.tenant_id AND u.tenant_id = $1",
        "SELECT * FROM users u LEFT JOIN orders o ON o.id = u.id AND u.tenant_id = $1 WHERE u.tenant_id = $1",
        "SELECT * FROM users u FULL JOIN orders o ON o.tenant_id = u.tenant_id AND u.tenant_id = $1 AND o.tenant_id = $1",
        "SELECT * FROM users u RIGHT JOIN orders o ON o.tenant_id = u.tenant_id WHERE u.id = 1 AND o.id = $1",
        "SELECT * FROM users u LEFT JOIN orders o ON u.tenant_id = $1 AND o.tenant_id = $1",
        "SELECT tenant_id FROM users FULL JOIN orders USING (tenant_id) WHERE tenant_id = $1",
        "SELECT * FROM users u JOIN orders o ON o.user_id = u.id WHERE u.tenant_id = $1",
        "SELECT * FROM users UNION ALL SELECT * FROM users WHERE tenant_id = $1",
        "SELECT * FROM (SELECT * FROM users LIMIT 5) s WHERE tenant_id = $1",
        "SELECT * FROM first_ten WHERE tenant_id = $1",
        "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY id) FROM users) s WHERE tenant_id = $1",
        "SELECT * FROM (SELECT DISTINCT ON (email) * FROM users) s WHERE tenant_id = $1",
        "WITH x AS (SELECT * FROM users) SELECT * FROM x WHERE tenant_id = $1 UNION ALL SELECT * FROM x",
        "WITH x AS (SELECT * FROM users) SELECT 1",
        "WITH RECURSIVE r AS (SELECT tenant_id FROM users UNION SELECT tenant_id FROM r) SELECT * FROM r WHERE tenant_id = $1",
        "SELECT * FROM users u WHERE tenant_id = $1 AND EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)",
        "SELECT (SELECT count(*) FROM orders) FROM users WHERE tenant_id = $1",
        "SELECT * FROM events_2024",
        "SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM users u WHERE o.tenant_id = $1 AND u.tenant_id = $1)",
        "SELECT * FROM (SELECT tenant_id FROM users WHERE tenant_id = $1 UNION ALL SELECT 2) s JOIN orders o ON o.tenant_id = s.tenant_id",
        "UPDATE users SET email = 'x'",
        "UPDATE users SET tenant_id = 2 WHERE tenant_id = $1",
        "UPDATE users SET tenant_id = tenant_id + 1 WHERE tenant_id = $1",
        "UPDATE users SET (email, tenant_id) = (SELECT 'x', 2) WHERE tenant_id = $1",
        "UPDATE people SET tenant_id = 2 WHERE tenant_id = $1",
        "DELETE FROM users",
        "DELETE FROM orders o USING users u WHERE u.tenant_id = $1 AND u.id = o.user_id",
        "INSERT INTO users (tenant_id) VALUES (2)",
        "INSERT INTO users (tenant_id) VALUES ($1), (2)",
        "INSERT INTO users (email) VALUES ('x')",
        "INSERT INTO orders (tenant_id) SELECT id FROM users WHERE tenant_id = $1",
        "INSERT INTO orders (tenant_id) SELECT tenant_id FROM users",
        "INSERT INTO orders (tenant_id) SELECT tenant_id FROM users WHERE tenant_id = $1 UNION ALL SELECT 2",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x') ON CONFLICT (email) DO UPDATE SET ssn = 'x'",
        "INSERT INTO users (tenant_id, email) VALUES ($1, 'x') ON CONFLICT (tenant_id, email) DO UPDATE SET tenant_id = 2",
        "COPY users FROM STDIN",
        "COPY users TO STDOUT",
        "WITH u AS (UPDATE users SET tenant_id = 2 WHERE tenant_id = $1 RETURNING tenant_id) INSERT INTO orders (tenant_id) SELECT tenant_id FROM u",
        "MERGE INTO orders o USING users u ON o.tenant_id = u.tenant_id AND u.tenant_id = $1 WHEN NOT MATCHED THEN INSERT (tenant_id) VALUES (u.tenant_id)",
        "MERGE INTO orders o USING tenants t ON o.tenant_id = t.tenant_id AND t.tenant_id = $1 WHEN MATCHED THEN UPDATE SET tenant_id = 2",
    ];
    let mut wrong = Vec::new();
    for sql in held {
        if !is_held(database, sql) {
            wrong.push(format!("not proved: {sql}\n   {:?}", database.one(sql).tenancy));
        }
    }
    for sql in loose {
        if is_held(database, sql) {
            wrong.push(format!("PROVED: {sql}\n   {:?}", database.one(sql).tenancy));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Rows that are cut out of a long list are not vouched for.
    let rows = format!(
        "INSERT INTO users (tenant_id) VALUES {}($1)",
        "($1),".repeat(60_000)
    );
    assert!(!is_held(database, &rows));
    let short = format!("INSERT INTO users (tenant_id) VALUES {}($1)", "($1),".repeat(300));
    assert!(is_held(database, &short));
    let sly = format!(
        "INSERT INTO users (tenant_id) VALUES {}($2),{}($1)",
        "($1),".repeat(300),
        "($1),".repeat(100)
    );
    assert!(!is_held(database, &sly));
}
