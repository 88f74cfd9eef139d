//! Real NATS servers, with the users of one hop.

use async_nats::jetstream;
use postern_bus::permission::{Permissions, reader_permissions, writer_permissions};
use postern_bus::provision::{Admin, ConsumerSpec, Storage, StreamSpec};
use postern_bus::{InletConfig, OutletConfig, Secret};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "secret";

/// The servers to test with: those in `POSTERN_TEST_NATS_SERVERS`, separated by colons, or the one in PATH.
pub(crate) fn binaries() -> Vec<PathBuf> {
    match std::env::var("POSTERN_TEST_NATS_SERVERS") {
        Ok(list) => list.split(':').map(PathBuf::from).collect(),
        Err(_) => vec![PathBuf::from("nats-server")],
    }
}

/// One server with its directory. Killed and removed when dropped.
pub(crate) struct Server {
    binary: PathBuf,
    child: Option<Child>,
    port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    /// A server that knows the users `admin`, `reader` (of consumer `c1`), `other` (of consumer `c2`) and
    /// `writer` (of `hop` and `hop.*`). Not started yet.
    pub(crate) fn new(binary: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let users = [
            ("reader", reader_permissions("reader", "hop", "c1").unwrap()),
            ("other", reader_permissions("other", "hop", "c2").unwrap()),
            ("writer", writers()),
        ];
        let users: String = users
            .iter()
            .map(|(user, permissions)| {
                format!(
                    "{{ user: {user}, password: {PASSWORD}, permissions: {} }}\n",
                    permissions.to_nats_conf()
                )
            })
            .collect();
        let conf = format!(
            "listen: \"127.0.0.1:{port}\"\nmax_payload: 9437184\n\
             jetstream {{ store_dir: {:?}, max_mem: 256MB, max_file: 256MB }}\n\
             authorization {{ users: [ {{ user: admin, password: {PASSWORD} }}\n{users} ] }}\n",
            directory.path().join("store")
        );
        std::fs::write(directory.path().join("nats.conf"), conf).unwrap();
        let password = directory.path().join("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        Server {
            binary: binary.to_owned(),
            child: None,
            port,
            directory,
        }
    }

    pub(crate) fn start(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(self.directory.path().join("nats.conf"))
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

    pub(crate) fn admin(&self) -> Admin {
        Admin {
            url: self.url(),
            user: "admin".into(),
            password: Secret::new(PASSWORD.into()),
        }
    }

    pub(crate) fn inlet(&self, user: &str, consumer: &str) -> InletConfig {
        InletConfig {
            url: self.url(),
            user: user.into(),
            password_file: self.directory.path().join("password"),
            stream: "hop".into(),
            consumer: consumer.into(),
        }
    }

    pub(crate) fn outlet(&self) -> OutletConfig {
        OutletConfig {
            url: self.url(),
            user: "writer".into(),
            password_file: self.directory.path().join("password"),
            stream: "hop".into(),
        }
    }

    /// A client of NATS itself, not of this crate: what an intruder with stolen credentials has.
    pub(crate) async fn raw(&self, user: &str) -> async_nats::Client {
        async_nats::ConnectOptions::with_user_and_password(user.into(), PASSWORD.into())
            .custom_inbox_prefix(format!("_INBOX.{user}"))
            .request_timeout(Some(Duration::from_secs(1)))
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
