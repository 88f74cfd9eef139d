//! The ring of a test.

use crate::database::{self, DatabaseTls};
use crate::options::{Options, TestUser};
use crate::port::{self, Port};
use crate::postgres::{Account, Installation, SUPERUSER, Server, ServerOptions};
use crate::process::Process;
use crate::{binaries, shop, template};
use anyhow::{Context as _, bail};
use postern_cli::directory::RingDirectory;
use postern_cli::hop::Hop;
use postern_cli::init::{InitOptions, Sandbox, init};
use postern_cli::keys;
use postern_cli::part::{Part, Programs};
use postern_cli::provision;
use postern_cli::ring_config::RingConfig;
use postern_cli::rotation::{self, Ending};
use postern_cli::users::{User, UsersFile, verifier_of};
use postern_types::Stage;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long a part may take to come up before the test fails. Not an expectation: only a way out.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running ring with its database. Everything is killed and removed when it is dropped.
///
/// The processes are tied to the thread that started them: start rings, and restart parts, on the test's own
/// task, not in `spawn_blocking`.
pub struct Ring {
    // Dropped in this order: stages and NATS servers, database, files, ports.
    parts: Mutex<BTreeMap<Part, Process>>,
    database: Mutex<Server>,
    database_start: (Installation, Account, ServerOptions),
    database_tls: Option<DatabaseTls>,
    directory: RingDirectory,
    config: RingConfig,
    programs: Programs,
    users: Vec<TestUser>,
    listen: Port,
    files: tempfile::TempDir,
    _nats_ports: Vec<Port>,
    _database_port: Port,
}

impl Ring {
    /// Starts database, NATS servers and stages, and waits until a client can connect.
    ///
    /// # Errors
    /// When a part does not come up; the message has the end of its log.
    pub async fn start(options: Options) -> anyhow::Result<Ring> {
        let ring = Ring::prepare(&options)?;
        for hop in Hop::ALL {
            ring.spawn(Part::Nats(hop))?;
        }
        for hop in Hop::ALL {
            ring.wait_ready(Part::Nats(hop)).await?;
        }
        for part in Part::ALL
            .into_iter()
            .filter(|part| matches!(part, Part::Stage(_)))
        {
            ring.spawn(part)?;
        }
        for stage in Stage::ALL {
            ring.wait_ready(Part::Stage(stage)).await?;
        }
        Ok(ring)
    }

    fn prepare(options: &Options) -> anyhow::Result<Ring> {
        let installation = Installation::find(options.pg_major)?;
        let account = Account::choose()?;
        let programs = binaries::programs(options.nats_server.as_deref())?;
        let files = template::workshop()?;
        let database = database::start(&installation, account, files.path(), options)?;
        if let Some(sql) = &options.sql {
            database
                .server
                .psql(shop::DATABASE, &["-q", "-v", "ON_ERROR_STOP=1"], sql)
                .context("options.sql")?;
        }
        let listen = port::reserve()?;
        let nats_ports = (0..4)
            .map(|_| port::reserve())
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut settings = InitOptions::new(
            files.path().join("ring"),
            format!(
                "postgres://postern:{}@127.0.0.1:{}/{}?{}",
                template::BACKEND_PASSWORD,
                database.port.number,
                shop::DATABASE,
                match &database.tls {
                    Some(tls) => tls.parameters(),
                    None => "sslmode=disable".to_owned(),
                }
            )
            .parse()?,
        );
        settings.listen = format!("127.0.0.1:{}", listen.number);
        settings.storage = options.storage;
        settings.nats_auth = options.nats_auth;
        settings.nats_jwt_lifetime = options.nats_jwt_lifetime;
        settings.nats_tls = options.nats_tls;
        settings.nats_ca.clone_from(&options.nats_ca);
        // Tests of what a ring does run on any kernel; that a stage insists is tested where the sandbox is.
        settings.sandbox = Sandbox::BestEffort;
        for (wanted, port) in settings.nats_ports.iter_mut().zip(&nats_ports) {
            *wanted = port.number;
        }
        let directory = init(&settings)?;
        let users = write_users(&directory, &options.users)?;
        adjust(&directory, options)?;
        if options.catalog {
            write_catalog(&programs, &directory)?;
        }
        fs::create_dir(files.path().join("log"))?;
        Ok(Ring {
            parts: Mutex::default(),
            database: Mutex::new(database.server),
            database_start: (database.installation, database.account, database.options),
            database_tls: database.tls,
            config: directory.ring_config()?,
            directory,
            programs,
            users,
            listen,
            files,
            _nats_ports: nats_ports,
            _database_port: database.port,
        })
    }

    /// The ring's directory, as `postern init` made it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A directory for whatever else the test makes, removed with the ring.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// Port on 127.0.0.1 that clients connect to.
    pub fn port(&self) -> u16 {
        self.listen.number
    }

