//! `postern init`: makes the directory of a new ring, with keys, passwords, certificate and policy.

use crate::audit;
use crate::certificate::{self, OwnAuthority};
use crate::database_url::DatabaseUrl;
use crate::directory::RingDirectory;
use crate::firewall::FirewallConfig;
use crate::hop::Hop;
use crate::nats;
use crate::nats_auth::{self, DEFAULT_JWT_LIFETIME, NatsAuth};
use crate::operator;
use crate::ring_config::{
    self, AuditConfig, JwtConfig, NatsConfig, RingConfig, Storage, StreamsConfig, Topology,
};
use crate::rotation;
use crate::secret_file;
use crate::stage_config::{self, FIRST_POLICY, Facts, stage_config};
use anyhow::{Context as _, bail};
use postern_bus::Secret;
use postern_ledger::Outcome;
use postern_types::{Slot, Stage};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where clients connect unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:6432";

/// Port of the first NATS server unless told otherwise; the other three follow.
pub const DEFAULT_NATS_PORT: u16 = 14221;

/// How much the stages insist on their sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sandbox {
    /// A stage that can't have it does not start.
    #[default]
    Required,
    /// The same, and a system call that is not listed ends the stage.
    Strict,
    /// What the kernel offers, with a warning for what it does not.
    BestEffort,
}

impl Sandbox {
    /// As a stage's configuration has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sandbox::Required => "required",
            Sandbox::Strict => "strict",
            Sandbox::BestEffort => "best-effort",
        }
    }
}

/// What a new ring is to be.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Directory to make.
    pub directory: PathBuf,
    /// The database behind it.
    pub database: DatabaseUrl,
    /// Shape of the ring.
    pub topology: Topology,
    /// Where clients connect, as ADDRESS:PORT.
    pub listen: String,
    /// Ports of the NATS servers on 127.0.0.1, in the order of [`Hop::ALL`].
    pub nats_ports: [u16; 4],
    /// Where streams keep their messages.
    pub storage: Storage,
    /// How much the stages insist on their sandbox.
    pub sandbox: Sandbox,
    /// How stages sign in to the NATS servers.
    pub nats_auth: NatsAuth,
    /// How long their JWTs are good for, with [`NatsAuth::Jwt`].
    pub nats_jwt_lifetime: Duration,
    /// Whether the hops speak TLS, with a certificate on both ends.
    pub nats_tls: bool,
    /// The CA of the hops; `None` makes one.
    pub nats_ca: Option<OwnAuthority>,
}

impl InitOptions {
    /// A ring with defaults for all but its directory and its database.
    pub fn new(directory: impl Into<PathBuf>, database: DatabaseUrl) -> InitOptions {
        InitOptions {
            directory: directory.into(),
            database,
            topology: Topology::Full,
            listen: DEFAULT_LISTEN.to_owned(),
            nats_ports: [0, 1, 2, 3].map(|n| DEFAULT_NATS_PORT.saturating_add(n)),
            storage: Storage::File,
            sandbox: Sandbox::Required,
            nats_auth: NatsAuth::Jwt,
            nats_jwt_lifetime: DEFAULT_JWT_LIFETIME,
            nats_tls: true,
            nats_ca: None,
        }
    }
}

/// Makes the ring's directory. It appears whole or not at all.
///
/// # Errors
/// When the directory exists and is not empty, or the file system refuses something.
pub fn init(options: &InitOptions) -> anyhow::Result<RingDirectory> {
    let target = RingDirectory::new(&options.directory);
    let shown = options.directory.display();
    if fs::read_dir(target.path()).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{shown} is not empty; nothing was changed. Choose another directory or remove this one");
    }
    let parent = target
        .path()
        .parent()
        .context("a ring can't be made in the root directory")?;
    fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    let draft = tempfile::Builder::new()
        .prefix(".postern-init-")
        .tempdir_in(parent)
        .with_context(|| format!("can't write in {}", parent.display()))?;
    fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o700))?;
    fill(&RingDirectory::new(draft.path()), options).with_context(|| format!("can't make {shown}"))?;
    fs::rename(draft.path(), target.path()).with_context(|| format!("can't make {shown}"))?;
    // It is no longer where the guard would remove it.
    let _ = draft.keep();
    Ok(target)
}

fn fill(ring: &RingDirectory, options: &InitOptions) -> anyhow::Result<()> {
    for folder in ["keys", "tls", "nats", "policy", "users", "audit", "run"] {
        secret_file::directory(&ring.join(folder))?;
    }
    for stage in Stage::ALL {
        secret_file::directory(&ring.ledger(stage))?;
    }
    let (frontend, backend): (Slot, Slot) = ("frontend-0".parse()?, "backend-0".parse()?);
    rotation::make(ring)?;
    audit::make_keys(ring)?;
    operator::note(ring, "ring.init", &[], Outcome::Allowed)?;
    let nats_urls = Hop::ALL
        .into_iter()
        .zip(options.nats_ports)
        .map(|(hop, port)| (hop, format!("nats://127.0.0.1:{port}")))
        .collect();
    write_nats(ring, options, &frontend, &backend)?;
    write_certificate(ring, &options.listen)?;
    for secret in ["keys/mock.secret", "keys/mask.secret", "keys/record.secret"] {
        secret_file::write(
            &ring.join(secret),
            &format!("{}\n", secret_file::random_password()?),
        )?;
    }
    write_database_files(ring, &options.database)?;
    let facts = Facts {
        listen: &options.listen,
        frontend: &frontend,
        backend: &backend,
        database: &options.database,
        nats_urls: &nats_urls,
        sandbox: options.sandbox,
        nats_auth: options.nats_auth,
        nats_tls: options.nats_tls,
    };
    for stage in Stage::ALL {
        secret_file::write(&ring.stage_config_file(stage), &stage_config(stage, &facts))?;
    }
    secret_file::write(&ring.policy_file(), FIRST_POLICY)?;
    secret_file::write(&ring.users_file(), crate::users::FIRST_USERS_FILE)?;
    secret_file::write(&ring.sinks_config_file(), crate::sinks::FIRST_SINKS_FILE)?;
    write_ring_config(ring, options, &nats_urls, frontend, backend)
}

