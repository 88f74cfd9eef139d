//! Rings on one machine and on many, by the files that are written.

use crate::database_url::DatabaseUrl;
use crate::directory::RingDirectory;
use crate::firewall::{is_one_machine, stale, write};
use crate::init::{InitOptions, init};
use std::fs;

fn ring(folder: &tempfile::TempDir, database: &str) -> RingDirectory {
    let url: DatabaseUrl = format!("postgres://postern:x@{database}:5432/demo")
        .parse()
        .unwrap();
    init(&InitOptions::new(folder.path().join("ring"), url)).unwrap()
}

fn list(ring: &RingDirectory, hosts: &str) {
    let file = ring.ring_config_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[hosts]\n{hosts}\n")).unwrap();
}

const ONE: &str = "frontend = '10.0.0.5'
query-validator = '10.0.0.5'
backend = '10.0.0.5'
response-validator = '10.0.0.5'
nats-dirty-query = '10.0.0.5'
nats-clean-query = '10.0.0.5'
nats-dirty-resp = '10.0.0.5'
nats-clean-resp = '10.0.0.5'";

#[test]
fn a_ring_on_one_machine_lets_in_clients_and_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder, "127.0.0.1");
    assert!(is_one_machine(&ring).unwrap());
    assert_eq!(stale(&ring).unwrap(), None);
    write(&ring).unwrap();
    assert_eq!(stale(&ring).unwrap(), Some(Vec::new()));
    let rules = fs::read_to_string(ring.join("firewall/127.0.0.1.nft")).unwrap();
    let accepting: Vec<&str> = rules
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("tcp dport"))
        .collect();
    let rule =
        |family: &str| format!("meta nfproto {family} tcp dport 6432 accept comment \"clients to frontend\"");
    assert_eq!(
        accepting[1..],
        [rule("ipv4"), rule("ipv6")],
        "the first is the example in a comment"
    );
    assert_eq!(rules.matches("policy drop;").count(), 3);
    // Another topology: the rules of today are told to be out of date.
    let file = ring.stage_config_file(postern_types::Stage::Frontend);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("0.0.0.0/0", "10.1.0.0/16")).unwrap();
    assert_eq!(stale(&ring).unwrap().unwrap().len(), 2);
    write(&ring).unwrap();
    let drop_in = ring.join("firewall/systemd/postern-frontend.service.d/network.conf");
    let drop_in = fs::read_to_string(drop_in).unwrap();
    assert!(
        drop_in.contains("IPAddressDeny=any\nIPAddressAllow=10.1.0.0/16 127.0.0.1 ::/0\n"),
        "{drop_in}"
    );
}

#[test]
fn a_database_elsewhere_needs_the_address_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder, "10.0.0.9");
    let error = write(&ring).unwrap_err().to_string();
    assert!(
        error.contains("write the addresses of all parts into [hosts]"),
        "{error}"
    );
    list(&ring, ONE);
    write(&ring).unwrap();
    assert!(!is_one_machine(&ring).unwrap());
    let read = |host: &str| fs::read_to_string(ring.join(format!("firewall/{host}.nft"))).unwrap();
    assert!(
        read("10.0.0.5").contains("ip daddr 10.0.0.9 tcp dport 5432 accept comment \"backend to database\"")
    );
    assert!(
        read("10.0.0.9").contains("ip saddr 10.0.0.5 tcp dport 5432 accept comment \"backend to database\"")
    );
    assert!(!read("10.0.0.9").contains("nats"));
}

#[test]
fn addresses_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = ring(&folder, "10.0.0.9");
    list(&other, &format!("{ONE}\ndatabase = '10.0.0.8'"));
    let error = write(&other).unwrap_err().to_string();
    assert!(
        error.contains("has database at 10.0.0.8, but it is looked for at 10.0.0.9"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let apart = ring(&folder, "10.0.0.9");
    list(
        &apart,
        &ONE.replace("query-validator = '10.0.0.5'", "query-validator = '10.0.0.6'"),
    );
    let error = write(&apart).unwrap_err().to_string();
    assert!(
        error.contains("on its own machine, but [hosts] of postern.toml has them on two"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let named = ring(&folder, "db.example");
    list(&named, ONE);
    let error = write(&named).unwrap_err().to_string();
    assert!(error.contains("database is at `db.example`"), "{error}");
}
