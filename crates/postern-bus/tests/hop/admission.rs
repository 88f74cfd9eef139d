//! Who gets in, judged by the server; and what is said and done when a stage does not.

use crate::server::{Method, PATIENCE, SERVER_NAME, Server, binaries, hop, issue, now_s, soon};
use async_nats::{ConnectErrorKind, ConnectOptions, Event};
use postern_bus::jwt::{UserClaims, sign_user};
use postern_bus::provision::{Storage, provision};
use postern_bus::server_conf::MAX_SUBSCRIPTIONS;
use postern_bus::{Inlet, KeyPair, Outlet};
use postern_testkit::Authority;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

const ALL: [Method; 4] = [Method::Password, Method::Token, Method::Nkey, Method::Jwt];

async fn started(binary: &Path, method: Method) -> Server {
    let mut server = Server::with(binary, method);
    server.start();
    soon("provisioning", provision(&server.admin(), &[hop(Storage::File)]))
        .await
        .unwrap();
    server
}

/// How the server turns somebody away.
async fn refused(server: &Server, who: &str, options: ConnectOptions) -> ConnectErrorKind {
    match soon(who, options.connect(server.url())).await {
        Ok(_) => panic!("{who} got in"),
        Err(error) => {
            println!("{who}: {error}");
            error.kind()
        }
    }
}

/// A client with the certificate of a user, but no credentials yet.
fn with_certificate(server: &Server, options: ConnectOptions) -> ConnectOptions {
    options
        .require_tls(true)
        .add_root_certificates(server.path("ca.crt"))
        .add_client_certificate(server.path("reader.crt"), server.path("reader.key"))
}

