//! The NATS servers: their files, and, while they run, the servers themselves.

use super::nats_conf::Conf;
use super::report::{Area, Report, Status};
use super::ring::Examined;
use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::part::find_program;
use crate::provision;
use postern_bus::permission::{Permissions, reader_permissions, writer_permissions};
use postern_bus::provision as bus;
use postern_bus::{KeyPair, Secret, ServerVersion, is_advised_against, jwt};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// How long a server that runs may take to accept.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    program(ring, report);
    let mut found = Found::default();
    for hop in Hop::ALL {
        match conf(ring, hop) {
            Ok(conf) => found.file(ring, hop, &conf),
            Err(error) => found.unreadable.push(format!("{hop}: {error}")),
        }
    }
    found.tell(report);
    live(ring, report);
}

fn conf(ring: &Examined, hop: Hop) -> Result<Conf, String> {
    let nats = ring
        .config
        .nats
        .get(&hop)
        .ok_or("postern.toml does not have it")?;
    let config = ring.ring.join(&nats.config_file);
    let text = std::fs::read_to_string(&config).map_err(|error| error.to_string())?;
    Conf::parse(&text, &|name| {
        std::fs::read_to_string(config.with_file_name(name)).map_err(|error| format!("{name}: {error}"))
    })
}

/// A user of a server, by its name as far as that is known, and its permissions; `None` is everything.
type Allowed = (String, Option<Permissions>);

/// The users that a server's file names.
fn in_file(ring: &Examined, hop: Hop, conf: &Conf) -> Vec<Allowed> {
    let names = crate::nats::user_names(hop);
    let by_key = |key: &str| {
        let own = |name: &&&str| {
            let seed = ring.ring.join(RingDirectory::nats_file(hop, name, "seed"));
            let seed = Secret::read(&seed).ok();
            let pair = seed.and_then(|seed| KeyPair::from_seed(seed.expose()).ok());
            pair.is_some_and(|pair| pair.public_key() == key)
        };
        names.iter().find(own).map_or(key, |name| *name).to_owned()
    };
    let named = conf.maps_with("user").into_iter().map(|user| {
        let name = user.get("user").and_then(Conf::text).unwrap_or_default();
        (name.to_owned(), permissions(user))
    });
    let keyed = conf.maps_with("nkey").into_iter().map(|user| {
        let key = user.get("nkey").and_then(Conf::text).unwrap_or_default();
        (by_key(key), permissions(user))
    });
    named.chain(keyed).collect()
}

/// What the JWTs of the two stages say, where the server goes by those.
fn in_jwts(ring: &Examined, hop: Hop) -> Result<Vec<Allowed>, String> {
    let stages = [hop.reader().name(), hop.writer().name()];
    let read = |stage: &str| {
        let file = ring.ring.join(RingDirectory::nats_file(hop, stage, "jwt"));
        let token = Secret::read(&file).map_err(|error| error.to_string())?;
        let card = jwt::read_user(token.expose()).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok((stage.to_owned(), card.permissions))
    };
    stages.into_iter().map(read).collect()
}

fn permissions(user: &Conf) -> Option<Permissions> {
    let rules = user.get("permissions")?;
    let subjects = |verb: &str| {
        let rule = rules.get(verb)?;
        let allowed = rule.get("allow").unwrap_or(rule);
        let text = |subject: &Conf| subject.text().unwrap_or("something unreadable").to_owned();
        Some(allowed.items().iter().map(text).collect())
    };
    Some(Permissions {
        publish: subjects("publish")?,
        subscribe: subjects("subscribe")?,
    })
}

/// The program that would be run.
fn program(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Network);
    let from_environment = std::env::var_os("POSTERN_NATS_SERVER").map(PathBuf::from);
    let configured = [ring.config.nats_server.clone(), from_environment];
    let Some(program) = find_program(&configured, "nats-server") else {
        return section.warn(
            "nats-program",
            "no nats-server is found here",
            "set nats_server in postern.toml",
        );
    };
    match crate::nats::version(&program) {
        Ok(version) if is_advised_against(version) => section.fail(
            "nats-version",
            old(version),
            "install nats-server 2.12.7 or newer, and name it as nats_server in postern.toml",
        ),
        Ok(version) => section.pass("nats-version", format!("nats-server {version}")),
        Err(error) => section.warn(
            "nats-version",
            format!("{error:#}"),
            "set nats_server in postern.toml",
        ),
    }
}

