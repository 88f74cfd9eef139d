//! The rules that `postern firewall` writes, loaded on ten hosts: four stages, four NATS servers, a database and the sinks,
//! each in a network namespace of its own, beside a client, a collector, and one who looks at metrics. Every one of the
//! 13 × 13 ordered pairs is tried on every port of the ring; only the drawn arrows connect (P1, P2).
//!
//! It needs `unshare` and `nsenter` (util-linux), `ip` (iproute2) and `nft` (nftables), and root, or a kernel that lets
//! ordinary users make namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const TEST: &str = "only_the_drawn_arrows_connect";
/// Set where the namespaces may be made.
const INSIDE: &str = "POSTERN_TEST_INSIDE_NAMESPACE";
/// How long a connection that must be may take; only a way out of a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one that must not be is waited for. A packet that is dropped never arrives, so this is no measure.
const DROPPED: Duration = Duration::from_millis(600);

/// Hosts in the order of the matrix, by the names in `[hosts]`.
const HOSTS: [&str; 13] = [
    "client",
    "frontend",
    "query-validator",
    "backend",
    "response-validator",
    "nats-dirty-query",
    "nats-clean-query",
    "nats-dirty-resp",
    "nats-clean-resp",
    "database",
    "sinks",
    "collector",
    "monitoring",
];
/// Those that are no part of the ring, and have no rules.
const OTHERS: [&str; 3] = ["client", "collector", "monitoring"];

const CLIENTS: u16 = 6432;
const NATS: [u16; 4] = [14221, 14222, 14223, 14224];
const DATABASE: u16 = 5432;
const METRICS: u16 = 9464;
const COLLECTOR: u16 = 6514;

/// The arrows as the design draws them, written down once more: from, to, port.
const ARROWS: [(&str, &str, u16); 12] = [
    ("client", "frontend", CLIENTS),
    ("frontend", "nats-dirty-query", NATS[0]),
    ("query-validator", "nats-dirty-query", NATS[0]),
    ("query-validator", "nats-clean-query", NATS[1]),
    ("backend", "nats-clean-query", NATS[1]),
    ("backend", "nats-dirty-resp", NATS[2]),
    ("response-validator", "nats-dirty-resp", NATS[2]),
    ("response-validator", "nats-clean-resp", NATS[3]),
    ("frontend", "nats-clean-resp", NATS[3]),
    ("backend", "database", DATABASE),
    ("sinks", "collector", COLLECTOR),
    ("monitoring", "sinks", METRICS),
];

fn ports() -> Vec<u16> {
    [&[CLIENTS, DATABASE, METRICS, COLLECTOR][..], &NATS].concat()
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 89, 0, u8::try_from(host + 1).unwrap())
}

fn index(name: &str) -> usize {
    HOSTS.iter().position(|host| *host == name).unwrap()
}

/// Those without rules reach each other on every port.
fn is_drawn(from: usize, to: usize, port: u16) -> bool {
    let without_rules = |host: usize| OTHERS.contains(&HOSTS[host]);
    ARROWS.contains(&(HOSTS[from], HOSTS[to], port)) || without_rules(from) && without_rules(to)
}

/// Where the tools are; ordinary users have not all of these directories on their PATH.
fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/sbin:/sbin:/usr/bin:/bin")
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; the tests need iproute2, nftables and util-linux")
    });
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A network namespace, which lives as long as this.
struct Host {
    holder: Child,
}

