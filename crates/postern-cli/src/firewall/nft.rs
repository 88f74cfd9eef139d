//! Rules for nftables, one file for each host.

use super::topology::{From, Place, Plan, To};
use postern_types::Network;
use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;

/// The rules of one host. Loading them again replaces them; nothing else on the host is changed.
pub(super) fn rules(plan: &Plan, host: IpAddr) -> String {
    let here: Vec<String> = Place::all()
        .filter(|place| plan.address(*place) == host && (*place != Place::Sinks || plan.has(*place)))
        .map(|place| place.to_string())
        .collect();
    format!(
        "#!/usr/sbin/nft -f
# {host}: {}.
# Written by `postern firewall`; changes are lost. What else this host needs, such as ssh, DNS or time, goes into
# /etc/postern/firewall-input.d/*.nft and /etc/postern/firewall-output.d/*.nft, in rules such as
#   ip saddr 192.0.2.1 tcp dport 22 accept
# A verdict of `drop` here is final, an `accept` is not: other tables of this host may still drop.

table inet postern
delete table inet postern

table inet postern {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname \"lo\" accept
        ct state established,related accept
        ct state invalid drop
        # Without these, IPv6 finds no neighbour.
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
{}        include \"/etc/postern/firewall-input.d/*.nft\"
    }}

    chain forward {{
        type filter hook forward priority filter; policy drop;
    }}

    chain output {{
        type filter hook output priority filter; policy drop;
        oifname \"lo\" accept
        ct state established,related accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
{}        include \"/etc/postern/firewall-output.d/*.nft\"
    }}
}}
",
        here.join(", "),
        incoming(plan, host),
        outgoing(plan, host),
    )
}

/// Connections that others open to this host.
fn incoming(plan: &Plan, host: IpAddr) -> String {
    let mut rules = BTreeSet::new();
    for arrow in plan.arrows() {
        match (arrow.from, arrow.to) {
            (_, To::Place(to)) if plan.address(to) != host => {}
            (From::Clients, To::Place(to)) => {
                let port = plan.port(to);
                for network in &plan.client_networks {
                    let from = source(network);
                    rules.insert(format!(
                        "{from}tcp dport {port} accept comment \"clients to {to}\""
                    ));
                }
            }
            (From::Monitoring, To::Place(to)) => {
                for address in plan.monitoring().filter(|address| *address != host) {
                    rules.insert(accept("saddr", address, "tcp", plan.port(to), "monitoring", &to));
                }
            }
            (From::Place(from), To::Place(to)) => {
                let address = plan.address(from);
                // Else through the loopback interface.
                if address != host {
                    rules.insert(accept("saddr", address, "tcp", plan.port(to), &from, &to));
                }
            }
            // Where a collector is on a machine of the ring.
            (From::Place(from), To::Collectors) => {
                let address = plan.address(from);
                for collector in plan
                    .collectors()
                    .filter(|there| there.address == host && address != host)
                {
                    let (way, port) = (collector.transport.name(), collector.port);
                    rules.insert(accept("saddr", address, way, port, &from, &collector.sink));
                }
            }
            (From::Clients | From::Monitoring, To::Collectors) => {}
        }
    }
    lines(&rules)
}

/// Connections that this host opens to others.
fn outgoing(plan: &Plan, host: IpAddr) -> String {
    let mut rules = BTreeSet::new();
    for arrow in plan.arrows() {
        match (arrow.from, arrow.to) {
            (From::Place(from), _) if plan.address(from) != host => {}
            (From::Place(from), To::Place(to)) => {
                let address = plan.address(to);
                if address != host {
                    rules.insert(accept("daddr", address, "tcp", plan.port(to), &from, &to));
                }
            }
            (From::Place(from), To::Collectors) => {
                let elsewhere = |address: IpAddr| address != host && !address.is_loopback();
                for collector in plan.collectors().filter(|there| elsewhere(there.address)) {
                    let (way, port) = (collector.transport.name(), collector.port);
                    rules.insert(accept(
                        "daddr",
                        collector.address,
                        way,
                        port,
                        &from,
                        &collector.sink,
                    ));
                }
            }
            // Where who watches is on a machine of the ring.
            (From::Monitoring, To::Place(to)) => {
                let address = plan.address(to);
                if address != host && plan.monitoring().any(|watcher| watcher == host) {
                    rules.insert(accept("daddr", address, "tcp", plan.port(to), "monitoring", &to));
                }
            }
            (From::Clients, _) | (From::Monitoring, To::Collectors) => {}
        }
    }
    lines(&rules)
}

/// A rule about one address.
fn accept(
    end: &str,
    address: IpAddr,
    way: &str,
    port: u16,
    from: &(impl Display + ?Sized),
    to: &impl Display,
) -> String {
    let family = family(address);
    format!("{family} {end} {address} {way} dport {port} accept comment \"{from} to {to}\"")
}

fn lines(rules: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for rule in rules {
        let _ = writeln!(text, "        {rule}");
    }
    text
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    }
}

/// Which packets come from a network.
fn source(network: &Network) -> String {
    let family = match network.address() {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    };
    if network.is_everything() {
        let version = if family == "ip" { "ipv4" } else { "ipv6" };
        format!("meta nfproto {version} ")
    } else {
        format!("{family} saddr {network} ")
    }
}
