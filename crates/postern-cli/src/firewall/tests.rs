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

/// Everything that `sinks.toml` can name.
const SINKS: &str = "
[metrics]
listen = '0.0.0.0:9464'
[sinks.siem]
kind = 'syslog'
address = 'tls://10.0.1.1:6514'
tls = { ca_file = 'ca.crt' }
[sinks.old]
kind = 'syslog'
address = 'udp://10.0.1.2:514'
[sinks.plain]
kind = 'syslog'
address = 'tcp://[2001:db8::1]:601'
[sinks.here]
kind = 'syslog'
address = 'unix:/dev/log'
[sinks.otel]
kind = 'otlp'
protocol = 'grpc'
endpoint = 'http://localhost:4317'
[sinks.traces]
kind = 'traces'
protocol = 'http'
endpoint = 'http://10.0.1.3:4318/v1/traces'
[sinks.pager]
kind = 'webhook'
url = 'https://10.0.1.4:443/hook'
[sinks.vault]
kind = 's3'
endpoint = 'https://s3.example:443'
";

/// Below `[firewall]`; goes before the tables of `postern.toml`, or after them.
fn say(ring: &RingDirectory, firewall: &str) {
    let file = ring.ring_config_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[firewall]\n{firewall}\n")).unwrap();
}

/// What a chain of a host's rules lets through by address, without the comments.
fn accepted(ring: &RingDirectory, host: &str, chain: &str) -> Vec<String> {
    let rules = fs::read_to_string(ring.join(format!("firewall/{host}.nft"))).unwrap();
    let (_, rules) = rules.split_once(&format!("chain {chain} {{")).unwrap();
    let (rules, _) = rules.split_once("    }\n").unwrap();
    rules
        .lines()
        .filter(|line| line.contains(" dport "))
        .map(|line| line.trim().split(" accept").next().unwrap().to_owned())
        .collect()
}

fn allowed_by_systemd(ring: &RingDirectory, part: &str) -> String {
    let drop_in = ring.join(format!("firewall/systemd/postern-{part}.service.d/network.conf"));
    let text = fs::read_to_string(drop_in).unwrap();
    let (_, allowed) = text.split_once("IPAddressAllow=").unwrap();
    allowed.trim_end().to_owned()
}

#[test]
fn the_sinks_reach_their_collectors_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder, "10.0.0.9");
    list(&ring, ONE);
    write(&ring).unwrap();
    let before = (
        accepted(&ring, "10.0.0.5", "input"),
        accepted(&ring, "10.0.0.5", "output"),
    );
    assert_eq!(before.1, ["ip daddr 10.0.0.9 tcp dport 5432"]);
    assert!(!ring.join("firewall/systemd/postern-sinks.service.d").exists());
    fs::write(ring.sinks_config_file(), SINKS).unwrap();
    // A name could be anywhere.
    let error = format!("{:#}", write(&ring).unwrap_err());
    assert!(
        error.contains("sink `vault`") && error.contains("\"s3.example\" = [\"192.0.2.1\"]"),
        "{error}"
    );
    assert_eq!(
        accepted(&ring, "10.0.0.5", "output"),
        before.1,
        "nothing was written"
    );
    say(
        &ring,
        "collectors = { 's3.example' = ['10.0.1.5', '2001:db8::5'] }",
    );
    write(&ring).unwrap();
    assert_eq!(stale(&ring).unwrap(), Some(Vec::new()));
    assert_eq!(
        accepted(&ring, "10.0.0.5", "output"),
        [
            "ip daddr 10.0.0.9 tcp dport 5432",
            "ip daddr 10.0.1.1 tcp dport 6514",
            "ip daddr 10.0.1.2 udp dport 514",
            "ip daddr 10.0.1.3 tcp dport 4318",
            "ip daddr 10.0.1.4 tcp dport 443",
            "ip daddr 10.0.1.5 tcp dport 443",
            "ip6 daddr 2001:db8::1 tcp dport 601",
            "ip6 daddr 2001:db8::5 tcp dport 443",
        ]
    );
    // Nobody reaches the metrics.
    assert_eq!(accepted(&ring, "10.0.0.5", "input"), before.0);
    assert_eq!(
        allowed_by_systemd(&ring, "sinks"),
        "10.0.1.1 10.0.1.2 10.0.1.3 10.0.1.4 10.0.1.5 127.0.0.1 2001:db8::1 2001:db8::5 ::1"
    );
    // The database's machine does not change.
    assert!(accepted(&ring, "10.0.0.9", "output").is_empty());
    // A collector that is gone makes the rules old.
    fs::write(ring.sinks_config_file(), SINKS.replace("10.0.1.4", "10.0.1.7")).unwrap();
    assert_eq!(stale(&ring).unwrap().unwrap().len(), 2);
}

