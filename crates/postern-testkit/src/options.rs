//! What a test wants of its ring.

use postern_cli::certificate::OwnAuthority;
use postern_cli::nats_auth::{DEFAULT_JWT_LIFETIME, NatsAuth};
use postern_cli::ring_config::Storage;
use postern_types::Stage;
use std::path::PathBuf;
use std::time::Duration;

/// A ring for a test. The default is what `postern init` makes, on the newest PostgreSQL and the best NATS
/// server at hand, with the shop's tables at a twentieth of their size and the users `app` and `owner`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Major version of PostgreSQL, such as 15; `None` is the newest installed. The default is that of
    /// `POSTERN_TEST_PG_MAJOR`.
    pub pg_major: Option<u32>,
    /// The nats-server binary; `None` is the one `postern up` would take.
    pub nats_server: Option<PathBuf>,
    /// When the Backend gives a connection back.
    pub pool_mode: PoolMode,
    /// Where streams keep messages.
    pub storage: Storage,
    /// The whole of policy.yaml, instead of the one `postern init` writes.
    pub policy: Option<String>,
    /// A directory whose files are laid over the ring's policy directory, `policy.yaml` among them.
    pub policy_directory: Option<PathBuf>,
    /// Whether `postern catalog` writes `policy/catalog.json` before the stages start.
    pub catalog: bool,
    /// Further users.
    pub users: Vec<TestUser>,
    /// TOML laid over a stage's configuration: `(Stage::Backend, "[database]\npool_size = 2")`.
    pub config: Vec<(Stage, String)>,
    /// SQL to run as superuser in the database `demo` before the ring starts.
    pub sql: Option<String>,
    /// Further settings of PostgreSQL, as `name=value`.
    pub database_settings: Vec<String>,
    /// How the stages sign in to the NATS servers.
    pub nats_auth: NatsAuth,
    /// How long their JWTs are good for. Nothing renews them unless the test does.
    pub nats_jwt_lifetime: Duration,
    /// Whether the hops speak TLS.
    pub nats_tls: bool,
    /// The CA of the hops; `None` makes one.
    pub nats_ca: Option<OwnAuthority>,
    /// PostgreSQL offers TLS, and the Backend insists on it and on the server's name. Only for a PostgreSQL
    /// that was built with OpenSSL, as Debian's is.
    pub database_tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            pg_major: std::env::var("POSTERN_TEST_PG_MAJOR")
                .ok()
                .and_then(|major| major.parse().ok()),
            nats_server: None,
            pool_mode: PoolMode::Transaction,
            storage: Storage::Memory,
            policy: None,
            policy_directory: None,
            catalog: false,
            users: Vec::new(),
            config: Vec::new(),
            sql: None,
            database_settings: Vec::new(),
            database_tls: false,
            nats_auth: NatsAuth::Jwt,
            nats_jwt_lifetime: DEFAULT_JWT_LIFETIME,
            nats_tls: true,
            nats_ca: None,
        }
    }
}

/// When the Backend gives a connection back to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// After each transaction.
    Transaction,
    /// When the session ends.
    Session,
}

impl PoolMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            PoolMode::Transaction => "transaction",
            PoolMode::Session => "session",
        }
    }
}

/// Someone who may sign in to the ring.
#[derive(Clone, Debug)]
pub struct TestUser {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
    /// Roles of the policy.
    pub roles: Vec<String>,
    /// Tenant.
    pub tenant: Option<String>,
}

impl TestUser {
    /// A user whose password is the name and who has one role.
    pub fn new(name: &str, role: &str) -> TestUser {
        TestUser {
            name: name.to_owned(),
            password: name.to_owned(),
            roles: vec![role.to_owned()],
            tenant: None,
        }
    }
}
