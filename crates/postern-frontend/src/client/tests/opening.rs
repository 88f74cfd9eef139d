//! Connections up to the sign-in.

use super::gate::{Client, Gate, Setup, start, test};
use crate::config::{LimitsConfig, TlsMode};
use crate::tls::ALPN;
use postern_types::ring::RequestBody;
use postern_wire::{put_cancel, put_ssl_request, put_startup};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn clear_text_between_the_request_for_tls_and_the_handshake_ends_the_connection() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client
            .send(|out| {
                put_ssl_request(out);
                start(out);
            })
            .await;
        assert_eq!(client.byte().await, None);
    });
}

#[test]
fn tls_is_spoken_after_the_request_and_directly_with_the_right_protocol_only() {
    test(async || {
        let mut gate = Gate::open(Setup {
            tls_mode: TlsMode::Require,
            ..Setup::default()
        })
        .await;
        let name = ServerName::try_from("localhost").unwrap();

        let mut client = gate.connect().await;
        client.send(put_ssl_request).await;
        assert_eq!(client.byte().await, Some(b'S'));
        let tls = gate
            .connector(&[])
            .connect(name.clone(), client.stream)
            .await
            .unwrap();
        let mut client = Client::new(tls);
        client.send(start).await;
        let (_, offer) = client.message().await.unwrap();
        assert!(offer.starts_with(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"));

        let direct = gate
            .connector(&[ALPN])
            .connect(name.clone(), gate.connect().await.stream)
            .await;
        let mut client = Client::new(direct.unwrap());
        client.send(start).await;
        tokio::join!(client.sign_in(), gate.ring.accept());

        let nameless = gate
            .connector(&[])
            .connect(name, gate.connect().await.stream)
            .await
            .unwrap();
        let mut client = Client::new(nameless);
        let _ = client.stream.write_all(b"\0\0\0\x08\0\x03\0\0").await;
        assert_eq!(client.message().await, None);

        let mut clear = gate.connect().await;
        clear.send(start).await;
        assert_eq!(clear.error().await.as_deref(), Some("28000"));
    });
}

#[test]
fn a_cancel_request_under_tls_is_answered_by_an_orderly_close() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = gate.connect().await;
        client.send(put_ssl_request).await;
        assert_eq!(client.byte().await, Some(b'S'));
        let tls = gate.connector(&[]).connect(name, client.stream).await;
        let mut client = Client::new(tls.unwrap());
        client.send(|out| put_cancel(out, 1, b"none").unwrap()).await;
        // Without close_notify this is an error, and libpq reports that the cancel failed.
        assert_eq!(client.stream.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn gssapi_encryption_and_absent_tls_are_declined_and_the_client_may_go_on() {
    test(async || {
        let gate = Gate::open(Setup {
            tls_mode: TlsMode::Disable,
            ..Setup::default()
        })
        .await;
        let mut client = gate.connect().await;
        client
            .send(|out| out.extend_from_slice(b"\0\0\0\x08\x04\xd2\x16\x30"))
            .await;
        assert_eq!(client.byte().await, Some(b'N'));
        client.send(put_ssl_request).await;
        assert_eq!(client.byte().await, Some(b'N'));
        client.send(start).await;
        assert_eq!(client.message().await.unwrap().0, b'R');
    });
}

#[test]
fn replication_odd_versions_and_odd_packets_are_refused() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        client
            .send(|out| put_startup(out, 0, &[("user", "app"), ("replication", "database")]).unwrap())
            .await;
        assert_eq!(client.error().await.as_deref(), Some("0A000"));
        for (packet, code) in [
            (&b"\0\0\0\x09\0\x02\0\0\0"[..], "0A000"),
            (b"\0\0\0\x04\0\x03\0\0", "08P01"),
            (b"\x7f\0\0\0\0\x03\0\0", "54000"),
            (b"\0\0\0\x09\0\x03\0\0\0", "28000"),
        ] {
            let mut client = gate.connect().await;
            client.send(|out| out.extend_from_slice(packet)).await;
            assert_eq!(client.error().await.as_deref(), Some(code), "{packet:?}");
        }
    });
}

