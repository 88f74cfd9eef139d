//! Drop-ins for systemd units: which addresses a part may exchange packets with. Ports are the rules' business.

use super::topology::{From, Place, Plan};
use std::collections::BTreeSet;

/// The drop-in of one part's unit.
pub(super) fn drop_in(plan: &Plan, place: Place) -> String {
    let mut allowed = BTreeSet::new();
    for arrow in plan.arrows() {
        match arrow.from {
            From::Clients if arrow.to == place => {
                allowed.extend(plan.client_networks.iter().map(ToString::to_string));
            }
            From::Place(from) if arrow.to == place => _ = allowed.insert(plan.address(from).to_string()),
            From::Place(from) if from == place => _ = allowed.insert(plan.address(arrow.to).to_string()),
            From::Clients | From::Place(_) => {}
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
