//! The certificate that clients see is replaced while they sign in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use postern_e2e::ledgers::recorded;
use postern_e2e::tls::{bound, one};
use postern_e2e::until;
use postern_testkit::{Authority, Options, Ring, Stage};
use std::fs;
use std::path::{Path, PathBuf};

/// A ring, and a certificate that is to replace its own.
struct Scene {
    ring: Ring,
    /// The certificate that clients saw first.
    first: PathBuf,
    /// The authority of the next.
    next: PathBuf,
    /// Both.
    either: PathBuf,
}

impl Scene {
    async fn begin() -> Scene {
        let ring = Ring::start(Options::default()).await.unwrap();
        let at = |name: &str| ring.files().join(name);
        let (first, next, either) = (at("first.crt"), at("next.crt"), at("either.crt"));
        let own = fs::read_to_string(ring.certificate_file()).unwrap();
        let authority = Authority::new("the next").unwrap();
        authority
            .issue(&at("server"), &["localhost", "127.0.0.1"], 0..100)
            .unwrap();
        fs::write(&first, &own).unwrap();
        fs::write(&next, authority.pem()).unwrap();
        fs::write(&either, own + &authority.pem()).unwrap();
        Scene {
            ring,
            first,
            next,
            either,
        }
    }

    /// Puts a file into another's place, at once and whole.
    fn put(&self, file: &str, to: &Path) {
        let beside = to.with_extension("new");
        fs::copy(self.ring.files().join(file), &beside).unwrap();
        fs::rename(beside, to).unwrap();
    }

    fn put_certificate(&self) {
        self.put("server.crt", &self.ring.certificate_file());
    }

    fn put_key(&self) {
        let key = self.ring.directory().join("keys/frontend/server.key");
        self.put("server.key", &key);
    }

    async fn is_seen(&self, roots: &Path) -> bool {
        bound(&self.ring, "owner", roots).await.is_ok()
    }

    fn is_recorded(&self, stage: Stage, event: &str) -> bool {
        recorded(&self.ring, stage, &[&format!("\"{event}\"")])
    }
}

#[tokio::test]
async fn another_certificate_is_taken_without_a_failed_sign_in() {
    let scene = Scene::begin().await;
    let old = bound(&scene.ring, "owner", &scene.first).await.unwrap();
    assert!(!scene.is_seen(&scene.next).await);
    scene.put_key();
    scene.put_certificate();
    // Clients that believe both certificates sign in all the while, bound to the one that they see.
    let mut sign_ins = 0;
    while !scene.is_seen(&scene.next).await {
        assert!(sign_ins < 1000, "clients do not see the new certificate");
        let client = bound(&scene.ring, "owner", &scene.either).await;
        assert_eq!(one(&client.expect("a sign-in failed")).await.unwrap(), 1);
        sign_ins += 1;
    }
    println!("{sign_ins} sign-ins while the certificate changed");
    assert!(!scene.is_seen(&scene.first).await);
    assert!(scene.is_seen(&scene.either).await);
    // Who was there before has noticed nothing.
    assert_eq!(one(&old).await.unwrap(), 1);
    for stage in [Stage::Frontend, Stage::QueryValidator] {
        assert!(scene.is_recorded(stage, "certificate.taken"), "{stage}");
        assert!(!scene.is_recorded(stage, "certificate.refused"), "{stage}");
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_changes_nothing_until_the_key_is_there() {
    let scene = Scene::begin().await;
    scene.put_certificate();
    until("the certificate is refused", || {
        scene.is_recorded(Stage::Frontend, "certificate.refused")
    })
    .await;
    // Clients see the first one still. The Query Validator has the new one, and holds the old one for good, too.
    assert!(scene.is_recorded(Stage::QueryValidator, "certificate.taken"));
    assert!(scene.is_seen(&scene.first).await);
    scene.put_key();
    until("the certificate is taken", || {
        scene.is_recorded(Stage::Frontend, "certificate.taken")
    })
    .await;
    assert!(scene.is_seen(&scene.next).await);
    assert!(!scene.is_seen(&scene.first).await);
}