fn old(version: ServerVersion) -> String {
    format!("nats-server {version} is older than 2.12.7 and has published weaknesses")
}

/// What is wrong with the configurations of the servers.
#[derive(Default)]
struct Found {
    unreadable: Vec<String>,
    exposed: Vec<String>,
    local: Vec<String>,
    monitored: Vec<String>,
    clear: Vec<String>,
    wide: Vec<String>,
    open: Vec<String>,
}

impl Found {
    fn file(&mut self, ring: &Examined, hop: Hop, conf: &Conf) {
        let tls = conf.get("tls").is_some();
        let listen = listen(conf);
        match (is_local(&listen), tls) {
            (false, false) => self
                .exposed
                .push(format!("{hop} listens on {listen} without TLS")),
            (true, false) => self.local.push(format!("{hop} has no TLS")),
            (_, true) => {}
        }
        for key in ["http", "http_port", "https", "https_port", "monitor_port"] {
            if conf.get(key).is_some() {
                self.monitored.push(format!("{hop} has {key}"));
            }
        }
        for key in ["cluster", "gateway", "leafnodes", "mqtt", "websocket"] {
            if conf.get(key).is_some() {
                self.open
                    .push(format!("{hop} has {key}, which is a second way in"));
            }
        }
        if conf.get("no_auth_user").is_some() {
            self.open
                .push(format!("{hop} lets in who names nobody (no_auth_user)"));
        }
        let signs_in = ["user", "nkey", "token", "operator"];
        if signs_in.iter().all(|key| conf.maps_with(key).is_empty()) {
            self.open.push(format!("{hop} asks nobody who he is"));
        }
        for user in conf.maps_with("password") {
            let hashed = |password: &str| password.starts_with("$2");
            if user
                .get("password")
                .and_then(Conf::text)
                .is_some_and(|password| !hashed(password))
            {
                let name = user.get("user").and_then(Conf::text).unwrap_or("somebody");
                self.clear
                    .push(format!("{hop} has the password of {name} in clear"));
            }
        }
        self.permissions(ring, hop, conf);
    }

    /// Subjects that a stage may use beyond those that `init` would give it.
    fn permissions(&mut self, ring: &Examined, hop: Hop, conf: &Conf) {
        let Ok(wanted) = wanted(ring, hop) else {
            return self
                .unreadable
                .push(format!("{hop}: a name in postern.toml is no plain word"));
        };
        let mut users = in_file(ring, hop, conf);
        if conf.get("operator").is_some() {
            match in_jwts(ring, hop) {
                Ok(stages) => users.extend(stages),
                Err(error) => self.unreadable.push(format!("{hop}: {error}")),
            }
        }
        let admin = ring.config.nats.get(&hop).map(|nats| nats.admin_user.as_str());
        for (name, allowed) in users.iter().filter(|(name, _)| Some(name.as_str()) != admin) {
            let Some((_, wanted)) = wanted.iter().find(|(stage, _)| stage == name) else {
                self.wide
                    .push(format!("{hop} lets in {name}, whom it does not need"));
                continue;
            };
            let Some(allowed) = allowed else {
                self.wide.push(format!("{hop}: {name} may do everything"));
                continue;
            };
            for (verb, allowed, expected) in [
                ("publish", &allowed.publish, &wanted.publish),
                ("subscribe", &allowed.subscribe, &wanted.subscribe),
            ] {
                for subject in allowed.iter().filter(|subject| !expected.contains(subject)) {
                    self.wide.push(format!("{hop}: {name} may {verb} {subject}"));
                }
            }
        }
        if conf
            .maps_with("token")
            .into_iter()
            .any(|map| map.get("token").is_some())
        {
            self.wide
                .push(format!("{hop}: whoever has its token is its administrator"));
        }
    }

