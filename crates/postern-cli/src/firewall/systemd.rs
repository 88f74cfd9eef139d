//! Drop-ins for systemd units: which addresses a part may exchange packets with. Ports are the rules' business.

use super::topology::{From, Place, Plan, To};
use std::collections::BTreeSet;

/// The drop-in of one part's unit.
pub(super) fn drop_in(plan: &Plan, place: Place) -> String {
    let mut allowed = BTreeSet::new();
    for arrow in plan.arrows() {
        match (arrow.from, arrow.to) {
            (From::Clients, To::Place(to)) if to == place => {
                allowed.extend(plan.client_networks.iter().map(ToString::to_string));
            }
            (From::Monitoring, To::Place(to)) if to == place => {
                allowed.extend(plan.monitoring().map(|address| address.to_string()));
                // Who watches on this machine.
                let here = plan.outside.iter().filter_map(|outside| outside.metrics);
                let here = here.filter(|listen| listen.ip().is_loopback());
                allowed.extend(here.map(|listen| listen.ip().to_string()));
            }
            (From::Place(from), To::Place(to)) if to == place => {
                allowed.insert(plan.address(from).to_string());
            }
            (From::Place(from), To::Place(to)) if from == place => {
                allowed.insert(plan.address(to).to_string());
            }
            (From::Place(from), To::Collectors) if from == place => {
                allowed.extend(plan.collectors().map(|collector| collector.address.to_string()));
            }
            (From::Clients | From::Monitoring | From::Place(_), To::Place(_) | To::Collectors) => {}
        }
    }
    let allowed: Vec<String> = allowed.into_iter().collect();
    format!(
        "# {place}: who it may exchange packets with. Written by `postern firewall`; changes are lost. Goes into
# /etc/systemd/system/, as a drop-in of the unit that runs this part.
[Service]
IPAddressDeny=any
IPAddressAllow={}
",
        allowed.join(" ")
    )
}
