//! A ring under load by each method of signing in to the NATS servers, and while its credentials run out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_bus::provision::{Admin, server_version};
use postern_bus::{SignIn, TlsConfig};
use postern_cli::certificate::OwnAuthority;
use postern_e2e::pgbench::{flawless, flawless_in_every_mode};
use postern_testkit::{Authority, Hop, NatsAuth, Options, Part, Ring, Stage};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

async fn serves_by(auth: NatsAuth, tls: bool) {
    for nats_server in nats_servers() {
        let options = Options {
            nats_auth: auth,
            nats_tls: tls,
            nats_server,
            ..Options::default()
        };
        let ring = Ring::start(options).await.unwrap();
        let processed = flawless_in_every_mode(&ring).await.unwrap();
        println!("{auth:?}, TLS {tls}: {processed} transactions");
    }
}

#[tokio::test]
async fn serves_by_jwt() {
    serves_by(NatsAuth::Jwt, true).await;
}

#[tokio::test]
async fn serves_by_nkey() {
    serves_by(NatsAuth::Nkey, true).await;
}

#[tokio::test]
async fn serves_by_password() {
    serves_by(NatsAuth::Password, true).await;
}

#[tokio::test]
async fn serves_by_token() {
    serves_by(NatsAuth::Token, true).await;
}

#[tokio::test]
async fn serves_without_tls() {
    serves_by(NatsAuth::Jwt, false).await;
}

/// How often a stage has made a connection.
fn connections(ring: &Ring, stage: Stage) -> usize {
    ring.log(Part::Stage(stage)).matches("connected to NATS").count()
}

#[tokio::test]
async fn jwts_that_run_out_under_load_cost_no_transaction() {
    const LIFETIME: Duration = Duration::from_secs(8);
    let ring = Ring::start(Options {
        nats_jwt_lifetime: LIFETIME,
        ..Options::default()
    })
    .await
    .unwrap();
    ring.renew_nats_jwts().unwrap();
    let renewing = async {
        loop {
            tokio::time::sleep(LIFETIME / 2).await;
            ring.renew_nats_jwts().unwrap();
        }
    };
    let processed = tokio::select! {
        processed = flawless(&ring, 20) => processed.unwrap(),
        () = renewing => unreachable!(),
    };
    println!("{processed} transactions");
    for stage in Stage::ALL {
        let made = connections(&ring, stage);
        println!("{stage}: {made} connections");
        // Two at the start; what the load outlived, it can only have outlived with new ones.
        assert!(made >= 6, "{stage} made {made} connections");
        let log = ring.log(Part::Stage(stage));
        assert!(!log.contains("have run out"), "{stage} came too late: {log}");
        assert!(!log.contains("ermission denied"), "{stage}: {log}");
    }
}

/// Every key and certificate of every part is replaced in turn, the old keys revoked, while statements run.
#[tokio::test]
async fn revoked_keys_and_new_certificates_cost_no_transaction() {
    for nats_server in nats_servers() {
        let ring = Ring::start(Options {
            nats_server: nats_server.clone(),
            ..Options::default()
        })
        .await
        .unwrap();
        let (own, stolen) = (
            ring.directory().join("keys/nats/backend"),
            ring.files().join("stolen"),
        );
        fs::create_dir(&stolen).unwrap();
        for entry in fs::read_dir(&own).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), stolen.join(entry.file_name())).unwrap();
        }
        let replacing = async {
            for user in ["frontend", "query-validator", "backend", "response-validator"] {
                tokio::time::sleep(Duration::from_secs(2)).await;
                ring.revoke_nats_user(user).unwrap();
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            ring.renew_nats_certificates().unwrap();
            std::future::pending::<()>().await;
        };
        let processed = tokio::select! {
            processed = flawless(&ring, 15) => processed.unwrap(),
            () = replacing => unreachable!(),
        };
        println!("{nats_server:?}: {processed} transactions");
        assert!(server_version(&backend_at_clean_query(&ring, &own)).await.is_ok());
        let refused = server_version(&backend_at_clean_query(&ring, &stolen)).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("does not let `backend` in"), "{refused}");
        for stage in Stage::ALL {
            let made = connections(&ring, stage);
            println!("{stage}: {made} connections");
            assert!(made >= 6, "{stage} made {made} connections");
        }
        for hop in Hop::ALL {
            let log = ring.log(Part::Nats(hop));
            assert!(log.contains("Reloaded server configuration"), "{hop}: {log}");
            assert!(!log.contains("connections exceeded"), "{hop}: {log}");
        }
    }
}