    fn tell(self, report: &mut Report) {
        let mut section = report.about(Area::Network);
        section.each(
            "nats-files",
            Status::Fail,
            &self.unreadable,
            "mend the file, or write it anew",
            "all four can be read",
        );
        section.each(
            "nats-listen",
            Status::Fail,
            &self.exposed,
            "have it listen on 127.0.0.1, or give it TLS",
            "no NATS server is reached from elsewhere in clear",
        );
        section.each(
            "nats-monitoring",
            Status::Fail,
            &self.monitored,
            "remove it: it tells everybody who connects what passes",
            "no monitoring port is on",
        );
        section.each(
            "nats-doors",
            Status::Fail,
            &self.open,
            "remove it from nats/*.conf",
            "only clients with a credential get in",
        );
        report.about(Area::Encryption).each(
            "nats-tls",
            Status::Warn,
            &self.local,
            "fine on one machine; between machines each needs TLS",
            "all NATS servers speak TLS",
        );
        report.about(Area::Authentication).each(
            "nats-passwords",
            Status::Warn,
            &self.clear,
            "put a bcrypt hash there, or use keys instead of passwords",
            "no password is in clear in a server's file",
        );
        report.about(Area::Authorisation).each(
            "nats-permissions",
            Status::Fail,
            &self.wide,
            "allow what `postern init` writes for a new ring, and nothing else",
            "each stage may use its own subjects only, as far as the files and the stages' JWTs say",
        );
    }
}

/// The permissions of the two stages of a hop.
fn wanted(ring: &Examined, hop: Hop) -> Result<[(String, Permissions); 2], postern_bus::InvalidName> {
    let mut reading = Permissions::default();
    for (consumer, _) in hop.consumers(&ring.config.frontends, &ring.config.backends) {
        reading = reading.and(reader_permissions(hop.reader().name(), hop.name(), &consumer)?);
    }
    let mut writing = Permissions::default();
    for subject in hop.subjects() {
        writing = writing.and(writer_permissions(hop.writer().name(), &subject)?);
    }
    Ok([
        (hop.reader().name().to_owned(), reading),
        (hop.writer().name().to_owned(), writing),
    ])
}

/// Where a server listens; nats-server's own default is everywhere.
fn listen(conf: &Conf) -> String {
    let text = |key: &str| conf.get(key).and_then(Conf::text);
    let host = text("host").or(text("net")).unwrap_or("0.0.0.0");
    text("listen").unwrap_or(host).to_owned()
}

fn is_local(listen: &str) -> bool {
    if let Ok(ip) = listen.parse::<std::net::IpAddr>() {
        return ip.is_loopback();
    }
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Asks the servers that run.
fn live(ring: &Examined, report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let (mut down, mut wrong, mut aged) = (Vec::new(), Vec::new(), Vec::new());
    for hop in Hop::ALL {
        let reached = provision::address(&ring.config, hop).is_ok_and(|address| runs(&address));
        if !reached {
            down.push(format!("{hop} does not run"));
            continue;
        }
        let asked: anyhow::Result<()> = runtime.block_on(async {
            let admin = provision::admin(&ring.ring, &ring.config, hop)?;
            if let Some(version) = bus::server_version(&admin)
                .await?
                .filter(|version| is_advised_against(*version))
            {
                aged.push(format!("{hop} runs {}", old(version)));
            }
            let differences = postern_bus::differences(&admin, &provision::stream(&ring.config, hop)).await?;
            wrong.extend(
                differences
                    .into_iter()
                    .map(|difference| format!("{hop}: {difference}")),
            );
            Ok(())
        });
        if let Err(error) = asked {
            wrong.push(format!("{hop}: {error:#}"));
        }
    }
    let mut section = report.about(Area::Network);
    section.each(
        "nats-running",
        Status::Warn,
        &down,
        "start the ring, so that its servers can be asked",
        "all four NATS servers answer",
    );
    section.each(
        "streams",
        Status::Fail,
        &wrong,
        "`postern up` puts streams right; see who changed them",
        "streams and consumers are as they should be, on the servers that run",
    );
    section.each(
        "nats-running-version",
        Status::Fail,
        &aged,
        "install a newer one and restart",
        "no server that runs is too old",
    );
}

fn runs(address: &str) -> bool {
    let address: Result<SocketAddr, _> = address.parse();
    address.is_ok_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_listens_is_read_as_nats_does() {
        let none = |name: &str| Err(format!("there is no {name}"));
        let of = |text: &str| listen(&Conf::parse(text, &none).unwrap());
        assert!(is_local(&of("listen: \"127.0.0.1:4222\"")));
        assert!(is_local(&of("listen: localhost:4222")));
        assert!(is_local(&of("host: ::1\nport: 4222")));
        assert!(!is_local(&of("port: 4222")));
        assert!(!is_local(&of("listen: 0.0.0.0:4222")));
        assert!(!is_local(&of("listen: 4222")));
        assert!(!is_local(&of("listen: \"10.0.0.1:4222\"")));
    }
}
