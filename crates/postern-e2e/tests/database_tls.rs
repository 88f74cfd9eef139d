//! TLS between Backend and database: what is wrong is refused and named, and is mended without a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_cli::secret_file;
use postern_e2e::major_with_tls;
use postern_testkit::{Authority, DatabaseTls, Options, Part, Ring, Stage};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use tokio_postgres::NoTls;

/// Names of the database's certificate.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// pg_hba.conf for a database that lets nobody in over TCP without a certificate for the very role.
const CERTIFICATES_ONLY: &str = "local all all trust\n\
    hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n";

struct Scene {
    ring: Ring,
}

impl Scene {
    /// `None` where no PostgreSQL at hand speaks TLS.
    async fn start() -> Option<Scene> {
        let Some(major) = major_with_tls() else {
            println!("no PostgreSQL here speaks TLS");
            return None;
        };
        let ring = Ring::start(Options {
            pg_major: Some(major),
            database_tls: true,
            ..Options::default()
        });
        let scene = Scene {
            ring: ring.await.unwrap(),
        };
        fs::write(scene.ring.files().join("pg/data/pg_hba.conf"), CERTIFICATES_ONLY).unwrap();
        scene.reload();
        Some(scene)
    }

    fn tls(&self) -> &DatabaseTls {
        self.ring.database_tls().unwrap()
    }

    /// A file of the Backend's.
    fn file(&self, name: &str) -> PathBuf {
        self.ring.directory().join("keys/database").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        secret_file::write(&self.file(name), text).unwrap();
    }

    /// The database reads its configuration again and ends the Backend's connections.
    fn reload(&self) {
        let ended = "SELECT pg_reload_conf();
                     SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'postern'";
        self.ring.database_sql(ended).unwrap();
    }

    /// A new session's question. An error has its SQLSTATE.
    async fn ask(&self) -> Result<i32, String> {
        let connected = tokio_postgres::connect(&self.ring.url("app"), NoTls).await;
        let (client, connection) = connected.map_err(|error| state(&error))?;
        tokio::spawn(connection);
        let row = client.query_one("SELECT 7", &[]).await;
        row.map(|row| row.get(0)).map_err(|error| state(&error))
    }

    fn log(&self) -> String {
        self.ring.log(Part::Stage(Stage::Backend))
    }

    /// Nothing runs, and the log says why.
    async fn is_refused(&self, what: &str, why: &str) {
        let before = self.log().len();
        self.reload();
        assert_eq!(self.ask().await, Err("08001".to_owned()), "{what}");
        let log = self.log();
        let said = log.get(before..).unwrap();
        assert!(said.contains(why), "{what}: {said}");
        assert!(!log.contains("PRIVATE KEY"));
    }

    async fn works(&self, what: &str) {
        self.reload();
        assert_eq!(self.ask().await, Ok(7), "{what}: {}", self.log());
    }

    /// The Backend's own certificate anew, by this authority.
    fn certify_backend(&self, by: &Authority, name: &str, days: std::ops::Range<i64>) {
        by.issue(&self.file("client"), &[name], days).unwrap();
    }
}

fn state(error: &tokio_postgres::Error) -> String {
    error
        .code()
        .map_or_else(|| format!("{error:?}"), |code| code.code().to_owned())
}

#[tokio::test]
async fn a_database_that_is_not_believed_is_sent_nothing_until_that_is_mended() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let other = Authority::new("another").unwrap();
    let tls = scene.tls();
    let own = tls.authority();
    scene.works("from the beginning").await;
    for (what, by, names, days, why) in [
        (
            "another authority",
            &other,
            NAMES.as_slice(),
            0..100,
            "is not signed by an authority in",
        ),
        ("expired", own, &NAMES, -10..-1, "of the database has expired"),
        (
            "not yet valid",
            own,
            &NAMES,
            1..10,
            "of the database is not valid yet",
        ),
        (
            "another name",
            own,
            &["db.example"],
            0..100,
            "is not for `127.0.0.1`",
        ),
    ] {
        tls.certify(by, names, days).unwrap();
        scene.is_refused(what, why).await;
        tls.certify(own, &NAMES, 0..100).unwrap();
        scene.works(what).await;
    }
}

#[tokio::test]
async fn wrong_files_of_the_backend_are_named_and_taken_once_they_are_mended() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let own = scene.tls().authority();
    let other = Authority::new("another").unwrap();
    scene.works("from the beginning").await;

    scene.write("ca.crt", "nothing\n");
    scene
        .is_refused("no CA", "`keys/database/ca.crt` holds no certificate")
        .await;
    scene.write("ca.crt", &own.pem());
    scene.works("the CA is back").await;

    for (what, by, name, days, why) in [
        (
            "another authority",
            &other,
            "postern",
            0..10,
            "broke the TLS connection off (UnknownCA)",
        ),
        (
            "expired",
            own,
            "postern",
            -10..-1,
            "broke the TLS connection off (",
        ),
        (
            "another role",
            own,
            "somebody",
            0..10,
            "refused the connection (SQLSTATE 28P01)",
        ),
    ] {
        scene.certify_backend(by, name, days);
        scene.is_refused(what, why).await;
        scene.certify_backend(own, "postern", 0..10);
        scene.works(what).await;
    }

    let key = fs::read_to_string(scene.file("client.key")).unwrap();
    let open =
        |mode| fs::set_permissions(scene.file("client.key"), fs::Permissions::from_mode(mode)).unwrap();
    open(0o644);
    let why = "the secret in `keys/database/client.key` is open to others than its owner (mode 644)";
    scene.is_refused("an open key", why).await;
    open(0o600);
    scene.works("a closed key").await;
    fs::remove_file(scene.file("client.key")).unwrap();
    scene
        .is_refused("no key", "can't read the secret in `keys/database/client.key`")
        .await;
    scene.write("client.key", &key);
    scene.works("the key is back").await;

    let password = fs::read_to_string(scene.file("password")).unwrap();
    scene.write("password", "wrong\n");
    scene
        .is_refused("a wrong password", "refused the connection (SQLSTATE 28P01)")
        .await;
    scene.write("password", &password);
    scene.works("the right password").await;
}

#[tokio::test]
async fn authority_certificate_and_password_are_changed_while_sessions_go_on() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let (old, new) = (scene.tls().authority(), Authority::new("new").unwrap());
    let (client, connection) = tokio_postgres::connect(&scene.ring.url("app"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let asked = async || client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0);
    assert_eq!(asked().await, 7);

    let both = old.pem() + &new.pem();
    scene.write("ca.crt", &both);
    let root = scene.ring.files().join("pg/data/root.crt");
    fs::write(root, &both).unwrap();
    scene.works("both authorities are believed").await;
    scene.tls().certify(&new, &NAMES, 0..100).unwrap();
    scene.works("the new one signs for the database").await;
    scene.certify_backend(&new, "postern", 0..100);
    scene.works("and for the Backend").await;
    scene.write("ca.crt", &new.pem());
    scene.works("the old one is not needed").await;

    scene
        .ring
        .database_sql("ALTER ROLE postern PASSWORD 'another'")
        .unwrap();
    scene.write("password", "another\n");
    scene.works("with another password").await;
    // The session that was there from the beginning has lost its connection each time between two transactions.
    assert_eq!(asked().await, 7);
}
