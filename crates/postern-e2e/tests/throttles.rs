//! What becomes of clients that come from elsewhere, too often, too fast, or guess: each limit in a real ring, with
//! real clients; and that the limits as they are by default are in nobody's way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_cli::directory::RingDirectory;
use postern_cli::users::UsersFile;
use postern_testkit::{Options, Part, Ring, Stage};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpSocket;
use tokio_postgres::{Client, Config, Error, NoTls};

async fn ring(options: Options) -> Ring {
    Ring::start(options).await.unwrap()
}

fn configured(stage: Stage, text: &str) -> Options {
    Options {
        config: vec![(stage, text.to_owned())],
        ..Options::default()
    }
}

/// Signs in from another address of this machine.
async fn connect(ring: &Ring, from: [u8; 4], user: &str, password: &str) -> Result<Client, Error> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, ring.port()));
    let stream = socket.connect(there).await.unwrap();
    let config: Config = ring.url_with(user, password).parse().unwrap();
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the server says to who may not come in.
fn told(refused: Result<Client, Error>) -> (String, String) {
    let error = refused.expect_err("it was let in");
    let told = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
    (told.code().code().to_owned(), told.message().to_owned())
}

/// psql, with TLS as it likes: what it exits with, and what it complains of.
fn psql(ring: &Ring, mode: &str) -> (bool, String) {
    let url = format!("{}?sslmode={mode}", ring.url("app"));
    let output = Command::new(ring.installation().psql())
        .args(["-XAtc", "SELECT 1", &url])
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Asks again until it is so. The limit ends what never will be; it is no measure.
macro_rules! until {
    ($is_so:expr) => {
        for attempt in 0.. {
            assert!(attempt < 600, "it never was so");
            if $is_so {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
}

#[tokio::test]
async fn clients_from_other_networks_are_refused() {
    let networks = "client_networks = [\"127.0.0.2/32\", \"127.3.0.0/16\"]";
    let ring = ring(configured(Stage::Frontend, networks)).await;
    for mode in ["disable", "prefer", "require"] {
        let (went, complaint) = psql(&ring, mode);
        assert!(!went, "sslmode={mode}");
        assert!(
            complaint.contains("connections from this network are not allowed"),
            "sslmode={mode}: {complaint}"
        );
    }
    let (code, _) = told(connect(&ring, [127, 4, 0, 1], "app", "app").await);
    assert_eq!(code, "28000");
    for from in [[127, 0, 0, 2], [127, 3, 7, 1]] {
        let client = connect(&ring, from, "app", "app").await.unwrap();
        client.simple_query("SELECT 1").await.unwrap();
    }
    let asked = ring.ledger_dirs()[&Stage::QueryValidator].clone();
    let mut records = String::new();
    for file in std::fs::read_dir(asked).unwrap() {
        records += &std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
    }
    assert!(
        records.contains("127.3.7.1") && !records.contains("127.4.0.1"),
        "nothing of them goes to the ring"
    );
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused_and_others_are_not() {
    let limits = "[limits]\nconnections_per_s_per_address = 1\nconnections_burst_per_address = 3";
    let ring = ring(configured(Stage::Frontend, limits)).await;
    let mut refused = None;
    until!({
        refused = connect(&ring, [127, 0, 0, 1], "app", "app").await.err();
        refused.is_some()
    });
    let refused = refused.unwrap();
    assert_eq!(refused.code().unwrap().code(), "53300");
    let (went, complaint) = psql(&ring, "prefer");
    assert!(
        went || complaint.contains("this address connects too often"),
        "{complaint}"
    );
    connect(&ring, [127, 0, 0, 2], "app", "app").await.unwrap();
    until!(connect(&ring, [127, 0, 0, 1], "app", "app").await.is_ok());
}

#[tokio::test]
async fn who_guesses_passwords_is_locked_out_for_a_while() {
    let ring = ring(configured(
        Stage::QueryValidator,
        "[sign_in]\nlock_s = 3\nlongest_lock_s = 3",
    ))
    .await;
    let (application, attacker) = ([127, 0, 0, 1], [127, 0, 0, 66]);
    connect(&ring, application, "app", "app").await.unwrap();
    for user in ["app", "there-is-no-such-user"] {
        for guess in 0..6 {
            let refused = told(connect(&ring, attacker, user, &format!("guess{guess}")).await);
            let expected = format!("password authentication failed for user \"{user}\"");
            assert_eq!(refused, ("28P01".to_owned(), expected));
        }
    }
    // The right password looks wrong, there and from any other strange address; the application goes on.
    for from in [attacker, [127, 0, 0, 67]] {
        assert_eq!(told(connect(&ring, from, "app", "app").await).0, "28P01");
    }
    connect(&ring, application, "app", "app").await.unwrap();
    connect(&ring, application, "owner", "owner").await.unwrap();
    until!(connect(&ring, [127, 0, 0, 67], "app", "app").await.is_ok());
    let output = Command::new(ring.postern())
        .args(["audit", "tail"])
        .arg(ring.directory())
        .output()
        .unwrap();
    let records = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(records.contains("reason=locked-out"), "{records}");
}

#[tokio::test]
async fn an_address_that_guesses_in_many_names_is_locked_out() {
    let limits = "[sign_in]\nfailures_of_address = 4\nlock_s = 300\nlongest_lock_s = 300";
    let ring = ring(configured(Stage::QueryValidator, limits)).await;
    for n in 0..4 {
        told(connect(&ring, [127, 0, 0, 66], &format!("user{n}"), "guess").await);
    }
    assert_eq!(
        told(connect(&ring, [127, 0, 0, 66], "app", "app").await).0,
        "28P01"
    );
    connect(&ring, [127, 0, 0, 67], "app", "app").await.unwrap();
}

#[tokio::test]
async fn who_is_too_fast_is_refused_and_may_try_again() {
    let policy = "
version: 1
roles:
  app: {mode: enforce, database_role: app, search_path: shop, statements: [select, transaction], schemas: [shop],
        limits: {max_statements_per_s: 5}}
  owner: {mode: open, database_role: owner}
";
    let ring = ring(Options {
        policy: Some(policy.to_owned()),
        ..Options::default()
    })
    .await;
    let client = connect(&ring, [127, 0, 0, 1], "app", "app").await.unwrap();
    let owner = connect(&ring, [127, 0, 0, 1], "owner", "owner").await.unwrap();
    let mut refused = None;
    until!({
        refused = client.simple_query("SELECT 1").await.err();
        refused.is_some()
    });
    assert_eq!(refused.unwrap().code().unwrap().code(), "53400");
    for _ in 0..20 {
        owner.simple_query("SELECT 1").await.unwrap();
    }
    // The same session goes on, and a transaction that was hit is rolled back, not half done.
    until!(client.simple_query("SELECT 1").await.is_ok());
    until!(client.simple_query("ROLLBACK").await.is_ok());
    until!(
        client
            .simple_query("BEGIN; SELECT 1; SELECT 2; SELECT 3; SELECT 4; SELECT 5; SELECT 6; SELECT 7")
            .await
            .is_ok()
    );
    assert_eq!(
        client
            .simple_query("COMMIT")
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "53400"
    );
    until!(client.simple_query("ROLLBACK").await.is_ok());
    until!(client.simple_query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn the_limits_as_they_are_by_default_are_in_nobodys_way() {
    let ring = ring(Options::default()).await;
    let pool: Vec<_> = (0..64)
        .map(|_| connect(&ring, [127, 0, 0, 1], "app", "app"))
        .collect();
    let pool = futures_util::future::join_all(pool).await;
    assert!(pool.iter().all(Result::is_ok));
    let program = ring.installation().binaries.join("pgbench");
    let script = ring.files().join("one.sql");
    std::fs::write(&script, "SELECT 1;\n").unwrap();
    // A new connection for each transaction, and the same connections.
    for (connect, transactions) in [(true, "40"), (false, "500")] {
        let mut pgbench = Command::new(&program);
        pgbench
            .args(["-n", "-c", "16", "-t", transactions, "-f"])
            .arg(&script);
        if connect {
            pgbench.arg("-C");
        }
        let output = pgbench.arg(ring.url("owner")).output().unwrap();
        let (said, complaint) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert!(output.status.success(), "{said}{complaint}");
        println!("connect={connect}: {said}");
    }
    drop(pool);
    assert!(!ring.log(Part::Stage(Stage::Frontend)).contains("turned away"));
}

#[tokio::test]
async fn the_old_password_is_good_until_its_time_is_over() {
    let ring = ring(Options::default()).await;
    let mut file = UsersFile::open(&RingDirectory::new(ring.directory()).users_file()).unwrap();
    let user = file.users.users.get_mut("app").unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    user.change_password(
        "new",
        Duration::from_secs(4),
        u64::try_from(now.as_millis()).unwrap(),
    )
    .unwrap();
    file.save().unwrap();
    let here = [127, 0, 0, 1];
    // The old one goes on without a gap; once the change was read, its use is recorded.
    until!({
        connect(&ring, here, "app", "app").await.unwrap();
        used_old_password(&ring)
    });
    connect(&ring, here, "app", "new").await.unwrap();
    until!(connect(&ring, here, "app", "app").await.is_err());
    connect(&ring, here, "app", "new").await.unwrap();
    assert_eq!(told(connect(&ring, here, "app", "app").await).0, "28P01");
}

fn used_old_password(ring: &Ring) -> bool {
    let output = Command::new(postern_testkit::binaries::programs(None).unwrap().postern)
        .args(["audit", "query", "--event", "signin", "--actor", "app", "--json"])
        .arg(ring.directory())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains("\"reason\":\"previous-password\"")
}
