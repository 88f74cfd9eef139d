//! Rules for nftables, one file for each host.

use super::topology::{From, Place, Plan};
use postern_types::Network;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The rules of one host. Loading them again replaces them; nothing else on the host is changed.
pub(super) fn rules(plan: &Plan, host: IpAddr) -> String {
    let here: Vec<String> = Place::all()
        .filter(|place| plan.address(*place) == host)
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
    for arrow in plan.arrows().filter(|arrow| plan.address(arrow.to) == host) {
        let (to, port) = (arrow.to, plan.port(arrow.to));
        match arrow.from {
            From::Clients => {
                for network in &plan.client_networks {
                    let from = source(network);
                    rules.insert(format!(
                        "{from}tcp dport {port} accept comment \"clients to {to}\""
                    ));
                }
            }
            From::Place(from) if plan.address(from) != host => {
                let address = plan.address(from);
                rules.insert(format!(
                    "{} saddr {address} tcp dport {port} accept comment \"{from} to {to}\"",
                    family(address)
                ));
            }
            // Through the loopback interface.
            From::Place(_) => {}
        }
    }
    lines(&rules)
}

/// Connections that this host opens to others.
fn outgoing(plan: &Plan, host: IpAddr) -> String {
    let mut rules = BTreeSet::new();
    for arrow in plan.arrows() {
        let From::Place(from) = arrow.from else { continue };
        let address = plan.address(arrow.to);
        if plan.address(from) == host && address != host {
            rules.insert(format!(
                "{} daddr {address} tcp dport {} accept comment \"{from} to {}\"",
                family(address),
                plan.port(arrow.to),
                arrow.to
            ));
        }
    }
    lines(&rules)
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