/// The Backend at the server it reads, with the credentials in a directory.
fn backend_at_clean_query(ring: &Ring, folder: &Path) -> Admin {
    let config = postern_cli::ring_config::RingConfig::load(&ring.directory().join("postern.toml")).unwrap();
    let file = |name: &str| folder.join(name);
    Admin {
        url: config.nats[&Hop::CleanQuery].url.clone(),
        user: "backend".to_owned(),
        sign_in: SignIn::Jwt {
            jwt_file: file("clean-query.jwt").into(),
            seed_file: file("clean-query.seed").into(),
        },
        tls: Some(TlsConfig {
            server_name: "clean-query.postern".to_owned(),
            ca_file: file("ca.crt"),
            certificate_file: file("tls.crt"),
            key_file: file("tls.key").into(),
        }),
    }
}

/// Those that the hops are tested with, or the one that a ring takes by itself.
fn nats_servers() -> Vec<Option<PathBuf>> {
    match std::env::var("POSTERN_TEST_NATS_SERVERS") {
        Ok(list) => list.split(':').map(|server| Some(server.into())).collect(),
        Err(_) => vec![None],
    }
}

#[tokio::test]
async fn a_ring_whose_jwts_ran_out_says_so_and_serves_again_once_they_are_renewed() {
    let ring = Ring::start(Options {
        nats_jwt_lifetime: Duration::from_secs(4),
        ..Options::default()
    })
    .await
    .unwrap();
    let parts = |stage: Stage| ring.log(Part::Stage(stage));
    let said = |log: &str| log.contains(" ran out ") && log.contains("postern keys renew");
    let begun = Instant::now();
    while !Stage::ALL.into_iter().all(|stage| said(&parts(stage))) {
        assert!(
            begun.elapsed() < PATIENCE,
            "not every stage says that its JWT ran out"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for stage in Stage::ALL {
        let log = parts(stage);
        let line = log.lines().find(|line| line.contains(" ran out ")).unwrap();
        println!("{line}");
        assert!(line.contains(stage.name()), "{line}");
        assert!(log.contains("have run out"), "{stage}: {log}");
    }
    ring.renew_nats_jwts().unwrap();
    let before: Vec<usize> = Stage::ALL.map(|stage| connections(&ring, stage)).to_vec();
    let begun = Instant::now();
    // Both connections of each stage.
    while Stage::ALL
        .into_iter()
        .zip(&before)
        .any(|(stage, before)| connections(&ring, stage) < before + 2 && connections(&ring, stage) < 4)
    {
        assert!(begun.elapsed() < PATIENCE, "the stages did not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Four seconds are short; from here on as `postern up` would.
    ring.renew_nats_jwts().unwrap();
    let (client, connection) = loop {
        match tokio_postgres::connect(&ring.url("app"), tokio_postgres::NoTls).await {
            Ok(both) => break both,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::spawn(connection);
    client.simple_query("SELECT 1").await.unwrap();
}

/// The hops' certificates are of the operator's CA, and those of another ring's are worth nothing.
#[tokio::test]
async fn hops_with_certificates_of_the_operators_authority() {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("own");
    let own = Authority::new("The operator's CA").unwrap();
    own.write(&stem).unwrap();
    let ring = Ring::start(Options {
        nats_ca: Some(OwnAuthority {
            certificate: stem.with_extension("crt"),
            key: Some(stem.with_extension("key")),
        }),
        ..Options::default()
    })
    .await
    .unwrap();
    for stage in Stage::ALL {
        let known = ring.directory().join(format!("keys/nats/{stage}/ca.crt"));
        assert_eq!(fs::read_to_string(known).unwrap(), own.pem());
    }
    assert!(flawless(&ring, 2).await.unwrap() > 0);
    ring.renew_nats_certificates().unwrap();
    assert!(flawless(&ring, 2).await.unwrap() > 0);
}
