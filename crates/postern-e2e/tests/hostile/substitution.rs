//! Somebody else answers where a NATS server should be: the name leads elsewhere, or the address has been taken.
//!
//! Here it is the address: the server is gone and an impostor listens in its place, with whatever certificate a hijacked
//! part can have. Stages sign in by JWT and with TLS, as `postern init` has it.

use crate::scene::{query, text_of, told};
use crate::table::{Fate, Table};
use postern_cli::certificate;
use postern_cli::directory::RingDirectory;
use postern_cli::hop::Hop;
use postern_e2e::raw::Raw;
use postern_testkit::process::Process;
use postern_testkit::{Authority, Options, Part, Ring};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the impostor shows.
enum Shown {
    /// Certificate and key in these files.
    Certificate(PathBuf),
    /// None: it speaks no TLS.
    Nothing,
}

#[tokio::test]
async fn servers_in_anothers_place() {
    let ring = Ring::start(Options::default()).await.unwrap();
    let made = ring.files().join("made");
    let own = Authority::new("Postern ring CA").unwrap();
    let mut table = Table::new("the address of a NATS server");
    for hop in Hop::ALL {
        own.issue(&made, &[&certificate::server_name(hop)], 0..10)
            .unwrap();
        let other = Hop::ALL.into_iter().find(|other| *other != hop).unwrap();
        let stem = |file: PathBuf| ring.directory().join(file).with_extension("");
        let cases = [
            (
                format!("{hop}: the server of {other}, with its real certificate"),
                Shown::Certificate(stem(RingDirectory::nats_server_file(other, "crt"))),
                "it is not `",
            ),
            (
                format!("{hop}: the {}, with its real certificate", hop.reader()),
                Shown::Certificate(stem(
                    RingDirectory::nats_folder(hop.reader().name()).join("tls.crt"),
                )),
                "its certificate can't be used",
            ),
            (
                format!("{hop}: a certificate for the right name by a CA of the same name"),
                Shown::Certificate(made.clone()),
                "is not signed by the CA in",
            ),
            (format!("{hop}: no TLS at all"), Shown::Nothing, "speaks no TLS"),
        ];
        for (name, shown, said) in cases {
            let seen = met(&ring, hop, &shown).await;
            let complaint = seen
                .iter()
                .find_map(|log| log.lines().find(|line| line.contains(said)));
            let worked = complaint.is_none() || seen.iter().any(|log| log.contains("connected to NATS"));
            let complaint = complaint.and_then(|line| line.split_once("NATS server: "));
            let complaint = complaint.map_or("", |(_, text)| text);
            table.note(name, Fate::Stopped("P2, P10"), worked, complaint);
        }
        let serves = serves_again(&ring, hop).await;
        table.note(
            format!("{hop}: … and is it out of order for good?"),
            Fate::Stopped("P10"),
            !serves,
            "",
        );
    }
    table.finish(20);
}

/// Puts an impostor into the server's place; gives back what the hop's two stages log about it.
async fn met(ring: &Ring, hop: Hop, shown: &Shown) -> [String; 2] {
    let parts = [hop.writer(), hop.reader()].map(Part::Stage);
    let before = parts.map(|part| ring.log(part).len());
    ring.kill(Part::Nats(hop));
    let conf = conf(ring, hop, shown);
    let server = postern_testkit::binaries::programs(None).unwrap().nats_server;
    let command = [server.into_os_string(), "-c".into(), conf.into_os_string()];
    let log = ring.files().join("impostor.log");
    let _ = std::fs::remove_file(&log);
    let mut impostor = Process::start(&command, ring.directory(), &log).unwrap();
    let since = |number: usize| ring.log(parts[number]).split_off(before[number]);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(impostor.is_running(), "{}", impostor.log());
        // It says what it does not like, once for each attempt.
        if [0, 1].map(since).iter().all(|log| log.contains("ERROR")) {
            break;
        }
    }
    impostor.kill();
    [0, 1].map(since)
}

/// The configuration of the hop's server, with another certificate or none, and with a store of its own.
fn conf(ring: &Ring, hop: Hop, shown: &Shown) -> PathBuf {
    let genuine = ring.directory().join(RingDirectory::nats_config(hop));
    let text = std::fs::read_to_string(&genuine).unwrap();
    let quoted = |file: &Path| format!("\"{}\"", file.display());
    let mut lines: Vec<String> = Vec::new();
    let mut in_tls = false;
    for line in text.lines() {
        let word = line.trim();
        in_tls |= word.starts_with("tls");
        let is_end = in_tls && word == "}";
        match shown {
            Shown::Nothing if in_tls => {}
            Shown::Certificate(stem) if word.starts_with("cert_file") => {
                lines.push(format!("cert_file: {}", quoted(&stem.with_extension("crt"))));
            }
            Shown::Certificate(stem) if word.starts_with("key_file") => {
                lines.push(format!("key_file: {}", quoted(&stem.with_extension("key"))));
            }
            _ => lines.push(line.replace(&format!("nats/{hop}\""), "nats/impostor\"")),
        }
        in_tls &= !is_end;
    }
    let file = genuine.with_file_name("impostor.conf");
    std::fs::write(&file, lines.join("\n")).unwrap();
    file
}

/// The server is there again, and so is the ring.
async fn serves_again(ring: &Ring, hop: Hop) -> bool {
    ring.restart(Part::Nats(hop)).await.unwrap();
    for _ in 0..100 {
        if let Ok(mut client) = Raw::sign_in(ring.port(), "app").await
            && client.send(&query("SELECT 'still here'")).await.is_ok()
            && text_of(&told(&mut client).await).contains("still here")
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}