fn write_nats(
    ring: &RingDirectory,
    options: &InitOptions,
    frontend: &Slot,
    backend: &Slot,
) -> anyhow::Result<()> {
    let users = nats::all_user_names();
    nats_auth::make_folders(ring, &users)?;
    if options.nats_auth == NatsAuth::Jwt {
        nats_auth::make_operator(ring)?;
    }
    if options.nats_tls {
        certificate::make(ring, &users, options.nats_ca.as_ref())?;
    }
    let (frontends, backends) = (std::slice::from_ref(frontend), std::slice::from_ref(backend));
    for (hop, port) in Hop::ALL.into_iter().zip(options.nats_ports) {
        let limits = nats::limits(hop, frontends, backends);
        let accounts = nats_auth::make(
            ring,
            options.nats_auth,
            hop,
            &nats::users(hop, frontends, backends)?,
            &limits,
            options.nats_jwt_lifetime,
        )?;
        let config = nats::server_config(hop, port, limits, options.nats_tls);
        secret_file::write(&ring.join(RingDirectory::nats_config(hop)), &config)?;
        secret_file::write(
            &ring.join(RingDirectory::nats_accounts(hop)),
            &accounts.to_conf(&limits),
        )?;
    }
    Ok(())
}

/// What the Backend shows to the database and knows it by, in a folder that it may read whole, so that a file which is
/// put in another's place is taken while it runs.
fn write_database_files(ring: &RingDirectory, database: &DatabaseUrl) -> anyhow::Result<()> {
    secret_file::directory(&ring.join(stage_config::DATABASE_FILES))?;
    if let Some(password) = &database.password {
        secret_file::write(&ring.join(stage_config::PASSWORD), &format!("{password}\n"))?;
    }
    let copy = |from: &Path, to: &str| {
        let text = fs::read_to_string(from).with_context(|| format!("can't read {}", from.display()))?;
        anyhow::Ok(secret_file::write(&ring.join(to), &text)?)
    };
    if let Some(file) = &database.ca_file {
        copy(file, stage_config::CA)?;
    }
    if let Some((certificate, key)) = &database.certificate {
        copy(certificate, stage_config::CERTIFICATE)?;
        let key = Secret::read(key)?;
        secret_file::write(&ring.join(stage_config::KEY), &format!("{}\n", key.expose()))?;
    }
    Ok(())
}

/// A self-signed certificate for the names under which a local client reaches the ring.
fn write_certificate(ring: &RingDirectory, listen: &str) -> anyhow::Result<()> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if let Some((host, _)) = listen.rsplit_once(':') {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let any = ["0.0.0.0", "::", ""];
        if !names.contains(&host) && !any.contains(&host.as_str()) {
            names.push(host);
        }
    }
    let made = rcgen::generate_simple_self_signed(names).context("can't make a certificate")?;
    write_public(&ring.tls_certificate_file(), &made.cert.pem())?;
    let key = ring.join(stage_config::CLIENTS_KEY);
    if let Some(folder) = key.parent() {
        secret_file::directory(folder)?;
    }
    secret_file::write(&key, &made.signing_key.serialize_pem())?;
    Ok(())
}

/// The certificate may be copied by whoever reaches it; it is what clients verify against.
fn write_public(path: &Path, content: &str) -> anyhow::Result<()> {
    Ok(fs::write(path, content)?)
}

fn write_ring_config(
    ring: &RingDirectory,
    options: &InitOptions,
    nats_urls: &BTreeMap<Hop, String>,
    frontend: Slot,
    backend: Slot,
) -> anyhow::Result<()> {
    let config = RingConfig {
        audit: AuditConfig::default(),
        format: ring_config::FORMAT,
        topology: options.topology,
        nats_server: None,
        stage_directory: None,
        frontends: vec![frontend],
        backends: vec![backend],
        hosts: BTreeMap::new(),
        firewall: FirewallConfig::default(),
        streams: StreamsConfig {
            storage: options.storage,
            max_bytes: match options.storage {
                Storage::File => 1 << 30,
                Storage::Memory => 256 << 20,
            },
            max_age_s: 120,
        },
        nats_jwt: (options.nats_auth == NatsAuth::Jwt).then_some(JwtConfig {
            lifetime_s: options.nats_jwt_lifetime.as_secs(),
        }),
        nats: nats_urls
            .iter()
            .map(|(hop, url)| {
                let nats = NatsConfig {
                    url: url.clone(),
                    config_file: RingDirectory::nats_config(*hop),
                    admin_user: nats::ADMIN_USER.to_owned(),
                    admin_sign_in: options.nats_auth.sign_in(*hop, nats::ADMIN_USER),
                    admin_tls: options
                        .nats_tls
                        .then(|| certificate::of_user(*hop, nats::ADMIN_USER)),
                };
                (*hop, nats)
            })
            .collect(),
    };
    let text = format!(
        "# What `postern up` runs. The stages do not read this file; each has its own.
# Also understood at the top: nats_server = \"/path/to/nats-server\" and
# stage_directory = \"/path/to/the/postern-*/binaries\".

{}",
        toml::to_string_pretty(&config)?
    );
    secret_file::write(&ring.ring_config_file(), &text)?;
    Ok(())
}
