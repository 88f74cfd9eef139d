//! Who reaches the ring from outside.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use postern_types::{Network, Stage};
use std::net::SocketAddr;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Network);
    let listen: Option<SocketAddr> = ring
        .text(Stage::Frontend, &["listen"])
        .and_then(|listen| listen.parse().ok());
    let local = listen.is_some_and(|listen| listen.ip().is_loopback());
    match listen {
        Some(listen) => section.pass("listen", format!("clients connect to {listen}")),
        None => section.fail(
            "listen",
            "frontend.toml does not say where clients connect",
            "set listen",
        ),
    }
    let networks = ring.value(Stage::Frontend, &["client_networks"]);
    let networks: Vec<Result<Network, _>> = networks
        .and_then(toml::Value::as_array)
        .map(|list| {
            list.iter()
                .map(|network| network.as_str().unwrap_or_default().parse())
                .collect()
        })
        .unwrap_or_else(|| Network::EVERYWHERE.map(Ok).to_vec());
    let wrong: Vec<String> = networks
        .iter()
        .filter_map(|network: &Result<Network, postern_types::InvalidNetwork>| network.as_ref().err())
        .map(ToString::to_string)
        .collect();
    let everywhere = networks.iter().flatten().any(Network::is_everything);
    if !wrong.is_empty() {
        section.each(
            "client-networks",
            Status::Fail,
            &wrong,
            "mend client_networks in frontend.toml",
            "",
        );
    } else if everywhere && !local {
        section.warn(
            "client-networks",
            "clients may come from everywhere",
            "name the networks of your applications as client_networks in frontend.toml",
        );
    } else {
        section.pass(
            "client-networks",
            "clients come from named networks or from this machine only",
        );
    }
    firewall(ring, report);
    let verified = ring.text(Stage::Backend, &["database", "tls"]);
    let host = ring
        .text(Stage::Backend, &["database", "host"])
        .unwrap_or_default();
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let mend = "set tls = \"verify-full\" and ca_file in [database] of backend.toml";
    let mut section = report.about(Area::Encryption);
    match verified.unwrap_or("prefer") {
        "verify-full" => section.pass(
            "database-tls",
            "the Backend checks the database's certificate and name",
        ),
        how if here => section.warn("database-tls", format!("TLS to the database: {how}"), mend),
        how => section.fail(
            "database-tls",
            format!("TLS to the database: {how}, so somebody between can pose as it"),
            mend,
        ),
    }
}

/// Whether rules were written for the hosts, and are those of today's topology. Whether they are loaded is not seen here.
fn firewall(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Network);
    let mend = "postern firewall DIR, and load the rules on each host";
    let one_machine = crate::firewall::is_one_machine(&ring.ring);
    match crate::firewall::stale(&ring.ring) {
        Err(error) => section.fail(
            "firewall",
            format!("{error:#}"),
            "mend [hosts] or [firewall] of postern.toml",
        ),
        Ok(None) if one_machine.unwrap_or(false) => {
            section.pass(
                "firewall",
                "everything is on this machine, and no rules were written",
            );
        }
        Ok(None) => section.fail(
            "firewall",
            "parts are on several machines and no rules were written",
            mend,
        ),
        Ok(Some(stale)) => {
            let stale: Vec<String> = stale
                .iter()
                .map(|file| format!("{} is out of date", file.display()))
                .collect();
            section.each(
                "firewall",
                Status::Fail,
                &stale,
                mend,
                "the rules that were written are those of this topology",
            );
        }
    }
}
