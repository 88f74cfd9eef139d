//! Real NATS servers, with the users of one hop.

use async_nats::jetstream;
use postern_bus::jwt::{AccountClaims, AccountLimits, UserClaims, sign_account, sign_operator, sign_user};
use postern_bus::permission::{Permissions, reader_permissions, writer_permissions};
use postern_bus::provision::{Admin, ConsumerSpec, Storage, StreamSpec};
use postern_bus::server_conf::{Accounts, KnownBy, ServerSpec, ServerTls, User};
use postern_bus::{InletConfig, KeyPair, MAX_MESSAGE_BYTES, OutletConfig, SignIn, TlsConfig};
use postern_testkit::Authority;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "the-token";
/// What the server is pinned to.
pub(crate) const SERVER_NAME: &str = "hop.postern";

/// The servers to test with: those in `POSTERN_TEST_NATS_SERVERS`, separated by colons, or the one in PATH.
pub(crate) fn binaries() -> Vec<PathBuf> {
    match std::env::var("POSTERN_TEST_NATS_SERVERS") {
        Ok(list) => list.split(':').map(PathBuf::from).collect(),
        Err(_) => vec![PathBuf::from("nats-server")],
    }
}

/// How users sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Password,
    Token,
    Nkey,
    Jwt,
}

/// The methods by which a server can tell its users from each other.
pub(crate) const WITH_PERMISSIONS: [Method; 3] = [Method::Password, Method::Nkey, Method::Jwt];
pub(crate) const USERS: [&str; 4] = ["admin", "reader", "other", "writer"];

/// One server with its directory. Killed and removed when dropped.
pub(crate) struct Server {
    binary: PathBuf,
    child: Option<Child>,
    port: u16,
    method: Method,
    authority: Authority,
    account: KeyPair,
    operator: KeyPair,
    operator_jwt: String,
    system: KeyPair,
    directory: tempfile::TempDir,
}

impl Server {
    /// A server with TLS that knows the users `admin`, `reader` (of consumer `c1`), `other` (of consumer `c2`)
    /// and `writer` (of `hop` and `hop.*`) by JWT, as `postern init` makes it. Not started yet.
    pub(crate) fn new(binary: &Path) -> Self {
        Server::with(binary, Method::Jwt)
    }

    pub(crate) fn with(binary: &Path, method: Method) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let operator = KeyPair::new_operator();
        let server = Server {
            binary: binary.to_owned(),
            child: None,
            port,
            method,
            authority: Authority::new("ring").unwrap(),
            account: KeyPair::new_account(),
            operator_jwt: sign_operator("ring", now_s(), &operator).unwrap(),
            operator,
            system: KeyPair::new_account(),
            directory: tempfile::tempdir().unwrap(),
        };
        server.issue("server", SERVER_NAME, 0, 100);
        std::fs::write(server.path("ca.crt"), server.authority.pem()).unwrap();
        for user in USERS {
            server.issue(user, user, 0, 100);
        }
        server.write_conf();
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate of the ring's CA: `STEM.crt` and `STEM.key`.
    pub(crate) fn issue(&self, stem: &str, name: &str, from_days: i64, until_days: i64) {
        issue(&self.authority, &self.path(stem), name, from_days..until_days);
    }

    pub(crate) fn restore_ca(&self) {
        std::fs::write(self.path("ca.crt"), self.authority.pem()).unwrap();
    }

    fn limits() -> AccountLimits {
        AccountLimits {
            connections: 32,
            subscriptions: 256,
            payload_bytes: MAX_MESSAGE_BYTES,
            memory_bytes: 256 << 20,
            disk_bytes: 256 << 20,
            streams: 1,
            consumers: 8,
        }
    }

    fn write_conf(&self) {
        let accounts = match self.method {
            Method::Token => {
                keep(&self.path("token"), TOKEN);
                Accounts::Token { hash: hash(TOKEN) }
            }
            Method::Password => Accounts::Users(self.users(|user| {
                keep(
                    &self.path(&format!("{user}.password")),
                    &format!("{user}-secret\n"),
                );
                KnownBy::Password {
                    name: user.to_owned(),
                    hash: hash(&format!("{user}-secret")),
                }
            })),
            Method::Nkey => {
                Accounts::Users(self.users(|user| KnownBy::Nkey(self.new_key(user).public_key())))
            }
            Method::Jwt => {
                for user in USERS {
                    self.new_key(user);
                    self.renew(user, now_s() + 3600);
                }
                self.operator_accounts(&[])
            }
        };
        let (store, certificate, key, ca) = (
            self.path("store"),
            self.path("server.crt"),
            self.path("server.key"),
            self.path("ca.crt"),
        );
        let spec = ServerSpec {
            name: "hop",
            listen: &format!("127.0.0.1:{}", self.port),
            store_directory: store.to_str().unwrap(),
            accounts_file: "accounts.conf",
            limits: Server::limits(),
            tls: Some(ServerTls {
                certificate_file: certificate.to_str().unwrap(),
                key_file: key.to_str().unwrap(),
                ca_file: ca.to_str().unwrap(),
            }),
        };
        std::fs::write(self.path("nats.conf"), spec.to_conf()).unwrap();
        std::fs::write(self.path("accounts.conf"), accounts.to_conf(&Server::limits())).unwrap();
    }

