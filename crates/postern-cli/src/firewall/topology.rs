//! Who may speak to whom, and where the parts are. The only place that says so.

use super::collectors::{Collector, Outside};
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
    /// `postern-sink`, beside the ledgers.
    Sinks,
}

/// Where the parts are: `[hosts]` of `postern.toml`.
pub type Hosts = BTreeMap<Place, IpAddr>;

impl Place {
    /// All of them; the two that need not be there last.
    pub fn all() -> impl Iterator<Item = Place> {
        let stages = Stage::ALL.into_iter().map(Place::Stage);
        let servers = Hop::ALL.into_iter().map(Place::Nats);
        stages
            .chain(servers)
            .chain([Place::Database, Place::Operator, Place::Sinks])
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Stage(stage) => write!(f, "{stage}"),
            Place::Nats(hop) => write!(f, "nats-{hop}"),
            Place::Database => f.write_str("database"),
            Place::Operator => f.write_str("operator"),
            Place::Sinks => f.write_str("sinks"),
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
    /// Who looks at metrics, from the addresses that `[firewall]` of `postern.toml` names.
    Monitoring,
    /// A part.
    Place(Place),
}

/// With whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A part.
    Place(Place),
    /// Those that `sinks.toml` names.
    Collectors,
}

/// One may open TCP connections to the other, on the port that it listens on (to collectors by Syslog over UDP: may send).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: From,
    pub(super) to: To,
}

/// All that may be.
pub(super) fn arrows() -> Vec<Arrow> {
    let arrow = |from, to| Arrow {
        from,
        to: To::Place(to),
    };
    let mut arrows = vec![arrow(From::Clients, Place::Stage(Stage::Frontend))];
    for hop in Hop::ALL {
        for from in [
            Place::Stage(hop.writer()),
            Place::Stage(hop.reader()),
            Place::Operator,
        ] {
            arrows.push(arrow(From::Place(from), Place::Nats(hop)));
        }
    }
    let backend = From::Place(Place::Stage(Stage::Backend));
    arrows.push(arrow(backend, Place::Database));
    arrows.push(arrow(From::Monitoring, Place::Sinks));
    arrows.push(Arrow {
        from: From::Place(Place::Sinks),
        to: To::Collectors,
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
    /// What the sinks have to do with others, if they were asked ([`Plan::with_sinks`]) and there are any.
    pub(super) outside: Option<Outside>,
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
            outside: None,
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

    /// The same with what `sinks.toml` says.
    ///
    /// # Errors
    /// When it can't be read, when it names a collector whose address is not known, or when it is not known where
    /// `postern-sink` runs.
    pub(super) fn with_sinks(mut self, ring: &RingDirectory) -> anyhow::Result<Plan> {
        let Some(outside) = Outside::read(ring)? else {
            return Ok(self);
        };
        if let Some(listen) = outside.metrics {
            self.ports.insert(Place::Sinks, listen.port());
            if !listen.ip().is_loopback() {
                self.put(Place::Sinks, &listen.ip().to_string(), listen.port())?;
            }
        }
        if !self.has(Place::Sinks) {
            let here = self.machine_of_the_stages().context(
                "the stages are on several machines; write where postern-sink runs as `sinks` into [hosts] of postern.toml",
            )?;
            self.hosts.insert(Place::Sinks, here);
        }
        self.outside = Some(outside);
        self.check()?;
        Ok(self)
    }

    fn machine_of_the_stages(&self) -> Option<IpAddr> {
        let machines: BTreeSet<IpAddr> = Stage::ALL
            .into_iter()
            .map(|stage| self.address(Place::Stage(stage)))
            .collect();
        machines.first().copied().filter(|_| machines.len() == 1)
    }

    /// An address that means another machine on each of them is none to make rules of.
    fn check(&self) -> anyhow::Result<()> {
        let is_local = |place: &Place| self.address(*place).is_loopback();
        let parts = || Place::all().filter(|place| self.has(*place));
        let (here, elsewhere) = (parts().find(is_local), parts().find(|place| !is_local(place)));
        if let (Some(here), Some(elsewhere)) = (here, elsewhere) {
            bail!(
                "{elsewhere} is at {} and {here} at {}; write the addresses of all parts into [hosts] of postern.toml",
                self.address(elsewhere),
                self.address(here)
            );
        }
        for arrow in self.arrows() {
            let (From::Place(from), To::Place(to)) = (arrow.from, arrow.to) else {
                continue;
            };
            if self.looked_for_locally.contains(&to) && self.address(from) != self.address(to) {
                bail!(
                    "{from} looks for {to} on its own machine, but [hosts] of postern.toml has them on two"
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
        Place::all()
            .filter(|place| self.has(*place))
            .map(|place| self.address(place))
            .collect()
    }

    /// Whether there is such a part.
    pub(super) fn has(&self, place: Place) -> bool {
        match place {
            Place::Stage(_) | Place::Nats(_) | Place::Database => true,
            Place::Operator | Place::Sinks => self.hosts.contains_key(&place),
        }
    }

    /// What may be, as far as it is about parts that there are.
    pub(super) fn arrows(&self) -> impl Iterator<Item = Arrow> {
        arrows().into_iter().filter(|arrow| {
            let from = match arrow.from {
                From::Clients | From::Monitoring => true,
                From::Place(from) => self.has(from),
            };
            let to = match arrow.to {
                To::Place(to) => self.has(to),
                To::Collectors => true,
            };
            from && to
        })
    }

    /// The collectors that a part may reach.
    pub(super) fn collectors(&self) -> impl Iterator<Item = &Collector> {
        self.outside.iter().flat_map(|outside| &outside.collectors)
    }

    /// From where the metrics may be asked for over the network: from nowhere unless somebody says so.
    pub(super) fn monitoring(&self) -> impl Iterator<Item = IpAddr> {
        let served = self
            .outside
            .iter()
            .filter(|outside| outside.metrics.is_some_and(|listen| !listen.ip().is_loopback()));
        served.flat_map(|outside| outside.monitoring.iter().copied())
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
                .map(|arrow| match arrow.to {
                    To::Place(to) => to,
                    To::Collectors => panic!("{stage} reaches no collector"),
                })
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
                From::Clients
                    | From::Monitoring
                    | From::Place(Place::Stage(_) | Place::Operator | Place::Sinks)
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
