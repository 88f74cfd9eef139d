//! Who may speak to whom, and where the parts are. The only place that says so.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use anyhow::{Context as _, bail};
use postern_types::{Network, Stage};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Something that has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A stage.
    Stage(Stage),
    /// The NATS server of a hop.
    Nats(Hop),
    /// PostgreSQL.
    Database,
    /// Where streams are made with the NATS servers' administrator credentials.
    Operator,
}

/// Where the parts are: `[hosts]` of `postern.toml`.
pub type Hosts = BTreeMap<Place, IpAddr>;

impl Place {
    /// All of them; the operator's last.
    pub fn all() -> impl Iterator<Item = Place> {
        let stages = Stage::ALL.into_iter().map(Place::Stage);
        let servers = Hop::ALL.into_iter().map(Place::Nats);
        stages.chain(servers).chain([Place::Database, Place::Operator])
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Stage(stage) => write!(f, "{stage}"),
            Place::Nats(hop) => write!(f, "nats-{hop}"),
            Place::Database => f.write_str("database"),
            Place::Operator => f.write_str("operator"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        let text = String::deserialize(deserializer)?;
        Place::all()
            .find(|place| place.to_string() == text)
            .ok_or_else(|| {
                let known: Vec<String> = Place::all().map(|place| place.to_string()).collect();
                D::Error::custom(format!(
                    "there is no part `{text}`; there are {}",
                    known.join(", ")
                ))
            })
    }
}

/// Who begins a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum From {
    /// Applications, from the networks that `client_networks` names.
    Clients,
    /// A part.
    Place(Place),
}

/// One may open TCP connections to the other, on the port that it listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: From,
    pub(super) to: Place,
}

/// All that may be.
pub(super) fn arrows() -> Vec<Arrow> {
    let mut arrows = vec![Arrow {
        from: From::Clients,
        to: Place::Stage(Stage::Frontend),
    }];
    for hop in Hop::ALL {
        let to = Place::Nats(hop);
        for from in [
            Place::Stage(hop.writer()),
            Place::Stage(hop.reader()),
            Place::Operator,
        ] {
            arrows.push(Arrow {
                from: From::Place(from),
                to,
            });
        }
    }
    arrows.push(Arrow {
        from: From::Place(Place::Stage(Stage::Backend)),
        to: Place::Database,
    });
    arrows
}

/// A ring's arrows with addresses and ports.
#[derive(Debug)]
pub(super) struct Plan {
    hosts: Hosts,
    ports: BTreeMap<Place, u16>,
    /// Parts that others look for on their own machine.
    looked_for_locally: BTreeSet<Place>,
    pub(super) client_networks: Vec<Network>,
}

impl Plan {
    /// Reads it from the ring's files.
    ///
    /// # Errors
    /// When they can't be read, or say otherwise of an address than `[hosts]`.
    pub(super) fn read(ring: &RingDirectory) -> anyhow::Result<Plan> {
        let config = ring.ring_config()?;
        let frontend: FrontendFile = table(ring, Stage::Frontend)?;
        let backend: BackendFile = table(ring, Stage::Backend)?;
        let mut plan = Plan {
            hosts: config.hosts.clone(),
            ports: BTreeMap::new(),
            looked_for_locally: BTreeSet::new(),
            client_networks: frontend
                .client_networks
                .unwrap_or_else(|| Network::EVERYWHERE.to_vec()),
        };
        plan.put(
            Place::Stage(Stage::Frontend),
            &frontend.listen.ip().to_string(),
            frontend.listen.port(),
        )?;
        for hop in Hop::ALL {
            let address = crate::provision::address(&config, hop)?;
            let (host, port) = address
                .rsplit_once(':')
                .with_context(|| format!("the URL of {hop} has no port"))?;
            let host = host
                .trim_start_matches("tls://")
                .trim_start_matches('[')
                .trim_end_matches(']');
            let port = port
                .parse()
                .with_context(|| format!("the URL of {hop} has no port"))?;
            plan.put(Place::Nats(hop), host, port)?;
        }
        plan.put(Place::Database, &backend.database.host, backend.database.port)?;
        plan.check()?;
        Ok(plan)
    }

    /// An address that means another machine on each of them is none to make rules of.
    fn check(&self) -> anyhow::Result<()> {
        let is_local = |place: &Place| self.address(*place).is_loopback();
        let parts = || Place::all().filter(|place| *place != Place::Operator || self.has_operator());
        let (here, elsewhere) = (parts().find(is_local), parts().find(|place| !is_local(place)));
        if let (Some(here), Some(elsewhere)) = (here, elsewhere) {
            bail!(
                "{elsewhere} is at {} and {here} at {}; write the addresses of all parts into [hosts] of postern.toml",
                self.address(elsewhere),
                self.address(here)
            );
        }
        for arrow in self.arrows() {
            let From::Place(from) = arrow.from else { continue };
            if self.looked_for_locally.contains(&arrow.to) && self.address(from) != self.address(arrow.to) {
                bail!(
                    "{from} looks for {} on its own machine, but [hosts] of postern.toml has them on two",
                    arrow.to
                );
            }
        }
        Ok(())
    }