    fn users(&self, known_by: impl Fn(&str) -> KnownBy) -> Vec<User> {
        let user = |name: &&str| User {
            known_by: known_by(name),
            permissions: permissions(name),
        };
        USERS.iter().map(user).collect()
    }

    pub(crate) fn new_key(&self, user: &str) -> KeyPair {
        let key = KeyPair::new_user();
        keep(&self.path(&format!("{user}.seed")), &key.seed().unwrap());
        key
    }

    /// The public key of a user.
    pub(crate) fn public_key(&self, user: &str) -> String {
        let seed = std::fs::read_to_string(self.path(&format!("{user}.seed"))).unwrap();
        KeyPair::from_seed(&seed).unwrap().public_key()
    }

    /// A new JWT for the user's key, put in the place of the one before.
    pub(crate) fn renew(&self, user: &str, expires_at_s: u64) {
        let claims = UserClaims {
            name: user.to_owned(),
            subject: self.public_key(user),
            issued_at_s: now_s(),
            expires_at_s,
            permissions: permissions(user),
        };
        self.put_jwt(user, &sign_user(&claims, &self.account).unwrap());
    }

    pub(crate) fn put_jwt(&self, user: &str, token: &str) {
        keep(&self.path(&format!("{user}.jwt")), token);
    }

    fn operator_accounts(&self, revoked: &[String]) -> Accounts {
        let account = |name: &str, key: &KeyPair, limits, revoked: &[String]| {
            let claims = AccountClaims {
                name: name.to_owned(),
                subject: key.public_key(),
                issued_at_s: now_s(),
                limits,
                revoked: revoked.iter().map(|key| (key.clone(), now_s())).collect(),
            };
            (key.public_key(), sign_account(&claims, &self.operator).unwrap())
        };
        Accounts::Operator {
            operator: self.operator_jwt.clone(),
            system: account("SYS", &self.system, None, &[]),
            ring: account("RING", &self.account, Some(Server::limits()), revoked),
        }
    }

    /// Throws a user's key out, and has the running server notice.
    pub(crate) fn revoke(&self, user: &str) {
        let accounts = self.operator_accounts(&[self.public_key(user)]);
        std::fs::write(self.path("accounts.conf"), accounts.to_conf(&Server::limits())).unwrap();
        self.signal(Signal::HUP);
    }

    pub(crate) fn sign_in(&self, user: &str) -> SignIn {
        let file = |extension: &str| self.path(&format!("{user}.{extension}")).into();
        match self.method {
            Method::Password => SignIn::Password {
                password_file: file("password"),
            },
            Method::Token => SignIn::Token {
                token_file: self.path("token").into(),
            },
            Method::Nkey => SignIn::Nkey {
                seed_file: file("seed"),
            },
            Method::Jwt => SignIn::Jwt {
                jwt_file: file("jwt"),
                seed_file: file("seed"),
            },
        }
    }

    pub(crate) fn tls(&self, user: &str) -> TlsConfig {
        TlsConfig {
            server_name: SERVER_NAME.to_owned(),
            ca_file: self.path("ca.crt"),
            certificate_file: self.path(&format!("{user}.crt")),
            key_file: self.path(&format!("{user}.key")).into(),
        }
    }