#[test]
fn metrics_are_for_those_who_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder, "10.0.0.9");
    list(&ring, ONE);
    say(&ring, "monitoring = ['10.0.2.1', '2001:db8::2']");
    let metrics = |listen: &str| {
        fs::write(
            ring.sinks_config_file(),
            format!("[metrics]\nlisten = '{listen}'\n"),
        )
        .unwrap();
        write(&ring).map(|_| {
            let input = accepted(&ring, "10.0.0.5", "input");
            input
                .into_iter()
                .filter(|rule| rule.contains("9464"))
                .collect::<Vec<_>>()
        })
    };
    let both = [
        "ip saddr 10.0.2.1 tcp dport 9464",
        "ip6 saddr 2001:db8::2 tcp dport 9464",
    ];
    assert_eq!(metrics("0.0.0.0:9464").unwrap(), both);
    assert_eq!(allowed_by_systemd(&ring, "sinks"), "10.0.2.1 2001:db8::2");
    assert_eq!(metrics("10.0.0.5:9464").unwrap(), both);
    assert!(metrics("127.0.0.1:9464").unwrap().is_empty());
    assert_eq!(allowed_by_systemd(&ring, "sinks"), "127.0.0.1");
    // That no part of the ring is at.
    fs::write(ring.sinks_config_file(), "").unwrap();
    write(&ring).unwrap();
    assert!(!ring.join("firewall/systemd/postern-sinks.service.d").exists());
    list_more(&ring, "sinks = '10.0.0.5'");
    let error = metrics("10.0.0.8:9464").unwrap_err().to_string();
    assert!(
        error.contains("has sinks at 10.0.0.5, but it is looked for at 10.0.0.8"),
        "{error}"
    );
}

/// Adds to `[hosts]`.
fn list_more(ring: &RingDirectory, host: &str) {
    let file = ring.ring_config_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("[hosts]", &format!("[hosts]\n{host}"), 1)).unwrap();
}

#[test]
fn sinks_of_a_ring_on_many_machines_have_one_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder, "10.0.0.9");
    // The frontend is apart; it speaks to servers that are not where it looks for them, so they are moved too.
    let file = ring.ring_config_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("127.0.0.1", "10.0.0.5")).unwrap();
    list(
        &ring,
        &ONE.replace("frontend = '10.0.0.5'", "frontend = '10.0.0.2'"),
    );
    let sinks =
        "[metrics]\nlisten = '0.0.0.0:9464'\n[sinks.siem]\nkind = 'syslog'\naddress = 'tcp://10.0.0.9:601'\n";
    fs::write(ring.sinks_config_file(), sinks).unwrap();
    let error = write(&ring).unwrap_err().to_string();
    assert!(
        error.contains("write where postern-sink runs as `sinks` into [hosts]"),
        "{error}"
    );
    list_more(&ring, "sinks = '10.0.0.7'");
    say(&ring, "monitoring = ['10.0.0.2']");
    write(&ring).unwrap();
    assert_eq!(
        accepted(&ring, "10.0.0.7", "output"),
        ["ip daddr 10.0.0.9 tcp dport 601"]
    );
    assert_eq!(
        accepted(&ring, "10.0.0.7", "input"),
        ["ip saddr 10.0.0.2 tcp dport 9464"]
    );
    // Collector and watcher are on machines of the ring.
    assert!(accepted(&ring, "10.0.0.9", "input").contains(&"ip saddr 10.0.0.7 tcp dport 601".to_owned()));
    assert!(accepted(&ring, "10.0.0.2", "output").contains(&"ip daddr 10.0.0.7 tcp dport 9464".to_owned()));
    assert!(
        !accepted(&ring, "10.0.0.5", "output")
            .iter()
            .any(|rule| rule.contains("601"))
    );
}

#[test]
fn what_can_not_be_made_a_rule_of_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder, "127.0.0.1");
    for (sink, why) in [
        ("kind = 'fax'\naddress = 'tcp://10.0.0.1:1'", "fax"),
        ("kind = 'syslog'", "address"),
        ("kind = 'syslog'\naddress = 'tcp://10.0.0.1'", "names no port"),
        ("kind = 'syslog'\naddress = 'https://10.0.0.1:1'", "not a way"),
        ("kind = 'webhook'\nurl = 'udp://10.0.0.1:1'", "not a way"),
        ("kind = 'webhook'\nurl = '10.0.0.1:1'", "does not begin"),
        (
            "kind = 'webhook'\nurl = 'https://a@10.0.0.1:1/'",
            "rules need addresses",
        ),
    ] {
        fs::write(ring.sinks_config_file(), format!("[sinks.a]\n{sink}\n")).unwrap();
        let error = format!("{:#}", write(&ring).unwrap_err());
        assert!(error.contains(why), "{sink}: {error}");
        // It is one machine all the same.
        assert!(is_one_machine(&ring).unwrap());
    }
    // A name that would be rules.
    let named = r#"[sinks."a\"; tcp dport 22 accept #"]"#;
    fs::write(
        ring.sinks_config_file(),
        format!("{named}\nkind = 'syslog'\naddress = 'udp://10.0.1.1:514'\n"),
    )
    .unwrap();
    let error = write(&ring).unwrap_err().to_string();
    assert!(error.contains("can't be the name of a sink"), "{error}");
    fs::write(
        ring.sinks_config_file(),
        "[sinks.a]\nkind = 'syslog'\naddress = 'udp://10.0.1.1:514'\n",
    )
    .unwrap();
    write(&ring).unwrap();
    assert_eq!(
        accepted(&ring, "127.0.0.1", "output"),
        ["ip daddr 10.0.1.1 udp dport 514"]
    );
    say(&ring, "watchers = []");
    assert!(write(&ring).is_err());
}
