//! A real Syslog collector: rsyslog from Debian's packages, which `./test` unpacks.

use crate::authority::Authority;
use crate::port::{self, Port};
use crate::process::{Process, cpu_time};
use anyhow::Context as _;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where `./test` has put the packages.
const PACKAGES: &str = "POSTERN_TEST_RSYSLOG";
/// The names of its certificate.
const NAMES: [&str; 2] = ["collector.example", "127.0.0.1"];
const START_WITHIN: Duration = Duration::from_secs(20);

/// How it takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Plain TCP, with octet counting or a message in each line.
    Tcp,
    /// TLS.
    Tls,
    /// UDP.
    Udp,
    /// A datagram socket in its directory.
    Unix,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Tcp => "tcp",
            Way::Tls => "tls",
            Way::Udp => "udp",
            Way::Unix => "unix",
        })
    }
}

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it, such as `postern-backend`.
    pub program: String,
    /// MSGID.
    pub id: String,
    /// Severity, 0 to 7.
    pub severity: u8,
    /// Structured data as it was sent.
    pub structured: String,
    /// The message.
    pub message: String,
}

/// The collector.
pub struct Rsyslog {
    directory: PathBuf,
    way: Way,
    port: Port,
    command: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    process: Option<Process>,
}

impl Rsyslog {
    /// Makes one that keeps its files in `directory`, and starts it.
    ///
    /// # Errors
    /// When `./test` has not fetched it, or it does not start.
    pub fn start(directory: &Path, way: Way) -> anyhow::Result<Rsyslog> {
        let mut rsyslog = Rsyslog::new(directory, way)?;
        rsyslog.run()?;
        Ok(rsyslog)
    }

    /// Makes one that does not run yet.
    ///
    /// # Errors
    /// When `./test` has not fetched it, or its files can't be written.
    pub fn new(directory: &Path, way: Way) -> anyhow::Result<Rsyslog> {
        let packages = std::env::var_os(PACKAGES)
            .map(PathBuf::from)
            .with_context(|| format!("{PACKAGES} is not set; ./test unpacks rsyslog and sets it"))?;
        fs::create_dir_all(directory.join("work"))?;
        let port = port::reserve()?;
        fs::write(
            directory.join("rsyslog.conf"),
            configuration(directory, way, port.number),
        )?;
        let folders = |package: &str| {
            let library = packages.join(package).join("usr/lib");
            let entries = fs::read_dir(library).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir())
        };
        let joined = |paths: Vec<PathBuf>| std::env::join_paths(paths).context("a folder's name has a `:`");
        let modules = ["rsyslog", "rsyslog-openssl"].into_iter().flat_map(folders);
        let libraries = ["libestr0", "libfastjson4"].into_iter().flat_map(folders);
        let mut rsyslog = Rsyslog {
            directory: directory.to_owned(),
            way,
            port,
            command: vec![
                packages.join("rsyslog/usr/sbin/rsyslogd").into(),
                "-n".into(),
                "-f".into(),
                directory.join("rsyslog.conf").into(),
                "-i".into(),
                directory.join("pid").into(),
                "-M".into(),
                joined(modules.map(|folder| folder.join("rsyslog")).collect())?,
            ],
            environment: vec![("LD_LIBRARY_PATH".to_owned(), joined(libraries.collect())?)],
            process: None,
        };
        let authority = Authority::new("collectors")?;
        rsyslog.certify(&authority)?;
        Ok(rsyslog)
    }

    /// Gives it a certificate by this authority, which it shows from its next start on; and writes the authority's own
    /// to [`Rsyslog::ca_file`].
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn certify(&mut self, authority: &Authority) -> anyhow::Result<()> {
        authority.issue(&self.directory.join("server"), &NAMES, 0..100)?;
        Ok(fs::write(self.ca_file(), authority.pem())?)
    }

    /// Starts it, and waits until it takes messages.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let log = self.directory.join("log");
        let process = Process::start_with(&self.command, &self.environment, &self.directory, &log)?;
        let process = self.process.insert(process);
        let end = Instant::now() + START_WITHIN;
        loop {
            let up = match self.way {
                Way::Tcp | Way::Tls => std::net::TcpStream::connect(("127.0.0.1", self.port.number)).is_ok(),
                Way::Udp => has_udp(self.port.number),
                Way::Unix => self.directory.join("socket").exists(),
            };
            if up {
                return Ok(());
            }
            anyhow::ensure!(
                process.is_running() && Instant::now() < end,
                "rsyslog does not start: {}",
                process.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in order: what it has read is written.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM, START_WITHIN);
        }
        let _ = fs::remove_file(self.directory.join("socket"));
    }

    /// Stops it where it is, or lets it go on: a collector that hangs.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Processor time that it has used since it was started.
    pub fn cpu_time(&self) -> Duration {
        let pid = self.process.as_ref().map(Process::pid);
        pid.and_then(cpu_time).unwrap_or_default()
    }

    /// What `address` in `sinks.toml` says of it.
    pub fn address(&self) -> String {
        match self.way {
            Way::Unix => format!("unix:{}", self.directory.join("socket").display()),
            way => format!("{way}://127.0.0.1:{}", self.port.number),
        }
    }

    /// The authority that its certificate is by.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("authority.crt")
    }

    /// What has arrived so far, in its order. A line that is still being written is left out.
    ///
    /// # Panics
    /// When a line is not as this collector writes them.
    pub fn received(&self) -> Vec<Received> {
        let bytes = fs::read(self.directory.join("received")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..end).unwrap_or_default());
        whole.lines().map(parse).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.stop();
    }
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
fn parse(line: &str) -> Received {
    let mut fields = line.splitn(5, '\t');
    let mut field = || {
        fields
            .next()
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("not a line of the collector: {line}"))
    };
    Received {
        program: field(),
        id: field(),
        severity: field().parse().unwrap_or(u8::MAX),
        structured: field(),
        message: field().trim_start().to_owned(),
    }
}

fn configuration(directory: &Path, way: Way, port: u16) -> String {
    let here = directory.display();
    let input = match way {
        Way::Tcp => format!("module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"),
        Way::Tls => format!(
            "module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")
input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
        ),
        Way::Udp => format!("module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" rcvbufSize=\"8m\")"),
        Way::Unix => format!(
            "module(load=\"imuxsock\" SysSock.Use=\"off\")
input(type=\"imuxsock\" Socket=\"{here}/socket\" UseSpecialParser=\"off\" ParseHostname=\"on\")"
        ),
    };
    format!(
        "global(workDirectory=\"{here}/work\" maxMessageSize=\"128k\" defaultNetstreamDriver=\"{driver}\"
  defaultNetstreamDriverCAFile=\"{here}/authority.crt\"
  defaultNetstreamDriverCertFile=\"{here}/server.crt\" defaultNetstreamDriverKeyFile=\"{here}/server.key\")
{input}
template(name=\"fields\" type=\"string\"
  string=\"%app-name%\\t%msgid%\\t%syslogseverity%\\t%structured-data%\\t%msg%\\n\")
if $app-name startswith \"postern-\" then action(type=\"omfile\" file=\"{here}/received\" template=\"fields\")
",
        driver = if way == Way::Tls { "ossl" } else { "ptcp" },
    )
}

/// Whether somebody listens on this UDP port of the machine.
fn has_udp(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    table.contains(&format!(":{port:04X} "))
}