#[test]
fn newer_protocols_and_unknown_options_are_negotiated() {
    test(async || {
        let mut gate = Gate::open(Setup::default()).await;
        let mut client = gate.connect().await;
        let settings = [("user", "app"), ("database", "demo"), ("_pq_.odd", "1")];
        client.send(|out| put_startup(out, 9, &settings).unwrap()).await;
        let (tag, body) = client.message().await.unwrap();
        assert_eq!((tag, body), (b'v', b"\0\x03\0\x02\0\0\0\x01_pq_.odd\0".to_vec()));
        tokio::join!(client.sign_in(), gate.ring.accept());
        assert_eq!(client.key.unwrap().1.len(), 32);
    });
}

#[test]
fn before_sign_in_only_small_password_messages_are_taken() {
    test(async || {
        let gate = Gate::open(Setup::default()).await;
        for (bytes, code) in [
            (&b"Q\0\0\0\x05\0"[..], "08P01"),
            (b"p\0\x10\0\0", "54000"),
            (b"p\0\0\0\x0dPLAIN\0\0\0\0", "08P01"),
        ] {
            let mut client = gate.connect().await;
            client.send(start).await;
            client.message().await.unwrap();
            client.send(|out| out.extend_from_slice(bytes)).await;
            assert_eq!(client.error().await.as_deref(), Some(code));
        }
    });
}

#[test]
fn a_client_that_drips_is_let_go() {
    test(async || {
        let limits = LimitsConfig {
            sign_in_timeout_ms: 200,
            ..LimitsConfig::default()
        };
        let gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let mut silent = gate.connect().await;
        let mut slow = gate.connect().await;
        slow.send(|out| out.extend_from_slice(b"\0\0\0")).await;
        let mut half = gate.connect().await;
        half.send(start).await;
        half.message().await.unwrap();
        assert_eq!(silent.byte().await, None);
        assert_eq!(slow.byte().await, None);
        assert_eq!(half.error().await.as_deref(), Some("57014"));
    });
}

#[test]
fn too_many_sessions_are_refused_and_places_come_back() {
    test(async || {
        let limits = LimitsConfig {
            sessions: 1,
            ..LimitsConfig::default()
        };
        let mut gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let first = gate.signed_in().await;
        let mut second = gate.connect().await;
        second.send(start).await;
        assert_eq!(second.error().await.as_deref(), Some("53300"));
        drop(first);
        assert!(matches!(gate.ring.next().await.body, RequestBody::Close { .. }));
        // The place is free when the first client's task is at its end.
        while !gate.frontend.admit() {
            tokio::task::yield_now().await;
        }
        gate.frontend.release();
        gate.signed_in().await;
    });
}

#[test]
fn clients_from_elsewhere_are_told_so_and_cost_no_place() {
    test(async || {
        let gate = Gate::open(Setup {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..Setup::default()
        })
        .await;
        let mut client = gate.connect().await;
        client.send(start).await;
        assert_eq!(client.error().await.as_deref(), Some("28000"));
        assert!(gate.frontend.seats().is_empty());
        assert!(gate.frontend.queue.is_idle(), "nothing goes to the ring");
        let record = std::fs::read_dir(gate.ledger.path()).unwrap();
        let texts = record.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        assert!(texts.into_iter().any(|text| text.contains("client-network")));
    });
}

#[test]
fn an_address_that_connects_too_often_is_told_so() {
    test(async || {
        let limits = LimitsConfig {
            connections_per_s_per_address: 1,
            connections_burst_per_address: 2,
            ..LimitsConfig::default()
        };
        let gate = Gate::open(Setup {
            limits,
            ..Setup::default()
        })
        .await;
        let mut codes = Vec::new();
        for _ in 0..3 {
            let mut client = gate.connect().await;
            client
                .send(|out| put_startup(out, 0, &[("user", "app"), ("replication", "database")]).unwrap())
                .await;
            codes.push(client.error().await);
        }
        assert_eq!(codes.last().unwrap().as_deref(), Some("53300"));
        assert_eq!(
            codes.first().unwrap().as_deref(),
            Some("0A000"),
            "the door let it in"
        );
    });
}
