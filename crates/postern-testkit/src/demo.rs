//! The demo: a PostgreSQL cluster with the shop in it, a ring in front of it, and how to connect.
//!
//! All of it lives in one directory, made on the first start and kept, so that the second takes seconds. The
//! database of the demo takes the password of the ring's login role only; `app` and `owner` can't sign in
//! to it past the ring.

use crate::postgres::{Account, Installation, Server, ServerOptions, make_cluster};
use crate::process::Process;
use crate::{binaries, shop};
use anyhow::{Context as _, bail};
use postern_cli::directory::RingDirectory;
use postern_cli::init::{InitOptions, Sandbox, init};
use postern_cli::ring_config::OtherFormat;
use postern_cli::secret_file;
use postern_cli::users::{User, UsersFile, verifier_of};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the demo is to be.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Where everything is kept.
    pub directory: PathBuf,
    /// Where clients connect.
    pub listen: String,
    /// Scale of the shop's rows.
    pub scale: f64,
}

/// Port of the demo's PostgreSQL when it is free at the first start.
const DATABASE_PORT: u16 = 6433;
/// Where the NATS servers' ports begin to be looked for at the first start.
const NATS_PORT: u16 = 14221;

/// A running demo.
pub struct Demo {
    ring: Process,
    database: Server,
    listen: String,
}

impl Demo {
    /// Makes what is missing, and starts everything. `say` is called with what is being done.
    ///
    /// # Errors
    /// A sentence for the person at the terminal.
    pub fn start(options: &DemoOptions, say: &dyn Fn(&str)) -> anyhow::Result<Demo> {
        let programs = binaries::programs(None)?;
        check_listen(&options.listen)?;
        secret_file::directory(&options.directory)?;
        let directory = std::path::absolute(&options.directory)?;
        let cluster = Cluster::in_directory(&directory)?;
        // Without its password a cluster that outlived the directory is of no use.
        if !cluster.data.is_dir() || !directory.join("database.password").is_file() {
            say("making the demo's database (about 10 seconds) ...");
            cluster.make(&directory, options.scale)?;
        }
        say("starting PostgreSQL ...");
        let port = read_number(&directory.join("database.port"))?;
        let database = cluster.start(&cluster.data, port, &directory.join("postgres.log"))?;
        let ring_directory = directory.join("ring");
        put_aside_if_of_another_format(&ring_directory, say)?;
        if !ring_directory.is_dir() {
            say("making the ring's keys and configuration ...");
            make_ring(&directory, &ring_directory, port, &options.listen)?;
        }
        say("starting four NATS servers and four stages ...");
        let ready = ring_directory.join("run/demo.ready");
        let _ = fs::remove_file(&ready);
        let log = directory.join("ring.log");
        let _ = fs::remove_file(&log);
        let command: Vec<OsString> = [
            programs.postern.as_os_str(),
            "tether".as_ref(),
            "--signal".as_ref(),
            "term".as_ref(),
            "--parent".as_ref(),
            std::process::id().to_string().as_ref(),
            "--".as_ref(),
            programs.postern.as_os_str(),
            "up".as_ref(),
            ring_directory.as_os_str(),
            "--listen".as_ref(),
            options.listen.as_ref(),
            "--ready-file".as_ref(),
            ready.as_os_str(),
        ]
        .map(OsString::from)
        .to_vec();
        let environment = [(
            "POSTERN_NATS_SERVER".to_owned(),
            programs.nats_server.clone().into_os_string(),
        )];
        let ring = Process::start_with(&command, &environment, &directory, &log)?;
        let mut demo = Demo {
            ring,
            database,
            listen: options.listen.clone(),
        };
        demo.wait_until_ready(&ready)?;
        Ok(demo)
    }