#[tokio::test]
async fn messages_pass_by_every_method() {
    for binary in binaries() {
        for method in ALL {
            let server = started(&binary, method).await;
            let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
                .await
                .unwrap();
            soon("a confirmation", outlet.publish("hop", "hello".into()))
                .await
                .unwrap();
            let reader = server.inlet("reader", "c1");
            let mut inlet = soon("the inlet", Inlet::connect(&reader)).await.unwrap();
            assert_eq!(
                &soon("the message", inlet.next(1)).await[0].payload[..],
                b"hello",
                "{method:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_has_no_credentials_or_wrong_ones_stays_outside() {
    for binary in binaries() {
        for method in ALL {
            let server = started(&binary, method).await;
            let strangers = [
                ("nobody", ConnectOptions::new()),
                (
                    "a wrong password",
                    ConnectOptions::with_user_and_password("reader".into(), "x".into()),
                ),
                (
                    "another user",
                    ConnectOptions::with_user_and_password("root".into(), "reader-secret".into()),
                ),
                ("a wrong token", ConnectOptions::with_token("x".into())),
                (
                    "another key",
                    ConnectOptions::with_nkey(KeyPair::new_user().seed().unwrap()),
                ),
            ];
            for (who, options) in strangers {
                let kind = refused(&server, who, with_certificate(&server, options)).await;
                assert_eq!(
                    kind,
                    ConnectErrorKind::AuthorizationViolation,
                    "{method:?}: {who}"
                );
            }
        }
    }
}

/// The server's file holds hashes and public keys, so whoever reads it can sign in as nobody.
#[tokio::test]
async fn the_servers_own_files_hold_no_credential() {
    for method in ALL {
        let server = Server::with(&binaries()[0], method);
        let conf = std::fs::read_to_string(server.path("accounts.conf")).unwrap();
        for secret in ["-secret", "the-token", "\"SU", "\"SA", "\"SO"] {
            assert!(!conf.contains(secret), "{method:?}: {secret}");
        }
    }
}

#[tokio::test]
async fn jwts_that_do_not_count_are_refused() {
    for binary in binaries() {
        let server = started(&binary, Method::Jwt).await;
        let claims = |expires_at_s| UserClaims {
            name: "reader".into(),
            subject: server.public_key("reader"),
            issued_at_s: now_s(),
            expires_at_s,
            permissions: None,
        };
        // Made up by somebody who would like to be the administrator.
        let made_up = sign_user(&claims(now_s() + 60), &KeyPair::new_account()).unwrap();
        server.put_jwt("reader", &made_up);
        let kind = refused(&server, "another account", server.stolen("reader")).await;
        assert_eq!(kind, ConnectErrorKind::AuthorizationViolation);

        server.renew("reader", now_s() - 1);
        let kind = refused(&server, "an expired JWT", server.stolen("reader")).await;
        assert_eq!(kind, ConnectErrorKind::AuthorizationViolation);

        // A JWT without its key is of no use.
        server.renew("reader", now_s() + 60);
        std::fs::copy(server.path("reader.jwt"), server.path("writer.jwt")).unwrap();
        let kind = refused(&server, "a stolen JWT", server.stolen("writer")).await;
        assert_eq!(kind, ConnectErrorKind::AuthorizationViolation);
    }
}

/// Without a restart, and without anybody else's notice: the revoked connection ends, the others stay.
#[tokio::test]
async fn a_revoked_user_is_put_out_and_stays_outside() {
    for binary in binaries() {
        let server = started(&binary, Method::Jwt).await;
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let revoked = server
            .stolen("reader")
            .event_callback(move |event| {
                let _ = told.send(event);
                std::future::ready(())
            })
            .connect(server.url())
            .await
            .unwrap();
        server.revoke("reader");
        soon("the end of the connection", async {
            while hears.recv().await != Some(Event::Disconnected) {}
        })
        .await;
        drop(revoked);
        let kind = refused(&server, "a revoked user", server.stolen("reader")).await;
        assert_eq!(kind, ConnectErrorKind::AuthorizationViolation);
        assert!(!server.log().contains("exceeded"), "{}", server.log());
        // The same user with another key is somebody new.
        server.new_key("reader");
        server.renew("reader", now_s() + 60);
        assert!(server.stolen("reader").connect(server.url()).await.is_ok());
        soon("a confirmation", outlet.publish("hop", "hello".into()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn without_a_certificate_of_the_ring_nobody_gets_as_far_as_signing_in() {
    for binary in binaries() {
        let server = started(&binary, Method::Password).await;
        let with_password = || ConnectOptions::with_user_and_password("admin".into(), "admin-secret".into());
        let trusting = || {
            with_password()
                .require_tls(true)
                .add_root_certificates(server.path("ca.crt"))
        };
        refused(&server, "no certificate", trusting()).await;

        let foreign = server.path("foreign");
        issue(&Authority::new("ring").unwrap(), &foreign, "admin", 0..10);
        let shown = |stem: &Path| {
            trusting().add_client_certificate(stem.with_extension("crt"), stem.with_extension("key"))
        };
        refused(&server, "another CA", shown(&foreign)).await;
        server.issue("late", "admin", -10, -1);
        refused(&server, "an expired certificate", shown(&server.path("late"))).await;
        server.issue("early", "admin", 1, 10);
        refused(&server, "a certificate of tomorrow", shown(&server.path("early"))).await;
        assert!(shown(&server.path("admin")).connect(server.url()).await.is_ok());

        refused(
            &server,
            "TLS 1.2",
            with_password().tls_client_config(tls12(&server)),
        )
        .await;
        let mut plain = std::net::TcpStream::connect(server.url().trim_start_matches("nats://")).unwrap();
        let hello = "CONNECT {\"user\":\"admin\",\"pass\":\"admin-secret\"}\r\nPING\r\n";
        plain.write_all(hello.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = std::io::Read::read_to_string(&mut plain, &mut answer);
        assert!(answer.starts_with("INFO") && !answer.contains("PONG"), "{answer}");
    }
}

/// A client with the right certificate and an old version of TLS.
fn tls12(server: &Server) -> rustls::ClientConfig {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = |name: &str| CertificateDer::from_pem_file(server.path(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.crt")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![certificate("admin.crt")],
            PrivateKeyDer::from_pem_file(server.path("admin.key")).unwrap(),
        )
        .unwrap()
}

/// The log of this test's thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits until the log names the user and says what is wrong; and that the writer gets in once it is mended.
async fn said_and_mended(server: &mut Server, log: &Log, expected: &str, mend: impl FnOnce(&mut Server)) {
    let config = server.outlet();
    let connecting = tokio::spawn(async move { Outlet::connect(&config).await });
    let begun = Instant::now();
    let said = loop {
        let text = log.text();
        if let Some(line) = text
            .lines()
            .find(|line| line.contains("postern_bus") && line.contains(expected))
        {
            break line.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "`{expected}` was not said: {text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    println!("{said}");
    assert!(
        said.contains("user=\"writer\"") && said.contains(SERVER_NAME),
        "{said}"
    );
    assert!(said.contains("ERROR"), "{said}");
    assert!(!connecting.is_finished());
    mend(server);
    soon("the outlet, once all is well", connecting)
        .await
        .unwrap()
        .unwrap();
    log.clear();
}

#[tokio::test]
async fn what_is_wrong_is_said_and_forgotten_once_it_is_mended() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for binary in binaries() {
        let mut server = started(&binary, Method::Jwt).await;
        let foreign = Authority::new("ring").unwrap();

        std::fs::write(server.path("ca.crt"), foreign.pem()).unwrap();
        said_and_mended(&mut server, &log, "is not signed by the CA in", |server| {
            server.restore_ca();
        })
        .await;

        for (name, from_days, until_days, expected) in [
            (SERVER_NAME, -10, -1, "its certificate has expired"),
            (SERVER_NAME, 1, 10, "its certificate is not valid yet"),
            ("another.postern", 0, 10, "it is not `hop.postern`"),
        ] {
            server.issue("server", name, from_days, until_days);
            server.kill();
            server.start();
            said_and_mended(&mut server, &log, expected, |server| {
                server.issue("server", SERVER_NAME, 0, 10);
                server.kill();
                server.start();
            })
            .await;
        }

        issue(&foreign, &server.path("writer"), "writer", 0..10);
        said_and_mended(&mut server, &log, "signed by another CA", |server| {
            server.issue("writer", "writer", 0, 10);
        })
        .await;
        server.issue("writer", "writer", -10, -1);
        said_and_mended(&mut server, &log, "expired or not yet valid", |server| {
            server.issue("writer", "writer", 0, 10);
        })
        .await;
        std::fs::rename(server.path("writer.key"), server.path("elsewhere")).unwrap();
        said_and_mended(&mut server, &log, "can't read the secret in", |server| {
            std::fs::rename(server.path("elsewhere"), server.path("writer.key")).unwrap();
        })
        .await;
        for file in ["writer.key", "writer.seed"] {
            let path = server.path(file);
            let open = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            open(0o644);
            let expected = format!("{file}` is open to others than its owner (mode 644)");
            said_and_mended(&mut server, &log, &expected, |_| open(0o600)).await;
        }

        server.renew("writer", now_s() - 5);
        said_and_mended(&mut server, &log, "the JWT of `writer` ran out", |server| {
            server.renew("writer", now_s() + 3600);
        })
        .await;
        std::fs::rename(server.path("writer.seed"), server.path("elsewhere")).unwrap();
        std::fs::copy(server.path("reader.seed"), server.path("writer.seed")).unwrap();
        said_and_mended(
            &mut server,
            &log,
            "is for another key than the seed beside it",
            |server| {
                std::fs::rename(server.path("elsewhere"), server.path("writer.seed")).unwrap();
            },
        )
        .await;
    }
}

/// New credentials are taken within seconds, and nothing that is under way is lost or waits for a redelivery.
#[tokio::test]
async fn a_new_jwt_is_taken_while_messages_flow() {
    for binary in binaries() {
        let server = started(&binary, Method::Jwt).await;
        let expiry_s = now_s() + 6;
        for user in ["reader", "writer"] {
            server.renew(user, expiry_s);
        }
        let outlet = soon("the outlet", Outlet::connect(&server.outlet()))
            .await
            .unwrap();
        let reader = server.inlet("reader", "c1");
        let mut inlet = soon("the inlet", Inlet::connect(&reader)).await.unwrap();
        let mut renewed = false;
        let mut number = 0_u32;
        // Well past the expiry of the first JWTs.
        while now_s() < expiry_s + 2 {
            if !renewed && now_s() + 3 > expiry_s {
                for user in ["reader", "writer"] {
                    server.renew(user, now_s() + 3600);
                }
                renewed = true;
            }
            outlet.publish("hop", number.to_string().into()).await.unwrap();
            let came = soon("the message", inlet.next(1)).await;
            assert_eq!(came[0].payload, number.to_string().as_bytes());
            came[0].ack();
            number += 1;
        }
        println!("{number} messages");
        let log = server.log().to_lowercase();
        assert!(!log.contains("authentication expired"), "{log}");
    }
}

#[tokio::test]
async fn a_server_takes_no_more_of_anything_than_the_hop_needs() {
    for binary in binaries() {
        for method in [Method::Nkey, Method::Jwt] {
            let server = started(&binary, method).await;
            let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
            let client = server
                .stolen("admin")
                .event_callback(move |event| {
                    let _ = told.send(event.to_string());
                    std::future::ready(())
                })
                .connect(server.url())
                .await
                .unwrap();
            let mut ears = Vec::new();
            for number in 0..=MAX_SUBSCRIPTIONS {
                ears.push(client.subscribe(format!("subject-{number}")).await.unwrap());
            }
            soon("the limit of subscriptions", async {
                while !hears
                    .recv()
                    .await
                    .unwrap()
                    .contains("aximum subscriptions exceeded")
                {}
            })
            .await;

            // A second stream, which not even the administrator may make.
            let context = async_nats::jetstream::new(server.raw("admin").await);
            let second = async_nats::jetstream::stream::Config {
                name: "second".into(),
                ..Default::default()
            };
            assert!(context.create_stream(second).await.is_err(), "{method:?}");

            let mut inside = Vec::new();
            let full = loop {
                match soon("a connection", server.stolen("admin").connect(server.url())).await {
                    Ok(client) => inside.push(client),
                    Err(error) => break error,
                }
                assert!(inside.len() <= 64, "{method:?}: no limit");
            };
            println!("{method:?}: {} connections, then {full}", inside.len());
        }
    }
}