    /// Notes where a part listens. Where others look for it must be where `[hosts]` says it is.
    fn put(&mut self, place: Place, host: &str, port: u16) -> anyhow::Result<()> {
        self.ports.insert(place, port);
        let address: Option<IpAddr> = match host {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            host => host.parse().ok(),
        };
        let listed = self.hosts.get(&place).copied();
        match (address, listed) {
            (Some(address), _) if address.is_unspecified() => {}
            (Some(address), Some(_)) if address.is_loopback() => _ = self.looked_for_locally.insert(place),
            (Some(address), Some(listed)) if address != listed => bail!(
                "[hosts] of postern.toml has {place} at {listed}, but it is looked for at {address}; mend one of the two"
            ),
            (Some(address), None) => _ = self.hosts.insert(place, address),
            (None, None) => bail!("{place} is at `{host}`; write its address into [hosts] of postern.toml"),
            (Some(_) | None, Some(_)) => {}
        }
        Ok(())
    }

    /// Where a part is.
    pub(super) fn address(&self, place: Place) -> IpAddr {
        let listed = self.hosts.get(&place).copied();
        listed.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The port that a part listens on; 0, which nothing can connect to, for those that listen nowhere.
    pub(super) fn port(&self, place: Place) -> u16 {
        self.ports.get(&place).copied().unwrap_or(0)
    }

    /// All addresses of the ring. Who makes the streams has a machine of his own only if `[hosts]` says so.
    pub(super) fn hosts(&self) -> BTreeSet<IpAddr> {
        let given = |place: &Place| *place != Place::Operator || self.has_operator();
        Place::all()
            .filter(given)
            .map(|place| self.address(place))
            .collect()
    }

    fn has_operator(&self) -> bool {
        self.hosts.contains_key(&Place::Operator)
    }

    /// What may be, as far as it is about parts that there are.
    pub(super) fn arrows(&self) -> impl Iterator<Item = Arrow> {
        let operator = self.has_operator();
        arrows()
            .into_iter()
            .filter(move |arrow| operator || arrow.from != From::Place(Place::Operator))
    }
}

/// What of `frontend.toml` matters here.
#[derive(Deserialize)]
struct FrontendFile {
    listen: SocketAddr,
    client_networks: Option<Vec<Network>>,
}

/// What of `backend.toml` matters here.
#[derive(Deserialize)]
struct BackendFile {
    database: DatabaseTable,
}

#[derive(Deserialize)]
struct DatabaseTable {
    host: String,
    #[serde(default = "postgres_port")]
    port: u16,
}

fn postgres_port() -> u16 {
    5432
}

fn table<T: serde::de::DeserializeOwned>(ring: &RingDirectory, stage: Stage) -> anyhow::Result<T> {
    let file = ring.stage_config_file(stage);
    let text = std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("error in {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_reaches_its_two_servers_and_only_the_backend_the_database() {
        for stage in Stage::ALL {
            let reached: BTreeSet<Place> = arrows()
                .into_iter()
                .filter(|arrow| arrow.from == From::Place(Place::Stage(stage)))
                .map(|arrow| arrow.to)
                .collect();
            let mut expected = BTreeSet::from([
                Place::Nats(Hop::read_by(stage)),
                Place::Nats(Hop::written_by(stage)),
            ]);
            if stage == Stage::Backend {
                expected.insert(Place::Database);
            }
            assert_eq!(reached, expected, "{stage}");
        }
        let begins = |from: &From| {
            matches!(
                from,
                From::Clients | From::Place(Place::Stage(_) | Place::Operator)
            )
        };
        assert!(
            arrows().iter().all(|arrow| begins(&arrow.from)),
            "no server begins a conversation"
        );
    }

    #[test]
    fn parts_have_the_names_that_hosts_are_listed_by() {
        let hosts: BTreeMap<Place, IpAddr> =
            toml::from_str("frontend = \"10.0.0.2\"\nnats-dirty-query = \"10.0.0.3\"\ndatabase = \"::1\"")
                .unwrap();
        assert_eq!(hosts[&Place::Nats(Hop::DirtyQuery)], IpAddr::from([10, 0, 0, 3]));
        let error = toml::from_str::<Hosts>("fronted = \"10.0.0.2\"").unwrap_err();
        assert!(
            error.to_string().contains("there is no part `fronted`"),
            "{error}"
        );
    }
}