    /// URL for a client of the ring; the users are `app`, `owner` and those of the options.
    ///
    /// # Panics
    /// When the ring has no such user.
    pub fn url(&self, user: &str) -> String {
        let found = self.users.iter().find(|known| known.name == user);
        let password = found.map(|known| known.password.as_str());
        assert!(password.is_some(), "the ring has no user {user}");
        self.url_with(user, password.unwrap_or_default())
    }

    /// URL for a client of the ring with any name and password.
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{}",
            self.listen.number,
            shop::DATABASE
        )
    }

    /// URL of the database itself, past the ring, as `app` or `owner`.
    pub fn direct_url(&self, user: &str) -> String {
        format!(
            "postgres://{user}:{user}@127.0.0.1:{}/{}",
            self.database_port(),
            shop::DATABASE
        )
    }

    /// URL of the database itself, past the ring, as superuser.
    pub fn superuser_url(&self) -> String {
        self.direct_url(SUPERUSER)
    }

    /// Port of the database itself.
    pub fn database_port(&self) -> u16 {
        lock(&self.database).port()
    }

    /// The PostgreSQL that the database runs on.
    pub fn installation(&self) -> &Installation {
        &self.database_start.0
    }

    /// Runs SQL in the database itself as superuser; gives back psql's unaligned output without headings.
    ///
    /// # Errors
    /// What psql says.
    pub fn database_sql(&self, sql: &str) -> anyhow::Result<String> {
        let output = lock(&self.database).psql(shop::DATABASE, &["-qAt", "-v", "ON_ERROR_STOP=1"], sql)?;
        Ok(output.trim_end().to_owned())
    }

    /// What there is for TLS with the database, where the options ask for it.
    pub fn database_tls(&self) -> Option<&DatabaseTls> {
        self.database_tls.as_ref()
    }

    /// What PostgreSQL has logged.
    pub fn database_log(&self) -> String {
        lock(&self.database).log()
    }

    /// The certificate that clients see.
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.tls_certificate_file()
    }

    /// The ledgers, by stage.
    pub fn ledger_dirs(&self) -> BTreeMap<Stage, PathBuf> {
        Stage::ALL
            .into_iter()
            .map(|stage| (stage, self.directory.ledger(stage)))
            .collect()
    }

    /// What a part has written to standard output and error since the ring was started.
    pub fn log(&self, part: Part) -> String {
        fs::read(self.log_file(part))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The `postern` binary.
    pub fn postern(&self) -> &Path {
        &self.programs.postern
    }

    /// Process id of a part; `None` while it is down.
    pub fn pid(&self, part: Part) -> Option<u32> {
        let mut parts = lock(&self.parts);
        let process = parts.get_mut(&part)?;
        process.is_running().then(|| process.pid())
    }

    /// Resident memory of a part now, in bytes.
    pub fn rss(&self, part: Part) -> Option<u64> {
        self.memory(part, "VmRSS:")
    }

    /// The most that has been resident since the part was started, in bytes.
    pub fn peak_rss(&self, part: Part) -> Option<u64> {
        self.memory(part, "VmHWM:")
    }

    fn memory(&self, part: Part, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid(part)?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// Ends a part with SIGKILL, as a crash would.
    pub fn kill(&self, part: Part) {
        if let Some(mut process) = lock(&self.parts).remove(&part) {
            process.kill();
        }
    }

    /// Ends a part with SIGTERM, as an operator would. False when it had to be killed after 10 seconds.
    pub fn stop(&self, part: Part) -> bool {
        let process = lock(&self.parts).remove(&part);
        process.is_none_or(|mut process| process.stop(Signal::TERM, Duration::from_secs(10)))
    }

    /// Sends a part any signal, such as STOP and CONT.
    pub fn signal(&self, part: Part, signal: Signal) {
        if let Some(process) = lock(&self.parts).get(&part) {
            process.signal(signal);
        }
    }

    /// Starts a part again, after `kill` or `stop` or instead of them, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&self, part: Part) -> anyhow::Result<()> {
        self.kill(part);
        self.spawn(part)?;
        self.wait_ready(part).await
    }

    /// Kills PostgreSQL without a checkpoint.
    pub fn kill_database(&self) {
        lock(&self.database).kill();
    }

    /// Starts PostgreSQL again.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart_database(&self) -> anyhow::Result<()> {
        let mut database = lock(&self.database);
        database.kill();
        let (installation, account, options) = &self.database_start;
        *database = Server::start(installation, *account, options.clone())?;
        Ok(())
    }

    fn spawn(&self, part: Part) -> anyhow::Result<()> {
        if let Part::Stage(stage) = part {
            let _ = fs::remove_file(self.directory.stage_ready_file(stage));
        }
        let command = self.programs.command(part, &self.directory);
        let process = Process::start(&command, self.directory.path(), &self.log_file(part))?;
        lock(&self.parts).insert(part, process);
        Ok(())
    }

    /// Gives the NATS users new JWTs, as `postern keys renew` does.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn renew_nats_jwts(&self) -> anyhow::Result<()> {
        keys::renew(&self.directory, &self.config)?;
        Ok(())
    }

    /// Gives the links new keys, as `postern keys rotate` does. Blocks until all stages have taken them.
    ///
    /// # Errors
    /// When a stage does not.
    pub fn rotate_link_keys(&self, ending: Ending) -> anyhow::Result<u32> {
        rotation::rotate(&self.directory, ending)
    }

    /// Gives a NATS user a new key and has the servers refuse the old one, as `postern keys revoke` does.
    ///
    /// # Errors
    /// When it can't be done.
    pub fn revoke_nats_user(&self, user: &str) -> anyhow::Result<()> {
        keys::revoke(&self.directory, &self.config, user)?;
        self.reload_nats();
        Ok(())
    }

    /// Gives NATS servers and users new certificates, as `postern keys renew --certificates` does.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn renew_nats_certificates(&self) -> anyhow::Result<()> {
        keys::renew_certificates(&self.directory)?;
        self.reload_nats();
        Ok(())
    }

    fn reload_nats(&self) {
        for hop in Hop::ALL {
            self.signal(Part::Nats(hop), Signal::HUP);
        }
    }

    /// Waits until a part that was started is of use: a NATS server has its streams, a stage says so.
    ///
    /// # Errors
    /// When it ends, or takes a minute.
    pub async fn wait_ready(&self, part: Part) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.is_ready(part).await {
            if self.pid(part).is_none() || begun.elapsed() > PATIENCE {
                bail!("{part} did not come up; its log ends:\n{}", self.log_end(part));
            }
            sleep(Duration::from_millis(10)).await;
        }
        if let Part::Nats(hop) = part {
            provision::provision(&self.directory, &self.config, hop).await?;
        }
        Ok(())
    }

    async fn is_ready(&self, part: Part) -> bool {
        match part {
            Part::Stage(stage) => self.directory.stage_ready_file(stage).exists(),
            Part::Sinks => self.directory.sinks_ready_file().exists(),
            Part::Nats(hop) => match provision::address(&self.config, hop) {
                Ok(address) => TcpStream::connect(address).await.is_ok(),
                Err(_) => false,
            },
        }
    }

    fn log_file(&self, part: Part) -> PathBuf {
        self.files.path().join("log").join(part.name().replace('/', "-"))
    }

    fn log_end(&self, part: Part) -> String {
        let log = self.log(part);
        let lines: Vec<&str> = log.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(20))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for stage in Stage::ALL {
                eprintln!("---- {stage} log ends:\n{}", self.log_end(Part::Stage(stage)));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_users(directory: &RingDirectory, more: &[TestUser]) -> anyhow::Result<Vec<TestUser>> {
    let mut users = vec![TestUser::new("app", "app"), TestUser::new("owner", "owner")];
    users.extend_from_slice(more);
    let mut file = UsersFile::open(&directory.users_file())?;
    for user in &users {
        let entry = User::new(
            verifier_of(&user.password)?,
            user.roles.clone(),
            user.tenant.clone(),
        );
        file.users.users.insert(user.name.clone(), entry);
    }
    file.save()?;
    Ok(users)
}

/// Copies every file of a folder and of the folders in it.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Has `postern catalog` describe the database in the policy directory.
fn write_catalog(programs: &Programs, directory: &RingDirectory) -> anyhow::Result<()> {
    let output = std::process::Command::new(&programs.postern)
        .arg("catalog")
        .arg(directory.path())
        .output()?;
    if !output.status.success() {
        bail!("postern catalog: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Lays the options' changes over what `init` wrote.
fn adjust(directory: &RingDirectory, options: &Options) -> anyhow::Result<()> {
    if let Some(folder) = &options.policy_directory {
        copy_files(folder, &directory.join("policy"))
            .with_context(|| format!("can't copy {}", folder.display()))?;
    }
    if let Some(policy) = &options.policy {
        fs::write(directory.policy_file(), policy)?;
    }
    let pool_mode = format!("[database]\npool_mode = \"{}\"", options.pool_mode.name());
    let changes = std::iter::once((Stage::Backend, pool_mode)).chain(options.config.iter().cloned());
    for (stage, text) in changes {
        change_config(directory, stage, &text)?;
    }
    Ok(())
}

/// Lays TOML over a stage's configuration.
fn change_config(directory: &RingDirectory, stage: Stage, text: &str) -> anyhow::Result<()> {
    let file = directory.stage_config_file(stage);
    let mut table: toml::Table = fs::read_to_string(&file)?.parse()?;
    let over: toml::Table = text
        .parse()
        .with_context(|| format!("changes of the configuration of {stage}"))?;
    lay_over(&mut table, over);
    Ok(fs::write(&file, table.to_string())?)
}

fn lay_over(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
