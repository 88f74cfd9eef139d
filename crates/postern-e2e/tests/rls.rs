//! The example `examples/rls`: row-level security by the tenant of the session, in the database itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_testkit::{Options, PoolMode, Ring, TestUser};
use std::path::Path;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const ROLES: &str = "CREATE ROLE clinic_app; GRANT clinic_app TO postern; CREATE ROLE clinic_owner;
    GRANT CREATE ON DATABASE demo TO clinic_owner; SET ROLE clinic_owner;";
const SCHEMA: &str = include_str!("../../../examples/rls/clinic.sql");
const ROWS: &str = "RESET ROLE;
    INSERT INTO clinic.patients (clinic_id, name) SELECT 1 + i % 2, 'patient ' || i FROM generate_series(1, 10) i;
    INSERT INTO clinic.findings (clinic_id, patient_id, finding) SELECT clinic_id, id, 'well' FROM clinic.patients;";

fn user(name: &str, tenant: Option<&str>) -> TestUser {
    TestUser {
        tenant: tenant.map(str::to_owned),
        ..TestUser::new(name, "clinician")
    }
}

async fn start(pool_mode: PoolMode) -> Ring {
    Ring::start(Options {
        sql: Some([ROLES, SCHEMA, ROWS].concat()),
        policy_directory: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/rls/policy")),
        catalog: true,
        users: vec![
            user("north", Some("1")),
            user("south", Some("2")),
            user("nobody", None),
        ],
        pool_mode,
        // One connection, which all have to share.
        config: vec![(
            postern_testkit::Stage::Backend,
            "[database]\npool_size = 1".to_owned(),
        )]
        .into_iter()
        .filter(|_| pool_mode == PoolMode::Transaction)
        .collect(),
        ..Options::default()
    })
    .await
    .unwrap()
}

async fn client(ring: &Ring, name: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&ring.url(name), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The first column of all rows, or the SQLSTATE.
async fn run(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| {
        error
            .code()
            .map_or_else(|| error.to_string(), |code| code.code().to_owned())
    })?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(rows.collect())
}

async fn clinics(client: &Client) -> Vec<String> {
    run(client, "SELECT DISTINCT clinic_id FROM patients ORDER BY 1")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_clinic_sees_and_changes_its_own_rows_only() {
    for pool_mode in [PoolMode::Transaction, PoolMode::Session] {
        let ring = start(pool_mode).await;
        let north = client(&ring, "north").await;
        let south = client(&ring, "south").await;
        let nobody = client(&ring, "nobody").await;
        for _ in 0..3 {
            assert_eq!(clinics(&north).await, ["1"]);
            assert_eq!(clinics(&south).await, ["2"]);
            assert_eq!(clinics(&nobody).await, [""; 0]);
        }
        let count = "SELECT count(*) FROM findings f JOIN patients p ON p.id = f.patient_id";
        assert_eq!(run(&north, count).await.unwrap(), ["5"]);
        let named = "SELECT name FROM patients WHERE clinic_id = 2";
        assert_eq!(run(&north, named).await.unwrap(), [""; 0]);

        // The other clinic's rows, by name: nothing is changed, and nothing can be put there.
        let states = async |sql| run(&north, sql).await;
        assert_eq!(
            states("UPDATE patients SET name = 'x' WHERE clinic_id = 2").await,
            Ok(vec![])
        );
        assert_eq!(
            states("DELETE FROM findings WHERE clinic_id = 2").await,
            Ok(vec![])
        );
        let refused = Err("42501".to_owned());
        assert_eq!(
            states("INSERT INTO patients (clinic_id, name) VALUES (2, 'x')").await,
            refused
        );
        assert_eq!(states("UPDATE patients SET clinic_id = 2").await, refused);
        let foreign = "INSERT INTO findings (clinic_id, patient_id, finding)
                       SELECT 1, id, 'x' FROM generate_series(1, 10) id WHERE id % 2 = 1";
        assert_eq!(states(foreign).await, Err("23503".to_owned()));
        assert_eq!(
            states("INSERT INTO patients (clinic_id, name) VALUES (1, 'new')").await,
            Ok(vec![])
        );
        let whose = "SELECT clinic_id, count(*), count(*) FILTER (WHERE name = 'x') FROM clinic.patients GROUP BY 1 ORDER BY 1";
        assert_eq!(ring.database_sql(whose).unwrap(), "1|6|0\n2|5|0");
    }
}

#[tokio::test]
async fn nobody_can_say_that_he_is_another_clinic() {
    let ring = start(PoolMode::Transaction).await;
    let north = client(&ring, "north").await;
    let south = client(&ring, "south").await;
    for sql in [
        "SET postern.tenant = '2'",
        "SET LOCAL postern.tenant = '2'",
        "RESET postern.tenant",
        "RESET ALL",
        "DISCARD ALL",
        "SET ROLE clinic_owner",
        "SET SESSION AUTHORIZATION postern",
        "SET row_security = off",
        "SELECT set_config('postern.tenant', '2', false)",
        "BEGIN; SELECT set_config('postern.tenant', '2', true); SELECT name FROM patients",
        "UPDATE pg_catalog.pg_settings SET setting = '2' WHERE name = 'postern.tenant'",
        "ALTER TABLE patients DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own ON patients",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO $$ BEGIN PERFORM set_config('postern.tenant', '2', false); END $$",
    ] {
        let answer = run(&north, sql).await;
        let _ = run(&north, "ROLLBACK").await;
        // RESET ALL and DISCARD ALL may be let through: then they leave the tenant as it is.
        assert!(answer.is_err() || sql.ends_with("ALL"), "{sql}: {answer:?}");
        assert_eq!(clinics(&north).await, ["1"], "after {sql}");
        assert_eq!(clinics(&south).await, ["2"], "after {sql}");
    }
    // A start-up option is a setting too.
    let url = format!("{}?options=-c%20postern.tenant%3D2", ring.url("north"));
    if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
        tokio::spawn(connection);
        assert_eq!(clinics(&client).await, ["1"]);
    }
    let doctor = std::process::Command::new(ring.postern())
        .arg("doctor")
        .arg(ring.directory())
        .output()
        .unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    let line = said.lines().find(|line| line.contains("row-security:"));
    assert!(
        line.is_some_and(|line| line.starts_with("pass") && !line.contains("names no tenants")),
        "{said}"
    );
    // Past the ring, as the login role itself: it has no tenant, and no rights before it takes a role.
    let direct = ring.database_sql(
        "SET SESSION AUTHORIZATION postern; SET ROLE clinic_app; SELECT count(*) FROM clinic.patients",
    );
    assert_eq!(direct.unwrap(), "0");
}