    fn wait_until_ready(&mut self, ready: &Path) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !ready.exists() {
            if !self.ring.is_running() || begun.elapsed() > Duration::from_secs(90) {
                bail!("the ring did not start:\n{}", self.ring.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where clients connect.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// How to call psql here.
    pub fn psql(&self) -> PathBuf {
        self.database.installation().psql()
    }

    /// What is no longer running, if anything.
    pub fn broken(&mut self) -> Option<String> {
        if !self.ring.is_running() {
            return Some(format!("the ring has ended:\n{}", self.ring.log()));
        }
        (!self.database.is_running()).then(|| format!("PostgreSQL has ended:\n{}", self.database.log()))
    }

    /// Stops the ring, then the database.
    pub fn stop(mut self) {
        self.ring.stop(Signal::TERM, Duration::from_secs(10));
        self.database.stop();
    }
}

/// Where the cluster is and what runs it.
struct Cluster {
    installation: Installation,
    account: Account,
    home: PathBuf,
    data: PathBuf,
}

impl Cluster {
    fn in_directory(directory: &Path) -> anyhow::Result<Cluster> {
        let account = Account::choose()?;
        let home = home(account, directory)?;
        let data = home.join("data");
        // A cluster can only be run by the version that made it.
        let major = fs::read_to_string(data.join("PG_VERSION")).ok();
        let major = major.and_then(|text| text.trim().parse().ok());
        Ok(Cluster {
            installation: Installation::find(major)?,
            account,
            home,
            data,
        })
    }

    /// Makes the cluster under another name first, so that an interrupted start leaves nothing half done.
    fn make(&self, directory: &Path, scale: f64) -> anyhow::Result<()> {
        let draft = self.home.join("draft");
        let _ = fs::remove_dir_all(&draft);
        make_cluster(&self.installation, self.account, &draft)?;
        let port = free_port(DATABASE_PORT)?;
        let password = secret_file::random_password()?;
        let mut server = self.start(&draft, port, &directory.join("postgres.log"))?;
        shop::create(&server, &password, scale)?;
        server.stop();
        secret_file::write(&directory.join("database.port"), &port.to_string())?;
        secret_file::write(&directory.join("database.password"), &password)?;
        let _ = fs::remove_dir_all(directory.join("ring"));
        let _ = fs::remove_dir_all(&self.data);
        fs::rename(&draft, &self.data)?;
        Ok(())
    }

    fn start(&self, data: &Path, port: u16, log: &Path) -> anyhow::Result<Server> {
        let _ = fs::remove_file(log);
        let options = ServerOptions {
            data: data.to_owned(),
            socket_directory: self.home.clone(),
            port,
            log: log.to_owned(),
            // What the demo's rows are worth, it can lose a second of.
            settings: vec!["synchronous_commit=off".to_owned()],
        };
        Server::start(&self.installation, self.account, options)
    }
}

/// The directory of the cluster and its socket: inside the demo's, or, where the account that runs
/// PostgreSQL can't reach that or its socket path would be too long, one under /var/tmp that is named after it.
fn home(account: Account, directory: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    /// A socket's path has at most 107 bytes, `/.s.PGSQL.65535` included.
    const LONGEST: usize = 90;
    let inside = directory.join("postgres");
    if account != Account::Own {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
    }
    let fits = inside.as_os_str().len() <= LONGEST && account.reaches(directory);
    let home = if fits {
        inside
    } else {
        let mut hasher = DefaultHasher::new();
        directory.hash(&mut hasher);
        let uid = rustix::process::geteuid().as_raw();
        PathBuf::from(format!("/var/tmp/postern-demo-{uid}-{:016x}", hasher.finish()))
    };
    match fs::create_dir(&home) {
        Ok(()) => account.own(&home)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => check_owner(account, &home)?,
        Err(error) => return Err(error).with_context(|| format!("can't make {}", home.display())),
    }
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    Ok(home)
}

/// /var/tmp is everybody's: a directory that somebody else put there is not ours to use.
fn check_owner(account: Account, home: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let wanted = match account {
        Account::Own => rustix::process::geteuid().as_raw(),
        Account::Other { uid, .. } => uid,
    };
    let found = fs::symlink_metadata(home)?;
    if !found.is_dir() || found.uid() != wanted {
        bail!("{} belongs to somebody else", home.display());
    }
    Ok(())
}

/// A demo that an older Postern made keeps its rows; its ring is made anew, and the old one is kept beside it.
fn put_aside_if_of_another_format(ring: &Path, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    if !ring.is_dir() {
        return Ok(());
    }
    match RingDirectory::new(ring).ring_config() {
        Err(error) if error.is::<OtherFormat>() => {
            let aside = ring.with_extension("old");
            let _ = fs::remove_dir_all(&aside);
            fs::rename(ring, &aside)?;
            say(&format!(
                "the ring here was made by another version of Postern; it is now {}",
                aside.display()
            ));
            Ok(())
        }
        // What else is wrong with it, `postern up` will say.
        _ => Ok(()),
    }
}

fn make_ring(directory: &Path, ring: &Path, database_port: u16, listen: &str) -> anyhow::Result<()> {
    let password = fs::read_to_string(directory.join("database.password"))?;
    let database = format!(
        "postgres://postern:{password}@127.0.0.1:{database_port}/{}?sslmode=disable",
        shop::DATABASE
    );
    let draft = directory.join("ring.draft");
    let _ = fs::remove_dir_all(&draft);
    let mut options = InitOptions::new(&draft, database.parse()?);
    options.listen = listen.to_owned();
    // A demo is for looking at; it says in its log what the kernel lacks.
    options.sandbox = Sandbox::BestEffort;
    let mut next = NATS_PORT;
    for port in &mut options.nats_ports {
        *port = free_port(next)?;
        next = port.saturating_add(1);
    }
    let made = init(&options)?;
    add_users(&made)?;
    fs::rename(&draft, ring)?;
    Ok(())
}

fn add_users(ring: &RingDirectory) -> anyhow::Result<()> {
    let mut file = UsersFile::open(&ring.users_file())?;
    for name in ["app", "owner"] {
        let user = User::new(verifier_of(name)?, vec![name.to_owned()], None);
        file.users.users.insert(name.to_owned(), user);
    }
    file.save()
}

fn check_listen(listen: &str) -> anyhow::Result<()> {
    TcpListener::bind(listen).map(drop).with_context(|| {
        format!(
            "can't listen on {listen}; stop what uses it, or choose another: ./run --listen 127.0.0.1:7432"
        )
    })
}

/// `wanted`, or the next port above it that is free.
fn free_port(wanted: u16) -> anyhow::Result<u16> {
    (wanted..=u16::MAX)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port on 127.0.0.1")
}

fn read_number(file: &Path) -> anyhow::Result<u16> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    text.trim()
        .parse()
        .with_context(|| format!("{} holds no port", file.display()))
}