    pub(crate) fn start(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(self.path("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {}: {error}", self.binary.display()));
        self.child = Some(child);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal; returns from `STOP` when the process has stopped.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        kill_process(Pid::from_child(child), signal).unwrap();
        let stopped = || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        };
        while signal == Signal::STOP && !stopped() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin {
            url: self.url(),
            user: "admin".into(),
            sign_in: self.sign_in("admin"),
            tls: Some(self.tls("admin")),
        }
    }

    pub(crate) fn inlet(&self, user: &str, consumer: &str) -> InletConfig {
        InletConfig {
            url: self.url(),
            user: user.into(),
            sign_in: self.sign_in(user),
            tls: Some(self.tls(user)),
            stream: "hop".into(),
            consumer: consumer.into(),
        }
    }

    pub(crate) fn outlet(&self) -> OutletConfig {
        OutletConfig {
            url: self.url(),
            user: "writer".into(),
            sign_in: self.sign_in("writer"),
            tls: Some(self.tls("writer")),
            stream: "hop".into(),
        }
    }

    /// What an intruder with stolen credentials dials with: a client of NATS itself, not of this crate.
    pub(crate) fn stolen(&self, user: &str) -> async_nats::ConnectOptions {
        let read = |extension: &str| {
            let text = std::fs::read_to_string(self.path(&format!("{user}.{extension}"))).unwrap();
            text.trim_end().to_owned()
        };
        let options = match self.method {
            Method::Password => {
                async_nats::ConnectOptions::with_user_and_password(user.into(), read("password"))
            }
            Method::Token => async_nats::ConnectOptions::with_token(TOKEN.into()),
            Method::Nkey => async_nats::ConnectOptions::with_nkey(read("seed")),
            Method::Jwt => {
                let key = std::sync::Arc::new(KeyPair::from_seed(&read("seed")).unwrap());
                async_nats::ConnectOptions::with_jwt(read("jwt"), move |nonce| {
                    let key = std::sync::Arc::clone(&key);
                    async move { key.sign(&nonce).map_err(async_nats::AuthError::new) }
                })
            }
        };
        options
            .require_tls(true)
            .add_root_certificates(self.path("ca.crt"))
            .add_client_certificate(
                self.path(&format!("{user}.crt")),
                self.path(&format!("{user}.key")),
            )
            .custom_inbox_prefix(format!("_INBOX.{user}"))
            .request_timeout(Some(Duration::from_secs(1)))
    }

    pub(crate) async fn raw(&self, user: &str) -> async_nats::Client {
        self.stolen(user)
            .retry_on_initial_connect()
            .connect(self.url())
            .await
            .unwrap()
    }

    /// Waits until the server has nothing more to deliver to `c1` and waits for no acknowledgement of it.
    pub(crate) async fn all_acknowledged(&self) {
        let context = jetstream::new(self.raw("admin").await);
        let stream = context.get_stream("hop").await.unwrap();
        let started = std::time::Instant::now();
        loop {
            let info = stream.consumer_info("c1").await.unwrap();
            if info.num_pending == 0 && info.num_ack_pending == 0 {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "not all acknowledged: {info:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is in the stream.
    pub(crate) async fn state(&self) -> jetstream::stream::State {
        let context = jetstream::new(self.raw("admin").await);
        context
            .get_stream("hop")
            .await
            .unwrap()
            .get_info()
            .await
            .unwrap()
            .state
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes `STEM.crt` and `STEM.key` for this name and the address of the tests.
pub(crate) fn issue(authority: &Authority, stem: &Path, name: &str, days: std::ops::Range<i64>) {
    authority.issue(stem, &[name, "127.0.0.1"], days).unwrap();
}

/// Writes a file that nobody else may read.
fn keep(file: &Path, text: &str) {
    postern_cli::secret_file::write(file, text).unwrap();
}

pub(crate) fn now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn hash(secret: &str) -> String {
    bcrypt::hash(secret, 4).unwrap()
}

/// `None` for the administrator, who may do all.
fn permissions(user: &str) -> Option<Permissions> {
    match user {
        "reader" => Some(reader_permissions("reader", "hop", "c1").unwrap()),
        "other" => Some(reader_permissions("other", "hop", "c2").unwrap()),
        "writer" => Some(writers()),
        _ => None,
    }
}

fn writers() -> Permissions {
    writer_permissions("writer", "hop")
        .unwrap()
        .and(writer_permissions("writer", "hop.*").unwrap())
}

/// The stream of the hop: subject `hop` read by `c1`, subject `hop.two` read by `c2`.
pub(crate) fn hop(storage: Storage) -> StreamSpec {
    StreamSpec {
        name: "hop".into(),
        subjects: vec!["hop".into(), "hop.*".into()],
        storage,
        max_bytes: 64 * 1024 * 1024,
        max_age: Duration::from_secs(60),
        consumers: vec![
            ConsumerSpec {
                name: "c1".into(),
                filter: "hop".into(),
            },
            ConsumerSpec {
                name: "c2".into(),
                filter: "hop.two".into(),
            },
        ],
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}