impl Host {
    fn make() -> Host {
        // Ends by itself should this test be killed.
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "300"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let host = Host { holder };
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        for _ in 0..2000 {
            let its = fs::read_link(host.file()).ok();
            if its.is_some_and(|its| its != own) {
                return host;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no network namespace was made");
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    fn run(&self, words: &[&str]) -> Output {
        run(Command::new("nsenter")
            .arg(format!("--net={}", self.file()))
            .args(words))
    }

    /// Does something on a thread that is in this namespace.
    fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let namespace = File::open(self.file()).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// All hosts on one wire, each listening on every port of the ring.
fn network() -> Vec<Host> {
    run(Command::new("ip").args(["link", "add", "wire", "type", "bridge"]));
    run(Command::new("ip").args(["link", "set", "wire", "up"]));
    let mut hosts = Vec::new();
    for n in 0..HOSTS.len() {
        let host = Host::make();
        let (cable, pid) = (format!("cable{n}"), host.holder.id().to_string());
        run(Command::new("ip").args([
            "link", "add", &cable, "type", "veth", "peer", "name", "net0", "netns", &pid,
        ]));
        run(Command::new("ip").args(["link", "set", &cable, "master", "wire", "up"]));
        host.run(&["ip", "addr", "add", &format!("{}/24", address(n)), "dev", "net0"]);
        host.run(&["ip", "link", "set", "net0", "up"]);
        host.run(&["ip", "link", "set", "lo", "up"]);
        host.within(|| {
            for port in ports() {
                let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
                std::thread::spawn(move || listener.incoming().for_each(drop));
            }
        })
        .join()
        .unwrap();
        hosts.push(host);
    }
    hosts
}

/// Tries all pairs on all ports; which of them connect. `patient` says which are waited for.
fn try_all(hosts: &[Host], patient: fn(usize, usize, u16) -> bool) -> BTreeSet<(usize, usize, u16)> {
    let mut tries = Vec::new();
    for (from, host) in hosts.iter().enumerate() {
        for to in 0..hosts.len() {
            tries.push(host.within(move || {
                let connects = |port: &u16| {
                    let patience = if patient(from, to, *port) {
                        PATIENCE
                    } else {
                        DROPPED
                    };
                    TcpStream::connect_timeout(&SocketAddr::from((address(to), *port)), patience).is_ok()
                };
                let open: Vec<u16> = ports().into_iter().filter(connects).collect();
                (from, to, open)
            }));
        }
    }
    let mut open = BTreeSet::new();
    for one in tries {
        let (from, to, found) = one.join().unwrap();
        open.extend(found.into_iter().map(|port| (from, to, port)));
    }
    open
}

fn print(open: &BTreeSet<(usize, usize, u16)>) {
    println!(
        "\nfrom \\ to: ports that connect, of {:?}; . is none, = the host itself, * where neither has rules\n",
        ports()
    );
    print!("{:<20}", "");
    for n in 0..HOSTS.len() {
        print!("{:<7}", format!("[{n}]"));
    }
    println!();
    for (from, name) in HOSTS.iter().enumerate() {
        print!("{:<20}", format!("[{from}] {name}"));
        for (to, other) in HOSTS.iter().enumerate() {
            let here: Vec<String> = open
                .iter()
                .filter(|(f, t, _)| (*f, *t) == (from, to))
                .map(|(_, _, port)| port.to_string())
                .collect();
            let cell = match here.len() {
                _ if from == to => "=".to_owned(),
                _ if OTHERS.contains(name) && OTHERS.contains(other) => "*".to_owned(),
                0 => ".".to_owned(),
                1 => here[0].clone(),
                _ => here.join("+"),
            };
            print!("{cell:<7}");
        }
        println!();
    }
    println!();
}

/// A ring's directory whose parts are on those hosts, with its rules written.
fn ring(folder: &Path) -> std::path::PathBuf {
    let target = std::env::current_exe().unwrap();
    let postern = target.ancestors().nth(2).unwrap().join("postern");
    let ring = folder.join("ring");
    let (database, listen) = (address(index("database")), format!("{}:{CLIENTS}", address(1)));
    run(Command::new(&postern)
        .args(["init", "--listen", &listen, "--database"])
        .arg(format!("postgres://postern:x@{database}:{DATABASE}/demo"))
        .arg(&ring));
    let file = ring.join("postern.toml");
    let mut config: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    let mut hosts = toml::Table::new();
    for (n, name) in HOSTS.iter().enumerate() {
        if OTHERS.contains(name) {
            continue;
        }
        hosts.insert((*name).to_owned(), address(n).to_string().into());
        if let Some(hop) = name.strip_prefix("nats-") {
            let server = config["nats"][hop].as_table_mut().unwrap();
            let url = server["url"]
                .as_str()
                .unwrap()
                .replace("127.0.0.1", &address(n).to_string());
            server.insert("url".to_owned(), url.into());
        }
    }
    config.insert("hosts".to_owned(), hosts.into());
    let mut firewall = toml::Table::new();
    let watches: Vec<String> = vec![address(index("monitoring")).to_string()];
    firewall.insert("monitoring".to_owned(), watches.into());
    config.insert("firewall".to_owned(), firewall.into());
    // Else collector and watcher were clients too.
    let file_of_clients = ring.join("frontend.toml");
    let mut frontend: toml::Table = fs::read_to_string(&file_of_clients).unwrap().parse().unwrap();
    let clients: Vec<String> = vec![format!("{}/32", address(index("client")))];
    frontend.insert("client_networks".to_owned(), clients.into());
    fs::write(&file_of_clients, frontend.to_string()).unwrap();
    let sinks = format!(
        "[metrics]\nlisten = \"0.0.0.0:{METRICS}\"\n[sinks.siem]\nkind = \"syslog\"\naddress = \"tcp://{}:{COLLECTOR}\"\n",
        address(index("collector"))
    );
    fs::write(ring.join("sinks.toml"), sinks).unwrap();
    fs::write(&file, config.to_string()).unwrap();
    run(Command::new(&postern).arg("firewall").arg(&ring));
    ring
}

#[test]
fn only_the_drawn_arrows_connect() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    // Namespaces as root; else as root of a user namespace of one's own.
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let works = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .args(["ip", "link", "add", "wire", "type", "bridge"])
            .env("PATH", path())
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let way = ways.iter().find(works).expect(
        "the firewall can't be tried here: neither root nor a user namespace may make network namespaces, or `unshare` \
         (util-linux) or `ip` (iproute2) is missing. Run the tests as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0)",
    );
    let status = Command::new("unshare")
        .args(*way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", path())
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}

fn inside() {
    let hosts = network();
    let everything = try_all(&hosts, |_, _, _| true);
    assert_eq!(
        everything.len(),
        HOSTS.len() * HOSTS.len() * ports().len(),
        "without rules all connect, so that the rules are what is tried"
    );

    let folder = tempfile::tempdir().unwrap();
    let ring = ring(folder.path());
    for (n, host) in hosts.iter().enumerate() {
        if OTHERS.contains(&HOSTS[n]) {
            continue;
        }
        let rules = ring.join(format!("firewall/{}.nft", address(n)));
        host.run(&["nft", "-f", rules.to_str().unwrap()]);
        // Loading them once more changes nothing.
        host.run(&["nft", "-f", rules.to_str().unwrap()]);
    }
    let open = try_all(&hosts, is_drawn);
    print(&open);
    let (mut tried, mut connected) = (0, 0);
    for (from, sender) in HOSTS.iter().enumerate() {
        for (to, receiver) in HOSTS.iter().enumerate() {
            for port in ports() {
                let expected = from == to || is_drawn(from, to, port);
                let ours = !OTHERS.contains(sender) || !OTHERS.contains(receiver);
                tried += usize::from(from != to && ours);
                connected += usize::from(from != to && ours && expected);
                let connects = open.contains(&(from, to, port));
                assert_eq!(connects, expected, "{sender} to {receiver} on port {port}");
            }
        }
    }
    println!("{connected} of {tried} connections are drawn, and only they connect");
    assert_eq!(connected, ARROWS.len());
}
